//! Field names: which stored fields a typed name stands for, and what an unknown one may have
//! meant.

use std::collections::BTreeSet;

use keng_event::spelling::edits;
use keng_event::{Dataset, Field};

use super::Context;

/// The names that a bare value is compared with besides the text of the event.
pub(super) const NAME_FIELDS: &[&str] =
    &["process.name", "related.hash", "related.hosts", "related.user"];

/// The addresses that a bare address or network is looked for among.
pub(super) const ADDRESS_FIELD: &str = "related.ip";

/// Fields that every event has outside its record.
const HEADER: &[&str] = &["@timestamp", "event.id", "event.ingested"];

/// What a typed name stands for.
pub(super) struct Resolved {
    /// The stored fields, any of which may hold the value; at least one.
    pub(super) fields: Vec<String>,
    /// Whether the catalogue, a dataset or a stored event knows the name.
    pub(super) known: bool,
}

/// Expands the aliases of Sigma and of vendors. A name of the catalogue is only itself.
pub(super) fn resolve(name: &str, context: &Context<'_>) -> Resolved {
    if is_catalogued(name) {
        return Resolved { fields: vec![name.to_owned()], known: true };
    }
    let mut fields = BTreeSet::new();
    for dataset in context.datasets {
        let prefixes = || dataset.prefixes.iter();
        let short = prefixes().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
        for alias in dataset.aliases.iter().filter(|alias| alias.sigma == short) {
            fields.extend(alias.fields.iter().map(|field| (*field).to_owned()));
        }
        let stored = prefixes().map(|prefix| format!("{prefix}{name}"));
        fields.extend(stored.filter(|name| context.known_fields.contains(name)));
    }
    let known = !fields.is_empty() || context.known_fields.contains(name);
    // Events that no dataset recognised keep their fields under their own names.
    fields.insert(name.to_owned());
    Resolved { fields: fields.into_iter().collect(), known }
}

/// Whether a name without a dot is a field's.
pub(super) fn is_field(name: &str, datasets: &[Dataset]) -> bool {
    let aliased = |dataset: &Dataset| dataset.aliases.iter().any(|alias| alias.sigma == name);
    is_catalogued(name) || datasets.iter().any(aliased)
}

fn is_catalogued(name: &str) -> bool {
    HEADER.contains(&name) || Field::named(name).is_some()
}

/// The known name that is most like an unknown one, if any is like it.
pub(super) fn suggest(name: &str, context: &Context<'_>) -> Option<String> {
    let aliases = context.datasets.iter().flat_map(|dataset| dataset.aliases);
    let mut names: Vec<&str> = context.known_fields.iter().map(String::as_str).collect();
    names.extend(HEADER.iter().map(|name| -> &str { name }));
    names.extend(Field::all().map(|field| -> &str { field.name() }));
    names.extend(aliases.map(|alias| -> &str { alias.sigma }));
    let wanted = plain(name);
    let furthest = wanted.len() / 4;
    names
        .into_iter()
        .map(|known| (likeness(&wanted, &plain(known)), known))
        .filter(|((distance, _), _)| *distance <= furthest)
        .min()
        .map(|(_, known)| known.to_owned())
}

/// Smaller is more alike: edits, then how much longer the known name is. A name that lacks only
/// its last part (`host` for `host.name`) is as good as a spelling of it.
fn likeness(wanted: &str, known: &str) -> (usize, usize) {
    let longer = known.len().saturating_sub(wanted.len());
    if known.strip_prefix(wanted).is_some_and(|rest| rest == "name") {
        return (0, longer);
    }
    (edits(wanted, known), longer)
}

/// The name without what people write differently: case, separators, short forms.
fn plain(name: &str) -> String {
    let parts = name.split(['.', '_', '-', '@']).map(|part| match &*part.to_lowercase() {
        "src" => "source".to_owned(),
        "dst" | "dest" => "destination".to_owned(),
        "addr" => "address".to_owned(),
        "hostname" => "hostname".to_owned(),
        "username" => "username".to_owned(),
        "proto" => "protocol".to_owned(),
        other => expand(other),
    });
    parts.collect()
}

/// `srcip` and `dstport` are written in one.
fn expand(part: &str) -> String {
    for (short, long) in [("src", "source"), ("dst", "destination")] {
        if let Some(rest @ ("ip" | "port" | "mac" | "host" | "user")) = part.strip_prefix(short) {
            return format!("{long}{rest}");
        }
    }
    part.to_owned()
}
