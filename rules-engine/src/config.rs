//! Settings of detection (`[rules]`).

use std::path::PathBuf;

use keng_event::{ByteSize, Span};
use serde::Deserialize;

use crate::limits;

/// Settings of detection.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Rule files and directories (searched for `*.yml` and `*.yaml`).
    pub paths: Vec<PathBuf>,
    /// Processing pipelines (pySigma's YAML files) that change every rule before it is compiled,
    /// applied by their priority and then in this order.
    pub pipelines: Vec<PathBuf>,
    /// The folder of value lists, which rules look into with `|in_list: name`: files named
    /// `NAME.txt` with one entry a line, or `NAME.csv`, whose first column is taken. Read with the
    /// rules and at every reload.
    pub lists: Option<PathBuf>,
    /// How far behind its source's newest event an event may be and still be put in its place in
    /// a correlation window; also how long a window stays open beyond its end.
    pub allowed_lateness: Span,
    /// Memory for the state of all correlation rules together.
    pub state_max: ByteSize,
    /// Memory for the state of one correlation rule: a flood that one rule counts must not push
    /// out the state of all others.
    pub state_per_rule_max: ByteSize,
    /// Threads that evaluate rules. One keeps up with what a small server can take in and index;
    /// more are of use where processors are idle while detection lags behind.
    pub threads: usize,
}

impl Config {
    /// What is wrong with the settings.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.threads != self.threads() {
            wrong.push(format!(
                "[rules] threads = {}: write how many threads are to evaluate rules, 1 to {}",
                self.threads,
                limits::THREADS_MAX
            ));
        }
        if self.state_per_rule_max > self.state_max {
            wrong.push(format!(
                "[rules] state_per_rule_max = \"{}\" is more than state_max = \"{}\": make it \
                 smaller, or the other larger",
                self.state_per_rule_max, self.state_max
            ));
        }
        wrong
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads.clamp(1, limits::THREADS_MAX)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            pipelines: Vec::new(),
            lists: None,
            allowed_lateness: Span::from_seconds(30),
            state_max: ByteSize::mebibytes(256),
            state_per_rule_max: ByteSize::mebibytes(64),
            threads: 1,
        }
    }
}
