//! What is allowed, and yet hardly meant: warnings that `keng rules check` tells.
//!
//! Lints look at one document. What needs the whole set (titles used twice, filters that apply
//! to nothing) is found by the loader.

use keng_event::{Dataset, Field, LogSource, Timestamp};

use super::item::{Detection, Tree};
use super::test::{Part, Pattern};
use super::yaml::{Node, Yaml};
use crate::limits;

/// A warning; the loader adds file and rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remark {
    pub(crate) code: &'static str,
    pub(crate) line: u64,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// From when on it is true; absent where it always is.
    pub(crate) since: Option<Timestamp>,
}

impl Remark {
    pub(crate) fn new(code: &'static str, line: u64, message: impl Into<String>) -> Self {
        Self { code, line, message: message.into(), hint: None, since: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn since(mut self, at: Timestamp) -> Self {
        self.since = Some(at);
        self
    }
}

/// What a rule says about itself.
pub(crate) fn about(document: &Node) -> Vec<Remark> {
    let mut remarks = Vec::new();
    match document.get("id") {
        None => remarks.push(
            Remark::new("no-id", document.line, "the rule has no `id`")
                .hint("add a random UUID; until then its alerts change their id with its meaning"),
        ),
        Some(Node { value: Yaml::Text(id), .. }) if is_uuid(id) => {}
        Some(node) => remarks.push(
            Remark::new("id-not-uuid", node.line, "the `id` is no UUID")
                .hint("Sigma recommends random UUIDs, so that sets of rules can be put together"),
        ),
    }
    let tags = document.get("tags").and_then(|tags| tags.texts("`tags`").ok()).unwrap_or_default();
    if !tags.iter().any(|tag| tag.to_lowercase().starts_with("attack.")) {
        let line = document.get("tags").map_or(document.line, |tags| tags.line);
        let remark = Remark::new("no-attack-tag", line, "no tag names an ATT&CK technique");
        remarks.push(remark.hint("add for example `attack.t1110`; coverage is counted by it"));
    }
    remarks
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// How the values of a section (`detection`, `filter`) are written.
pub(crate) fn values(section: &Node) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let Yaml::Map(entries) = &section.value else { return remarks };
    for (key, node) in entries {
        if !["condition", "timeframe", "rules"].contains(&key.name.as_str()) {
            selection(node, &mut remarks);
        }
    }
    remarks
}

/// How the values of a rule's exceptions are written.
pub(crate) fn excepted(document: &Node) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let written = document.get("keng").and_then(|keng| keng.get("exceptions"));
    if let Some(Yaml::List(exceptions)) = written.map(|node| &node.value) {
        let selections = exceptions.iter().filter_map(|exception| exception.get("selection"));
        selections.for_each(|node| selection(node, &mut remarks));
    }
    remarks
}

fn selection(node: &Node, remarks: &mut Vec<Remark>) {
    match &node.value {
        Yaml::Map(entries) => {
            for (key, value) in entries {
                let mut words = key.name.split('|');
                let keywords = words.next() == Some("");
                item(keywords, &words.collect::<Vec<_>>(), value, remarks);
            }
        }
        Yaml::List(parts) => {
            for part in parts {
                match part.value {
                    Yaml::Map(_) => selection(part, remarks),
                    _ => item(true, &[], part, remarks),
                }
            }
        }
        _ => item(true, &[], node, remarks),
    }
}

fn item(keywords: bool, modifiers: &[&str], value: &Node, remarks: &mut Vec<Remark>) {
    let (list, values) = match &value.value {
        Yaml::List(items) => (true, items.as_slice()),
        _ => (false, std::slice::from_ref(value)),
    };
    let has = |word: &str| modifiers.contains(&word);
    if has("all") && values.len() < 2 {
        remarks.push(Remark::new("all-of-one", value.line, "`all` stands before a single value"));
    }
    let texts = !["re", "cidr", "fieldref", "in_list", "base64", "base64offset", "expand"]
        .iter()
        .any(|word| has(word));
    for node in values {
        if list && node.value == Yaml::Null {
            remarks.push(
                Remark::new(
                    "null-in-list",
                    node.line,
                    "null stands in a list, which Sigma forbids",
                )
                .hint("write a selection of its own and join the two with `or`"),
            );
        }
        let (true, Ok(text)) = (texts, node.text("a value")) else { continue };
        let pattern = Pattern::parse(&text);
        if keywords {
            remarks.extend(short(&pattern, &text, node.line));
        }
        let (first, last) = (pattern.parts.first(), pattern.parts.last());
        let before = first == Some(&Part::Any) && (has("contains") || has("endswith"));
        let behind = last == Some(&Part::Any) && (has("contains") || has("startswith"));
        if before || behind {
            remarks.push(
                Remark::new(
                    "redundant-wildcard",
                    node.line,
                    format!("the `*` of '{text}' is said by the modifier"),
                )
                .hint("leave it out, or escape it if the star itself is looked for"),
            );
        }
    }
}

fn short(pattern: &Pattern, text: &str, line: u64) -> Option<Remark> {
    let longest = pattern.parts.iter().map(|part| match part {
        Part::Text(text) => text.chars().count(),
        Part::Any | Part::One => 0,
    });
    let short = longest.max().unwrap_or(0) < limits::KEYWORD_LENGTH_MIN;
    short.then(|| {
        Remark::new("short-keyword", line, format!("the keyword '{text}' is in most messages"))
            .hint("write a longer one, or look in a field")
    })
}

/// Selections that no condition names.
pub(crate) fn unreachable(detection: &Detection) -> Vec<Remark> {
    let used = detection.condition.leaves();
    let numbered = detection.selections.iter().enumerate();
    let unused = numbered.filter(|(number, _)| !used.contains(number));
    unused
        .map(|(_, selection)| {
            let message = format!("the condition never asks for `{}`", selection.name);
            Remark::new("unreachable-selection", selection.line, message)
                .hint("name it in `condition`, or take it out")
        })
        .collect()
}

/// Whether a name is built like those that datasets give to what ECS has no field for
/// (`sshd.method`): below a name of their own. Which there are, only their parsers know.
fn is_of_dataset(name: &str) -> bool {
    let Some((root, _)) = name.split_once('.') else { return false };
    let below =
        |field: Field| field.name().strip_prefix(root).is_some_and(|rest| rest.starts_with('.'));
    !Field::all().any(below)
}

/// Fields that no event of the rule's log source has, where the log source is one that we parse.
pub(crate) fn fields(detection: &Detection, datasets: &[Dataset]) -> Vec<Remark> {
    let applies = |dataset: &&Dataset| {
        dataset.log_sources.iter().any(|source| detection.logsource.covers(source))
    };
    let datasets: Vec<&Dataset> = datasets.iter().filter(applies).collect();
    let mut remarks = Vec::new();
    // What keeps fields under the source's own names may have any, and so may events that name
    // their log source themselves.
    let named = |source: &LogSource| {
        let own = ["product", "category", "service"];
        detection.logsource.covers(source)
            && source.guards.iter().any(|guard| own.contains(&guard.field))
    };
    let open =
        |dataset: &&Dataset| !dataset.prefixes.is_empty() || dataset.log_sources.iter().any(named);
    if datasets.is_empty() || datasets.iter().any(open) {
        return remarks;
    }
    let known = |name: &str| {
        Field::named(name).is_some()
            || is_of_dataset(name)
            || datasets
                .iter()
                .flat_map(|dataset| dataset.aliases)
                .any(|alias| alias.sigma == name || alias.fields.contains(&name))
    };
    let mut told: Vec<String> = Vec::new();
    let trees = detection.selections.iter().map(|selection| &selection.tree);
    trees.for_each(|tree: &Tree| {
        tree.items(&mut |item| {
            let Some(name) = item.field.as_deref().filter(|name| !known(name)) else { return };
            if !told.iter().any(|other| other == name) {
                told.push(name.to_owned());
                let names: Vec<_> = datasets.iter().map(|dataset| dataset.name).collect();
                let message = format!("no event of {} has the field `{name}`", names.join(", "));
                remarks.push(
                    Remark::new("unknown-field", item.line, message)
                        .hint("use Sigma's name for it, ours (ECS), or a pipeline that maps it"),
                );
            }
        });
    });
    remarks
}
