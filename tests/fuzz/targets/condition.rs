//! Conditions: any text between known selections loads or is refused.
#![no_main]

use keng_rules_engine::load_text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|condition: &str| {
    // A block scalar takes any line as it is.
    let condition = condition.replace(['\n', '\r', '\0'], " ");
    let yaml = format!(
        "title: t\nid: t\nlogsource: {{}}\ndetection:\n  selection: {{a: 1}}\n  \
         sel_one: {{b|contains: x}}\n  sel_two: [k, l]\n  filter_main: {{c: null}}\n  \
         _hidden: {{d: 1}}\n  condition: |-\n    {condition}\n"
    );
    let loaded = load_text("fuzz.yml", &yaml, &[]);
    assert!(loaded.rules.len() + loaded.problems.len() >= 1, "nothing is skipped in silence");
});
