//! JSON that arrives in its vendor's own words: audit logs of clouds and services, honeypots,
//! clusters, application and web server logs.
//!
//! Each dataset is one row of a table ([`Vendor`]): how a record of it is told from others, which
//! of its members have ECS names, what it means. Every member stays under the vendor's own name,
//! for those are the names that Sigma's rules use; ECS names stand beside them. What such a row
//! cannot say is a short function of its own, and what needs more than that is no row but a
//! parser.
//!
//! | field | holds |
//! |---|---|
//! | `event.action`, `event.outcome`, `event.category`, `event.type` | what happened |
//! | `user.name`, `user.id`, `source.ip`, `user_agent.original` | who, from where |
//! | `cloud.provider`, `cloud.account.id`, `cloud.region`, `organization.name` | where |
//! | any | the vendor's own member of that name |

mod amazon;
mod application;
mod azure;
mod development;
mod google;
mod identity;
mod kubernetes;
mod macos;
mod microsoft365;
mod opencanary;
mod shape;
mod web;

use jiff::tz::TimeZone;
use keng_event::dataset::Alias;
use keng_event::field::Field;
use keng_event::{Dataset, EventBuilder, Kind, LogSource, Value, field};

use super::endpoint::{DESTINATION, SOURCE};
use super::meaning::Meaning;
use super::members::Members;
use super::{Defect, JsonParser, generic, stamp};
use crate::parse::JsonRecord;
use crate::time;
use shape::Shape;

/// One dataset.
pub(super) struct Vendor {
    pub(super) dataset: Dataset,
    /// How a record is told: any of these fits.
    shapes: &'static [Shape],
    /// Members that hold the time, the best first.
    times: &'static [&'static str],
    /// Whether a time without an offset is UTC; else it is the sender's.
    utc: bool,
    /// Our names and theirs; of several for one of ours the first is taken that the record has.
    names: &'static [(&'static str, &'static str)],
    /// What every event of it has.
    constants: &'static [(Field, &'static str)],
    meaning: Meaning,
    verdict: Verdict,
    /// What the row cannot say.
    derive: fn(&Members, &mut EventBuilder<'_>),
}

/// Where a record says how it went.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    /// Nowhere.
    Unsaid,
    /// A member names an error if there was one.
    ErrorNamed(&'static str),
    /// One of these members has words for it.
    Words { names: &'static [&'static str], success: &'static [&'static str] },
    /// An HTTP status; from 400 on it failed.
    Status(&'static str),
}

/// All rows; of several that fit a record the first is taken.
const TABLES: &[&[Vendor]] = &[
    amazon::TABLE,
    azure::TABLE,
    google::TABLE,
    microsoft365::TABLE,
    identity::TABLE,
    development::TABLE,
    kubernetes::TABLE,
    opencanary::TABLE,
    macos::TABLE,
    web::TABLE,
    application::TABLE,
];

/// The datasets of all rows.
pub(super) fn datasets() -> impl Iterator<Item = Dataset> {
    rows().map(|vendor| vendor.dataset)
}

fn rows() -> impl Iterator<Item = &'static Vendor> {
    TABLES.iter().copied().flatten()
}

pub(super) const PARSER: JsonParser = JsonParser { claims, parse };

impl Vendor {
    /// A row whose events are called by `name` and belong to `log_sources`.
    const fn new(
        name: &'static str,
        log_sources: &'static [LogSource],
        aliases: &'static [Alias],
    ) -> Self {
        Self {
            // The empty prefix: any field may be there under the vendor's own name.
            dataset: Dataset { name, log_sources, aliases, prefixes: &[""] },
            shapes: &[],
            times: &[],
            utc: false,
            names: &[],
            constants: &[],
            meaning: Meaning::new("", &["host"], &["info"]),
            verdict: Verdict::Unsaid,
            derive: |_, _| {},
        }
    }
}

const fn product(product: &'static str, service: &'static str) -> LogSource {
    LogSource { product: Some(product), category: None, service: Some(service), guards: &[] }
}

const fn category(product: Option<&'static str>, category: &'static str) -> LogSource {
    LogSource { product, category: Some(category), service: None, guards: &[] }
}

const fn called(sigma: &'static str, fields: &'static [&'static str]) -> Alias {
    Alias { sigma, fields }
}

fn claims(members: &Members) -> bool {
    shape::find(members).is_some()
}

fn parse(
    members: &Members,
    record: &JsonRecord<'_>,
    event: &mut EventBuilder<'_>,
) -> Option<Defect> {
    let vendor = shape::find(members)?;
    event.put(field::EVENT_DATASET, vendor.dataset.name);
    let zone = if vendor.utc { &TimeZone::UTC } else { record.zone };
    let claimed =
        vendor.times.iter().find_map(|name| stamp::read(members.get(name)?, zone, record.received));
    if let Some(claimed) = claimed {
        time::settle(event, claimed, record.received);
    }
    for (field, value) in vendor.constants {
        event.put(*field, *value);
    }
    for (name, value) in members.iter() {
        // Ours is the word on what it is.
        if name != "event.dataset" {
            generic::put(name, value, event);
        }
    }
    put_names(vendor.names, members, event);
    (vendor.derive)(members, event);
    vendor.verdict.put(members, event);
    vendor.meaning.put(event);
    None
}

/// Puts members under our names, too.
fn put_names(
    names: &[(&'static str, &'static str)],
    members: &Members,
    event: &mut EventBuilder<'_>,
) {
    for (ours, theirs) in names {
        let taken = Field::named(ours).is_some_and(|field| event.has(field));
        let Some(value) = members.get(theirs).filter(|_| !taken) else { continue };
        match (*ours, value) {
            ("source.ip", Value::Str(host)) => SOURCE.put_host(peer(host, event), event),
            ("destination.ip", Value::Str(host)) => DESTINATION.put_host(host, event),
            (_, Value::Str("" | "-") | Value::I64(-1)) => {}
            (name, Value::Str(text)) if field::kind_of(name) == Kind::Long => {
                if let Ok(number) = text.trim().parse::<i64>() {
                    event.put_named(name, number);
                }
            }
            (name, value) => {
                event.put_named(name, value);
            }
        }
    }
}

/// The address of `192.0.2.1:4711` and `[2001:db8::1]:4711`, as some clouds write them; the port
/// goes where ports go.
fn peer<'h>(host: &'h str, event: &mut EventBuilder<'_>) -> &'h str {
    match host.rsplit_once(':') {
        Some((address, port)) if !address.contains(':') || address.ends_with(']') => {
            SOURCE.put_port(port, event);
            address
        }
        _ => host,
    }
}

impl Verdict {
    fn put(self, members: &Members, event: &mut EventBuilder<'_>) {
        let good = match self {
            Self::Unsaid => None,
            Self::ErrorNamed(name) => Some(!members.has(name)),
            Self::Status(name) => members.number(name).map(|status| status < 400),
            Self::Words { names, success } => names
                .iter()
                .find_map(|name| members.get(name))
                .map(|value| value.to_text())
                .filter(|text| !text.is_empty())
                .map(|text| success.iter().any(|word| word.eq_ignore_ascii_case(&text))),
        };
        let told = good.filter(|_| !event.has(field::EVENT_OUTCOME));
        event.put_some(
            field::EVENT_OUTCOME,
            told.map(|good| if good { "success" } else { "failure" }),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sound() {
        for vendor in rows() {
            let name = vendor.dataset.name;
            vendor.meaning.check();
            assert!(!vendor.shapes.is_empty(), "nothing tells {name}");
            for (ours, _) in vendor.names {
                assert!(Field::named(ours).is_some(), "{name}: {ours} is no field of ours");
            }
            let aliases = vendor.dataset.aliases;
            let sorted = aliases.windows(2).all(|pair| pair[0].sigma < pair[1].sigma);
            assert!(sorted, "{name}: aliases are not sorted, or not unique");
        }
    }
}
