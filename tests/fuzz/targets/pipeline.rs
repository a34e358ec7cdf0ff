//! Processing pipelines: any file is applied or refused, and rules then load or are refused.
#![no_main]

use keng_rules_engine::Config;
use libfuzzer_sys::fuzz_target;

const RULES: &str = "title: t\nid: t\nname: t\nlogsource: {product: windows, category: \
    process_creation}\ntags: [attack.t1059]\ndetection:\n  selection:\n    CommandLine|contains: \
    ['*x*', 'y%v%']\n    User|expand: '%admins%'\n    Hashes|contains: 'SHA1=AB'\n    n|gte: 5\n  \
    keywords: [k]\n  condition: selection or keywords\n---\ntitle: c\nid: c\ncorrelation: {type: \
    event_count, rules: [t], group-by: [User], timespan: 5m, condition: {gte: 3}}\n";

fuzz_target!(|yaml: &[u8]| {
    let Ok(file) = tempfile::NamedTempFile::with_suffix(".yml") else { return };
    if std::fs::write(file.path(), yaml).is_err() {
        return;
    }
    let config = Config { pipelines: vec![file.path().to_owned()], ..Config::default() };
    let loaded = config.load_text("fuzz.yml", RULES, &[]);
    assert!(loaded.rules.len() + loaded.problems.len() >= 1, "nothing is skipped in silence");
});
