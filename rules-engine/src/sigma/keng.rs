//! The `keng` key: our additions, which never change what plain Sigma means.

use std::time::Duration;

use super::yaml::{Node, Yaml};
use super::{Fault, exception};
use crate::limits;
use crate::test_case::{Expectation, TestEvent};

/// What stands under `keng`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Keng {
    pub(crate) tests: Vec<Test>,
    pub(crate) suppress: Option<Suppress>,
    pub(crate) group_by: Vec<String>,
    pub(crate) runbook: Option<String>,
    /// Until the rule takes them.
    pub(crate) exceptions: Vec<exception::Written>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Test {
    pub(crate) line: u64,
    pub(crate) name: String,
    pub(crate) events: Vec<TestEvent>,
    pub(crate) expect: Expectation,
}

/// After a finding, further ones with the same field values are held back for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Suppress {
    pub(crate) by: Vec<String>,
    pub(crate) period: Duration,
    pub(crate) keys_max: usize,
}

pub(crate) fn parse(node: &Node) -> Result<Keng, Fault> {
    let mut keng = Keng::default();
    for (key, value) in node.map("`keng`")? {
        match key.name.as_str() {
            "tests" => {
                keng.tests = list(value, "`tests`")?.iter().map(test).collect::<Result<_, _>>()?
            }
            "suppress" => keng.suppress = Some(suppress(value)?),
            "group_by" => keng.group_by = value.texts("`group_by`")?,
            "exceptions" => {
                let all = list(value, "`exceptions`")?.iter().map(exception::parse);
                keng.exceptions = all.collect::<Result<_, _>>()?;
            }
            "runbook" => keng.runbook = Some(value.text("`runbook`")?.trim().to_owned()),
            other => {
                return Err(Fault::new(key.line, format!("`keng` has no `{other}`"))
                    .hint("it has tests, exceptions, suppress, group_by and runbook"));
            }
        }
    }
    Ok(keng)
}

fn list<'n>(node: &'n Node, what: &str) -> Result<&'n [Node], Fault> {
    match &node.value {
        Yaml::List(items) if items.len() <= limits::TESTS_MAX => Ok(items),
        Yaml::List(_) => Err(Fault::new(node.line, format!("{what} has too many entries"))),
        _ => Err(Fault::new(node.line, format!("{what} must be a list, not {}", node.kind()))),
    }
}

fn test(node: &Node) -> Result<Test, Fault> {
    let mut name = None;
    let mut events = Vec::new();
    let mut expect = None;
    for (key, value) in node.map("a test")? {
        match key.name.as_str() {
            "name" => name = Some(value.text("`name`")?),
            "events" => {
                events = list(value, "`events`")?.iter().map(event).collect::<Result<_, _>>()?;
            }
            "expect" => expect = Some(expectation(value)?),
            other => {
                return Err(Fault::new(key.line, format!("a test has no `{other}`"))
                    .hint("it has name, events and expect"));
            }
        }
    }
    let (Some(name), Some(expect)) = (name, expect) else {
        return Err(Fault::new(node.line, "a test needs `name` and `expect`"));
    };
    if events.is_empty() {
        return Err(Fault::new(node.line, "a test needs at least one event"));
    }
    Ok(Test { line: node.line, name, events, expect })
}

fn event(node: &Node) -> Result<TestEvent, Fault> {
    match &node.value {
        Yaml::Text(text) => Ok(TestEvent::Raw(text.clone())),
        Yaml::Map(_) => Ok(TestEvent::Json(node.to_json().to_string())),
        _ => Err(Fault::new(node.line, "an event is a raw record (text) or a map of fields")),
    }
}

/// `match`, `none` or `{matches: 2}`, alone or as the only entry of a list.
fn expectation(node: &Node) -> Result<Expectation, Fault> {
    let hint = "write match, none or {matches: 2}";
    match &node.value {
        Yaml::List(items) if items.len() == 1 => {
            items.first().map_or_else(|| Ok(Expectation::None), expectation)
        }
        Yaml::Text(word) if word == "match" => Ok(Expectation::Match),
        Yaml::Text(word) if word == "none" => Ok(Expectation::None),
        Yaml::Map(entries) => match entries.as_slice() {
            [(key, count)] if key.name == "matches" => {
                Ok(Expectation::Matches(count.count("`matches`")?))
            }
            _ => Err(Fault::new(node.line, "this is no expectation").hint(hint)),
        },
        _ => Err(Fault::new(node.line, "this is no expectation").hint(hint)),
    }
}

fn suppress(node: &Node) -> Result<Suppress, Fault> {
    let (mut by, mut period, mut keys_max) = (Vec::new(), None, limits::SUPPRESSED_KEYS_MAX);
    for (key, value) in node.map("`suppress`")? {
        match key.name.as_str() {
            "by" => by = value.texts("`by`")?,
            "for" => period = Some(duration(value)?),
            "max_keys" => {
                keys_max = usize::try_from(value.count("`max_keys`")?).unwrap_or(usize::MAX);
            }
            other => {
                return Err(Fault::new(key.line, format!("`suppress` has no `{other}`"))
                    .hint("it has by, for and max_keys"));
            }
        }
    }
    let Some(period) = period else {
        return Err(Fault::new(node.line, "`suppress` needs `for`, for example 10m"));
    };
    if keys_max == 0 || keys_max > 100 * limits::SUPPRESSED_KEYS_MAX {
        return Err(Fault::new(node.line, "`max_keys` is out of range"));
    }
    Ok(Suppress { by, period, keys_max })
}

fn duration(node: &Node) -> Result<Duration, Fault> {
    let text = node.text("`for`")?;
    let parsed = text.parse::<jiff::SignedDuration>().ok();
    parsed.and_then(|period| Duration::try_from(period).ok()).filter(|p| !p.is_zero()).ok_or_else(
        || Fault::new(node.line, format!("'{text}' is not a duration")).hint("write 10m or 1h 30m"),
    )
}
