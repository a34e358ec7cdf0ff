//! Tests of the language: what is read, what is refused and how, and that printing is faithful.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use keng_event::dataset::Alias;
use proptest::prelude::*;

use super::ast::{Bound, Comparison, Condition, Expression, FieldName, Form, Node, Value};
use super::*;

mod meaning;
mod times;

static DATASETS: &[Dataset] = &[Dataset {
    name: "windows.sysmon",
    log_sources: &[],
    aliases: &[
        Alias { sigma: "Image", fields: &["process.executable"] },
        Alias { sigma: "CommandLine", fields: &["process.command_line"] },
    ],
    prefixes: &["winlog.event_data."],
}];

/// Parses at 2026-11-22T10:15:30Z for someone in Hà Nội.
fn parse_with(text: &str, known: &[&str]) -> Result<Query, QueryError> {
    let zone = TimeZone::fixed(jiff::tz::offset(7));
    let known_fields: BTreeSet<String> = known.iter().map(|name| (*name).to_owned()).collect();
    let now = Timestamp::parse_rfc3339("2026-11-22T10:15:30Z").unwrap();
    Query::parse(
        text,
        &Context { now, zone: &zone, datasets: DATASETS, known_fields: &known_fields },
    )
}

fn parse(text: &str) -> Result<Query, QueryError> {
    parse_with(text, &["fortigate.vd"])
}

fn read(text: &str) -> Result<Node, Diagnostic> {
    parser::parse(text, &|name| field::is_field(name, DATASETS))
}

#[test]
fn reads_every_form() {
    let queries = [
        "",
        "  *  ",
        "failed password",
        "failed and password OR root not ssh",
        "a -b !c NOT NOT d",
        "(a OR b) c",
        "a OR (b OR c) OR d",
        r#""failed password"~3 "say \"hi\"" "C:\dir\\""#,
        "web* ?oot \\*literal",
        "source.ip:10.0.0.0/8 source.ip=10.1.2.3 source.ip!=private",
        "source.ip: 10.0.0.1",
        "destination.port>=1024 destination.port < 2048 destination.port:>5",
        "event.duration:[10 TO 20} event.duration:{* TO 5]",
        "@timestamp:[now-1h TO now] @timestamp>=2026-11-22T10:00:00+07:00",
        "user.name in (root, \"x y\", adm*) user.name not in (a)",
        "user.name:(root OR admin) user.name:(a, b) user.name:(a -b)",
        "event.duration:(-5 OR >10)",
        "process.command_line contains \"-enc \" process.name not endswith (.exe, .dll)",
        "Image startswith C:\\Windows source.address cidr 10.0.0.0/8",
        "message:/fail(ed|ure)/i message=~\"x.y\" message!~/a\\/b/ /bare re/",
        "user.name:* user.name:=\"Root\" user.name:=Root",
        "`odd field`:x `winlog.event_data.Odd Name` contains y",
        // Values with punctuation of their own.
        "10.1.2.3 10.0.0.0/8 fe80::1 ::1 2001:db8::/32 aa:bb:cc:dd:ee:ff",
        "https://example.com/a?b=c C:\\Windows\\*.exe /var/log/auth.log std::io 12:30",
        "sshd[812] a,b user@example.com 10.0.0.1:443 - a-b",
        "file contains virus",
        "login in progress",
        "message contains in",
    ];
    let mut shown = String::new();
    for query in queries {
        match read(query) {
            Ok(node) => writeln!(shown, "{query}\n    {node}").unwrap(),
            Err(error) => writeln!(shown, "{query}\n    ! {}", error.message).unwrap(),
        }
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn points_at_what_is_wrong_and_says_what_to_do() {
    let queries = [
        "a | stats count",
        "a || b",
        "a && b",
        "user.name:\"root",
        "(a OR b",
        "a)",
        "()",
        "a AND",
        "OR a",
        "user.name:",
        "user.name:and",
        "user.name:()",
        "user.name==root",
        "a >= 5 => 7",
        "> 5",
        "event.duration:[1 5]",
        "event.duration:[1 TO 5",
        "\"a b\"~x",
        "source.ip:10.0.0.0/33",
        "source.ip > tomorrow",
        "destination.port > high",
        "@timestamp:yesterday",
        "@timestamp > 22/11/2026",
        "message:/a(b/",
        "user.name:/\\w{999}{999}/",
        "message > 5",
        "user.name in @admins",
        "user.name:(a OR b, c)",
        "`name",
        "`name`",
        "đăng nhập source.ip:10.0.0.0/99 ế",
    ];
    let mut shown = String::new();
    for query in queries {
        let error = parse(query).unwrap_err();
        let diagnostic = error.diagnostic();
        writeln!(shown, "{}: {}", diagnostic.code, diagnostic.message).unwrap();
        writeln!(shown, "{}", diagnostic.caret_lines(query)).unwrap();
        if let Some(hint) = &diagnostic.hint {
            writeln!(shown, "  hint: {hint}").unwrap();
        }
        if let Some(fix) = &diagnostic.fix {
            writeln!(shown, "  fix: {}", applied(query, fix)).unwrap();
        }
        shown.push('\n');
    }
    insta::assert_snapshot!(shown);
}

fn applied(query: &str, fix: &Fix) -> String {
    let mut fixed = query.to_owned();
    fixed.replace_range(fix.span.start..fix.span.end, &fix.replacement);
    fixed
}

#[test]
fn a_fix_puts_it_right() {
    for query in ["a || b", "a && b", "user.name:\"root", "(a OR b", "a)", "user.name==root"] {
        let error = parse(query).unwrap_err();
        let fixed = applied(query, error.diagnostic().fix.as_ref().unwrap());
        parse(&fixed).unwrap();
    }
}

#[test]
fn warns_of_unknown_fields_with_the_nearest_name() {
    let cases = [
        ("src.ip:10.0.0.1", Some("source.ip")),
        ("srcip:10.0.0.1", Some("source.ip")),
        ("dst_port:22", Some("destination.port")),
        ("Source.IP:10.0.0.1", Some("source.ip")),
        ("user.nmae:root", Some("user.name")),
        ("host:web1", Some("host.name")),
        ("commandline:x", Some("CommandLine")),
        ("fortigate.vdd:root", Some("fortigate.vd")),
        ("quite.another:thing", None),
    ];
    for (query, expected) in cases {
        let query = parse(query).unwrap();
        let [warning] = query.warnings() else { panic!("{query}: {:?}", query.warnings()) };
        assert_eq!(warning.code, "unknown_field");
        assert_eq!(warning.fix.as_ref().map(|fix| &*fix.replacement), expected, "{query}");
    }
    for known in ["source.ip:10.0.0.1", "fortigate.vd:root", "Image:x", "@timestamp:now"] {
        assert_eq!(parse(known).unwrap().warnings(), [], "{known}");
    }
}

#[test]
fn warns_of_an_escaped_wildcard_after_a_path() {
    let cases = [
        (r"process.executable:C:\Windows\*", r"process.executable:C:\Windows\\*"),
        (r"C:\*\cmd.exe", r"C:\\*\cmd.exe"),
    ];
    for (written, meant) in cases {
        let query = parse(written).unwrap();
        let [warning] = query.warnings() else { panic!("{:?}", query.warnings()) };
        assert_eq!(warning.code, "escaped_wildcard");
        let fixed = applied(written, warning.fix.as_ref().unwrap());
        assert_eq!(fixed, meant);
        assert_eq!(parse(&fixed).unwrap().warnings(), []);
    }
    assert_eq!(parse(r"5\*3 what\?").unwrap().warnings(), []);
}

/// The first column of the manual's tables of queries, and its first block.
fn manual_examples() -> Vec<String> {
    let manual = include_str!("../../../docs/search.md");
    let (_, block) = manual.split_once("```\n").unwrap();
    let lines = block.split("```").next().unwrap().lines();
    let mut examples: Vec<String> =
        lines.map(|line| line.split("   ").next().unwrap().to_owned()).collect();
    for title in ["## Joining conditions", "## Words in text", "## Values of fields"] {
        let (_, section) = manual.split_once(title).unwrap();
        let section = section.split("\n#").next().unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
        for row in rows {
            let row = format!("`{row}").replace("\\|", "|");
            let codes = row.split('`').skip(1).step_by(2).map(str::to_owned);
            examples.extend(codes.filter(|code| !code.is_empty() && !code.contains('…')));
        }
    }
    // Operators named by themselves.
    examples.retain(|code| !code.starts_with(['!', '[', '>']) || code == "!a");
    examples
}

#[test]
fn the_manual_gives_queries_that_work() {
    let examples = manual_examples();
    assert!(examples.len() > 40, "{examples:?}");
    for example in examples {
        let query = parse(&example).unwrap_or_else(|error| panic!("{example}: {error}"));
        assert_eq!(query.warnings(), [], "{example}");
    }
}

#[test]
fn a_diagnostic_in_json() {
    let error = parse("a | b").unwrap_err();
    let json = serde_json::to_string(error.diagnostic()).unwrap();
    let expected = concat!(
        r#"{"code":"pipe_unsupported","message":"pipes are not supported yet","span":[2,3],"#,
        r#""hint":"search with what stands before the '|'; "#,
        r#"quote it to search for the character"}"#
    );
    assert_eq!(json, expected);
}

#[test]
fn bounds_what_a_query_may_cost() {
    let code = |text: &str| parse(text).unwrap_err().diagnostic().code;
    assert_eq!(code(&"a ".repeat(QUERY_BYTES_MAX)), "query_too_long");
    assert_eq!(code(&format!("{}a", "(".repeat(DEPTH_MAX + 1))), "nested_too_deep");
    assert_eq!(code(&format!("{}a", "-".repeat(DEPTH_MAX + 1))), "nested_too_deep");
    assert_eq!(code(&format!("{}a", "user.name:(".repeat(DEPTH_MAX + 1))), "nested_too_deep");
    assert_eq!(code(&"a ".repeat(LEAVES_MAX)), "too_many_conditions");
    assert_eq!(code(&"/a/ ".repeat(PATTERNS_MAX + 1)), "too_many_patterns");
    // Wildcards that need no automaton are not counted.
    parse(&"a* ".repeat(PATTERNS_MAX + 1)).unwrap();
    parse(&format!("{}a{}", "(".repeat(DEPTH_MAX), ")".repeat(DEPTH_MAX))).unwrap();
}

fn query_text() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        "[a-zđ.]{1,5}",
        "\\PC{0,6}",
        Just("user.name".to_owned()),
        Just("message".to_owned()),
        Just("@timestamp".to_owned()),
        Just("source.ip".to_owned()),
        prop::sample::select(vec![
            " ",
            " AND ",
            " or ",
            "NOT ",
            "-",
            "!",
            "(",
            ")",
            "[",
            "{",
            "]",
            "}",
            " TO ",
            ":",
            "=",
            "!=",
            ">",
            "<=",
            "=~",
            "!~",
            ":=",
            "\"",
            "~2",
            "\\",
            "*",
            "?",
            "/",
            "/i",
            "`",
            ",",
            " in ",
            " contains ",
            " cidr ",
            " not in (",
            "10.0.0.0/8",
            "now-1h/d",
            "5",
            "|",
            ".*",
            "::",
            "\n",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat())
}

fn node(expression: Expression) -> Node {
    Node { expression, span: Span::default() }
}

fn value() -> impl Strategy<Value = Value> {
    let written = |text, form| Value { text, form, span: Span::default() };
    prop_oneof![
        "[b-hj-zđ0-9]{2,6}([*?.-][a-z]{1,3})?"
            .prop_filter("no operator", |text| !lexer::is_keyword(text))
            .prop_map(move |text| written(text, Form::Bare)),
        ("\\PC{0,8}|[\"\\\\ ]{0,6}", 0_u32..3)
            .prop_map(move |(text, slop)| written(text, Form::Quoted { slop })),
        ("[a-z/.][a-z/ .]{0,5}", any::<bool>())
            .prop_map(move |(text, ignore_case)| written(text, Form::Regex { ignore_case })),
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    value().prop_filter("no expression", |value| !matches!(value.form, Form::Regex { .. }))
}

fn condition() -> impl Strategy<Value = Condition> {
    let comparison = prop::sample::select(vec![
        Comparison::Less,
        Comparison::LessOrEqual,
        Comparison::Greater,
        Comparison::GreaterOrEqual,
    ]);
    let bound = || {
        let bound = (scalar(), any::<bool>());
        prop::option::of(bound.prop_map(|(value, inclusive)| Bound { value, inclusive }))
    };
    prop_oneof![
        Just(Condition::Exists),
        value().prop_map(Condition::Is),
        scalar().prop_map(Condition::Exactly),
        (comparison, scalar())
            .prop_map(|(comparison, value)| Condition::Compare(comparison, value)),
        (bound(), bound()).prop_map(|(from, to)| Condition::Range(from, to)),
        prop::collection::vec(scalar(), 1..4).prop_map(Condition::In),
        scalar().prop_map(Condition::Contains),
        scalar().prop_map(Condition::StartsWith),
        scalar().prop_map(Condition::EndsWith),
        scalar().prop_map(Condition::Cidr),
    ]
}

fn tree() -> impl Strategy<Value = Node> {
    let name = prop_oneof![
        prop::sample::select(vec!["user.name", "message", "c-uri", "and", "x", "odd field"])
            .prop_map(str::to_owned),
        "[^`]{1,6}",
    ];
    let leaf = prop_oneof![
        Just(node(Expression::All)),
        value().prop_map(|value| node(Expression::Anywhere(value))),
        (name, condition()).prop_map(|(name, condition)| {
            let field = FieldName { name, span: Span::default() };
            node(Expression::Field(field, condition))
        }),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let many = || prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            inner.clone().prop_map(|inner| node(Expression::Not(Box::new(inner)))),
            many().prop_filter_map("opened", |parts| {
                let nested = parts.iter().any(|p| matches!(p.expression, Expression::And(_)));
                (!nested).then(|| node(Expression::And(parts)))
            }),
            many().prop_filter_map("opened", |parts| {
                let nested = parts.iter().any(|p| matches!(p.expression, Expression::Or(_)));
                (!nested).then(|| node(Expression::Or(parts)))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_answered_and_errors_point_into_it(
        text in prop_oneof![query_text(), any::<String>()],
    ) {
        if let Err(error) = parse(&text) {
            let diagnostic = error.diagnostic();
            let span = diagnostic.span;
            prop_assert!(text.get(span.start..span.end).is_some(), "{diagnostic:?}");
            if let Some(fix) = &diagnostic.fix {
                let span = fix.span;
                prop_assert!(text.get(span.start..span.end).is_some(), "{diagnostic:?}");
            }
            prop_assert!(diagnostic.caret_lines(&text).contains('^'));
        }
    }

    #[test]
    fn what_was_read_prints_as_itself(text in query_text()) {
        if let Ok(node) = read(&text) {
            let printed = node.to_string();
            prop_assert_eq!(read(&printed).map_err(|error| error.message), Ok(node), "{}", printed);
        }
    }

    #[test]
    fn any_tree_prints_as_itself(node in tree()) {
        let printed = node.to_string();
        prop_assert_eq!(read(&printed).map_err(|error| error.message), Ok(node), "{}", printed);
    }

    #[test]
    fn spans_hold_what_they_name(text in query_text()) {
        fn check(node: &Node, text: &str) -> bool {
            let inner = match &node.expression {
                Expression::Not(inner) => check(inner, text),
                Expression::And(parts) | Expression::Or(parts) => {
                    parts.iter().all(|part| check(part, text))
                }
                Expression::Anywhere(value) if value.form == Form::Bare => {
                    text.get(value.span.start..value.span.end) == Some(&value.text)
                }
                _ => true,
            };
            inner && text.get(node.span.start..node.span.end).is_some()
        }
        if let Ok(node) = read(&text) {
            prop_assert!(check(&node, &text), "{node:?}");
        }
    }
}
