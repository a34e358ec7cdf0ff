//! Settings of detection (`[rules]`).

use std::path::PathBuf;

use jiff::SignedDuration;
use serde::Deserialize;

/// Settings of detection.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Rule files and directories (searched for `*.yml` and `*.yaml`).
    pub paths: Vec<PathBuf>,
    /// How far behind its source's newest event an event may be and still be put in its place in
    /// a correlation window; also how long a window stays open beyond its end.
    pub allowed_lateness: SignedDuration,
    /// Memory for the state of all correlation rules together, in bytes.
    pub state_bytes_max: usize,
    /// Memory for the state of one correlation rule, in bytes: one rule under a flood must not
    /// push out the state of all others.
    pub state_bytes_per_rule_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            allowed_lateness: SignedDuration::from_secs(30),
            state_bytes_max: 256 * 1024 * 1024,
            state_bytes_per_rule_max: 64 * 1024 * 1024,
        }
    }
}
