//! Field names of rules, numbered, and where their values lie in events.
//!
//! A rule says `CommandLine`; an event of a dataset has it as the dataset's aliases say, an event
//! of unknown origin under one of the names that Windows exporters are known to use. Which names
//! of a batch mean which fields is resolved once per batch ([`Bindings::resolve`]).

use std::collections::BTreeSet;
use std::sync::OnceLock;

use keng_event::{Batch, Dataset, FieldIndex};

use crate::text::FastMap;

/// A field name that some rule speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FieldId(pub(crate) u32);

impl FieldId {
    /// Stands for the whole log message.
    pub(crate) const KEYWORDS: Self = Self(0);

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// All field names, each once.
#[derive(Debug)]
pub(crate) struct Fields {
    names: Vec<Box<str>>,
    by_name: FastMap<Box<str>, FieldId>,
}

impl Default for Fields {
    fn default() -> Self {
        // The first number is taken by the keywords.
        Self { names: vec!["".into()], by_name: FastMap::default() }
    }
}

impl Fields {
    pub(crate) fn intern(&mut self, name: &str) -> FieldId {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        // Rules are bounded far below 2^32 tests.
        let id = FieldId(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        self.names.push(name.into());
        self.by_name.insert(name.into(), id);
        id
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn name(&self, id: FieldId) -> &str {
        self.names.get(id.index()).map_or("", |name| name)
    }

    fn iter(&self) -> impl Iterator<Item = (FieldId, &str)> {
        let numbered = self.names.iter().enumerate().skip(1);
        numbered.map(|(n, name)| (FieldId(u32::try_from(n).unwrap_or(u32::MAX)), &**name))
    }
}

/// Under which prefixes an event of unknown origin may have a Sigma field, besides its own name:
/// Winlogbeat, `evtx_dump -o jsonl`, and other exporters of the Windows event XML.
const RAW_PREFIXES: [&str; 6] =
    ["winlog.event_data.", "Event.EventData.", "Event.System.", "EventData.", "System.", "winlog."];

/// `UserData` has the name of the event between itself and the fields.
const USER_DATA: [&str; 2] = ["Event.UserData.", "winlog.user_data."];

/// Names that are neither the Sigma name nor the Sigma name behind a prefix.
const RAW_ALIASES: [(&str, &[&str]); 3] = [
    ("Provider_Name", &["winlog.provider_name", "Event.System.Provider.#attributes.Name"]),
    ("EventID", &["winlog.event_id", "event.code", "Event.System.EventID.#text"]),
    ("Computer", &["winlog.computer_name"]),
];

/// Fields that every event has outside its record.
pub(crate) const HEADERS: [&str; 2] = ["@timestamp", "event.ingested"];

/// Which event fields are bound to which rule field, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bound {
    field: FieldId,
    rank: u8,
}

type Names = FastMap<Box<str>, Vec<Bound>>;

/// The bindings of every dataset and of events of unknown origin, each made when the first such
/// event comes: few of many datasets are met on one node.
#[derive(Debug, Default)]
pub(crate) struct Bindings {
    datasets: Vec<OnceLock<Names>>,
    raw: OnceLock<Names>,
}

/// Whose binding to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Dataset(usize),
    Raw,
}

impl Bindings {
    pub(crate) fn new(datasets: &[Dataset]) -> Self {
        let mut bindings = Self::default();
        bindings.datasets.resize_with(datasets.len(), OnceLock::new);
        bindings
    }

    fn names(&self, origin: Origin, fields: &Fields, datasets: &[Dataset]) -> Option<&Names> {
        match origin {
            Origin::Raw => Some(self.raw.get_or_init(|| bind(fields, raw))),
            Origin::Dataset(index) => {
                let dataset = datasets.get(index)?;
                let names = || bind(fields, |name| of_dataset(name, dataset));
                Some(self.datasets.get(index)?.get_or_init(names))
            }
        }
    }

    /// Looks the names of a batch up.
    pub(crate) fn resolve(
        &self,
        origin: Origin,
        batch: &Batch,
        fields: &Fields,
        datasets: &[Dataset],
    ) -> Resolved {
        let mut resolved = Resolved::default();
        let Some(names) = self.names(origin, fields, datasets) else { return resolved };
        for name in batch.field_names() {
            let Some(index) = batch.index_of(name) else { continue };
            if name != "event.original" && !name.starts_with("related.") {
                resolved.haystacks.push(index);
            }
            for bound in lookup(names, origin, name) {
                resolved.stored.push((index, bound.field, bound.rank));
            }
        }
        resolved.stored.sort_unstable();
        for header in HEADERS {
            if let (Some(index), Some(bound)) = (batch.index_of(header), names.get(header)) {
                resolved.always.extend(bound.iter().map(|bound| (index, bound.field, bound.rank)));
            }
        }
        resolved.original = batch.index_of("event.original");
        resolved
    }
}

fn lookup<'n>(names: &'n Names, origin: Origin, name: &str) -> &'n [Bound] {
    let direct = names.get(name);
    let found = direct.or_else(|| match origin {
        Origin::Raw => names.get(within_user_data(name)?),
        Origin::Dataset(_) => None,
    });
    found.map_or(&[], Vec::as_slice)
}

/// The name of a field within `UserData`, without the name of the event.
pub(crate) fn within_user_data(name: &str) -> Option<&str> {
    let rest = USER_DATA.iter().find_map(|prefix| name.strip_prefix(prefix))?;
    rest.split_once('.').map(|(_, field)| field)
}

/// Every name under which an event of any origin may have a rule's field, besides those
/// [`within_user_data`].
pub(crate) fn stored_names(name: &str, datasets: &[Dataset]) -> BTreeSet<String> {
    datasets.iter().flat_map(|dataset| of_dataset(name, dataset)).chain(raw(name)).collect()
}

fn of_dataset(name: &str, dataset: &Dataset) -> Vec<String> {
    let aliases = dataset.aliases.iter().filter(|alias| alias.sigma == name);
    let aliased = aliases.flat_map(|alias| alias.fields).map(|field| (*field).to_owned());
    let prefixed = dataset.prefixes.iter().map(|prefix| format!("{prefix}{name}"));
    aliased.chain(prefixed).chain([name.to_owned()]).collect()
}

fn raw(name: &str) -> Vec<String> {
    let known = RAW_ALIASES.iter().filter(|(sigma, _)| *sigma == name);
    let known = known.flat_map(|(_, names)| *names).map(|name| (*name).to_owned());
    let prefixed = RAW_PREFIXES.iter().map(|prefix| format!("{prefix}{name}"));
    [name.to_owned()].into_iter().chain(prefixed).chain(known).collect()
}

fn bind(fields: &Fields, candidates: impl Fn(&str) -> Vec<String>) -> Names {
    let mut names = Names::default();
    for (field, name) in fields.iter() {
        for (rank, candidate) in candidates(name).into_iter().enumerate() {
            let rank = u8::try_from(rank).unwrap_or(u8::MAX);
            let bound = names.entry(candidate.into()).or_default();
            if !bound.iter().any(|bound| bound.field == field) {
                bound.push(Bound { field, rank });
            }
        }
    }
    names
}

/// The names of one batch, resolved for one origin.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    /// Sorted, as the entries of an event are.
    pub(crate) stored: Vec<(FieldIndex, FieldId, u8)>,
    /// Fields of the header, which every event has.
    pub(crate) always: Vec<(FieldIndex, FieldId, u8)>,
    /// The raw record.
    pub(crate) original: Option<FieldIndex>,
    /// Fields that are searched for keywords where the raw record cannot be; sorted.
    pub(crate) haystacks: Vec<FieldIndex>,
}
