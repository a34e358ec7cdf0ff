//! Recorded logs, read in place: what the parsers must understand of them.

use super::*;

/// The recorded logs that the tests read in place; `None`, said by name, where they are absent.
fn corpus(name: &str) -> Option<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/loghub");
    match std::fs::read(Path::new(folder).join(name)) {
        Ok(text) => Some(text),
        Err(error) => {
            // The one place in tests that must know whether a missing part is allowed.
            assert!(option_env!("CI") != Some("true"), "{name}: {error}");
            println!("skipped: {name} is not here");
            None
        }
    }
}

/// How many of a corpus' lines fell to each dataset, and what each event must hold to.
fn shares(
    name: &str,
    check: impl Fn(EventRef<'_>),
) -> Option<std::collections::BTreeMap<String, usize>> {
    let text = corpus(name)?;
    let records: Vec<&[u8]> =
        text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let batch = events(&records);
    assert_eq!(batch.len(), records.len());
    let mut shares = std::collections::BTreeMap::new();
    for event in batch.iter() {
        *shares.entry(event.text("event.dataset").unwrap().to_owned()).or_insert(0) += 1;
        check_event(event);
        check(event);
    }
    println!("{name}: {shares:?}");
    Some(shares)
}

/// The address that a line names after `from ` or `rhost=`, read without our parsers.
fn named_address(line: &str) -> Option<std::net::IpAddr> {
    ["from ", "rhost="].iter().find_map(|word| {
        let rest = line.rsplit_once(word)?.1;
        rest.split([' ', ':', ',']).next()?.parse().ok()
    })
}

#[test]
fn every_line_of_a_busy_ssh_server_has_action_and_source() {
    let shares = shares("OpenSSH_2k.log", |event| {
        let line = event.text("event.original").unwrap();
        assert!(event.text("event.action").is_some(), "no action: {line}");
        if let Some(address) = named_address(line) {
            assert_eq!(event.get("source.ip"), Some(Value::Ip(address)), "{line}");
        }
        if line.contains("Failed ")
            || line.contains("authentication failure")
            || line.contains("nvalid user")
        {
            assert_eq!(event.text("event.outcome"), Some("failure"), "{line}");
        }
    });
    if let Some(shares) = shares {
        assert_eq!(shares.keys().collect::<Vec<_>>(), ["linux.auth"]);
    }
}

#[test]
fn every_login_line_of_an_old_host_is_understood() {
    let shares = shares("Linux_2k.log", |event| {
        let line = event.text("event.original").unwrap();
        if line.contains("pam_unix") || line.contains("sshd") {
            assert_eq!(event.text("event.dataset"), Some("linux.auth"), "{line}");
            assert!(event.text("event.action").is_some(), "no action: {line}");
            assert!(event.text("event.outcome").is_some(), "no outcome: {line}");
        }
        if let Some(address) = named_address(line).filter(|_| line.contains("rhost=")) {
            assert_eq!(event.get("source.ip"), Some(Value::Ip(address)), "{line}");
        }
    });
    if let Some(shares) = shares {
        let auth = shares.get("linux.auth").copied().unwrap_or(0);
        assert!(auth >= 1_700, "{shares:?}");
    }
}

#[test]
fn apache_s_error_log_is_understood() {
    let shares = shares("Apache_2k.log", |event| {
        assert_eq!(event.text("event.dataset"), Some("web.error"), "{}", event.to_json());
        assert!(event.text("log.level").is_some());
    });
    if let Some(shares) = shares {
        assert_eq!(shares.get("web.error"), Some(&2_000));
    }
}

#[test]
fn a_mac_s_log_stays_generic_but_for_its_kernel() {
    if let Some(shares) = shares("Mac_2k.log", |_| ()) {
        assert!(
            shares.keys().all(|name| name == "generic" || name == "linux.kernel"),
            "{shares:?}"
        );
    }
}

/// SigmaHQ's regression events: each must come out as the event that its rule asks for.
#[test]
fn recorded_windows_events_keep_every_value() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/sigma/regression.ndjson");
    let Ok(text) = std::fs::read_to_string(path) else {
        assert!(option_env!("CI") != Some("true"), "{path} is missing");
        println!("skipped: regression.ndjson is not here");
        return;
    };
    let mut checked = 0;
    for line in text.lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        for recorded in case["events"].as_array().unwrap() {
            let raw = recorded.to_string();
            let batch = events(&[raw.as_bytes()]);
            let event = batch.get(0).unwrap();
            check_event(event);
            let name = event.text("event.dataset").unwrap();
            let dataset =
                crate::dataset::all().iter().find(|dataset| dataset.name == name).unwrap();
            for (sigma, value) in recorded["Event"]["EventData"].as_object().unwrap() {
                let wanted = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let found = by_sigma_name(event, dataset, sigma);
                assert_eq!(found.as_deref(), Some(&*wanted), "{sigma} of {raw}");
                checked += 1;
            }
        }
    }
    assert!(checked > 1_000, "{checked}");
}

/// What a rule finds under Sigma's name: the first alias, else behind a prefix, else bare.
fn by_sigma_name(event: EventRef<'_>, dataset: &Dataset, sigma: &str) -> Option<String> {
    let alias = dataset.aliases.iter().find(|alias| alias.sigma == sigma);
    let aliases = alias.into_iter().flat_map(|alias| alias.fields).map(|name| (*name).to_owned());
    let prefixed = dataset.prefixes.iter().map(|prefix| format!("{prefix}{sigma}"));
    aliases
        .chain(prefixed)
        .chain(std::iter::once(sigma.to_owned()))
        .find_map(|name| event.get(&name).map(|value| value.to_text().into_owned()))
}
