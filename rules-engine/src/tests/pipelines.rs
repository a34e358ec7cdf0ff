//! Processing pipelines: what each transformation and condition does to rules, and what is refused.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use super::{matches, rule};
use crate::{Config, Loaded};

/// Loads a rule (its detection section) through a pipeline (its steps).
fn load(folder: &Path, steps: &str, rules: &str) -> Loaded {
    let (pipeline, file) = (folder.join("pipeline.yml"), folder.join("rule.yml"));
    std::fs::write(&pipeline, format!("name: test\ntransformations:\n{steps}")).unwrap();
    std::fs::write(&file, rules).unwrap();
    Config { paths: vec![file], pipelines: vec![pipeline], ..Config::default() }.load(&[])
}

fn finds(steps: &str, rules: &str, event: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let loaded = load(folder.path(), steps, rules);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    matches(&Arc::new(loaded.rules), event)
}

/// The steps, the detection section, an event, whether it is found.
type Case = (&'static str, &'static str, &'static str, bool);

fn check(cases: &[Case]) {
    let mut wrong = String::new();
    for (steps, selection, event, wanted) in cases {
        let rules = rule(&format!("  s: {selection}\n  condition: s"));
        if finds(steps, &rules, event) != *wanted {
            writeln!(wrong, "{steps}\n{selection}\n  on {event} must be {wanted}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

const MAP: &str = "- {type: field_name_mapping, mapping: {a: x, b: [y, z]}}";

#[test]
fn fields_are_renamed() {
    check(&[
        (MAP, "{a: 1}", r#"{"x":1}"#, true),
        (MAP, "{a: 1}", r#"{"a":1}"#, false),
        (MAP, "{c: 1}", r#"{"c":1}"#, true),
        (MAP, "{b|contains: 1}", r#"{"y":2,"z":"x1"}"#, true),
        (MAP, "{b|neq: 1}", r#"{"y":2,"z":1}"#, false),
        (MAP, "{b|neq: 1}", r#"{"y":2}"#, true),
        (MAP, "{b: null}", r#"{"y":2}"#, false),
        (MAP, "{b: null}", r#"{"b":2}"#, true),
        (MAP, "{b|neq: null}", r#"{"y":2}"#, true),
        (MAP, "{b|exists: false}", r#"{"z":2}"#, false),
        (MAP, "{c|fieldref: b}", r#"{"c":1,"z":1}"#, true),
        (MAP, "{a|fieldref: c}", r#"{"c":1,"x":1}"#, true),
        ("- {type: field_name_prefix, prefix: win.}", "{a: 1}", r#"{"win":{"a":1}}"#, true),
        ("- {type: field_name_suffix, suffix: .raw}", "{a: 1}", r#"{"a.raw":1}"#, true),
        (
            "- {type: field_name_prefix_mapping, mapping: {win.: [w., v.]}}",
            "{win.a: 1}",
            r#"{"v":{"a":1}}"#,
            true,
        ),
        ("- {type: field_name_prefix, prefix: p.}", "[word]", r#"{"m":"a word"}"#, true),
    ]);
}

const CHANGES: &[Case] = &[
    (
        "- {type: replace_string, regex: '^C:', replacement: 'D:'}",
        "{a|startswith: 'C:\\x'}",
        r#"{"a":"D:\\xy"}"#,
        true,
    ),
    (
        "- {type: replace_string, regex: '(.)-(.)', replacement: '\\2-\\1'}",
        "{a|contains: a-b}",
        r#"{"a":"xb-ay"}"#,
        true,
    ),
    ("- {type: map_string, mapping: {High: ['8', '9']}}", "{a: High}", r#"{"a":9}"#, true),
    ("- {type: map_string, mapping: {High: ['8', '9']}}", "{a: high}", r#"{"a":9}"#, false),
    ("- {type: set_value, value: 5}", "{a: [1, 2]}", r#"{"a":5}"#, true),
    ("- {type: case, method: upper}", "{a|cased: x}", r#"{"a":"X"}"#, true),
    ("- {type: convert_type, target_type: num}", "{a: '5'}", r#"{"a":5}"#, true),
    (
        "- {type: hashes_fields, valid_hash_algos: [MD5, SHA1], field_prefix: File}",
        "{Hashes|contains: ['MD5=aa', 'SHA1=bb', 'IMPHASH=cc']}",
        r#"{"FileSHA1":"BB"}"#,
        true,
    ),
    (
        "- {type: hashes_fields, valid_hash_algos: [MD5, SHA1], field_prefix: File}",
        "{Hashes|contains: ['MD5=aa', 'SHA1=bb']}",
        r#"{"Hashes":"MD5=aa"}"#,
        false,
    ),
    (
        "- {type: hashes_fields, valid_hash_algos: [MD5, SHA1]}",
        "{Hashes|contains|neq: ['MD5=aa', 'SHA1=bb']}",
        r#"{"MD5":"aa"}"#,
        false,
    ),
    (
        "- {type: hashes_fields, valid_hash_algos: [MD5], drop_algo_prefix: true, field_prefix: hash}",
        "{Hash: d41d8cd98f00b204e9800998ecf8427e}",
        r#"{"hash":"d41d8cd98f00b204e9800998ecf8427e"}"#,
        true,
    ),
    (
        "- {type: drop_detection_item, field_name_conditions: [{type: include_fields, fields: [b]}]}",
        "{a: 1, b: 2}",
        r#"{"a":1}"#,
        true,
    ),
    ("- {type: add_condition, conditions: {index: win}}", "{a: 1}", r#"{"a":1}"#, false),
    (
        "- {type: add_condition, conditions: {index: win}}",
        "{a: 1}",
        r#"{"a":1,"index":"win"}"#,
        true,
    ),
    (
        "- {type: add_condition, conditions: {index: win}, negated: true}",
        "{a: 1}",
        r#"{"a":1,"index":"win"}"#,
        false,
    ),
    (
        "- {type: add_condition, conditions: {index: 'logs-$category'}, template: true}",
        "{a: 1}",
        r#"{"a":1,"index":"logs-test"}"#,
        true,
    ),
    ("- {type: wildcard_placeholders}", "{a|expand: 'x%what%z'}", r#"{"a":"xyz"}"#, true),
    (
        "- {type: nest, items: [{type: field_name_mapping, mapping: {a: x}}]}",
        "{a: 1}",
        r#"{"x":1}"#,
        true,
    ),
    ("- {type: add_field, field: more}", "{a: 1}", r#"{"a":1}"#, true),
];

#[test]
fn values_are_changed() {
    check(CHANGES);
}

/// A mapping of `a` to `x` under conditions.
fn on(conditions: &str, more: &str) -> String {
    format!("- {{type: field_name_mapping, mapping: {{a: x}}, {conditions}}}\n{more}")
}

fn check_mapped(cases: &[(String, bool)]) {
    let rules = rule("  s: {a: [one, 'two*'], c: null}\n  condition: s")
        + "level: high\nstatus: test\ntags: [attack.t1110]\n";
    for (steps, mapped) in cases {
        assert_eq!(finds(steps, &rules, r#"{"x":"two and more"}"#), *mapped, "{steps}");
    }
}

#[test]
fn steps_apply_where_their_rule_conditions_hold() {
    check_mapped(&[
        (on("rule_conditions: [{type: logsource, category: test}]", ""), true),
        (on("rule_conditions: [{type: logsource, category: test, product: windows}]", ""), false),
        (
            on("rule_conditions: [{type: logsource, category: test}], rule_cond_not: true", ""),
            false,
        ),
        (
            on(
                "rule_conditions: [{type: logsource, product: p}, {type: is_sigma_rule}], rule_cond_op: or",
                "",
            ),
            true,
        ),
        (on("rule_conditions: [{type: logsource, product: p}, {type: is_sigma_rule}]", ""), false),
        (
            on(
                "rule_conditions: {w: {type: logsource, product: p}, r: {type: is_sigma_rule}}, rule_cond_expr: r and not w",
                "",
            ),
            true,
        ),
        (on("rule_conditions: [{type: is_sigma_correlation_rule}]", ""), false),
        (on("rule_conditions: [{type: contains_field, field: a}]", ""), true),
        (on("rule_conditions: [{type: contains_field, field: z}]", ""), false),
        (on("rule_conditions: [{type: contains_detection_item, field: a, value: one}]", ""), true),
        (on("rule_conditions: [{type: contains_detection_item, field: a, value: two}]", ""), false),
        (
            on(
                "rule_conditions: [{type: rule_attribute, attribute: level, op: gte, value: medium}]",
                "",
            ),
            true,
        ),
        (
            on(
                "rule_conditions: [{type: rule_attribute, attribute: level, op: lt, value: high}]",
                "",
            ),
            false,
        ),
        (on("rule_conditions: [{type: rule_attribute, attribute: title, value: Test}]", ""), true),
        (
            on(
                "rule_conditions: [{type: rule_attribute, attribute: tags, op: in, value: attack.t1110}]",
                "",
            ),
            true,
        ),
        (
            on(
                "rule_conditions: [{type: rule_attribute, attribute: status, op: gt, value: test}]",
                "",
            ),
            false,
        ),
        (on("rule_conditions: [{type: tag, tag: attack.t1110}]", ""), true),
        (on("rule_conditions: [{type: processing_state, key: k, val: v}]", ""), false),
        (
            format!(
                "- {{type: set_state, key: k, val: v}}\n{}",
                on("rule_conditions: [{type: processing_state, key: k, val: v}]", "")
            ),
            true,
        ),
    ]);
}

#[test]
fn steps_apply_where_their_item_and_field_conditions_hold() {
    let state = "\n- {type: field_name_mapping, mapping: {x: y}, id: two, rule_conditions: [{type: processing_item_applied, processing_item_id: one}]}\n";
    check_mapped(&[
        (
            on("detection_item_conditions: [{type: match_string, cond: any, pattern: two}]", ""),
            true,
        ),
        (
            on("detection_item_conditions: [{type: match_string, cond: all, pattern: two}]", ""),
            false,
        ),
        (
            on("detection_item_conditions: [{type: match_string, cond: any, pattern: wo}]", ""),
            false,
        ),
        (
            on(
                "detection_item_conditions: [{type: match_string, cond: all, pattern: x, negate: true}]",
                "",
            ),
            true,
        ),
        (on("detection_item_conditions: [{type: match_value, cond: any, value: one}]", ""), true),
        (on("detection_item_conditions: [{type: contains_wildcard, cond: any}]", ""), true),
        (on("detection_item_conditions: [{type: contains_wildcard, cond: all}]", ""), false),
        (on("detection_item_conditions: [{type: is_null, cond: any}]", ""), false),
        (on("field_name_conditions: [{type: include_fields, fields: [a]}]", ""), true),
        (
            on("field_name_conditions: [{type: include_fields, fields: ['[a-c]'], mode: re}]", ""),
            true,
        ),
        (on("field_name_conditions: [{type: exclude_fields, fields: [a]}]", ""), false),
        (
            on("id: one", state)
                + "- {type: field_name_mapping, mapping: {y: x}, field_name_conditions: [{type: processing_item_applied, processing_item_id: two}]}",
            true,
        ),
        (
            on("id: one", state)
                + "- {type: field_name_mapping, mapping: {y: x}, detection_item_conditions: [{type: processing_item_applied, processing_item_id: other}]}",
            false,
        ),
    ]);
}

#[test]
fn log_sources_filters_and_correlations_go_through_too() {
    let folder = tempfile::tempdir().unwrap();
    let steps = "- {type: field_name_mapping, mapping: {a: x, u: user.name}}\n\
         - {type: field_name_mapping, mapping: {h: host.name}, rule_conditions: [{type: logsource, category: test}]}\n\
         - {type: change_logsource, category: changed, rule_conditions: [{type: logsource, category: test}]}\n";
    let rules = rule("  s: {a: 1}\n  condition: s")
        + "---\ntitle: F\nlogsource: {category: test}\nfilter: {rules: [test], s: {a: 2}, condition: not s}\n"
        + "---\ntitle: C\nid: corr\ncorrelation: {type: value_count, rules: [test], group-by: [h, alias], \
           timespan: 1m, aliases: {alias: {test: a}}, condition: {field: u, gte: 2}}\n";
    let loaded = load(folder.path(), steps, &rules);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let summary = &loaded.rules.summaries()[0];
    assert_eq!(summary.logsource.category.as_deref(), Some("changed"));
    // By the time that the correlation is asked, its rule has another log source.
    let group = |name: &str| {
        let event = |user| format!(r#"{{"x":1,"{name}":"m","user":{{"name":"{user}"}}}}"#);
        let batches = [super::event_at(1, &event("p")), super::event_at(2, &event("q"))];
        loaded.rules.run_test("corr", &batches).unwrap()
    };
    assert_eq!((group("h"), group("host.name")), (1, 0));
}

#[test]
fn an_alias_that_is_counted_keeps_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let rules = rule("  s: {a: 1}\n  condition: s")
        + "---\ntitle: C\nid: corr\ncorrelation: {type: value_count, rules: [test], \
           timespan: 1m, aliases: {who: {test: u}}, condition: {field: who, gte: 2}}\n";
    let steps = "- {type: field_name_prefix, prefix: p.}\n";
    let loaded = load(folder.path(), steps, &rules);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let event = |user| format!(r#"{{"p":{{"a":1,"u":"{user}"}}}}"#);
    let batches = [super::event_at(1, &event("x")), super::event_at(2, &event("y"))];
    assert_eq!(loaded.rules.run_test("corr", &batches), Ok(1));
}

#[test]
fn files_bring_values() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("names.txt"), "eve\n\nadm*\n").unwrap();
    std::fs::write(folder.path().join("names.csv"), "id,name\n1,\"bob, jr\"\n2,mallory\n").unwrap();
    let rules = rule("  s: {a|expand: '%who%'}\n  condition: s");
    let csv =
        "- {type: file_placeholders, path: names.csv, format: csv, csv_column: name, filter: o}";
    for (steps, event, wanted) in [
        ("- {type: file_placeholders, path: names.txt}", r#"{"a":"admin"}"#, true),
        ("- {type: file_placeholders, path: names.txt, include: [who]}", r#"{"a":"eve"}"#, true),
        (csv, r#"{"a":"bob, jr"}"#, true),
        (csv, r#"{"a":"name"}"#, false),
    ] {
        let loaded = load(folder.path(), steps, &rules);
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        assert_eq!(matches(&Arc::new(loaded.rules), event), wanted, "{steps} on {event}");
    }
}

#[test]
fn variables_priorities_and_what_only_changes_queries() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let late = file(
        "late.yml",
        "priority: 20\ntransformations: [{type: field_name_mapping, mapping: {x: y}}]\n",
    );
    let early = file(
        "early.yml",
        "name: early\npriority: 10\nallowed_backends: [splunk]\nvars: {who: [eve, 7]}\n\
         transformations:\n- {type: value_placeholders}\n- {type: field_name_mapping, mapping: {a: x}}\n\
         postprocessing: [{type: embed, prefix: 'index=x '}]\nfinalizers: []\n",
    );
    let path = file("rule.yml", &rule("  s: {a|expand: '%who%'}\n  condition: s"));
    let config = Config { paths: vec![path], pipelines: vec![late, early], ..Config::default() };
    let loaded = config.load(&[]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    assert!(loaded.warnings.iter().any(|warning| warning.code == "pipeline-without-effect"));
    let rules = Arc::new(loaded.rules);
    assert!(matches(&rules, r#"{"y":"Eve"}"#) && matches(&rules, r#"{"y":7}"#));
}

#[test]
fn values_of_variables_are_not_searched_for_placeholders() {
    let folder = tempfile::tempdir().unwrap();
    let (file, pipeline) = (folder.path().join("rule.yml"), folder.path().join("vars.yml"));
    let lists = folder.path().join("lists");
    std::fs::create_dir_all(&lists).unwrap();
    std::fs::write(lists.join("dir.txt"), "Temp\n").unwrap();
    std::fs::write(lists.join("APPDATA.txt"), "wrong\n").unwrap();
    let vars = "vars: {path: ['%APPDATA%/evil.exe', '%dir%']}\ntransformations:\n";
    let fill = "- {type: value_placeholders}\n";
    // Steps behind it and the lists get to see what is still a placeholder, and no more.
    for (value, steps, event, wanted) in [
        ("'%path%'", 1, "%appdata%/evil.exe", true),
        ("'%path%'", 2, "%dir%", true),
        ("'%path%'", 1, "Temp", false),
        ("'%dir%: %path%'", 2, "temp: %APPDATA%/evil.exe", true),
        ("'%dir%: %path%'", 2, "temp: temp", false),
        ("['%path%', '%dir%']", 2, "%APPDATA%/evil.exe", true),
        ("['%path%', '%dir%']", 2, "temp", true),
        ("['%path%', '%dir%']", 2, "wrong/evil.exe", false),
    ] {
        std::fs::write(&pipeline, format!("{vars}{}", fill.repeat(steps))).unwrap();
        let detection = format!("  s: {{a|expand: {value}}}\n  condition: s");
        std::fs::write(&file, rule(&detection)).unwrap();
        let config = Config {
            paths: vec![file.clone()],
            pipelines: vec![pipeline.clone()],
            lists: Some(lists.clone()),
            ..Config::default()
        };
        let loaded = config.load(&[]);
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        let found = matches(&Arc::new(loaded.rules), &format!(r#"{{"a":"{event}"}}"#));
        assert_eq!(found, wanted, "{value} on {event}");
    }
}

#[test]
fn a_change_of_meaning_changes_the_fingerprint() {
    let folder = tempfile::tempdir().unwrap();
    let rules = rule("  s: {a: 1}\n  condition: s");
    let print =
        |steps: &str, rules: &str| load(folder.path(), steps, rules).rules.rules[0].fingerprint;
    let one = print(MAP, &rules);
    assert_eq!(
        one,
        print(&format!("{MAP}\n- {{type: field_name_mapping, mapping: {{q: r}}}}"), &rules)
    );
    assert_ne!(one, print("- {type: field_name_mapping, mapping: {a: z}}", &rules));
    assert_eq!(one, print(MAP, &format!("# a comment\n{rules}")));
}

#[test]
fn what_is_refused_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let rules = rule("  s: {a: 1, Hashes: x}\n  condition: s");
    let mut said = String::new();
    for steps in [
        "- {type: http_placeholders, url: x}",
        "- {type: query_expression_placeholders, expression: x}",
        "- {type: regex}",
        "- {type: unheard_of}",
        "- {mapping: {}}",
        "- just text",
        "- {type: field_name_mapping}",
        "- {type: field_name_mapping, mapping: {a: x}, rule_condition: []}",
        "- {type: replace_string, regex: '(?=x)', replacement: y}",
        "- {type: case, method: snake_case}",
        "- {type: file_placeholders, path: nowhere.txt}",
        "- {type: file_placeholders, path: pipeline.yml, format: json}",
        "- {type: value_placeholders, include: [a], exclude: [b]}",
        "- {type: nest, items: [{type: set_state, key: k}]}",
        "- {type: case, rule_conditions: [{type: logsource, kategory: x}]}",
        "- {type: case, rule_conditions: [{type: match_string}]}",
        "- {type: case, rule_conditions: [{type: rule_attribute, attribute: author, value: x}]}",
        "- {type: case, rule_conditions: {a: {type: is_sigma_rule}}, rule_cond_expr: b}",
        "- {type: case, rule_conditions: [{type: is_sigma_rule}], rule_cond_op: xor}",
        "- {type: case, detection_item_conditions: [{type: is_null}]}",
        "- {type: case, field_name_conditions: [{type: include_fields, fields: ['('], mode: re}]}",
        "- {type: rule_failure, message: not for us, rule_conditions: [{type: contains_field, field: a}]}",
        "- {type: detection_item_failure, message: not this field, field_name_conditions: [{type: include_fields, fields: [a]}]}",
        "- {type: field_name_mapping, mapping: {a: x}}\n- {type: strict_field_mapping_failure}",
        "- {type: hashes_fields, valid_hash_algos: [MD5]}",
        "- {type: drop_detection_item}",
    ] {
        for problem in load(folder.path(), steps, &rules).problems {
            let problem = problem.to_string();
            writeln!(said, "{}", problem.replace(&*folder.path().to_string_lossy(), "FOLDER"))
                .unwrap();
        }
    }
    insta::assert_snapshot!(said);
}

#[test]
fn steps_that_double_have_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let rules = rule("  s: {a: x}\n  condition: s");
    let long = "y".repeat(2_000);
    for step in [
        "- {type: field_name_mapping, mapping: {a: [a, a]}}\n",
        "- {type: map_string, mapping: {x: [x, x]}}\n",
        "- {type: replace_string, regex: '(.+)', replacement: '\\1\\1'}\n",
        &format!("- {{type: field_name_suffix, suffix: {long}}}\n"),
        &format!("- {{type: replace_string, regex: x, replacement: {long}}}\n"),
    ] {
        let loaded = load(folder.path(), &step.repeat(40), &rules);
        let said = loaded.problems.first().map(ToString::to_string).unwrap_or_default();
        assert!(said.contains("too many or") || said.contains("is too long"), "{step} {said}");
    }
}

proptest::proptest! {
    #[test]
    fn mangled_pipelines_never_panic(cut in 0..400_usize, add in "[-{}:*&|'\"\\[\\] a-z\n]{0,20}") {
        let folder = tempfile::tempdir().unwrap();
        let mut steps = format!(
            "{MAP}\n- {{type: replace_string, regex: '(a)', replacement: '\\1'}}\n- {{type: add_condition, \
             conditions: {{i: [x, '*']}}, rule_conditions: {{a: {{type: logsource, category: test}}}}, \
             rule_cond_expr: a}}\n- {{type: nest, items: [{{type: case}}]}}\n"
        );
        let at = cut.min(steps.len());
        steps.insert_str(at, &add);
        drop(load(folder.path(), &steps, &rule("  s: {a|contains: ['-x*', null], b: 5}\n  condition: s")));
    }
}
