//! Under which name a value of the event's data is kept.
//!
//! An ECS name is given only where the value stays letter for letter what it was, and where no
//! two values of one event share it; a test holds the tables to the latter. The tables are
//! chosen by dataset and event id, because `Image` is the process of one event and the target of
//! another.

use std::net::IpAddr;

use keng_event::{EventBuilder, Kind, Value, field};

use super::{DATA_PREFIX, Known, channel};
use crate::dataset::members::renamed;

type Names = &'static [(&'static str, &'static str)];

/// Sysmon, every event.
const SYSMON: Names = &[
    ("Image", "process.executable"),
    ("ProcessGuid", "process.entity_id"),
    ("ProcessId", "process.pid"),
];

/// Sysmon 1 (and 5).
const SYSMON_PROCESS: Names = &[
    ("CommandLine", "process.command_line"),
    ("CurrentDirectory", "process.working_directory"),
    ("Image", "process.executable"),
    ("LogonId", "winlog.logon.id"),
    ("OriginalFileName", "process.pe.original_file_name"),
    ("ParentCommandLine", "process.parent.command_line"),
    ("ParentImage", "process.parent.executable"),
    ("ParentProcessGuid", "process.parent.entity_id"),
    ("ParentProcessId", "process.parent.pid"),
    ("ProcessGuid", "process.entity_id"),
    ("ProcessId", "process.pid"),
];

/// Sysmon 3.
const SYSMON_CONNECTION: Names = &[
    ("DestinationHostname", "destination.domain"),
    ("DestinationIp", "destination.ip"),
    ("DestinationPort", "destination.port"),
    ("Image", "process.executable"),
    ("ProcessGuid", "process.entity_id"),
    ("ProcessId", "process.pid"),
    ("SourceHostname", "source.domain"),
    ("SourceIp", "source.ip"),
    ("SourcePort", "source.port"),
];

/// Sysmon 6.
const SYSMON_DRIVER: Names = &[("ImageLoaded", "file.path")];

/// Sysmon 7.
const SYSMON_IMAGE: Names = &[
    ("Image", "process.executable"),
    ("ImageLoaded", "dll.path"),
    ("ProcessGuid", "process.entity_id"),
    ("ProcessId", "process.pid"),
];

/// Sysmon 8 and 10, in which the source is the process that acts.
const SYSMON_ACCESS: Names = &[
    ("SourceImage", "process.executable"),
    ("SourceProcessGUID", "process.entity_id"),
    ("SourceProcessGuid", "process.entity_id"),
    ("SourceProcessId", "process.pid"),
];

/// Sysmon 2, 11, 15, 23, 26 to 29.
const SYSMON_FILE: Names = &[
    ("Image", "process.executable"),
    ("ProcessGuid", "process.entity_id"),
    ("ProcessId", "process.pid"),
    ("TargetFilename", "file.path"),
];

/// Sysmon 12 to 14.
const SYSMON_REGISTRY: Names = &[
    ("Details", "registry.data.strings"),
    ("Image", "process.executable"),
    ("ProcessGuid", "process.entity_id"),
    ("ProcessId", "process.pid"),
    ("TargetObject", "registry.path"),
];

/// Sysmon 22.
const SYSMON_DNS: Names = &[
    ("Image", "process.executable"),
    ("ProcessGuid", "process.entity_id"),
    ("ProcessId", "process.pid"),
    ("QueryName", "dns.question.name"),
];

/// Security 4688.
const SECURITY_PROCESS: Names = &[
    ("CommandLine", "process.command_line"),
    ("NewProcessName", "process.executable"),
    ("ParentProcessName", "process.parent.executable"),
];

/// Security, every other event.
const SECURITY: Names =
    &[("IpAddress", "source.ip"), ("IpPort", "source.port"), ("ProcessName", "process.executable")];

/// Defender writes names with blanks; they stay.
const NONE: Names = &[];

/// Channels whose values have no names of their own: evtx_dump calls each `Data`, Winlogbeat
/// counts them `param1`, `param2`, ….
const UNNAMED: [&str; 3] =
    ["windows.powershell_classic", "windows.application", "windows.msexchange_management"];

fn table(known: Known<'_>) -> Names {
    match (known.dataset, known.code) {
        (channel::SYSMON | channel::LINUX, code) => match code {
            "1" | "5" => SYSMON_PROCESS,
            "3" => SYSMON_CONNECTION,
            "6" => SYSMON_DRIVER,
            "7" => SYSMON_IMAGE,
            "8" | "10" => SYSMON_ACCESS,
            "2" | "11" | "15" | "23" | "26" | "27" | "28" | "29" => SYSMON_FILE,
            "12" | "13" | "14" => SYSMON_REGISTRY,
            "22" => SYSMON_DNS,
            _ => SYSMON,
        },
        (channel::SECURITY, "4688") => SECURITY_PROCESS,
        (channel::SECURITY, _) => SECURITY,
        _ => NONE,
    }
}

/// Puts a value under its name.
pub(super) fn put(known: Known<'_>, name: &str, value: Value<'_>, event: &mut EventBuilder<'_>) {
    let name = match name.strip_prefix("param") {
        Some(number) if UNNAMED.contains(&known.dataset) && number.parse::<u8>().is_ok() => "Data",
        _ => name,
    };
    match renamed(table(known), name).filter(|ours| free(ours, event)) {
        Some(ours) if exact(ours, value) => {
            event.put_named(ours, value);
        }
        Some(ours) => {
            // `::ffff:192.0.2.1` and `0:0:0:0:0:0:0:1` are addresses, but are written otherwise
            // in the field of that kind: rules find the text, searches the address.
            if let (Kind::Ip, Some(ip)) = (field::kind_of(ours), parsed(value)) {
                event.put_named(ours, ip);
            }
            vendor(name, value, event);
        }
        None => vendor(name, value, event),
    }
}

fn vendor(name: &str, value: Value<'_>, event: &mut EventBuilder<'_>) {
    event.put_named(&[DATA_PREFIX, name].concat(), value);
}

/// Whether the field is unused: a Winlogbeat that ran its own modules has filled some already.
fn free(name: &str, event: &EventBuilder<'_>) -> bool {
    field::Field::named(name).is_none_or(|field| field.is_list() || !event.has(field))
}

/// Whether the value reads the same after it was stored in that field.
fn exact(name: &str, value: Value<'_>) -> bool {
    let text = value.to_text();
    match field::kind_of(name) {
        Kind::Ip => parsed(value).is_some_and(|ip| ip.to_canonical().to_string() == *text),
        Kind::Long => text.parse::<i64>().is_ok_and(|number| number.to_string() == *text),
        // "-" stands for no name; it is none, and must not be gathered as one.
        _ => *text != *"-",
    }
}

fn parsed(value: Value<'_>) -> Option<IpAddr> {
    match value {
        Value::Str(text) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::members;

    const TABLES: [Names; 11] = [
        SYSMON,
        SYSMON_PROCESS,
        SYSMON_CONNECTION,
        SYSMON_DRIVER,
        SYSMON_IMAGE,
        SYSMON_ACCESS,
        SYSMON_FILE,
        SYSMON_REGISTRY,
        SYSMON_DNS,
        SECURITY_PROCESS,
        SECURITY,
    ];

    #[test]
    fn no_two_values_of_one_event_share_a_name() {
        for table in TABLES {
            members::tests::check(table);
            for (theirs, ours) in table {
                let same = table.iter().filter(|(name, other)| {
                    // Two spellings of one name, of which an event has either.
                    other == ours && !name.eq_ignore_ascii_case(theirs)
                });
                assert_eq!(same.count(), 0, "{theirs} and another are both {ours}");
            }
        }
    }

    #[test]
    fn every_renamed_value_can_be_found_by_its_sigma_name() {
        let aliases = channel::DATASETS.iter().find(|d| d.name == channel::SYSMON).unwrap().aliases;
        for (theirs, ours) in TABLES.concat() {
            let alias = aliases.iter().find(|alias| alias.sigma == theirs);
            let found = alias.is_some_and(|alias| alias.fields.contains(&ours));
            assert!(found, "{theirs} is kept as {ours}, but no alias says so");
        }
    }
}
