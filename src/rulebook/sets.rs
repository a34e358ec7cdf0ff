//! Imported sets of rules: `DATA/rules/NAME.N`, of which the highest N counts.
//!
//! A set is written under a hidden name, synced, and renamed to the next N: that is the moment in
//! which it counts. A crash before it leaves the old set, one after it the new. What a crash
//! leaves behind is removed by the next import.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context;
use keng_event::Timestamp;
use keng_rules_engine::{Config, Loaded, RuleState};
use serde::{Deserialize, Serialize};

/// Folder in the data directory.
const FOLDER: &str = "rules";

/// What is known of a set, in its folder. Hidden, so that it is no rule.
const ABOUT: &str = ".about.json";

/// Longest name of a set.
const NAME_CHARACTERS_MAX: usize = 64;

/// An imported set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) name: String,
    number: u64,
    pub(crate) folder: PathBuf,
}

/// Where a set came from, and how its new rules begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    /// Folder or archive.
    pub(crate) source: String,
    /// When.
    pub(crate) imported_at: Timestamp,
    /// State of rules that an update brings.
    pub(crate) state: RuleState,
}

impl Set {
    /// What is known of it; nothing if that is lost.
    pub(crate) fn about(&self) -> Option<About> {
        serde_json::from_slice(&fs::read(self.folder.join(ABOUT)).ok()?).ok()
    }
}

/// The sets that count, by name.
pub(crate) fn list(data: &Path) -> Vec<Set> {
    let mut newest: BTreeMap<String, Set> = BTreeMap::new();
    for set in all(data) {
        let known = newest.get(&set.name).map_or(0, |known| known.number);
        if set.number > known {
            newest.insert(set.name.clone(), set);
        }
    }
    newest.into_values().collect()
}

/// Every folder of every set.
fn all(data: &Path) -> Vec<Set> {
    let entries = fs::read_dir(data.join(FOLDER)).into_iter().flatten().flatten();
    let set = |entry: fs::DirEntry| {
        let (name, number) = entry
            .file_name()
            .to_str()?
            .rsplit_once('.')
            .map(|(name, number)| (name.to_owned(), number.parse::<u64>()))?;
        check_name(&name).ok()?;
        entry.file_type().ok().filter(fs::FileType::is_dir)?;
        Some(Set { name, number: number.ok()?, folder: entry.path() })
    };
    entries.filter_map(set).collect()
}

/// The rules that the settings name with the imported sets behind them: of two rules with one id,
/// ours counts. No import takes a folder away while it is read.
pub(crate) fn load(config: &Config, data: &Path) -> Loaded {
    // Where no lock can be made (no data directory yet, one that is not ours), none is held.
    let _alone = super::hold(data).ok();
    let mut config = config.clone();
    config.paths.extend(list(data).into_iter().map(|set| set.folder));
    config.load(keng_ingest::dataset::all())
}

/// Whether a file belongs to an imported set.
pub(crate) fn holds(data: &Path, file: &str) -> bool {
    Path::new(file).starts_with(data.join(FOLDER))
}

/// Names are parts of file names, and typed.
///
/// # Errors
/// When it is none.
pub(crate) fn check_name(name: &str) -> anyhow::Result<()> {
    let fits = |letter: char| {
        letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_".contains(letter)
    };
    // A name that begins with a dash is an option to whoever types it.
    let begins = name.starts_with(|letter: char| letter.is_ascii_alphanumeric());
    anyhow::ensure!(
        begins && name.len() <= NAME_CHARACTERS_MAX && name.chars().all(fits),
        "'{name}' cannot be the name of a set: use up to {NAME_CHARACTERS_MAX} of a-z, 0-9, - and \
         _, a letter or digit first"
    );
    Ok(())
}

/// A set that is being written; removed again unless it is put in place.
#[derive(Debug)]
pub(crate) struct Staged {
    data: PathBuf,
    name: String,
    pub(crate) folder: PathBuf,
}

impl Drop for Staged {
    fn drop(&mut self) {
        // What cannot be removed now is by the next import.
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// An empty folder for a set, beside those that count.
///
/// # Errors
/// When the disk refuses.
pub(crate) fn stage(data: &Path, name: &str) -> anyhow::Result<Staged> {
    check_name(name)?;
    let folder = data.join(FOLDER).join(format!(".new-{name}-{}", std::process::id()));
    let make = || {
        sweep(&data.join(FOLDER));
        fs::create_dir_all(&folder)
    };
    make().with_context(|| format!("making {}", folder.display()))?;
    Ok(Staged { data: data.to_owned(), name: name.to_owned(), folder })
}

/// Removes what imports left behind that did not come to their end.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.rsplit_once('-').and_then(|(_, process)| process.parse::<u32>().ok());
        let ours = name.starts_with(".new-") || name.starts_with(".old-");
        let runs = |process: u32| {
            process != std::process::id() && Path::new(&format!("/proc/{process}")).exists()
        };
        if ours && !process.is_some_and(runs) {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

impl Staged {
    /// Makes the set count, durably, in place of the one of its name; gives its folder.
    ///
    /// # Errors
    /// When the disk refuses; the old set still counts then.
    pub(crate) fn put_in_place(self, about: &About) -> anyhow::Result<PathBuf> {
        let _alone = super::hold(&self.data)?;
        let old: Vec<Set> =
            all(&self.data).into_iter().filter(|set| set.name == self.name).collect();
        let number = old.iter().map(|set| set.number).max().unwrap_or(0) + 1;
        let place = self.data.join(FOLDER).join(format!("{}.{number}", self.name));
        let put = || {
            fs::write(self.folder.join(ABOUT), serde_json::to_vec_pretty(about)?)?;
            sync(&self.folder)?;
            fs::rename(&self.folder, &place)?;
            File::open(self.data.join(FOLDER))?.sync_all()
        };
        put().with_context(|| format!("putting {} in place", place.display()))?;
        old.into_iter().for_each(|set| drop(fs::remove_dir_all(set.folder)));
        Ok(place)
    }
}

/// Thousands of small files in one go: one by one would take a disk minutes.
#[cfg(target_os = "linux")]
fn sync(folder: &Path) -> std::io::Result<()> {
    nix::unistd::syncfs(File::open(folder)?).map_err(std::io::Error::from)
}

#[cfg(not(target_os = "linux"))]
fn sync(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync(&entry.path())?
        } else {
            File::open(entry.path())?.sync_all()?
        }
    }
    File::open(folder)?.sync_all()
}

/// Takes a set away. `false` if there is none of that name.
///
/// # Errors
/// When the disk refuses.
pub(crate) fn remove(data: &Path, name: &str) -> anyhow::Result<bool> {
    let _alone = super::hold(data)?;
    let mut folders: Vec<Set> = all(data).into_iter().filter(|set| set.name == name).collect();
    // The oldest first: the newest is what counts until it is gone.
    folders.sort_by_key(|set| set.number);
    let gone = data.join(FOLDER).join(format!(".old-{name}-{}", std::process::id()));
    for set in &folders {
        // Renamed first, so that a crash leaves no half of it.
        drop(fs::remove_dir_all(&gone));
        fs::rename(&set.folder, &gone)
            .and_then(|()| File::open(data.join(FOLDER))?.sync_all())
            .and_then(|()| fs::remove_dir_all(&gone))
            .with_context(|| format!("removing {}", set.folder.display()))?;
    }
    Ok(!folders.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About {
        About { source: "x.zip".to_owned(), imported_at: Timestamp::EPOCH, state: RuleState::Test }
    }

    fn import(data: &Path, name: &str, rule: &str) -> PathBuf {
        let staged = stage(data, name).unwrap();
        fs::write(staged.folder.join("a.yml"), rule).unwrap();
        staged.put_in_place(&about()).unwrap()
    }

    /// Name and rule of every set that counts.
    fn sets(data: &Path) -> Vec<(String, String)> {
        let read = |set: Set| (set.name, fs::read_to_string(set.folder.join("a.yml")).unwrap());
        list(data).into_iter().map(read).collect()
    }

    #[test]
    fn an_update_takes_the_place_of_what_was_there() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(sets(data.path()), []);
        import(data.path(), "sigma", "one");
        import(data.path(), "own", "own");
        import(data.path(), "sigma", "two");
        let both = [("own".into(), "own".into()), ("sigma".into(), "two".into())];
        assert_eq!(sets(data.path()), both);
        assert_eq!(list(data.path())[1].about(), Some(about()));
        assert!(remove(data.path(), "sigma").unwrap());
        assert!(!remove(data.path(), "sigma").unwrap());
        assert_eq!(sets(data.path()), [("own".into(), "own".into())]);
        let left = fs::read_dir(data.path().join(FOLDER)).unwrap().count();
        assert_eq!(left, 1);
    }

    #[test]
    fn a_crash_leaves_the_old_set_or_the_new() {
        let data = tempfile::tempdir().unwrap();
        let old = import(data.path(), "sigma", "old");
        // Killed while it wrote: the hidden folder counts for nothing.
        let staged = data.path().join(FOLDER).join(".new-sigma-4294967295");
        fs::create_dir(&staged).unwrap();
        fs::write(staged.join("a.yml"), "half").unwrap();
        assert_eq!(sets(data.path()), [("sigma".into(), "old".into())]);
        // Killed after the rename, before the old one was removed.
        let kept = data.path().join("kept");
        fs::rename(&old, &kept).unwrap();
        import(data.path(), "sigma", "new");
        fs::rename(&kept, data.path().join(FOLDER).join("sigma.0")).unwrap();
        assert_eq!(sets(data.path()), [("sigma".into(), "new".into())]);
        assert!(!staged.exists());
        import(data.path(), "sigma", "newest");
        assert_eq!(fs::read_dir(data.path().join(FOLDER)).unwrap().count(), 1);
    }

    #[test]
    fn rules_are_not_read_while_a_set_is_put_in_place() {
        let data = tempfile::tempdir().unwrap();
        let rule = "title: A\nid: a\nlogsource: {}\ndetection: {s: {x: 1}, condition: s}\n";
        let folder = import(data.path(), "sigma", rule);
        let alone = crate::rulebook::hold(data.path()).unwrap();
        let hidden = data.path().join("hidden");
        fs::rename(&folder, &hidden).unwrap();
        let (told, done) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let config = Config { paths: Vec::new(), ..Config::default() };
            let data = data.path();
            scope.spawn(move || told.send(load(&config, data).rules.len()).unwrap());
            // A reader that does not wait is done by now, and has seen nothing.
            let early = done.recv_timeout(std::time::Duration::from_millis(200));
            fs::rename(&hidden, &folder).unwrap();
            drop(alone);
            assert_eq!(early.or_else(|_| done.recv()), Ok(1));
        });
    }

    #[test]
    fn names_stay_within_their_folder() {
        for name in ["", "-x", "_", "..", "a/b", "a.b", "Sigma", &"x".repeat(65)] {
            assert!(check_name(name).is_err(), "{name}");
        }
        check_name("sigma_core-2026").unwrap();
        let data = tempfile::tempdir().unwrap();
        assert!(stage(data.path(), "../x").is_err());
        assert!(!remove(data.path(), "../x").unwrap());
    }

    #[test]
    fn what_is_not_put_in_place_leaves_nothing() {
        let data = tempfile::tempdir().unwrap();
        drop(stage(data.path(), "sigma").unwrap());
        assert_eq!(fs::read_dir(data.path().join(FOLDER)).unwrap().count(), 0);
    }
}
