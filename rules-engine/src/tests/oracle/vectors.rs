//! What SigmaHQ's rules never ask for, and the places where a choice is left: rules of our own,
//! with events written for them and events made from them, judged by others.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::events::{self, only};
use super::{Installed, Oracle};
use crate::Config;
use crate::evaluate::detector::Detector;
use crate::tests::{event, plain};

/// Detection section and events.
type Vector = (&'static str, &'static [&'static str]);

const VALUES: &[&str] = &[
    r#"{"a":"x"}"#,
    r#"{"a":"X"}"#,
    r#"{"a":"y"}"#,
    r#"{"a":"xy"}"#,
    r#"{"a":""}"#,
    r#"{"a":null}"#,
    r#"{"b":"x"}"#,
];
const NUMBERS: &[&str] = &[
    r#"{"a":4}"#,
    r#"{"a":5}"#,
    r#"{"a":6}"#,
    r#"{"a":"5"}"#,
    r#"{"a":"6"}"#,
    r#"{"a":-7}"#,
    r#"{"a":5.5}"#,
    r#"{"a":"5.0"}"#,
    r#"{"a":"many"}"#,
    r#"{"a":""}"#,
    r#"{"a":null}"#,
    r#"{"b":6}"#,
    r#"{"a":9007199254740993}"#,
    r#"{"a":50}"#,
];
const TIMES: &[&str] = &[
    r#"{"t":"2026-11-22T23:15:00Z"}"#,
    r#"{"t":"2026-11-22 23:15:00.123"}"#,
    r#"{"t":"2026-01-01T00:00:00Z"}"#,
    r#"{"t":"2026-11-23T01:15:00+02:00"}"#,
    r#"{"t":"midnight"}"#,
    r#"{"x":1}"#,
];
const ADDRESSES: &[&str] = &[
    r#"{"a":"10.0.0.0"}"#,
    r#"{"a":"10.255.255.255"}"#,
    r#"{"a":"11.0.0.1"}"#,
    r#"{"a":"9.255.255.255"}"#,
    r#"{"a":"2001:db8::1"}"#,
    r#"{"a":"2001:db9::1"}"#,
    r#"{"a":"10."}"#,
    r#"{"a":"::ffff:10.1.1.1"}"#,
    r#"{"b":1}"#,
    r#"{"a":"192.0.2.129"}"#,
    r#"{"a":"192.0.2.127"}"#,
];
const PAIRS: &[&str] = &[
    r#"{"a":"x","b":"x"}"#,
    r#"{"a":"X","b":"x"}"#,
    r#"{"a":"axb","b":"x"}"#,
    r#"{"a":"ax","b":"X"}"#,
    r#"{"a":"xa","b":"x"}"#,
    r#"{"a":"x"}"#,
    r#"{"b":"x"}"#,
    r#"{"a":"50%","b":"0%"}"#,
    r#"{"a":"abc","b":"%"}"#,
    r#"{"a":"abc","b":"a_c"}"#,
    r#"{"a":"C:\\x","b":"\\x"}"#,
    r#"{"a":1,"b":"1"}"#,
    r#"{"a":"","b":""}"#,
    r#"{"a":"abc","b":"*"}"#,
];
const TEXTS: &[&str] = &[
    r#"{"a":"abc"}"#,
    r#"{"a":"ABC"}"#,
    r#"{"a":"a*c"}"#,
    r#"{"a":"a?c"}"#,
    r#"{"a":"a\\c"}"#,
    r#"{"a":"ac"}"#,
    r#"{"a":"a%c"}"#,
    r#"{"a":"a_c"}"#,
    r#"{"a":"xabcx"}"#,
    r#"{"a":"a[b]c"}"#,
    r#"{"a":"a'c"}"#,
    r#"{"a":"a\nc"}"#,
    r#"{"a":"aéc"}"#,
    r#"{"a":"aÉc"}"#,
    r#"{"a":"a\\*c"}"#,
    r#"{"a":"a\\bc"}"#,
    r#"{"a":""}"#,
    r#"{"b":1}"#,
];

const VECTORS: &[Vector] = &[
    ("s: {a|exists: true}\n  condition: s", VALUES),
    ("s: {a|exists: false}\n  condition: s", VALUES),
    ("s: {a|exists: true}\n  condition: not s", VALUES),
    ("s: {a: null}\n  condition: s", VALUES),
    ("s: {a: null}\n  condition: not s", VALUES),
    ("s: {a: ''}\n  condition: s", VALUES),
    ("s: {a: []}\n  condition: s", VALUES),
    ("s: {a: [x, null]}\n  condition: s", VALUES),
    ("s: {a: '*'}\n  condition: s", VALUES),
    ("s: {a: '?*'}\n  condition: s", VALUES),
    ("s: {a: x}\n  condition: not s", VALUES),
    ("s: {a: x}\n  condition: not (not s)", VALUES),
    ("s: {a|neq: x}\n  condition: s", VALUES),
    ("s: {a|neq: [x, y]}\n  condition: s", VALUES),
    ("s: {a|neq: null}\n  condition: s", VALUES),
    ("s: {a|neq: ''}\n  condition: s", VALUES),
    ("s: {a|contains|neq: x}\n  condition: s", VALUES),
    ("s: {a|contains|all: [x, y]}\n  condition: s", VALUES),
    ("s: {a|contains|all|neq: [x, y]}\n  condition: s", VALUES),
    ("s: {a|re|neq: '^x$'}\n  condition: s", VALUES),
    ("s: {a|neq: x}\n  condition: not s", VALUES),
    ("s: {a|neq: x, b|exists: false}\n  condition: s", VALUES),
    ("s: {a: 5}\n  condition: s", NUMBERS),
    ("s: {a: '5'}\n  condition: s", NUMBERS),
    ("s: {a: 5.5}\n  condition: s", NUMBERS),
    ("s: {a: 9007199254740993}\n  condition: s", NUMBERS),
    ("s: {a|contains: 5}\n  condition: s", NUMBERS),
    ("s: {a|startswith: 5}\n  condition: s", NUMBERS),
    ("s: {a|neq: 5}\n  condition: s", NUMBERS),
    ("s: {a|gt: 5}\n  condition: s", NUMBERS),
    ("s: {a|gte: 5}\n  condition: s", NUMBERS),
    ("s: {a|lt: 5}\n  condition: s", NUMBERS),
    ("s: {a|lte: 5}\n  condition: s", NUMBERS),
    ("s: {a|gt: 5.25}\n  condition: s", NUMBERS),
    ("s: {a|gt: 5}\n  condition: not s", NUMBERS),
    ("s: {a|gt|neq: 5}\n  condition: s", NUMBERS),
    ("s: {a|gt: -10, a|lt: 5}\n  condition: s", NUMBERS),
    (
        "s: {a: true}\n  condition: s",
        &[
            r#"{"a":true}"#,
            r#"{"a":"True"}"#,
            r#"{"a":1}"#,
            r#"{"a":false}"#,
            r#"{"a":"0"}"#,
            r#"{"a":"yes"}"#,
        ],
    ),
    (
        "s: {a: false}\n  condition: s",
        &[r#"{"a":true}"#, r#"{"a":"False"}"#, r#"{"a":0}"#, r#"{"a":false}"#, r#"{"b":1}"#],
    ),
    ("s: {t|minute: 15}\n  condition: s", TIMES),
    ("s: {t|hour: 23}\n  condition: s", TIMES),
    ("s: {t|day: 22}\n  condition: s", TIMES),
    ("s: {t|week: 47}\n  condition: s", TIMES),
    ("s: {t|week: 46}\n  condition: s", TIMES),
    ("s: {t|month: [11, 12]}\n  condition: s", TIMES),
    ("s: {t|year: 2026}\n  condition: not s", TIMES),
    ("s: {t|hour|gte: 22}\n  condition: s", TIMES),
    ("s: {t|hour|neq: 23}\n  condition: s", TIMES),
    ("s: {a|cidr: 10.0.0.0/8}\n  condition: s", ADDRESSES),
    ("s: {a|cidr: ['10.0.0.0/8', '2001:db8::/32']}\n  condition: s", ADDRESSES),
    ("s: {a|cidr: 192.0.2.128/25}\n  condition: not s", ADDRESSES),
    ("s: {a|cidr|neq: 10.0.0.0/8}\n  condition: s", ADDRESSES),
    ("s: {a|cidr: 192.0.2.129/32}\n  condition: s", ADDRESSES),
    ("s: {a|fieldref: b}\n  condition: s", PAIRS),
    ("s: {a|fieldref: b}\n  condition: not s", PAIRS),
    ("s: {a|fieldref|neq: b}\n  condition: s", PAIRS),
    ("s: {a|fieldref|cased: b}\n  condition: s", PAIRS),
    ("s: {a|fieldref|contains|neq: b}\n  condition: s", PAIRS),
    ("s: {a|fieldref|startswith: b}\n  condition: s", PAIRS),
    ("s: {a|fieldref|endswith: b}\n  condition: s", PAIRS),
    ("s: {a|fieldref|contains: b}\n  condition: s", PAIRS),
    ("s: {a: abc}\n  condition: s", TEXTS),
    ("s: {a: 'a*c'}\n  condition: s", TEXTS),
    ("s: {a: 'a?c'}\n  condition: s", TEXTS),
    ("s: {a: 'a\\*c'}\n  condition: s", TEXTS),
    ("s: {a: 'a\\?c'}\n  condition: s", TEXTS),
    ("s: {a: 'a\\\\*c'}\n  condition: s", TEXTS),
    ("s: {a: 'a\\\\\\*c'}\n  condition: s", TEXTS),
    ("s: {a: 'a\\bc'}\n  condition: s", TEXTS),
    ("s: {a: 'a\\c'}\n  condition: s", TEXTS),
    ("s: {a|contains: '%'}\n  condition: s", TEXTS),
    ("s: {a|contains: '_'}\n  condition: s", TEXTS),
    ("s: {a|contains: 'a*c'}\n  condition: s", TEXTS),
    ("s: {a|startswith: 'a\\'}\n  condition: s", TEXTS),
    ("s: {a|endswith: '\\c'}\n  condition: s", TEXTS),
    ("s: {a|contains: \"'\"}\n  condition: s", TEXTS),
    ("s: {a: aéc}\n  condition: s", TEXTS),
    ("s: {a|contains: Éc}\n  condition: s", TEXTS),
    ("s: {a|cased: abc}\n  condition: s", TEXTS),
    ("s: {a|cased: ABC}\n  condition: s", TEXTS),
    ("s: {a|cased|contains: bC}\n  condition: s", TEXTS),
    ("s: {a|cased|contains: b}\n  condition: s", TEXTS),
    ("s: {a|cased|startswith: A}\n  condition: s", TEXTS),
    ("s: {a|cased|endswith: c}\n  condition: not s", TEXTS),
    ("s: {a|cased: 'a*c'}\n  condition: s", TEXTS),
    ("s: {a|cased: 'a\\*c'}\n  condition: s", TEXTS),
    ("s: {a|cased: 'a[b]c'}\n  condition: s", TEXTS),
    ("s: {a|cased: aéc}\n  condition: s", TEXTS),
    ("s: {a|cased|neq: abc}\n  condition: s", TEXTS),
    ("s: {a|re: 'a.c'}\n  condition: s", TEXTS),
    ("s: {a|re: '^abc$'}\n  condition: s", TEXTS),
    ("s: {a|re|i: '^abc$'}\n  condition: s", TEXTS),
    ("s: {a|re|s: 'a.c'}\n  condition: s", TEXTS),
    ("s: {a|re|m: '^c'}\n  condition: s", TEXTS),
    ("s: {a|re|i|m|s: '^A.+C$'}\n  condition: s", TEXTS),
    ("s: {a|re: 'a\\*c|\\[b\\]'}\n  condition: s", TEXTS),
    ("s: {a|re|startswith: 'a'}\n  condition: s", TEXTS),
    ("s: {a|re|endswith: 'c'}\n  condition: s", TEXTS),
    (
        "s: {a|windash: '-enc /x'}\n  condition: s",
        &[
            r#"{"a":"/enc -x"}"#,
            r#"{"a":"-enc /x"}"#,
            r#"{"a":"\u2013enc \u2014x"}"#,
            r#"{"a":"enc x"}"#,
        ],
    ),
    (
        "s: {a|contains|windash: ' -a-b '}\n  condition: s",
        &[r#"{"a":"x /a-b y"}"#, r#"{"a":"x -a/b y"}"#, r#"{"a":"x \u2015a-b y"}"#],
    ),
    (
        "s: {a|windash: –enc}\n  condition: s",
        &[r#"{"a":"–enc"}"#, r#"{"a":"-enc"}"#, r#"{"a":"/enc"}"#],
    ),
    ("s: {a|contains|windash: '-a -b -c -d'}\n  condition: s", &[r#"{"a":"-a -b -c -d"}"#]),
    ("s: {a|base64: foobar}\n  condition: s", &[r#"{"a":"Zm9vYmFy"}"#, r#"{"a":"zM9VyMfY"}"#]),
    (
        "s: {a|base64offset|contains: foobar}\n  condition: s",
        &[r#"{"a":"eFZtOXZZbUZ5"}"#, r#"{"a":"IGZvb2Jhcg=="}"#, r#"{"a":"xmb29iYX"}"#],
    ),
    ("s: {a|wide|base64offset|contains: IEX}\n  condition: s", &[r#"{"a":"SQBFAFgAIAAoAA=="}"#]),
    ("s: {a|wide|base64: ping}\n  condition: s", &[]),
    ("s: {a|utf16|base64: ping}\n  condition: s", &[]),
    ("s: {a|utf16be|base64offset|contains: ping}\n  condition: s", &[]),
    ("s: {a|utf16|base64offset|contains: 'é-ü'}\n  condition: s", &[]),
    ("s: {a|windash|wide|base64offset|contains: ' -e '}\n  condition: s", &[]),
    ("s: {a|wide: ab}\n  condition: s", &[r#"{"a":"a\u0000b\u0000"}"#, r#"{"a":"ab"}"#]),
    (
        "s: {a|utf16be|contains: ab}\n  condition: s",
        &[r#"{"a":"\u0000a\u0000b"}"#, r#"{"a":"ab"}"#],
    ),
    (
        "k: [word]\n  condition: k",
        &[r#"{"x":"a Word b"}"#, r#"{"x":"wor","y":"d"}"#, r#"{"word":"x"}"#, "{}"],
    ),
    (
        "k: [one, 't?o']\n  condition: k",
        &[r#"{"x":"it is two"}"#, r#"{"x":"to"}"#, r#"{"x":"ONE"}"#],
    ),
    (
        "k: {'|all': [one, two]}\n  condition: k",
        &[r#"{"x":"two one"}"#, r#"{"x":"one"}"#, r#"{"x":"one","y":"two"}"#],
    ),
    (
        "k: {'|re': 'o.e'}\n  condition: k",
        &[r#"{"x":"an ode"}"#, r#"{"x":"ODE"}"#, r#"{"x":"oe"}"#],
    ),
    ("k: {'|cased': One}\n  condition: k", &[r#"{"x":"An One"}"#, r#"{"x":"one"}"#]),
    (
        "k: [4625]\n  condition: not k",
        &[r#"{"x":"event 4625 seen"}"#, r#"{"x":4625}"#, r#"{"x":462}"#, "{}"],
    ),
    ("k: [word, {a: x}]\n  condition: k", &[r#"{"b":"a word"}"#, r#"{"a":"X"}"#, r#"{"a":"xx"}"#]),
    (
        "s: [{a: x, b: y}, {c: z}]\n  condition: s",
        &[r#"{"a":"x","c":"z"}"#, r#"{"a":"x"}"#, r#"{"a":"x","b":"y"}"#],
    ),
    (
        "s1: {a: x}\n  s2: {b: y}\n  _h: {c: z}\n  condition: 1 of them",
        &[r#"{"c":"z"}"#, r#"{"b":"y"}"#],
    ),
    (
        "s1: {a: x}\n  s2: {b: y}\n  _h: {c: z}\n  condition: all of them",
        &[r#"{"a":"x","b":"y"}"#, r#"{"b":"y"}"#],
    ),
    (
        "s1: {a: x}\n  s2: {b: y}\n  t: {c: z}\n  condition: any of s* and not t",
        &[r#"{"a":"x","c":"z"}"#, r#"{"b":"y"}"#],
    ),
    (
        "s1: {a: x}\n  s2: {b: y}\n  s3: {c: z}\n  condition: 2 of s*",
        &[r#"{"a":"x","c":"z"}"#, r#"{"b":"y"}"#],
    ),
    (
        "s1: {a: x}\n  s2: {b: y}\n  s3: {c: z}\n  condition: not 1 of s* or all of s*",
        &[r#"{"a":"x","c":"z"}"#, r#"{"d":"y"}"#],
    ),
    (
        "s1: {a: x}\n  s2: {b: y}\n  s3: {c: z}\n  condition: s1 or s2 and not s3",
        &[r#"{"a":"x","c":"z"}"#, r#"{"b":"y","c":"z"}"#],
    ),
    (
        "s1: {a: x}\n  s2: {b: y}\n  condition: [s1, s2]",
        &[r#"{"a":"x"}"#, r#"{"b":"y"}"#, r#"{"c":"y"}"#],
    ),
];

/// One field that is mapped to two.
const MAPPED: &[Vector] = &[
    ("s: {f: x}\n  condition: s", PAIRS),
    ("s: {f|neq: x}\n  condition: s", PAIRS),
    ("s: {f: null}\n  condition: s", PAIRS),
    ("s: {f|exists: true}\n  condition: s", PAIRS),
    ("s: {f|exists: false}\n  condition: s", PAIRS),
    ("s: {f|contains|all: [a, x]}\n  condition: s", PAIRS),
];
const MAPPING: &str = "name: two\npriority: 1\ntransformations:\n  - {id: two, type: field_name_mapping, mapping: {f: [a, b]}}\n";

fn id(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// The detections over which the two differ, and the events, or that the other refuses the rule.
fn differences(
    oracle: &Installed,
    vectors: &[Vector],
    pipeline: &str,
) -> Vec<(&'static str, String)> {
    let folder = tempfile::tempdir().unwrap();
    let mut texts = Vec::new();
    for (number, (detection, _)) in vectors.iter().enumerate() {
        let text = format!(
            "title: T\nid: {}\nlogsource: {{category: any}}\ndetection:\n  {detection}\n",
            id(number)
        );
        std::fs::write(folder.path().join(format!("{number:04}.yml")), &text).unwrap();
        texts.push(text);
    }
    let mut config = Config { paths: vec![folder.path().into()], ..Config::default() };
    if !pipeline.is_empty() {
        let file = folder.path().join("pipeline");
        std::fs::write(&file, pipeline).unwrap();
        config.pipelines.push(file);
    }
    let loaded = config.load(&[]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let rules = Arc::new(loaded.rules);
    let mut own = serde_json::Map::new();
    let mut all = Vec::new();
    for (number, (_, written)) in (0..).zip(vectors) {
        let made = events::make(rules.written(number).unwrap());
        let given = written.iter().map(|json| {
            let fields: Json = serde_json::from_str(json).unwrap();
            (json!({"fields": fields, "text": null}), event(json))
        });
        let made = made.all().map(|made| (made.json(), made.batch()));
        let events: Vec<_> = given.chain(made.collect::<Vec<_>>()).collect();
        own.insert(id(number as usize), events.iter().map(|(json, _)| json.clone()).collect());
        all.push(events);
    }
    let asked = json!({"rules": texts, "pipeline": pipeline, "own": own, "all": []});
    let answer = oracle.ask("detection", &asked);
    let mut detector = Detector::new(Arc::clone(&rules));
    let mut differ = Vec::new();
    for (number, ((detection, _), events)) in (0..).zip(vectors.iter().zip(&all)) {
        let id = id(number as usize);
        if let Some(reason) = answer["refused"][&id].as_str() {
            // In the words of a Python, which another may choose differently.
            println!("{detection}\n    {reason}");
            differ.push((*detection, "    refused".to_owned()));
            continue;
        }
        let expr = rules.written(number).unwrap();
        let mut lines = BTreeSet::new();
        for ((json, batch), wanted) in events.iter().zip(answer["own"][&id].as_array().unwrap()) {
            let mut names = detector.names(batch);
            let found = detector.evaluate(only(batch), &mut names, None).0.contains(&number);
            assert_eq!(found, plain::holds(expr, only(batch)), "{detection} {json}");
            if found != wanted.as_bool().unwrap() {
                let word = if found { "found" } else { "not found" };
                let text = json["text"].as_str().map(|text| format!(" in {text:?}"));
                let text = text.unwrap_or_default();
                lines.insert(format!("    {word} {}{text}", json["fields"]));
            }
        }
        if !lines.is_empty() {
            differ.push((*detection, lines.into_iter().collect::<Vec<_>>().join("\n")));
        }
    }
    differ
}

/// Several values in one field, which a row of SQL cannot have.
const ARRAYS: &[Vector] = &[
    ("s: {a: x}\n  condition: s", LISTS),
    ("s: {a: x}\n  condition: not s", LISTS),
    ("s: {a: [x, y]}\n  condition: s", LISTS),
    ("s: {a|neq: x}\n  condition: s", LISTS),
    ("s: {a|contains|all: [x, y]}\n  condition: s", LISTS),
    ("s: {a: null}\n  condition: s", LISTS),
    ("s: {a|exists: true}\n  condition: s", LISTS),
    ("s: {a: ''}\n  condition: s", LISTS),
    ("s: {a|gt: 5}\n  condition: s", LISTS),
    ("s: {a|re: '^x'}\n  condition: s", LISTS),
    ("s: {a|cidr: 10.0.0.0/8}\n  condition: s", LISTS),
    ("s: {o.a: x}\n  condition: s", LISTS),
    ("k: [x]\n  condition: k", LISTS),
];
const LISTS: &[&str] = &[
    r#"{"a":["x","y"]}"#,
    r#"{"a":["y","z"]}"#,
    r#"{"a":["xy"]}"#,
    r#"{"a":[]}"#,
    r#"{"a":[null]}"#,
    r#"{"a":["",null]}"#,
    r#"{"a":[3,7]}"#,
    r#"{"a":["10.1.1.1","::1"]}"#,
    r#"{"o":{"a":"x"}}"#,
    r#"{"o":[{"a":"y"},{"a":"x"}]}"#,
    r#"{"o.a":"x"}"#,
];

/// Why the engine and pySigma differ, and over which detections; over events as the snapshot says.
const PYSIGMA: &[(&str, &[&str])] = &[
    ("SQLite knows letter case in ASCII only", &["s: {a: aéc}", "s: {a|contains: Éc}"]),
    ("pySigma reads numbers as doubles, Keng keeps them exact", &["s: {a: 9007199254740993}"]),
    (
        "for SQLite every text is greater than every number",
        &["s: {a|gt: 5}", "s: {a|gte: 5}", "s: {a|gt: 5.25}", "s: {a|gt|neq: 5}"],
    ),
    (
        "SQLite counts weeks from the first Monday, Keng as ISO 8601 does",
        &["s: {t|week: 47}", "s: {t|week: 46}"],
    ),
    (
        "SQL compares the text of an address, Keng the address",
        &[
            "s: {a|cidr: 10.0.0.0/8}",
            "s: {a|cidr: ['10.0.0.0/8', '2001:db8::/32']}",
            "s: {a|cidr|neq: 10.0.0.0/8}",
        ],
    ),
    (
        "pySigma appends `.*` to the expression, which is then found anywhere",
        &["s: {a|re|startswith: 'a'}", "s: {a|re|endswith: 'c'}"],
    ),
    (
        "pySigma refuses the rule, Keng takes it",
        &[
            "s: {a|contains: 5}",
            "s: {a|startswith: 5}",
            "s: {a|fieldref|cased: b}",
            "s: {a|contains|windash: '-a -b -c -d'}",
            "s: {a|utf16|base64offset|contains: 'é-ü'}",
            "s: {a|windash|wide|base64offset|contains: ' -e '}",
            "s1: {a: x}\n  s2: {b: y}\n  s3: {c: z}\n  condition: 2 of s*",
        ],
    ),
    (
        "pySigma expands only `-` and `/` of a rule, Keng every dash of the specification",
        &["s: {a|windash: –enc}"],
    ),
    (
        "a text of SQL cannot hold the character 0",
        &["s: {a|wide: ab}", "s: {a|utf16be|contains: ab}"],
    ),
    (
        "with a field mapped to two, pySigma asks that one has no such value, Keng that neither has",
        &["s: {f|neq: x}", "s: {f: null}", "s: {f|exists: false}"],
    ),
];

/// The same of rsigma.
const RSIGMA: &[(&str, &[&str])] = &[
    (
        "rsigma wants the field of `neq` to be there; for Keng `neq` is the opposite of the rule without",
        &[
            "s: {a|neq: x}",
            "s: {a|neq: [x, y]}",
            "s: {a|neq: ''}",
            "s: {a|contains|neq: x}",
            "s: {a|contains|all|neq: [x, y]}",
            "s: {a|re|neq: '^x$'}",
            "s: {a|neq: x, b|exists: false}",
            "s: {a|gt|neq: 5}",
            "s: {a|fieldref|neq: b}",
            "s: {a|fieldref|contains|neq: b}",
            "s: {a|cased|neq: abc}",
        ],
    ),
    (
        "rsigma wants the field to be there where a list holds null or nothing",
        &["s: {a: []}", "s: {a: [x, null]}"],
    ),
    (
        "a field that is a list without values is not there, as with JSON's null",
        &["s: {a: null}", "s: {a|exists: true}"],
    ),
    (
        "rsigma compares a text and a number as numbers, Keng as texts",
        &["s: {a: 5}", "s: {a|neq: 5}"],
    ),
    (
        "1 and 0 are true and false for Keng, further words for rsigma",
        &["s: {a: true}", "s: {a: false}"],
    ),
    (
        "rsigma reads no time without a zone, for Keng it is UTC",
        &[
            "s: {t|minute: 15}",
            "s: {t|hour: 23}",
            "s: {t|day: 22}",
            "s: {t|week: 47}",
            "s: {t|month: [11, 12]}",
            "s: {t|year: 2026}",
            "s: {t|hour|neq: 23}",
        ],
    ),
    (
        "rsigma refuses the rule, Keng takes it",
        &["s: {t|hour|gte: 22}", "s: {a|re|startswith: 'a'}", "s: {a|re|endswith: 'c'}"],
    ),
    (
        "an IPv4 address that is written as IPv6 is the same address",
        &[
            "s: {a|cidr: 10.0.0.0/8}",
            "s: {a|cidr: ['10.0.0.0/8', '2001:db8::/32']}",
            "s: {a|cidr|neq: 10.0.0.0/8}",
        ],
    ),
    ("a number counts as its text, to rsigma not here", &["s: {a|fieldref|cased: b}"]),
    (
        "to rsigma a wildcard stands for no line break",
        &["s: {a: 'a*c'}", "s: {a: 'a?c'}", "s: {a|contains: 'a*c'}", "s: {a|cased: 'a*c'}"],
    ),
    (
        "rsigma expands every `-` of a rule, and nothing else; Keng any dash where a word begins",
        &["s: {a|windash: '-enc /x'}", "s: {a|contains|windash: ' -a-b '}", "s: {a|windash: –enc}"],
    ),
    (
        "rsigma keeps the last character of Base64, which depends on what follows",
        &[
            "s: {a|base64offset|contains: foobar}",
            "s: {a|wide|base64offset|contains: IEX}",
            "s: {a|utf16be|base64offset|contains: ping}",
            "s: {a|utf16|base64offset|contains: 'é-ü'}",
            "s: {a|windash|wide|base64offset|contains: ' -e '}",
        ],
    ),
    (
        "rsigma encodes to UTF-16 only before Base64",
        &["s: {a|wide: ab}", "s: {a|utf16be|contains: ab}"],
    ),
    (
        "rsigma compares whole values with keywords that have a modifier or are numbers",
        &["k: {'|all': [one, two]}", "k: {'|cased': One}", "k: [4625]"],
    ),
    (
        "with a field mapped to two, rsigma asks that one has no such value, Keng that neither has",
        &["s: {f|neq: x}", "s: {f: null}", "s: {f|exists: false}"],
    ),
];

/// The differences, each under its reason.
fn compared(oracle: &Installed, reasons: &[(&str, &[&str])], vectors: &[&[Vector]]) -> String {
    let own = vectors.iter().flat_map(|vectors| differences(oracle, vectors, ""));
    let mut differ: Vec<_> = own.chain(differences(oracle, MAPPED, MAPPING)).collect();
    let mut list = String::new();
    for (reason, detections) in reasons {
        writeln!(list, "# {reason}").unwrap();
        for wanted in *detections {
            let of = |(detection, _): &&(&str, _)| detection.starts_with(wanted);
            let (named, others): (Vec<_>, Vec<_>) = differ.into_iter().partition(|d| of(&d));
            assert!(!named.is_empty(), "{wanted} agrees by now");
            for (detection, lines) in named {
                writeln!(list, "{detection}\n{lines}").unwrap();
            }
            differ = others;
        }
    }
    assert!(differ.is_empty(), "differences without a reason: {differ:#?}");
    list
}

#[test]
fn what_public_rules_never_ask_agrees_with_pysigma() {
    let test = "what_public_rules_never_ask_agrees_with_pysigma";
    let Some(oracle) = Oracle::Pysigma.installed(test) else { return };
    insta::assert_snapshot!(compared(&oracle, PYSIGMA, &[VECTORS]));
}

#[test]
fn what_public_rules_never_ask_agrees_with_rsigma() {
    let test = "what_public_rules_never_ask_agrees_with_rsigma";
    let Some(oracle) = Oracle::Rsigma.installed(test) else { return };
    insta::assert_snapshot!(compared(&oracle, RSIGMA, &[VECTORS, ARRAYS]));
}
