//! `huawei.vrp`: Huawei's routers and switches (`%%01BGP/3/BGP_AUTH_FAILED(l)[12]:…`).
//!
//! | field | holds |
//! |---|---|
//! | `event.code` | module, severity and mnemonic as written: `BGP/3/BGP_AUTH_FAILED` |
//! | `event.severity`, `log.level` | 0–7, its name |
//! | `huawei.vrp.module`, `huawei.vrp.mnemonic` | its parts |
//! | `message` | the text |

use keng_event::{Dataset, EventBuilder, LogSource, field};

use super::meaning::Meaning;
use super::{Defect, TextParser, level_name};
use crate::parse::TextRecord;

pub(super) const DATASET: Dataset = Dataset {
    name: "huawei.vrp",
    log_sources: &[
        // BGP fails in records of other modules, too (TCP, SOCKET): its rules look for the port.
        LogSource { product: Some("huawei"), category: None, service: Some("bgp"), guards: &[] },
    ],
    aliases: &[],
    prefixes: &["huawei.vrp."],
};

pub(super) const PARSER: TextParser = TextParser { dataset: &DATASET, claims, parse };

const EVENT: Meaning = Meaning::new("", &["host"], &["info"]);
const ROUTING: Meaning = Meaning::new("", &["network"], &["protocol", "info"]);

const UNREADABLE: Defect = Defect {
    tag: "huawei.vrp.unreadable",
    reason: "after '%%01' no module, severity and mnemonic",
};

/// What every record begins with: two signs and the version of the layout.
const MARK: &str = "%%01";

fn claims(record: &TextRecord<'_>) -> bool {
    record.appname.is_some_and(|name| name.starts_with(MARK)) || record.text.starts_with(MARK)
}

fn parse(record: &TextRecord<'_>, event: &mut EventBuilder<'_>) -> Option<Defect> {
    event.put(field::OBSERVER_VENDOR, "Huawei").put(field::OBSERVER_PRODUCT, "VRP");
    let tag = record.appname.filter(|name| name.starts_with(MARK)).unwrap_or(record.text);
    let code = tag.trim_start_matches(MARK).split(['(', '[', ':', ' ']).next().unwrap_or_default();
    let mut parts = code.splitn(3, '/');
    let (Some(module), Some(severity), Some(mnemonic)) =
        (parts.next(), parts.next().and_then(|digit| digit.parse::<u8>().ok()), parts.next())
    else {
        EVENT.put(event);
        return Some(UNREADABLE);
    };
    event.put(field::EVENT_CODE, code);
    event.put(field::EVENT_SEVERITY, i64::from(severity));
    event.put(field::LOG_LEVEL, level_name(severity));
    event.put_named("huawei.vrp.module", module).put_named("huawei.vrp.mnemonic", mnemonic);
    if matches!(module, "BGP" | "OSPF" | "ISIS" | "LDP" | "TCP" | "RM") { ROUTING } else { EVENT }
        .put(event);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_meanings_are_ecs() {
        [EVENT, ROUTING].iter().for_each(Meaning::check);
    }
}
