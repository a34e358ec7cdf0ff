//! Value lists: what they hold, how rules look into them, and what is told where they are missing.

use std::path::Path;
use std::sync::Arc;

use super::{matches, rule};
use crate::{Config, Loaded};

fn load(folder: &Path, detection: &str) -> Loaded {
    let file = folder.join("rule.yml");
    std::fs::write(&file, rule(detection)).unwrap();
    let lists = folder.join("lists");
    std::fs::create_dir_all(&lists).unwrap();
    Config { paths: vec![file], lists: Some(lists), ..Config::default() }.load(&[])
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::create_dir_all(folder.join("lists")).unwrap();
    std::fs::write(folder.join("lists").join(name), text).unwrap();
}

#[test]
fn values_are_looked_up_by_the_type_of_the_list() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "nets.txt",
        "# ours\n10.0.0.0/8\n2001:db8::/32 # lab\n::ffff:192.0.2.0/120\n",
    );
    write(
        folder.path(),
        "domains.csv",
        "example.com,bad,1\n\"*.example.org\",worse,2\n192.0.2.9,x,3\n",
    );
    write(folder.path(), "hashes.txt", "D41D8CD98F00B204E9800998ECF8427E\n");
    write(folder.path(), "users.txt", "# type: values\nAdministrator\nadm_*\nroot.local\n");
    write(folder.path(), "empty.txt", "# nobody\n");
    write(folder.path(), "paths.txt", "# type: values\n%APPDATA%\\evil.exe\n%users%\n");
    for (detection, event, wanted) in [
        ("{a|in_list: nets}", r#"{"a":"10.1.2.3"}"#, true),
        ("{a|in_list: nets}", r#"{"a":"::ffff:10.1.2.3"}"#, true),
        ("{source.ip|in_list: nets}", r#"{"source":{"ip":"192.0.2.7"}}"#, true),
        ("{a|in_list: nets}", r#"{"a":"2001:db8::1"}"#, true),
        ("{a|in_list: nets}", r#"{"a":"11.0.0.1"}"#, false),
        ("{a|in_list|neq: nets}", r#"{"a":"11.0.0.1"}"#, true),
        ("{a|in_list: domains}", r#"{"a":"WWW.Example.COM"}"#, true),
        ("{a|in_list: domains}", r#"{"a":"https://x.example.org/y"}"#, true),
        ("{a|in_list: domains}", r#"{"a":"notexample.com"}"#, false),
        ("{a|in_list: domains}", r#"{"a":"192.0.2.9"}"#, true),
        ("{a|in_list: hashes}", r#"{"a":"SHA1=0,MD5=d41d8cd98f00b204e9800998ecf8427e"}"#, true),
        ("{a|in_list: [nets, users]}", r#"{"a":["x","administrator"]}"#, true),
        ("{a|in_list|all: [nets, users]}", r#"{"a":["x","administrator"]}"#, false),
        ("{a|in_list|all: [nets, users]}", r#"{"a":["10.0.0.1","administrator"]}"#, true),
        ("{a|in_list: users}", r#"{"a":"adm_x"}"#, false),
        ("{a|in_list: users}", r#"{"a":"x.root.local"}"#, false),
        ("{a|in_list: empty}", r#"{"b":"x"}"#, false),
        ("{a|expand: '%users%'}", r#"{"a":"ADMINISTRATOR"}"#, true),
        ("{a|expand|neq: '%users%'}", r#"{"a":"eve"}"#, true),
        ("{a|expand: '%nets%'}", r#"{"a":"10.1.2.3"}"#, true),
        ("{a|contains|expand: '\\%users%;'}", r#"{"a":"x\\administrator;y"}"#, true),
        ("{a|contains|expand: '\\%users%;'}", r#"{"a":"x\\adm_1;y"}"#, false),
        ("{a|contains|expand: '\\%users%;'}", r#"{"a":"x\\adm_*;y"}"#, true),
        ("{a|re|expand: '^%users%$'}", r#"{"a":"rootxlocal"}"#, false),
        ("{a|re|expand: '^%users%$'}", r#"{"a":"root.local"}"#, true),
        ("{a|contains|expand: '%empty%'}", r#"{"a":"x"}"#, false),
        ("{a|expand: '%empty%'}", r#"{"b":"x"}"#, false),
        // What is put in is text, though it looks like a placeholder.
        ("{a|endswith|expand: '%paths%'}", r#"{"a":"x %appdata%\\evil.exe"}"#, true),
        ("{a|endswith|expand: '%paths%'}", r#"{"a":"%users%"}"#, true),
        ("{a|endswith|expand: '%paths%'}", r#"{"a":"administrator"}"#, false),
        ("{a|endswith|expand: ['%paths%', x]}", r#"{"a":"%appdata%\\evil.exe"}"#, true),
        ("{a|re|expand: '^%paths%$'}", r#"{"a":"%APPDATA%\\evil.exe"}"#, true),
    ] {
        let loaded = load(folder.path(), &format!("  s: {detection}\n  condition: s"));
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        let found = matches(&Arc::new(loaded.rules), event);
        assert_eq!(found, wanted, "{detection} on {event}");
    }
}

#[test]
fn what_is_wrong_with_a_list_is_told_at_the_rule() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "latin.txt", "x");
    std::fs::write(folder.path().join("lists/latin.txt"), b"\xe9").unwrap();
    write(folder.path(), "typed.txt", "# type: people\nx\n");
    write(folder.path(), "nets.txt", "# type: networks\n10.0.0.0/8\n\n10.0.0/8\n");
    write(folder.path(), "long.txt", &"x".repeat(10_000));
    std::fs::write(folder.path().join("secret.txt"), "x").unwrap();
    let mut said = String::new();
    for name in ["missing", "latin", "typed", "nets", "long", "../secret", "latin.txt"] {
        let loaded = load(folder.path(), &format!("  s: {{a|in_list: {name}}}\n  condition: s"));
        let problem = loaded.problems[0].to_string();
        said.push_str(&problem.replace(&*folder.path().to_string_lossy(), "FOLDER"));
        said.push('\n');
    }
    insta::assert_snapshot!(said);
}

#[test]
fn what_no_condition_asks_for_needs_no_list() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = load(folder.path(), "  s: {a: 1}\n  t: {a|in_list: nowhere}\n  condition: s");
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
}

#[test]
fn tests_of_a_rule_have_its_lists() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "bad.txt", "evil.example\n");
    let loaded = load(folder.path(), "  s: {a|in_list: bad}\n  condition: s");
    let event = super::event_at(1, r#"{"a":"x.evil.example"}"#);
    assert_eq!(loaded.rules.run_test("test", &[event]), Ok(1));
}
