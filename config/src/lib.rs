//! The settings of a whole node: composed of each crate's own, read from one TOML file.
//!
//! Every setting has a default and a sentence in `keng.toml` beside this crate. Unknown keys and
//! wrong values are errors with file, line and remedy, all of them at once. Relative paths are
//! taken from the folder of the file. Secrets are never in it: a setting names the file that
//! holds one.
//!
//! Nobody but the binary depends on this crate; each crate is handed its own part.

mod bus;
mod listen;
mod place;
mod problem;
mod sections;

use std::path::{Path, PathBuf};

use keng_event::unit::ByteSize;
use serde::Deserialize;

pub use bus::{BusKind, BusSettings, KafkaSettings, WhenFull};
pub use problem::{Problem, Problems};

/// Where the file is looked for when none is named.
pub const PLACES: [&str; 2] = ["config/keng.toml", "/etc/keng/keng.toml"];

/// Everything that a user can set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The node itself.
    pub node: NodeSettings,
    /// The road between the stages.
    pub bus: BusSettings,
    /// What is listened to.
    pub ingest: keng_ingest::Config,
    /// What is known about senders.
    pub source: Vec<keng_ingest::SourceConfig>,
    /// Detection.
    pub rules: keng_rules_engine::Config,
    /// The index.
    pub index: keng_indexer::Config,
    /// Alerts and people.
    pub alerting: keng_alerting::Settings,
    /// Ways to reach people and programs.
    pub channel: Vec<keng_alerting::ChannelConfig>,
    /// Which alert goes to which channels.
    pub route: Vec<keng_alerting::RouteConfig>,
    /// The HTTP interface.
    pub http: keng_api::Config,
}

/// `[node]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeSettings {
    /// What is written to standard error: error, warn, info, debug, trace, or a filter such as
    /// `info,keng_ingest=debug`.
    pub log: String,
}

impl Default for NodeSettings {
    fn default() -> Self {
        Self { log: "info".to_owned() }
    }
}

/// Words of a filter that stand for themselves.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl NodeSettings {
    /// A level with a slip in it would be taken for the name of a part, and all others fall silent.
    fn check(&self) -> Option<String> {
        let known = |part: &&str| part.contains(['=', '[']) || LEVELS.contains(part);
        let strange = self.log.split(',').map(str::trim).find(|part| !known(part))?;
        Some(format!(
            "[node] log = \"{}\": `{strange}` is no level: write one of {}, or part=level",
            self.log,
            LEVELS.join(", ")
        ))
    }
}

impl Settings {
    /// What alerting is given: its section and the channels and routes.
    #[must_use]
    pub fn alerting(&self) -> keng_alerting::Config {
        keng_alerting::Config {
            alerting: self.alerting.clone(),
            channel: self.channel.clone(),
            route: self.route.clone(),
        }
    }

    /// What ingest is given: its section and the senders that were named.
    #[must_use]
    pub fn ingest(&self) -> keng_ingest::Config {
        keng_ingest::Config { source: self.source.clone(), ..self.ingest.clone() }
    }

    /// Turns relative paths into ones from the folder of the file.
    fn anchor(&mut self, folder: &Path) {
        let anchor = |path: &mut PathBuf| {
            if path.is_relative() {
                *path = folder.join(&*path);
            }
        };
        let keng_rules_engine::Config { paths, pipelines, lists, .. } = &mut self.rules;
        paths.iter_mut().chain(pipelines).chain(lists).for_each(anchor);
        [&mut self.http.tls_certificate, &mut self.http.tls_key]
            .into_iter()
            .flatten()
            .for_each(anchor);
        self.bus.kafka.properties_file.iter_mut().for_each(anchor);
        self.channel.iter_mut().flat_map(keng_alerting::ChannelConfig::paths_mut).for_each(anchor);
        self.ingest.paths_mut().for_each(anchor);
    }

    /// Relations that no single section can see.
    fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        wrong.extend(self.node.check());
        wrong.extend(self.http.check().err().map(|error| error.to_string()));
        wrong.extend(self.alerting().problems().into_iter().map(|error| error.to_string()));
        wrong.extend(self.ingest().check().into_iter().map(|error| error.to_string()));
        wrong.extend(self.bus.check());
        wrong.extend(self.rules.check());
        wrong.extend(check_index(&self.index));
        wrong.extend(listen::clashes(&self.ingest, &self.http));
        wrong
    }
}

/// Two of the largest records; a tail that cannot hold a batch would stand still.
const TAIL_MIN: ByteSize = ByteSize::mebibytes(16);

fn check_index(index: &keng_indexer::Config) -> Vec<String> {
    let mut wrong = Vec::new();
    if index.tail_max < TAIL_MIN {
        wrong.push(format!(
            "[index] tail_max = \"{}\" is too little: at least \"{TAIL_MIN}\"",
            index.tail_max
        ));
    } else if index.seal_size > index.tail_max {
        wrong.push(format!(
            "[index] seal_size = \"{}\" is never reached with tail_max = \"{}\": make it smaller",
            index.seal_size, index.tail_max
        ));
    }
    if index.bucket.duration().is_zero() {
        wrong.push("[index] bucket = 0: write a span of time such as \"1h\"".to_owned());
    }
    wrong
}

/// A file that was looked through: what it sets, if it can be read at all, and what is wrong.
#[derive(Debug, Default)]
pub struct Examined {
    /// The settings; absent when a key or a type is wrong.
    pub settings: Option<Settings>,
    /// Every mistake that was found.
    pub problems: Problems,
}

/// Reads the settings from `path`, or from the first of [`PLACES`] that exists, or takes the
/// defaults where there is no file at all.
///
/// # Errors
/// Everything that is wrong with the file, with places and remedies.
pub fn load(path: Option<&Path>) -> Result<Settings, Problems> {
    match read(path, &|_| None) {
        Examined { settings: Some(settings), problems } if problems.is_empty() => Ok(settings),
        Examined { problems, .. } => Err(problems),
    }
}

/// Like [`load`], but gives settings that make no sense together as well, so that the files that
/// they name can be looked through in the same go; and tells what a node would do without.
#[must_use]
pub fn examine(path: Option<&Path>) -> Examined {
    read(path, &missing_lists)
}

/// A node refuses only the rules that look into lists which are not there.
fn missing_lists(settings: &Settings) -> Option<String> {
    let lists = settings.rules.lists.as_ref().filter(|lists| !lists.is_dir())?;
    Some(format!(
        "[rules] lists = \"{}\": there is no such folder: make it, or take the line out",
        lists.display()
    ))
}

fn read(path: Option<&Path>, also: &dyn Fn(&Settings) -> Option<String>) -> Examined {
    let found = || PLACES.iter().map(PathBuf::from).find(|place| place.exists());
    let Some(path) = path.map(Path::to_owned).or_else(found) else {
        return Examined { settings: Some(Settings::default()), problems: Problems::default() };
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            let problems = Problems::one(&path, None, format!("cannot be read: {error}"));
            return Examined { settings: None, problems };
        }
    };
    let mut settings = match sections::parse(&path, &text) {
        Ok(settings) => settings,
        Err(problems) => return Examined { settings: None, problems },
    };
    settings.anchor(path.parent().unwrap_or(Path::new("")));
    let mut wrong = settings.check();
    wrong.extend(also(&settings));
    let problems = Problems::of(&path, wrong, |message| place::line_of(&text, message));
    Examined { settings: Some(settings), problems }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        sections::parse(Path::new("keng.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn the_shipped_file_is_sound_and_says_the_defaults() {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/keng.toml"));
        let settings = load(Some(path)).unwrap();
        assert!(!settings.rules.paths.is_empty());
        assert!(settings.rules.paths.iter().all(|rules| rules.exists()), "{settings:?}");
    }

    #[test]
    fn all_errors_are_told_at_once_with_line_and_remedy() {
        let text = "[node]\nlgo = \"info\"\n\n[http]\nlisten = 8642\n\n[bus]\nkind = \"disc\"\n";
        insta_like(&refused(text), &["keng.toml:2", "`log`", "keng.toml:5", "keng.toml:8", "disk"]);
    }

    #[test]
    fn a_wrong_value_does_not_make_its_neighbours_wrong() {
        let text = "[http]\nlisten = \"here\"\n[[source]]\nname = \"fw\"\n\
                    networks = [\"10.0.0.0/99\"]\ntime_zone = \"Asia/Ho_Chi_Minh\"\n\
                    [bus]\nkind = \"disc\"\n";
        let told = refused(text);
        assert_eq!(told.lines().count(), 3, "{told}");
        insta_like(&told, &["keng.toml:2", "127.0.0.1:8642", "keng.toml:5", "/32", "keng.toml:8"]);
    }

    #[test]
    fn a_section_that_lacks_a_setting_does_not_hide_the_rest() {
        let told = refused("[[source]]\nname = \"fw\"\n[bus]\nkind = \"disc\"\n");
        insta_like(&told, &["keng.toml:1", "`networks`", "keng.toml:4"]);
    }

    #[test]
    fn an_index_that_would_stand_still_is_told() {
        for (text, told) in [
            ("tail_max = \"1B\"", "tail_max"),
            ("seal_size = \"2GiB\"\ntail_max = \"1GiB\"", "seal_size"),
            ("bucket = \"0s\"", "bucket"),
        ] {
            let text = format!("[index]\n{text}\n");
            let settings = sections::parse(Path::new("keng.toml"), &text).unwrap();
            let wrong = settings.check();
            assert!(wrong.len() == 1 && wrong[0].contains(told), "{wrong:?}");
        }
        assert_eq!(Settings::default().check(), [""; 0]);
    }

    #[test]
    fn detection_without_threads_or_with_too_many_is_told() {
        for (threads, sound) in [(0, false), (1, true), (64, true), (65, false)] {
            let text = format!("[rules]\nthreads = {threads}\n");
            let settings = sections::parse(Path::new("keng.toml"), &text).unwrap();
            let wrong = settings.check();
            assert_eq!(wrong.is_empty(), sound, "{wrong:?}");
            let named = |told: &String| told.starts_with(&format!("[rules] threads = {threads}: "));
            assert!(wrong.iter().all(named), "{wrong:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keng.toml");
        let text = "[rules]\n# threads = 1\nlists = \"no-lists\"\nstate_per_rule_max = \"1GiB\"\n\
                    threads = 0\n[node]\nlog = \"verbose\"\n[index]\nbucket = \"0s\"\n";
        std::fs::write(&path, text).unwrap();
        let told = examine(Some(&path)).problems.to_string();
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), 5, "{told}");
        for (line, part) in [
            ("keng.toml:3: [rules] lists", "no-lists\": there is no such folder: make it"),
            ("keng.toml:4: [rules] state_per_rule_max", "more than state_max = \"256MiB\": make"),
            ("keng.toml:5: [rules] threads", "1 to 64"),
            ("keng.toml:7: [node] log", "no level"),
            ("keng.toml:9: [index] bucket", "1h"),
        ] {
            let found = lines.iter().any(|told| told.contains(line) && told.contains(part));
            assert!(found, "'{line}', '{part}' are missing in:\n{told}");
        }
        // A node starts without lists, and tells it of the rules that look into them.
        assert!(!load(Some(&path)).unwrap_err().to_string().contains("lists"));
        let zones = "[ingest]\ntime_zone = \"UTC\"\n[[source]]\nname = \"a\"\nnetworks = []\n\
                     [[source]]\nname = \"b\"\nnetworks = []\ntime_zone = \"Asia/Hanoi2\"\n";
        std::fs::write(&path, zones).unwrap();
        let told = examine(Some(&path)).problems.to_string();
        assert!(told.contains("keng.toml:9: `source.time_zone`: 'Asia/Hanoi2'"), "{told}");
        // Where only the other of two is set, and where the section is written otherwise.
        for (text, line) in [
            ("[node]\n[rules]\nthreads = 2\nstate_max = \"1MiB\"\n", 4),
            ("rules.state_max = \"1MiB\"\n", 1),
            ("\nrules = { state_max = \"1MiB\" }\n", 2),
        ] {
            std::fs::write(&path, text).unwrap();
            let told = examine(Some(&path)).problems.to_string();
            assert!(told.contains(&format!("keng.toml:{line}: [rules] state_per_rule")), "{told}");
        }
    }

    #[test]
    fn a_wrong_type_is_told_in_words() {
        for (text, told) in [
            ("[rules]\nthreads = \"two\"\n", "expected a whole number"),
            ("[rules]\nthreads = -1\n", "expected a whole number"),
            ("[rules]\nthreads = 1.5\n", "expected a whole number"),
            ("[rules]\npaths = \"rules\"\n", "expected a list in brackets"),
            ("[node]\nlog = 1\n", "expected a text"),
            ("node = 1\n", "expected a section of settings"),
        ] {
            let said = refused(text);
            assert!(said.ends_with(told), "{said}");
        }
    }

    #[test]
    fn a_level_that_is_none_is_told() {
        for (log, sound) in
            [("info", true), ("info,keng_ingest=debug", true), ("verbose", false), ("inf", false)]
        {
            let settings = NodeSettings { log: log.to_owned() };
            assert_eq!(settings.check().is_none(), sound, "{log}");
        }
    }

    #[test]
    fn broken_toml_is_told_with_its_line() {
        insta_like(&refused("[node]\nlog = \"info\n"), &["keng.toml:2"]);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = load(Some(Path::new("no/such/keng.toml"))).unwrap_err().to_string();
        insta_like(&error, &["no/such/keng.toml", "cannot be read"]);
    }

    fn insta_like(text: &str, parts: &[&str]) {
        for part in parts {
            assert!(text.contains(part), "'{part}' is missing in:\n{text}");
        }
    }
}
