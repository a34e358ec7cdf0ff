//! What values, modifiers and keywords mean: each line a trap that some engine fell into.

use std::fmt::Write;

use super::{event, matches, rule, rules};
use crate::Evaluator;

/// Detection section, event, whether it matches.
const TRAPS: &[(&str, &str, bool)] = &[
    // Letter case, in every script; `cased` and `re` mind it.
    ("  s: {a: PowerShell}\n  condition: s", r#"{"a":"POWERSHELL"}"#, true),
    ("  s: {a: 'ĐĂNG NHẬP'}\n  condition: s", r#"{"a":"đăng nhập"}"#, true),
    ("  s: {a|contains: ПРИВ}\n  condition: s", r#"{"a":"x привет"}"#, true),
    ("  s: {a|cased: Abc}\n  condition: s", r#"{"a":"abc"}"#, false),
    ("  s: {a|cased|contains: B}\n  condition: s", r#"{"a":"aBc"}"#, true),
    ("  s: {a|re: B}\n  condition: s", r#"{"a":"abc"}"#, false),
    ("  s: {a|re|i: B}\n  condition: s", r#"{"a":"abc"}"#, true),
    // Patterns cover the whole value, regular expressions and keywords do not.
    ("  s: {a: 'a*c'}\n  condition: s", r#"{"a":"xabc"}"#, false),
    ("  s: {a: 'a?c'}\n  condition: s", r#"{"a":"abc"}"#, true),
    ("  s: {a|re: b}\n  condition: s", r#"{"a":"abc"}"#, true),
    ("  s: {a|re: '^b'}\n  condition: s", r#"{"a":"abc"}"#, false),
    ("  s: {a|re|m: '^b'}\n  condition: s", r#"{"a":"a\nb"}"#, true),
    ("  s: {a|re: 'a.b'}\n  condition: s", r#"{"a":"a\nb"}"#, false),
    ("  s: {a|re|s: 'a.b'}\n  condition: s", r#"{"a":"a\nb"}"#, true),
    ("  k: [fail]\n  condition: k", r#"{"x":"login failed"}"#, true),
    // Wildcards inside `contains`, escapes.
    ("  s: {a|contains: 'b*d'}\n  condition: s", r#"{"a":"abcde"}"#, true),
    ("  s: {a|contains: 'b\\*d'}\n  condition: s", r#"{"a":"abcde"}"#, false),
    ("  s: {a|contains: 'b\\*d'}\n  condition: s", r#"{"a":"ab*de"}"#, true),
    ("  s: {a|endswith: '\\cmd.exe'}\n  condition: s", r#"{"a":"C:\\Windows\\CMD.EXE"}"#, true),
    ("  s: {a: 'C:\\Windows\\*'}\n  condition: s", r#"{"a":"C:\\Windows\\x"}"#, false),
    ("  s: {a: 'C:\\Windows\\\\*'}\n  condition: s", r#"{"a":"C:\\Windows\\x"}"#, true),
    // Numbers and their texts; exact beyond 2^53; truth values.
    ("  s: {a: 4688}\n  condition: s", r#"{"a":"4688"}"#, true),
    ("  s: {a: '4688'}\n  condition: s", r#"{"a":4688}"#, true),
    ("  s: {a: 4688}\n  condition: s", r#"{"a":4688.0}"#, true),
    ("  s: {a: 4688}\n  condition: s", r#"{"a":46880}"#, false),
    ("  s: {a: 9007199254740993}\n  condition: s", r#"{"a":9007199254740992}"#, false),
    ("  s: {a|gt: 9007199254740992}\n  condition: s", r#"{"a":9007199254740993}"#, true),
    ("  s: {a|lt: 10}\n  condition: s", r#"{"a":"9.5"}"#, true),
    ("  s: {a|lte: -1}\n  condition: s", r#"{"a":-1}"#, true),
    ("  s: {a|gte: 10}\n  condition: s", r#"{"a":"many"}"#, false),
    ("  s: {a: true}\n  condition: s", r#"{"a":"True"}"#, true),
    ("  s: {a: true}\n  condition: s", r#"{"a":1}"#, true),
    ("  s: {a: 'true'}\n  condition: s", r#"{"a":true}"#, true),
    ("  s: {a: false}\n  condition: s", r#"{"a":true}"#, false),
    ("  k: [4625]\n  condition: k", r#"{"m":"event 4625 seen"}"#, true),
    // Nothing: null, the empty text, the empty list, `exists`, `neq` on what is not there.
    ("  s: {a: null}\n  condition: s", r#"{"b":1}"#, true),
    ("  s: {a: null}\n  condition: s", r#"{"a":null}"#, true),
    ("  s: {a: null}\n  condition: s", r#"{"a":""}"#, false),
    ("  s: {a: []}\n  condition: s", r#"{"b":1}"#, true),
    ("  s: {a: ''}\n  condition: s", r#"{"a":""}"#, true),
    ("  s: {a: ''}\n  condition: s", r#"{"b":1}"#, false),
    ("  s: {a: [x, null]}\n  condition: s", r#"{"b":1}"#, true),
    ("  s: {a|exists: true}\n  condition: s", r#"{"a":""}"#, true),
    ("  s: {a|exists: true}\n  condition: s", r#"{"b":1}"#, false),
    ("  s: {a|exists: false}\n  condition: s", r#"{"b":1}"#, true),
    ("  s: {a|neq: x}\n  condition: s", r#"{"b":1}"#, true),
    ("  s: {a|neq: x}\n  condition: s", r#"{"a":"X"}"#, false),
    ("  s: {a|neq: [x, y]}\n  condition: s", r#"{"a":"y"}"#, false),
    ("  s: {a: '*'}\n  condition: s", r#"{"b":1}"#, false),
    // Lists: any member; `all` may be met by different members.
    ("  s: {a: x}\n  condition: s", r#"{"a":["y","x"]}"#, true),
    ("  s: {a|contains|all: [x, y]}\n  condition: s", r#"{"a":"y and x"}"#, true),
    ("  s: {a|contains|all: [x, y]}\n  condition: s", r#"{"a":"y"}"#, false),
    ("  s: {a|neq: x}\n  condition: s", r#"{"a":["y","x"]}"#, false),
    ("  s: {a.b: 1}\n  condition: s", r#"{"a.b":1}"#, true),
    ("  s: {a.b: 1}\n  condition: s", r#"{"a":[{"b":2},{"b":1}]}"#, true),
    // Lists of maps, keywords beside maps.
    ("  s: [{a: 1, b: 2}, {c: 3}]\n  condition: s", r#"{"a":1,"c":3}"#, true),
    ("  s: [{a: 1, b: 2}, {c: 3}]\n  condition: s", r#"{"a":1}"#, false),
    ("  s: [word, {c: 3}]\n  condition: s", r#"{"x":"a word"}"#, true),
    ("  s: {'|all': [one, two]}\n  condition: s", r#"{"x":"one two"}"#, true),
    ("  s: {'|all': [one, two]}\n  condition: s", r#"{"x":"one"}"#, false),
    ("  s: {'|re': 'o.e'}\n  condition: s", r#"{"x":"one"}"#, true),
    // Keywords look at the raw record, not at what was made of it; through the escapes of JSON.
    ("  k: [word]\n  condition: k", r#"{"x":"word","event.original":"<13>other"}"#, false),
    (
        "  k: ['a\\b']\n  condition: k",
        r#"{"x":"a\\b","event.original":"{\"x\":\"a\\\\b\"}"}"#,
        true,
    ),
    // Helpers are out of reach of `them` and of patterns that do not name them.
    ("  _h: {a: 1}\n  s: {b: 1}\n  condition: 1 of them", r#"{"a":1}"#, false),
    ("  _h: {a: 1}\n  s: {b: 1}\n  condition: 1 of *", r#"{"a":1}"#, false),
    ("  _h: {a: 1}\n  s: {b: 1}\n  condition: s or _h", r#"{"a":1}"#, true),
    ("  s: {b: 1}\n  condition: [s and not s, s]", r#"{"b":1}"#, true),
    // Networks.
    ("  s: {a|cidr: 10.0.0.0/8}\n  condition: s", r#"{"a":"10.9.9.9"}"#, true),
    ("  s: {a|cidr: 10.0.0.0/8}\n  condition: s", r#"{"a":"::ffff:10.9.9.9"}"#, true),
    ("  s: {a|cidr: '::ffff:10.0.0.0/104'}\n  condition: s", r#"{"a":"10.9.9.9"}"#, true),
    (
        "  s: {source.ip|cidr: '2001:db8::/32'}\n  condition: s",
        r#"{"source":{"ip":"2001:db8::1"}}"#,
        true,
    ),
    ("  s: {a|cidr: [192.168.0.0/16, 10.0.0.0/8]}\n  condition: s", r#"{"a":"11.0.0.1"}"#, false),
    ("  s: {source.ip|startswith: '10.'}\n  condition: s", r#"{"source":{"ip":"10.9.9.9"}}"#, true),
    // Field references.
    ("  s: {a|fieldref: b}\n  condition: s", r#"{"a":"X","b":"x"}"#, true),
    ("  s: {a|fieldref|cased: b}\n  condition: s", r#"{"a":"X","b":"x"}"#, false),
    ("  s: {a|fieldref|endswith: b}\n  condition: s", r#"{"a":"yx","b":"X"}"#, true),
    ("  s: {a|fieldref: b}\n  condition: s", r#"{"a":"x"}"#, false),
    ("  s: {a|fieldref|neq: b}\n  condition: s", r#"{"a":"x","b":"y"}"#, true),
    // Windows option dashes, encodings.
    ("  s: {a|contains|windash: ' -enc '}\n  condition: s", r#"{"a":"p /enc x"}"#, true),
    ("  s: {a|contains|windash: ' -enc '}\n  condition: s", r#"{"a":"p ―enc x"}"#, true),
    ("  s: {a|base64offset|contains: /bin/sh}\n  condition: s", r#"{"a":"eCAvYmluL3No"}"#, true),
    (
        "  s: {a|wide|base64offset|contains: IEX}\n  condition: s",
        r#"{"a":"SQBFAFgAIAAoAA=="}"#,
        true,
    ),
    // Parts of times.
    ("  s: {t|hour: 23}\n  condition: s", r#"{"t":"2026-11-22 23:15:00.123"}"#, true),
    ("  s: {t|hour|gte: 22}\n  condition: s", r#"{"t":"2026-11-22T23:15:00Z"}"#, true),
    ("  s: {t|minute: 15}\n  condition: s", r#"{"t":"2026-11-22T23:15:00Z"}"#, true),
    (
        "  s: {t|day: 22, t|month: 11, t|year: 2026}\n  condition: s",
        r#"{"t":"2026-11-22T23:15:00Z"}"#,
        true,
    ),
    ("  s: {t|week: 47}\n  condition: s", r#"{"t":"2026-11-22T23:15:00Z"}"#, true),
    ("  s: {'@timestamp|year': 1970}\n  condition: s", r#"{"x":1}"#, true),
    ("  s: {t|hour: 23}\n  condition: s", r#"{"t":"midnight"}"#, false),
    // Quantifiers.
    ("  s1: {a: 1}\n  s2: {b: 1}\n  s3: {c: 1}\n  condition: 2 of s*", r#"{"a":1,"c":1}"#, true),
    ("  s1: {a: 1}\n  s2: {b: 1}\n  s3: {c: 1}\n  condition: 2 of s*", r#"{"a":1}"#, false),
];

#[test]
fn traps() {
    let mut wrong = String::new();
    for (detection, event, wanted) in TRAPS {
        let rules = rules(&rule(detection));
        if matches(&rules, event) != *wanted {
            writeln!(wrong, "{detection}\n  on {event} must be {wanted}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_match_names_the_fields_that_made_it() {
    let rules = rules(&rule(
        "  s: {a|contains: x, b: [1, 2]}\n  k: [word]\n  f: {c: 1}\n  condition: s and k and not f",
    ));
    let batch = event(r#"{"a":"axb","b":2,"c":3,"event.original":"a word"}"#);
    let mut evaluator = Evaluator::new(rules);
    let found = evaluator.matches(batch.get(0).unwrap(), None);
    insta::assert_debug_snapshot!(found[0].fields);
}
