//! The states of rules on disk: `DATA/rule-states.json`.
//!
//! Written beside the old file, synced and renamed, so that a crash leaves the one or the other.
//! A damaged file is set aside by the node and said: rules are then as the node knows them, or on.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::Context;
use keng_rules_engine::RuleStates;
use serde::{Deserialize, Serialize};

/// Name of the file in the data directory.
const FILE: &str = "rule-states.json";

/// Version of the file's form.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    rules: RuleStates,
}

/// Reads what was decided; nothing was where there is no file. `known` takes the place of a file
/// that is damaged, which is then set aside; where nothing is known, such a file is an error.
///
/// # Errors
/// When the file is there and cannot be used, or not be set aside.
pub(crate) fn load(data: &Path, known: Option<&RuleStates>) -> anyhow::Result<RuleStates> {
    let path = data.join(FILE);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if known.is_some_and(|known| !known.0.is_empty()) {
                tracing::warn!(path = %path.display(), "the states of rules are gone: all are on");
            }
            return Ok(RuleStates::default());
        }
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    match (parse(&bytes), known) {
        (Ok(states), _) => Ok(states),
        (Err(error), None) => Err(error).with_context(|| {
            format!("reading {}: mend it, or remove it to have every rule on", path.display())
        }),
        (Err(error), Some(known)) => {
            let aside = path.with_extension("damaged");
            tracing::error!(
                path = %path.display(), kept_as = %aside.display(), error = format!("{error:#}"),
                "the states of rules are unreadable: those that the node does not know are on"
            );
            fs::rename(&path, &aside)
                .with_context(|| format!("setting {} aside", path.display()))?;
            if !known.0.is_empty() {
                // Without a file, the next reload would turn every rule on.
                save(&path, known).with_context(|| format!("writing {}", path.display()))?;
            }
            Ok(known.clone())
        }
    }
}

fn parse(bytes: &[u8]) -> anyhow::Result<RuleStates> {
    let stored: Stored = serde_json::from_slice(bytes)?;
    anyhow::ensure!(stored.version == VERSION, "it is of version {}", stored.version);
    Ok(stored.rules)
}

/// Changes what was decided, and gives what is decided now. `known` is as in [`load`].
///
/// # Errors
/// When the disk refuses; nothing is changed then.
pub(crate) fn update(
    data: &Path,
    known: Option<&RuleStates>,
    change: impl FnOnce(&mut RuleStates),
) -> anyhow::Result<RuleStates> {
    let _alone = super::hold(data)?;
    let mut states = load(data, known)?;
    change(&mut states);
    let path = data.join(FILE);
    save(&path, &states).with_context(|| format!("writing {}", path.display()))?;
    Ok(states)
}

fn save(path: &Path, states: &RuleStates) -> anyhow::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    let stored = Stored { version: VERSION, rules: states.clone() };
    file.write_all(&serde_json::to_vec_pretty(&stored)?)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use keng_event::Timestamp;
    use keng_rules_engine::{Decided, Decision, RuleState};

    fn off(by: &str) -> Decided {
        let decision =
            Decision { by: by.to_owned(), at: Timestamp::EPOCH, note: Some("ồn".to_owned()) };
        Decided { state: RuleState::Off, decision }
    }

    #[test]
    fn what_was_decided_comes_back() {
        let data = tempfile::tempdir().unwrap();
        let none = RuleStates::default();
        assert_eq!(load(data.path(), None).unwrap(), none);
        let turn_off = |id: &str| {
            let id = id.to_owned();
            update(data.path(), None, |states| drop(states.0.insert(id, off("lan")))).unwrap()
        };
        turn_off("a");
        let both = turn_off("b");
        assert_eq!((both.of("a"), both.of("c")), (RuleState::Off, RuleState::On));
        assert_eq!(load(data.path(), None).unwrap(), both);
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_what_is_known_goes_on() {
        let data = tempfile::tempdir().unwrap();
        let mut known = RuleStates::default();
        known.0.insert("a".to_owned(), off("lan"));
        for damaged in [&b"{"[..], b"", br#"{"version":9,"rules":{}}"#, b"\xff"] {
            fs::write(data.path().join(FILE), damaged).unwrap();
            // Who knows nothing touches nothing.
            assert!(load(data.path(), None).is_err());
            assert!(update(data.path(), None, |_| {}).is_err());
            for _reload in 0..2 {
                assert_eq!(load(data.path(), Some(&known)).unwrap(), known);
            }
            assert_eq!(fs::read(data.path().join("rule-states.damaged")).unwrap(), damaged);
        }
        // The next decision is written with what was known.
        fs::write(data.path().join(FILE), "{").unwrap();
        let now = update(data.path(), Some(&known), |states| {
            drop(states.0.insert("b".into(), off("x")));
        });
        assert_eq!(now.unwrap().0.len(), 2);
        assert_eq!(load(data.path(), None).unwrap().0.len(), 2);
    }
}
