//! The settings of a whole node: composed of each crate's own, read from one TOML file.
//!
//! Every setting has a default and a sentence in `keng.toml` beside this crate. Unknown keys and
//! wrong values are errors with file, line and remedy, all of them at once. Relative paths are
//! taken from the folder of the file. Secrets are never in it: a setting names the file that
//! holds one.
//!
//! Nobody but the binary depends on this crate; each crate is handed its own part.

mod bus;
mod problem;

use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use bus::{BusKind, BusSettings, KafkaSettings, WhenFull};
pub use problem::{Problem, Problems};

/// Where the file is looked for when none is named.
pub const PLACES: [&str; 2] = ["config/keng.toml", "/etc/keng/keng.toml"];

/// Most errors told at once.
const PROBLEMS_MAX: usize = 50;

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
        self.rules.paths.iter_mut().for_each(anchor);
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
        wrong.extend(self.http.check().err().map(|error| format!("[http] {error}")));
        wrong.extend(self.alerting().problems().into_iter().map(|error| error.to_string()));
        wrong.extend(self.ingest().check().into_iter().map(|error| error.to_string()));
        wrong.extend(self.bus.check());
        wrong
    }
}

/// Reads the settings from `path`, or from the first of [`PLACES`] that exists, or takes the
/// defaults where there is no file at all.
///
/// # Errors
/// Everything that is wrong with the file, with places and remedies.
pub fn load(path: Option<&Path>) -> Result<Settings, Problems> {
    let found = || PLACES.iter().map(PathBuf::from).find(|place| place.exists());
    let Some(path) = path.map(Path::to_owned).or_else(found) else {
        return Ok(Settings::default());
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Problems::one(&path, None, format!("cannot be read: {error}")))?;
    let mut settings = parse(&path, &text)?;
    settings.anchor(path.parent().unwrap_or(Path::new("")));
    match settings.check() {
        wrong if wrong.is_empty() => Ok(settings),
        wrong => Err(Problems::of(&path, wrong)),
    }
}

/// Reads the text, going on behind an error so that all of them are told at once.
///
/// # Errors
/// Every unknown key and every value of a wrong type.
pub fn parse(path: &Path, text: &str) -> Result<Settings, Problems> {
    let mut left = text.to_owned();
    let mut problems = Problems::default();
    loop {
        let error = match toml::from_str::<Settings>(&left) {
            Ok(settings) if problems.is_empty() => return Ok(settings),
            Ok(_) => return Err(problems),
            Err(error) => error,
        };
        let place = error.span().and_then(|span| text.get(..span.start));
        let line = place.map(|before| before.matches('\n').count());
        problems.push(Problem::of_toml(path, line.map(|line| line + 1), error.message()));
        // Without the line at fault, the rest can be judged too. What spans several lines, or was
        // looked at before, ends the search.
        let blanked = line.and_then(|line| without_line(&left, line));
        match blanked {
            Some(next)
                if problems.len() < PROBLEMS_MAX
                    && toml::from_str::<toml::Table>(&next).is_ok() =>
            {
                left = next;
            }
            _ => return Err(problems),
        }
    }
}

/// The text with line number `line` (from 0) blanked; offsets stay. `None` if it is blank.
fn without_line(text: &str, line: usize) -> Option<String> {
    let chosen = text.lines().nth(line)?;
    if chosen.trim().is_empty() {
        return None;
    }
    let blank = " ".repeat(chosen.len());
    let lines: Vec<&str> = text
        .lines()
        .enumerate()
        .map(|(number, content)| if number == line { blank.as_str() } else { content })
        .collect();
    Some(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        parse(Path::new("keng.toml"), text).unwrap_err().to_string()
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
