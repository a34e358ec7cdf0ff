//! How the same record looks from three shippers.

use keng_event::Value;
use keng_event::field::{self, Field};

use crate::dataset::members::Members;

/// Who rendered the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// `evtx_dump -o json`: `Event.System.…`, attributes under `#attributes` or `_attributes`.
    Evtx,
    /// Winlogbeat or Elastic Agent: `winlog.…` beside other ECS fields.
    Winlogbeat,
    /// NXLog and others: everything at the top.
    Flat,
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'n> {
    /// The event id.
    Code,
    /// The provider's name.
    Provider,
    /// The channel.
    Channel,
    /// The computer that wrote it.
    Computer,
    /// When.
    Time,
    /// Something else of the record's head, and our field for it.
    System(Field),
    /// A value of the event's data, by its own name.
    Data(&'n str),
    /// A member that goes by an ECS name.
    Foreign,
    /// Says nothing.
    Dropped,
}

use Part::{Channel, Code, Computer, Provider, System, Time};

/// Names under `Event.System.`, with `#attributes.` and `_attributes.` taken for the same.
const EVTX: &[(&str, Part<'_>)] = &[
    ("Channel", Channel),
    ("Computer", Computer),
    ("Correlation.ActivityID", System(field::WINLOG_ACTIVITY_ID)),
    ("EventID", Code),
    ("EventID.#text", Code),
    ("EventRecordID", System(field::WINLOG_RECORD_ID)),
    ("Execution.ProcessID", System(field::WINLOG_PROCESS_PID)),
    ("Execution.ThreadID", System(field::WINLOG_PROCESS_THREAD_ID)),
    ("Keywords", System(field::WINLOG_KEYWORDS)),
    ("Level", System(field::WINLOG_LEVEL)),
    ("Opcode", System(field::WINLOG_OPCODE)),
    ("Provider.Guid", System(field::WINLOG_PROVIDER_GUID)),
    ("Provider.Name", Provider),
    ("Security.UserID", System(field::WINLOG_USER_IDENTIFIER)),
    ("Task", System(field::WINLOG_TASK)),
    ("TimeCreated.SystemTime", Time),
    ("Version", System(field::WINLOG_VERSION)),
];

/// Winlogbeat's names that are not simply ours.
const WINLOGBEAT: &[(&str, Part<'_>)] = &[
    ("@timestamp", Time),
    ("event.code", Code),
    ("winlog.channel", Channel),
    ("winlog.computer_name", Computer),
    ("winlog.event_id", Code),
    ("winlog.provider_name", Provider),
];

/// NXLog's core fields (its `im_msvistalog`), and the few other spellings met.
const FLAT: &[(&str, Part<'_>)] = &[
    ("@timestamp", Time),
    ("AccountName", System(field::WINLOG_USER_NAME)),
    ("ActivityID", System(field::WINLOG_ACTIVITY_ID)),
    ("Category", System(field::WINLOG_TASK)),
    ("Channel", Channel),
    ("Computer", Computer),
    ("Domain", System(field::WINLOG_USER_DOMAIN)),
    ("EventID", Code),
    ("EventReceivedTime", Part::Dropped),
    ("EventRecordID", System(field::WINLOG_RECORD_ID)),
    ("EventTime", Time),
    ("ExecutionProcessID", System(field::WINLOG_PROCESS_PID)),
    ("ExecutionThreadID", System(field::WINLOG_PROCESS_THREAD_ID)),
    ("Hostname", Computer),
    ("Keywords", System(field::WINLOG_KEYWORDS)),
    ("Level", System(field::WINLOG_LEVEL)),
    ("Message", System(field::MESSAGE)),
    ("Opcode", System(field::WINLOG_OPCODE)),
    ("OpcodeValue", Part::Dropped),
    ("ProviderGuid", System(field::WINLOG_PROVIDER_GUID)),
    ("Provider_Name", Provider),
    ("RecordNumber", System(field::WINLOG_RECORD_ID)),
    ("Severity", System(field::LOG_LEVEL)),
    ("SeverityValue", Part::Dropped),
    ("SourceModuleName", Part::Dropped),
    ("SourceModuleType", Part::Dropped),
    ("SourceName", Provider),
    ("ThreadID", System(field::WINLOG_PROCESS_THREAD_ID)),
    ("TimeCreated", Time),
    ("UserID", System(field::WINLOG_USER_IDENTIFIER)),
    ("Version", System(field::WINLOG_VERSION)),
    ("timestamp", Time),
];

impl Shape {
    /// The shape of a Windows event; `None` if it is none.
    pub(super) fn of(members: &Members) -> Option<Self> {
        if members.iter().any(|(name, _)| name.starts_with("Event.System.")) {
            Some(Self::Evtx)
        } else if members.iter().any(|(name, _)| name.starts_with("winlog.")) {
            Some(Self::Winlogbeat)
        } else if members.has("EventID") && Self::looks_flat(members) {
            Some(Self::Flat)
        } else {
            None
        }
    }

    fn looks_flat(members: &Members) -> bool {
        ["Channel", "Provider_Name", "ProviderGuid", "SourceName"]
            .iter()
            .any(|name| members.has(name))
            || members.text("product") == Some("windows")
    }

    /// What the member of that name is.
    pub(super) fn part<'n>(self, name: &'n str, dataset: &str) -> Part<'n> {
        match self {
            Self::Evtx => evtx(name),
            Self::Winlogbeat => {
                let data = name
                    .strip_prefix("winlog.event_data.")
                    .or_else(|| name.strip_prefix("winlog.user_data."));
                match (data, look_up(WINLOGBEAT, name)) {
                    (Some("xml_name"), _) => Part::Dropped,
                    (Some(data), _) => Part::Data(data),
                    (None, Some(part)) => part,
                    (None, None) => Part::Foreign,
                }
            }
            // NXLog's kind of event ("INFO", "AUDIT_SUCCESS") has the name of Sysmon's.
            Self::Flat if name == "EventType" && dataset != super::channel::SYSMON => Part::Dropped,
            Self::Flat => look_up(FLAT, name).unwrap_or(Part::Data(name)),
        }
    }

    /// The first value that is that part.
    pub(super) fn find<'m>(self, members: &'m Members, part: Part<'_>) -> Option<Value<'m>> {
        members.iter().find(|(name, _)| self.part(name, "") == part).map(|(_, value)| value)
    }
}

fn evtx(name: &str) -> Part<'_> {
    if let Some(data) = name.strip_prefix("Event.EventData.") {
        // Unnamed values: `Data`, `Data.#text`; or the attributes of the whole.
        return match data.strip_suffix(".#text").unwrap_or(data) {
            data if data.starts_with("#attributes") => Part::Dropped,
            data => Part::Data(data),
        };
    }
    if let Some(data) = name.strip_prefix("Event.UserData.") {
        return match data.split_once('.') {
            Some((_, data)) if data.starts_with("#attributes") => Part::Dropped,
            Some((_, data)) => Part::Data(data),
            None => Part::Data(data),
        };
    }
    let Some(system) = name.strip_prefix("Event.System.") else { return Part::Dropped };
    let attribute =
        system.split_once(".#attributes.").or_else(|| system.split_once("_attributes."));
    match attribute {
        None => look_up(EVTX, system).unwrap_or(Part::Dropped),
        Some((element, attribute)) => EVTX
            .iter()
            .find(|(known, _)| known.split_once('.') == Some((element, attribute)))
            .map_or(Part::Dropped, |(_, part)| *part),
    }
}

fn look_up(table: &[(&str, Part<'static>)], name: &str) -> Option<Part<'static>> {
    let index = table.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
    table.get(index).map(|(_, part)| *part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted() {
        for table in [EVTX, WINLOGBEAT, FLAT] {
            assert!(table.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
    }

    #[test]
    fn reads_evtx_with_either_kind_of_attributes() {
        assert_eq!(evtx("Event.System.Provider.#attributes.Name"), Part::Provider);
        assert_eq!(evtx("Event.System.Provider_attributes.Name"), Part::Provider);
        assert_eq!(evtx("Event.System.EventID.#text"), Part::Code);
        assert_eq!(evtx("Event.System.EventID.#attributes.Qualifiers"), Part::Dropped);
        assert_eq!(evtx("Event.EventData.Image"), Part::Data("Image"));
        assert_eq!(evtx("Event.EventData.Data.#text"), Part::Data("Data"));
        assert_eq!(evtx("Event.UserData.LogFileCleared.Channel"), Part::Data("Channel"));
        assert_eq!(evtx("Event.#attributes.xmlns"), Part::Dropped);
    }
}
