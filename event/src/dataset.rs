//! What a dataset tells the other stages about itself.
//!
//! Each parser in `ingest` describes its dataset once, as a constant; the binary hands the list
//! to the rules engine and the indexer, which bind Sigma's field names to ours when a rule is
//! compiled or a query is parsed. Nothing is stored twice for the sake of a second name.

/// One kind of source, named as in `event.dataset`.
#[derive(Clone, Copy, Debug)]
pub struct Dataset {
    /// For example `linux.auth`.
    pub name: &'static str,
    /// The Sigma log sources whose rules apply to it.
    pub log_sources: &'static [LogSource],
    /// The names that Sigma rules use for its fields, and ours.
    pub aliases: &'static [Alias],
    /// Where a Sigma field that has no alias may be found under its own name, tried in order
    /// before the bare name (`winlog.event_data.`).
    pub prefixes: &'static [&'static str],
}

/// A Sigma log source. `None` in a part means that the part is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSource {
    /// Sigma's `product`, for example `linux`.
    pub product: Option<&'static str>,
    /// Sigma's `category`, for example `process_creation`.
    pub category: Option<&'static str>,
    /// Sigma's `service`, for example `sshd`.
    pub service: Option<&'static str>,
    /// Which events of the dataset belong to it; all conditions must hold. Empty: all events.
    pub guards: &'static [Guard],
}

/// A condition on one field: it has one of these values (letter case ignored).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Our field name.
    pub field: &'static str,
    /// The values, as text.
    pub any_of: &'static [&'static str],
}

/// A Sigma field name and our names for it: the first that the event has is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The name in Sigma rules, for example `CommandLine`.
    pub sigma: &'static str,
    /// Our names, for example `process.command_line`.
    pub fields: &'static [&'static str],
}
