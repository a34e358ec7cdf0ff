//! What people type: exit codes, errors that help, the shipped files.

use serde_json::Value;

use crate::support::keng_with;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn parse_gives_one_event_per_line_in_order() {
    let input = "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8\n\
                 not syslog at all\n\
                 <165>1 2026-10-11T22:14:15.003+07:00 đà-nẵng evntslog - ID47 - xin chào\n";
    let arguments = [
        "parse",
        "--sender",
        "192.0.2.1",
        "--received",
        "2026-11-22T10:00:00Z",
        "--tz",
        "Asia/Ho_Chi_Minh",
    ];
    let output = keng_with(&arguments, input.as_bytes());
    assert!(output.status.success(), "{}", text(&output.stderr));
    // Where a file may stand, `-` says it.
    let said = keng_with(&[&arguments[..], &["-"]].concat(), input.as_bytes());
    assert_eq!(text(&said.stdout), text(&output.stdout), "{}", text(&said.stderr));
    let events: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(events.len(), 3);
    assert_eq!(events[0]["@timestamp"], "2026-10-11T15:14:15Z");
    assert_eq!(events[0]["keng"]["sender"]["ip"], "192.0.2.1");
    assert_eq!(events[0]["event"]["ingested"], "2026-11-22T10:00:00Z");
    assert!(events[0]["event"]["id"].is_null());
    assert_eq!(events[1]["event"]["original"], "not syslog at all");
    assert_eq!(events[2]["host"]["name"], "đà-nẵng");
}

#[test]
fn a_mistake_in_the_configuration_is_told_with_line_and_remedy() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("keng.toml");
    std::fs::write(&path, "[http]\nlisen = \"127.0.0.1:1\"\n\n[bus]\nsize_max = \"many\"\n")
        .expect("written");
    let output = keng_with(&["check", "--config", path.to_str().expect("a path")], b"");
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(3));
    assert!(said.contains("keng.toml:2") && said.contains("did you mean `listen`?"), "{said}");
    assert!(said.contains("keng.toml:5"), "{said}");
}

#[test]
fn the_shipped_configuration_is_sound() {
    let output = keng_with(&["check", "--config", "config/keng.toml"], b"");
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn the_shipped_rules_pass_their_tests() {
    let output = keng_with(&["rules", "test", "config/rules"], b"");
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    let said = text(&output.stdout);
    let passed: u32 = said
        .lines()
        .find_map(|line| line.split_once(" passed")?.0.parse().ok())
        .expect("a closing line");
    assert!(passed >= 30, "{said}");
}

#[test]
fn the_shipped_rules_give_no_warning() {
    let output = keng_with(&["rules", "check", "--strict", "config/rules"], b"");
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn a_broken_rule_is_told_with_file_and_line() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("broken.yml");
    std::fs::write(
        &path,
        "title: Broken\nlogsource:\n  product: linux\ndetection:\n  selection:\n    a|frobnicate: b\n  condition: selection\n",
    )
    .expect("written");
    let output = keng_with(&["rules", "check", "--json", path.to_str().expect("a path")], b"");
    assert_eq!(output.status.code(), Some(3));
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(report["failed"], 1);
    assert_eq!(report["errors"][0]["line"], 6);
    assert!(report["errors"][0]["message"].as_str().expect("text").contains("frobnicate"));
}

/// Rules, a pipeline and an event in a folder.
fn surroundings() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a directory");
        std::fs::write(path, text).expect("written");
    };
    write(
        "rules/listed.yml",
        "title: Listed\nid: 5b2f3b0c-6b3c-4b57-9b43-6d1fd2c7b1d0\nlogsource: {category: proxy}\n\
         detection: {s: {Host|in_list: bad}, unused: {a: 1}, condition: s}\ntags: [attack.t1071]\n",
    );
    write("lists/bad.txt", "evil.example # seen in October\n");
    write("pipeline.yml", "transformations: [{type: field_name_mapping, mapping: {Host: h}}]\n");
    write("broken.yml", "transformations: [{type: http_placeholders}]\n");
    write("events.ndjson", "{\"Host\":\"a.evil.example\"}\n{\"h\":\"b.evil.example\"}\n");
    folder
}

#[test]
fn pipelines_and_lists_are_used_by_rules_eval() {
    let folder = surroundings();
    let path = |name: &str| folder.path().join(name).to_str().expect("a path").to_owned();
    let lines = |more: &[&str]| {
        let (rules, events) = (path("rules"), path("events.ndjson"));
        let arguments = [&["rules", "eval", "--rules", &rules], more, &[&events]].concat();
        let output = keng_with(&arguments, b"");
        let printed = text(&output.stdout);
        let found = printed.lines().map(|line| {
            let found: Value = serde_json::from_str(line).expect("a match");
            found["line"].as_u64().expect("a line")
        });
        (output.status.code(), found.collect::<Vec<_>>(), text(&output.stderr))
    };
    assert_eq!(lines(&["--logsource", "category=proxy"]).1, [1]);
    let pipeline = path("pipeline.yml");
    assert_eq!(lines(&["--pipeline", &pipeline]).1, [2]);
    let broken = path("broken.yml");
    let (code, found, said) = lines(&["--pipeline", &broken]);
    assert_eq!((code, found), (Some(3), vec![]));
    assert!(said.contains("broken.yml:1") && said.contains("http_placeholders"), "{said}");
}

#[test]
fn broken_json_is_told_by_line_and_reason() {
    let folder = surroundings();
    let rules = folder.path().join("rules").to_str().expect("a path").to_owned();
    let whole = br#"{"Host":"a.evil.example"}"#;
    let broken = br#"{"Host":"a.evil.example""#;
    let lines = [&whole[..], b"", broken, b"sshd[1]: a text", broken, whole].join(&b'\n');
    for (command, answers) in [("eval", 2), ("explain", 5)] {
        let arguments = ["rules", command, "--rules", &rules, "--logsource", "category=proxy"];
        let more: &[&str] = if command == "explain" { &["--json", "-"] } else { &["-"] };
        let output = keng_with(&[&arguments[..], more].concat(), &lines);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{command}: {said}");
        assert!(said.contains("broken JSON, whose fields no rule could see: 2"), "{said}");
        assert!(said.contains("the first is line 3: not valid JSON: "), "{said}");
        assert!(said.contains("raw log records: 1, the first is line 4"), "{said}");
        assert_eq!(text(&output.stdout).lines().count(), answers, "{command}");
        let output = keng_with(&[&arguments[..], more].concat(), whole);
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    }
}

#[test]
fn the_reason_for_broken_json_is_what_the_parser_met() {
    let folder = surroundings();
    let rules = folder.path().join("rules").to_str().expect("a path").to_owned();
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20)).into_bytes();
    for (line, reason) in [
        (&long[..], "it is longer than 1048576 bytes, and is cut there"),
        (b"\xef\xbb\xbf{\"a\":1", "expected `,` or `}` at byte 7"),
        (b"{\"a\":\"\xff\"", "expected `,` or `}`"),
    ] {
        let output = keng_with(&["rules", "eval", "--rules", &rules, "-"], line);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{said}");
        assert!(said.contains(reason), "'{reason}' is missing in: {said}");
    }
}

#[test]
fn an_import_of_nothing_says_what_was_left_out() {
    let folder = surroundings();
    let set = folder.path().join("set");
    std::fs::create_dir_all(set.join("sigma-1/deprecated")).expect("a folder");
    std::fs::copy(folder.path().join("rules/listed.yml"), set.join("sigma-1/deprecated/a.yml"))
        .expect("copied");
    let path = |path: &std::path::Path| path.to_str().expect("a path").to_owned();
    let import = |more: &[&str]| {
        let (set, data) = (path(&set), path(folder.path()));
        let lists = path(&folder.path().join("keng.toml"));
        let all = ["rules", "import", &set, "--data", &data, "--config", &lists];
        keng_with(&[&all[..], more].concat(), b"")
    };
    std::fs::write(folder.path().join("keng.toml"), "[rules]\nlists = \"lists\"\n")
        .expect("written");
    let output = import(&[]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("left out: deprecated/: 1 (sigma-1/deprecated/a.yml)"), "{said}");
    // Files are told by where they are in the set, in hints as well, and whatever case their
    // ending has.
    for name in ["a.YML", "b.Yaml"] {
        std::fs::copy(folder.path().join("rules/listed.yml"), set.join(name)).expect("copied");
    }
    let output = import(&["--json", "--dry-run"]);
    let said = text(&output.stdout);
    assert!(said.contains("the other is at a.YML:1"), "{said} {}", text(&output.stderr));
}

#[test]
fn states_are_written_once_for_each_rule_and_into_no_folder_by_a_slip() {
    let folder = surroundings();
    let path = |name: &str| folder.path().join(name).to_str().expect("a path").to_owned();
    std::fs::write(path("keng.toml"), "[rules]\npaths = [\"rules\"]\nlists = \"lists\"\n")
        .expect("written");
    let id = "5b2f3b0c-6b3c-4b57-9b43-6d1fd2c7b1d0";
    let change = |data: &str, note: &[&str]| {
        let place = ["--config", &path("keng.toml"), "--data", data];
        keng_with(&[&["rules", "state", "off", id, id][..], note, &place].concat(), b"")
    };
    let off = |data: &str| change(data, &[]);
    let output = change(&path("."), &["--note", &"ồn ".repeat(2_000)]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("at most 4000 characters") && !said.contains("ồn ồn ồn ồn"), "{said}");
    let output = off(&path("."));
    let said = text(&output.stderr);
    assert!(said.ends_with(&format!("off from the next start of the node: {id}\n")), "{said}");
    let output = off(&path("slip"));
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("there is no data directory"), "{said}");
}

#[test]
fn warnings_fail_a_strict_check() {
    let folder = surroundings();
    let rules = folder.path().join("rules").to_str().expect("a path").to_owned();
    let output = keng_with(&["rules", "check", "--json", &rules], b"");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(report["loaded"], 1);
    assert_eq!(report["warnings"][0]["code"], "unreachable-selection");
    let output = keng_with(&["rules", "check", "--strict", &rules], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("listed.yml:4: warning[unreachable-selection]"));
}

#[test]
fn a_node_that_is_not_there_is_said_so() {
    let output = keng_with(&["search", "*", "--url", "http://127.0.0.1:1"], b"");
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output.stderr).contains("keng run"), "{}", text(&output.stderr));
}

#[test]
fn completions_and_man_pages_are_made() {
    let output = keng_with(&["completions", "bash"], b"");
    assert!(text(&output.stdout).contains("_keng()"));
    let folder = tempfile::tempdir().expect("a directory");
    let output = keng_with(&["man", folder.path().to_str().expect("a path")], b"");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(folder.path().join("keng-replay.1").exists());
}

#[test]
fn an_explanation_says_which_test_failed_and_why() {
    let line = "<38>Nov 22 10:00:00 h1 sshd[1]: Failed password for root from 203.0.113.7 port 4711 ssh2\n";
    let arguments = ["rules", "explain", "--rules", "config/rules", "-"];
    let output = keng_with(&arguments, line.as_bytes());
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}");
    for part in [
        "line 1: SSH failed login (6bf1c2ea-1b39-5247-afec-6bd6e864584e) matches\n",
        "yes     source.ip has a value: the event has \"203.0.113.7\"\n",
        "no      event.outcome is 'success': the event has \"failure\"\n",
        "rules are for other log sources\n",
    ] {
        assert!(text.contains(part), "'{part}' is missing in:\n{text}");
    }
    let json = keng_with(&[&arguments[..], &["--json"]].concat(), line.as_bytes());
    let lines: Vec<serde_json::Value> = json
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("JSON"))
        .collect();
    let matched: Vec<_> = lines.iter().filter(|line| line["matched"] == true).collect();
    assert_eq!(matched.len(), 1, "{matched:?}");
    assert_eq!(matched[0]["condition"]["kind"], "all");
}

#[test]
fn coverage_is_printed_by_tactic_and_written_as_a_layer() {
    let folder = tempfile::tempdir().expect("a folder");
    let layer = folder.path().join("layer.json");
    let path = layer.to_str().expect("a path");
    let output = keng_with(&["rules", "coverage", "config/rules", "--navigator", path], b"");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success() && text.contains("credential-access"), "{text}");
    assert!(!text.contains("no dataset serves"), "{text}");
    let layer = std::fs::read(layer).expect("the layer");
    let layer: serde_json::Value = serde_json::from_slice(&layer).expect("JSON");
    assert_eq!(layer["versions"]["layer"], "4.5");
    assert!(layer["techniques"].as_array().is_some_and(|techniques| techniques.len() > 10));
}

#[test]
fn coverage_tells_rules_that_nothing_feeds() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("mistyped.yml");
    let rule = "title: Mistyped\nlogsource: {product: linx, service: sshd}\n\
                detection: {s: {a: b}, condition: s}\n";
    std::fs::write(&file, rule).expect("a rule");
    let path = file.to_str().expect("a path");
    let said = keng_with(&["rules", "coverage", path], b"").stdout;
    let said = String::from_utf8(said).expect("text");
    assert!(said.contains("\n1 of them fire only on events that name"), "{said}");
    let checked = keng_with(&["rules", "check", "--strict", path], b"");
    let text = [checked.stdout, checked.stderr].concat();
    let text = String::from_utf8(text).expect("text");
    assert_eq!(checked.status.code(), Some(1), "{text}");
    assert!(text.contains("unknown-logsource") && text.contains("`product: linux`"), "{text}");
}

#[test]
fn a_set_is_not_imported_beside_a_node_that_runs_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let path = data.to_str().expect("a path");
    let node = ["--url", "http://127.0.0.1:9", "--data", path];
    let output = keng_with(&[&["rules", "import", "config/rules"][..], &node].concat(), b"");
    assert_eq!(output.status.code(), Some(3));
    let told = text(&output.stderr);
    assert!(told.contains("does not run on") && told.contains("--data"), "{told}");
    assert!(!data.exists(), "nothing was written");
}

#[test]
fn a_backtest_asks_for_rules_or_ids() {
    let said = |more: &[&str]| {
        let output = keng_with(&[&["rules", "backtest", "--from", "now-1d"], more].concat(), b"");
        assert_eq!(output.status.code(), Some(2));
        text(&output.stderr)
    };
    let told = said(&[]);
    assert!(told.contains("<--rules <PATH>...|--id <ID>>"), "{told}");
    let told = said(&["--rules", "config/rules", "--id", "x"]);
    assert!(told.contains("cannot be used with"), "{told}");
    let slip = ["rules", "backtest", "--from", "now-1d", "--rules", "nosuch.yml"];
    let output = keng_with(&[&slip[..], &["--url", "http://127.0.0.1:1"]].concat(), b"");
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("nosuch.yml: there is no such file"), "{told}");
}

/// Runs `keng rules import` where no node runs; gives its exit code and all that it said.
fn import(data: &std::path::Path, arguments: &[&str]) -> (Option<i32>, String) {
    let data = data.to_str().expect("a path");
    let output = keng_with(&[&["rules", "import", "--data", data], arguments].concat(), b"");
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn an_import_makes_no_data_directory_and_takes_no_odd_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let typo = folder.path().join("dta");
    for arguments in [&["config/rules", "--name", "x"][..], &["--remove", "x"]] {
        let (code, told) = import(&typo, arguments);
        assert_eq!(code, Some(3), "{told}");
        assert!(told.contains("there is no data directory") && told.contains("hint: "), "{told}");
    }
    assert!(!typo.exists(), "nothing was made");
    let (code, told) = import(folder.path(), &["config/rules", "--name=-x"]);
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("a-z, 0-9, - and _, a letter or digit first"), "{told}");
    let (code, told) = import(folder.path(), &["nowhere.zip"]);
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("nowhere.zip: there is no such folder or archive"), "{told}");
}

#[test]
#[cfg(target_os = "linux")]
fn what_the_machine_refuses_is_not_blamed_on_the_set() {
    let data = tempfile::tempdir().expect("a folder");
    // Nothing is mapped at its beginning: to read there is an I/O error.
    let (code, told) = import(data.path(), &["/proc/self/mem", "--name", "x"]);
    assert_eq!(code, Some(4), "{told}");
    assert!(told.contains("reading /proc/self/mem"), "{told}");
    let cut = data.path().join("cut.tar.gz");
    std::fs::write(&cut, b"\x1f\x8b\x08\0\0\0\0\0\0\x03cut").expect("written");
    let (code, told) = import(data.path(), &[cut.to_str().expect("a path")]);
    assert_eq!(code, Some(3), "{told}");
}

#[test]
fn an_import_tells_what_it_leaves_out() {
    let [data, set] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let path = set.path();
    std::fs::create_dir_all(path.join("rules")).expect("a folder");
    std::fs::create_dir_all(path.join("deprecated")).expect("a folder");
    let rule = "config/rules/linux/ssh_brute_force.yml";
    let rule = std::fs::read(rule).unwrap_or_else(|error| panic!("{rule}: {error}"));
    std::fs::write(path.join("rules/a.yml"), &rule).expect("written");
    std::fs::write(path.join("deprecated/b.yml"), &rule).expect("written");
    std::fs::write(path.join("mkdocs.yml"), "site_name: x\n").expect("written");
    std::os::unix::fs::symlink("a.yml", path.join("rules/c.yml")).expect("a link");
    let from = path.to_str().expect("a path");
    let own = path.join("keng.toml");
    std::fs::write(&own, "[rules]\npaths = []\n").expect("written");
    let own = own.to_str().expect("a path");
    let arguments = [from, "--name", "x", "--dry-run", "--config", own];
    let (code, told) = import(data.path(), &arguments);
    assert_eq!(code, Some(0), "{told}");
    let head = told.lines().next().and_then(|line| serde_json::from_str::<Value>(line).ok());
    let head = head.expect("a head");
    let wanted = serde_json::json!({
        "deprecated/": {"files": 1, "names": ["deprecated/b.yml"]},
        "links": {"files": 1, "names": ["rules/c.yml"]},
        "no rules": {"files": 1, "names": ["mkdocs.yml"]},
    });
    assert_eq!((&head["files"], &head["left_out"]), (&1.into(), &wanted));
}

#[test]
fn a_slip_in_the_name_of_the_events_does_not_wait_for_standard_input() {
    let arguments = ["rules", "eval", "--rules", "config/rules", "nowhere.ndjson"];
    let output = keng_with(&arguments, br#"{"a":1}"#);
    assert_eq!(output.status.code(), Some(3));
    let told = text(&output.stderr);
    assert!(told.contains("nowhere.ndjson: there is no such file"), "{told}");
}
