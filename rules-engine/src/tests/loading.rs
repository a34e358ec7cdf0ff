//! What the loader takes, and how it says what is wrong.

use std::fmt::Write;

use super::{rule, rules};
use crate::{Expectation, TestEvent, load, load_text};

/// A sound rule with more keys.
fn with(more: &str) -> String {
    format!("{}{more}\n", rule("  s: {a: 1}\n  condition: s"))
}

#[test]
fn every_fault_has_its_place_and_reason() {
    let faulty = [
        "title: x".to_owned(),
        "- just\n- a list\n".to_owned(),
        "title: x\n bad indent: [".to_owned(),
        "title: x\ntitle: y\n".to_owned(),
        "title: x\ndescription: \"C:\\Windows\"\n".to_owned(),
        "title: x\ndescription: *admin\n".to_owned(),
        "title: x\n\tid: y\n".to_owned(),
        rule("  s: {a: 1}"),
        rule("  s: {a: 1}\n  condition: t"),
        rule("  s: {a: 1}\n  condition: s | count() > 5"),
        rule("  s: {a: 1}\n  timeframe: 5m\n  condition: s"),
        rule("  s: {}\n  condition: s"),
        rule("  s: {a: {b: 1}}\n  condition: s"),
        rule("  s:\n    a|contains:\n      - ok\n      - [nested]\n  condition: s"),
        with("keng: {colour: red}"),
        with("keng: {tests: [{name: n, events: [x], expect: maybe}]}"),
        with("keng: {suppress: {by: [a]}}"),
        "title: x\ndetection: {s: {a: 1}, condition: s}\n".to_owned(),
        "title: x\naction: global\n".to_owned(),
        "title: x\nlogsource: {}\nfilter: {rules: any, selection: {a: 1}}\n".to_owned(),
        "title: x\nfilter: {rules: any, selection: {a: 1}, condition: selection}\n".to_owned(),
        "title: x\nlogsource: {}\nfilter: {selection: {a: 1}, condition: selection}\n".to_owned(),
        "title: x\nlogsource: {}\nfilter: {rules: any, s: {a: 1}, condition: [s]}\n".to_owned(),
        rule("  s: {a: 1}\n  condition: s").replace("detection", "filter: {}\ndetection"),
        rule("  s: {a: 1}\n  timeframe: 5m\n  condition: s | near t"),
        rule("  s: {a: 1}\n  timeframe: 5m\n  condition: [s, s | count() > 5]"),
        rule("  s: {a|in_list: bad}\n  condition: s"),
        rule("  s: {a|expand: '%DC-NAME%'}\n  condition: s"),
        format!(
            "{}---\n{}",
            rule("  s: {a: 1}\n  condition: s"),
            rule("  s: {a: 2}\n  condition: s")
        ),
        correlation("type: value_sum\n  condition: {field: a, gte: 1}"),
        correlation("type: event_count"),
        correlation("type: value_count\n  condition: {gte: 1}"),
        correlation("type: event_count\n  condition: {gte: 1, field: a}"),
        correlation("type: event_count\n  condition: {above: 1}"),
        correlation("type: event_count\n  condition: {gte: 1}").replace("5m", "5 minutes"),
        correlation("type: event_count\n  condition: {gte: 1}").replace("[test]", "[nobody]"),
        correlation("type: event_count\n  condition: {gte: 1}").replace("[test]", "[corr]"),
        correlation("type: temporal\n  condition: a and not b"),
        correlation("type: temporal\n  condition: {gte: 2}"),
        correlation("type: event_count\n  condition: {gte: 1}\n  window: sliding"),
    ];
    let mut said = String::new();
    for text in &faulty {
        for problem in load_text("rules.yml", text, &[]).problems {
            writeln!(said, "{problem}").unwrap();
        }
    }
    insta::assert_snapshot!(said);
}

#[test]
fn what_is_odd_is_told() {
    let described = "title: Odd\nlogsource: {category: test}\n";
    let odd = [
        rule("  s: {a: 1}\n  t: {b: 1}\n  condition: s"),
        rule("  s: {a|contains: ['*x', 'y\\*', z], b|all: x, c: [1, null]}\n  condition: s"),
        rule("  k: [ab, '*', abc, 12]\n  s: {'|re': x}\n  condition: k or s"),
        rule("  s: {a: 1}\n  timeframe: 5m\n  condition: s | count() by b > 5"),
        with("level: severe\nstatus: done\ntags: [attack.t1110]"),
        with("id: 8d7b4c5e-1b1f-4c4b-9d53-0b7a3a1c2e4f").replacen("id: test\n", "", 1),
        format!("{described}detection: {{s: {{a: 1}}, condition: s}}\n"),
        format!("{}---\n{}", with(""), with("").replace("id: test", "id: other")),
        format!(
            "{described}filter: {{rules: [a, test], s: {{a: 1}}, t: {{a: 2}}, condition: s}}\n"
        ),
        format!("{described}filter: {{rules: any, s: {{a: '*'}}, condition: not s}}\n---\n")
            + &with(""),
    ];
    let mut said = String::new();
    for text in &odd {
        let loaded = load_text("rules.yml", text, &[]);
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        for warning in loaded.warnings {
            writeln!(said, "{warning}").unwrap();
        }
        writeln!(said).unwrap();
    }
    insta::assert_snapshot!(said);
}

#[test]
fn fields_that_no_event_has_are_told() {
    use keng_event::dataset::Alias;
    use keng_event::{Dataset, LogSource};
    static DATASETS: [Dataset; 1] = [Dataset {
        name: "linux.auth",
        log_sources: &[LogSource {
            product: Some("linux"),
            category: None,
            service: Some("auth"),
            guards: &[],
        }],
        aliases: &[Alias { sigma: "User", fields: &["user.name"] }],
        prefixes: &[],
    }];
    // A parser keeps what ECS has no field for below a name of its own.
    let fields = "  s: {User: x, user.name: x, source.ip: y, sshd.method: z, Usr: z, Usr|re: z}\n  \
                  condition: s";
    let told = |source: &str| {
        let text = rule(fields).replace("category: test", source);
        let warnings = load_text("x.yml", &text, &DATASETS).warnings;
        let unknown = warnings.into_iter().filter(|warning| warning.code == "unknown-field");
        unknown.map(|warning| warning.message).collect::<Vec<_>>()
    };
    assert_eq!(told("product: linux"), ["no event of linux.auth has the field `Usr`"]);
    assert_eq!(told("product: windows"), [""; 0]);
}

#[test]
fn a_filter_changes_what_a_rule_means_but_not_its_id() {
    let plain = rule("  s: {a: 1}\n  condition: s").replace("id: test\n", "");
    let filter = |value: u32| {
        format!(
            "---\ntitle: F\nlogsource: {{}}\nfilter: {{rules: any, s: {{b: {value}}}, condition: not s}}\n"
        )
    };
    let of = |text: &str| {
        let rules = rules(text);
        (rules.summaries()[0].id.clone(), rules.rules[0].fingerprint)
    };
    let (id, print) = of(&plain);
    let (one_id, one) = of(&format!("{plain}{}", filter(1)));
    let (two_id, two) = of(&format!("{plain}{}", filter(2)));
    assert_eq!((&one_id, &two_id), (&id, &id));
    assert!(one != print && two != print && one != two);
}

#[test]
fn a_count_of_before_sigma_2_is_a_correlation() {
    let text = rule("  s: {a: 1}\n  timeframe: 60s\n  condition: s | count(u) by h >= 2")
        + "name: burst\nkeng: {tests: [{name: n, events: [{a: 1, u: x, h: m}, {a: 1, u: y, h: m}], expect: {matches: 1}}]}\n";
    let rules = rules(&text);
    let summaries: Vec<_> = rules
        .summaries()
        .iter()
        .map(|rule| (rule.id.as_str(), rule.generates, rule.tests))
        .collect();
    assert_eq!(summaries, [("test.counted", false, 0), ("test", true, 1)]);
    let batches = [
        super::event_at(1, r#"{"a":1,"u":"x","h":"m"}"#),
        super::event_at(2, r#"{"a":1,"u":"y","h":"m"}"#),
    ];
    assert_eq!(rules.run_test("test", &batches), Ok(1));
    assert_eq!(rules.run_test("test", &batches[..1]), Ok(0));
}

#[test]
fn a_filter_reaches_what_is_counted_by_the_id_and_by_the_name() {
    let counts = rule("  s: {a: 1}\n  timeframe: 60s\n  condition: s | count() by h >= 2")
        + "name: burst\n---\ntitle: F\nlogsource: {category: test}\n\
           filter: {rules: [burst], s: {u: x}, condition: not s}\n";
    let batches = [1, 2].map(|at| super::event_at(at, r#"{"a":1,"u":"x","h":"m"}"#));
    for (called, matches) in [("burst", 0), ("test", 0), ("any", 0), ("other", 1)] {
        let text = counts.replace("[burst]", &format!("[{called}]")).replace("[any]", "any");
        let loaded = load_text("rules.yml", &text, &[]);
        let without_effect =
            loaded.warnings.iter().any(|warning| warning.code == "filter-without-effect");
        assert_eq!(without_effect, matches == 1, "{called}: {:?}", loaded.warnings);
        assert_eq!(loaded.rules.run_test("test", &batches), Ok(matches), "{called}");
    }
}

fn correlation(body: &str) -> String {
    format!(
        "{}---\ntitle: C\nid: corr\ncorrelation:\n  rules: [test]\n  timespan: 5m\n  {body}\n",
        rule("  s: {a: 1}\n  condition: s")
    )
}

#[test]
fn a_fault_takes_only_its_own_rule_and_those_that_need_it() {
    let text = format!(
        "{}---\n{}",
        rule("  s: {a: 1}\n  condition: t"),
        correlation("type: event_count\n  condition: {gte: 1}").replace("id: test", "id: other")
    );
    let loaded = load_text("x.yml", &text, &[]);
    let ids: Vec<_> = loaded.rules.summaries().iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(ids, ["other"]);
    assert_eq!(loaded.problems.len(), 2, "{:?}", loaded.problems);
}

#[test]
fn a_rule_without_id_keeps_the_same_one() {
    let text = rule("  s: {a: 1}\n  condition: s").replace("id: test\n", "");
    let id = |text: &str| rules(text).summaries()[0].id.clone();
    assert_eq!(id(&text), id(&format!("{text}description: other words\n")));
    assert_ne!(id(&text), id(&text.replace("a: 1", "a: 2")));
}

#[test]
fn tests_and_summaries_are_read() {
    let text = with(
        "tags: [attack.t1110]\nlevel: high\nkeng:\n  tests:\n    - name: one\n      events: ['<13>x', {a: 1, b: {c: [true]}}]\n      expect: [match]\n    - {name: two, events: [y], expect: {matches: 2}}\n    - {name: three, events: [z], expect: none}",
    );
    let rules = rules(&text);
    let tests = rules.tests();
    assert_eq!(
        tests[0].events,
        [TestEvent::Raw("<13>x".into()), TestEvent::Json(r#"{"a":1,"b":{"c":[true]}}"#.into())]
    );
    let expected: Vec<_> = tests.iter().map(|test| test.expect).collect();
    assert_eq!(expected, [Expectation::Match, Expectation::Matches(2), Expectation::None]);
    insta::assert_json_snapshot!(rules.summaries());
}

#[test]
fn folders_are_read_in_order_and_what_cannot_be_read_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let named =
        |id: &str| rule("  s: {a: 1}\n  condition: s").replace("id: test", &format!("id: {id}"));
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    write("b.yml", &named("b"));
    write("a.yaml", &named("a"));
    write("sub/c.yml", &named("c"));
    write(".hidden.yml", "not: a rule");
    write("notes.txt", "not a rule");
    write("latin1.yml", "x");
    std::fs::write(folder.path().join("latin1.yml"), b"title: \xe9").unwrap();
    std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).unwrap();
    let loaded = load(&[folder.path().to_owned(), "/nonexistent".into()], &[]);
    let ids: Vec<_> = loaded.rules.summaries().iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    assert_eq!(loaded.problems.len(), 2, "{:?}", loaded.problems);
}

proptest::proptest! {
    #[test]
    fn mangled_rules_never_panic(cut in 0..700_usize, add in "[-{}:*&|'\"\\[\\] a-z\n]{0,20}") {
        let mut text = correlation("type: event_count\n  condition: {gte: 1}")
            + "---\ntitle: F\nlogsource: {category: test}\nfilter: {rules: [test], s: {b|in_list: x}, condition: not s}\n---\n"
            + &rule("  s: {a|expand: '%x%', b|re: '(a)'}\n  timeframe: 5m\n  condition: s | count(u) by h > 5");
        let at = cut.min(text.len());
        text.insert_str(at, &add);
        drop(load_text("x.yml", &text, &[]));
    }
}

/// The first problem of a text.
fn refused(text: &str) -> String {
    let problems = load_text("x.yml", text, &[]).problems;
    problems.first().map(|problem| problem.message.clone()).unwrap_or_default()
}

#[test]
fn limits_hold() {
    use crate::limits;
    let list = |count: usize| vec!["x"; count].join(", ");
    let fields = |count: usize| (0..count).map(|n| format!("f{n}")).collect::<Vec<_>>().join(", ");
    let count = "type: event_count\n  condition: {gte: 1}";
    let cases = [
        (
            rule(&format!(
                "  s: {{a: [{}]}}\n  condition: s",
                list(limits::ATOMS_PER_RULE_MAX + 1)
            )),
            "the list has too many values",
        ),
        (
            rule(&format!(
                "  s: {{a: 1, b: 2}}\n  condition: {}",
                vec!["s"; limits::ATOMS_PER_RULE_MAX / 2 + 1].join(" or ")
            )),
            "tests, too many",
        ),
        (
            rule(&format!(
                "  s: {{a: 1}}\n  condition: {}s",
                "not ".repeat(limits::CONDITION_DEPTH_MAX + 1)
            )),
            "nested too deeply",
        ),
        (
            correlation(&format!("group-by: [{}]\n  {count}", fields(limits::GROUP_BY_MAX + 1))),
            "`group-by` has too many fields",
        ),
        (
            correlation(count)
                .replace("[test]", &format!("[{}]", fields(limits::CORRELATED_RULES_MAX + 1))),
            "`rules` has too many entries",
        ),
        (
            correlation(&count.replace('1', &(limits::CORRELATION_COUNT_MAX + 1).to_string())),
            "the count is too high",
        ),
        (correlation(count).replace("5m", "91d"), "out of range"),
        (correlation(count).replace("5m", "0s"), "out of range"),
        (
            with(&format!("keng: {{tests: [{}]}}", list(limits::TESTS_MAX + 1))),
            "`tests` has too many entries",
        ),
    ];
    for (text, reason) in &cases {
        let said = refused(text);
        assert!(said.contains(reason), "{said} instead of {reason}");
    }
}

#[test]
fn a_chain_of_correlation_rules_has_an_end() {
    let link = |number: usize, below: &str| {
        format!(
            "---\ntitle: c\nid: c{number}\ncorrelation: {{type: event_count, rules: [{below}], \
             timespan: 1m, condition: {{gte: 1}}}}\n"
        )
    };
    let chain = |length: usize| {
        let mut text = rule("  s: {a: 1}\n  condition: s") + &link(1, "test");
        (2..=length).for_each(|number| text.push_str(&link(number, &format!("c{}", number - 1))));
        text
    };
    assert_eq!(refused(&chain(crate::limits::CHAIN_MAX)), "");
    assert!(refused(&chain(crate::limits::CHAIN_MAX + 1)).contains("too long a chain"));
    // Many ways through a chain are no more work than one.
    let wide = (1..=60).map(|n| {
        link(
            n,
            &(0..n)
                .map(|m| if m == 0 { "test".into() } else { format!("c{m}") })
                .collect::<Vec<_>>()
                .join(", "),
        )
    });
    drop(refused(&(rule("  s: {a: 1}\n  condition: s") + &wide.collect::<String>())));
}

#[test]
fn there_is_a_bound_on_rules() {
    let folder = tempfile::tempdir().unwrap();
    let (files, per_file) = (21, 1_000);
    for file in 0..files {
        let text: String = (0..per_file)
            .map(|n| format!("---\n{{title: t, id: r{file}-{n}, logsource: {{}}, detection: {{s: {{a: 1}}, condition: s}}}}\n"))
            .collect();
        std::fs::write(folder.path().join(format!("{file}.yml")), text).unwrap();
    }
    let loaded = load(&[folder.path().to_owned()], &[]);
    assert_eq!(loaded.rules.len(), crate::limits::RULES_MAX, "{:?}", loaded.problems.first());
    assert_eq!(loaded.problems.len(), files * per_file - crate::limits::RULES_MAX);
}
