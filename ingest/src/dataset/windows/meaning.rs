//! What the events mean: dataset and event id → category, type, action, outcome.
//!
//! Ids and their sense are Microsoft's documentation of the security audit and of Sysmon; the
//! actions are named as Elastic's Winlogbeat modules name them, where they have a name.

use keng_event::{EventBuilder, field};

use super::{Known, channel};
use crate::dataset::meaning::Meaning;

type Row = (&'static str, Meaning);

const fn means(
    code: &'static str,
    action: &'static str,
    categories: &'static [&'static str],
    types: &'static [&'static str],
) -> Row {
    (code, Meaning::new(action, categories, types))
}

const fn fails(row: Row) -> Row {
    (row.0, row.1.failure())
}

const fn works(row: Row) -> Row {
    (row.0, row.1.success())
}

const AUTHENTICATION: &[&str] = &["authentication"];
const SESSION: &[&str] = &["authentication", "session"];
const CONFIGURATION: &[&str] = &["configuration"];
const FILE: &[&str] = &["file"];
const IAM: &[&str] = &["iam"];
const NETWORK: &[&str] = &["network"];
const PROCESS: &[&str] = &["process"];
const REGISTRY: &[&str] = &["configuration", "registry"];
const MALWARE: &[&str] = &["malware"];
const USER_CHANGE: &[&str] = &["change", "user"];
const GROUP_CHANGE: &[&str] = &["change", "group"];
const CHANGE: &[&str] = &["change"];
const START: &[&str] = &["start"];
const END: &[&str] = &["end"];
const INFO: &[&str] = &["info"];
const ACCESS: &[&str] = &["access"];

const SYSMON: &[Row] = &[
    means("1", "created-process", PROCESS, START),
    means("2", "changed-file-time", FILE, CHANGE),
    means("3", "network-connection", NETWORK, &["connection", "start"]),
    means("4", "sysmon-state-changed", PROCESS, CHANGE),
    means("5", "exited-process", PROCESS, END),
    means("6", "loaded-driver", &["driver"], START),
    means("7", "loaded-image", &["library"], START),
    means("8", "created-remote-thread", PROCESS, CHANGE),
    means("9", "raw-disk-access", FILE, ACCESS),
    means("10", "accessed-process", PROCESS, ACCESS),
    means("11", "created-file", FILE, &["creation"]),
    means("12", "changed-registry-key", REGISTRY, CHANGE),
    means("13", "set-registry-value", REGISTRY, CHANGE),
    means("14", "renamed-registry-key", REGISTRY, CHANGE),
    means("15", "created-file-stream", FILE, &["creation"]),
    means("16", "sysmon-configuration-changed", CONFIGURATION, CHANGE),
    means("17", "created-pipe", FILE, &["creation"]),
    means("18", "connected-pipe", FILE, ACCESS),
    means("19", "created-wmi-filter", CONFIGURATION, &["creation"]),
    means("20", "created-wmi-consumer", CONFIGURATION, &["creation"]),
    means("21", "bound-wmi-consumer", CONFIGURATION, &["creation"]),
    means("22", "dns-query", NETWORK, &["connection", "protocol", "info"]),
    means("23", "deleted-file", FILE, &["deletion"]),
    means("24", "changed-clipboard", PROCESS, INFO),
    means("25", "tampered-process", PROCESS, CHANGE),
    means("26", "deleted-file", FILE, &["deletion"]),
    fails(means("27", "blocked-executable", FILE, &["creation"])),
    fails(means("28", "blocked-shredding", FILE, &["deletion"])),
    means("29", "created-executable", FILE, &["creation"]),
    means("255", "sysmon-error", PROCESS, INFO),
];

const SECURITY: &[Row] = &[
    means("1100", "logging-service-shutdown", PROCESS, END),
    works(means("1102", "audit-log-cleared", CONFIGURATION, &["deletion"])),
    means("4608", "host-started", &["host"], START),
    means("4609", "host-shutdown", &["host"], END),
    means("4616", "changed-system-time", CONFIGURATION, CHANGE),
    works(means("4624", "logged-in", SESSION, START)),
    fails(means("4625", "logon-failed", AUTHENTICATION, INFO)),
    works(means("4634", "logged-out", SESSION, END)),
    works(means("4647", "logged-out", SESSION, END)),
    means("4648", "logged-in-explicit", AUTHENTICATION, INFO),
    means("4656", "requested-object-handle", FILE, ACCESS),
    means("4657", "set-registry-value", REGISTRY, CHANGE),
    means("4660", "deleted-object", FILE, &["deletion"]),
    means("4661", "requested-object-handle", FILE, ACCESS),
    means("4662", "directory-object-operation", IAM, INFO),
    means("4663", "accessed-object", FILE, ACCESS),
    means("4670", "changed-object-permissions", FILE, CHANGE),
    works(means("4672", "logged-in-special", AUTHENTICATION, INFO)),
    means("4673", "privileged-service-called", IAM, INFO),
    means("4674", "privileged-operation", IAM, INFO),
    works(means("4688", "created-process", PROCESS, START)),
    means("4689", "exited-process", PROCESS, END),
    works(means("4697", "service-installed", CONFIGURATION, &["creation"])),
    works(means("4698", "scheduled-task-created", CONFIGURATION, &["creation"])),
    works(means("4699", "scheduled-task-deleted", CONFIGURATION, &["deletion"])),
    works(means("4700", "scheduled-task-enabled", CONFIGURATION, CHANGE)),
    works(means("4701", "scheduled-task-disabled", CONFIGURATION, CHANGE)),
    works(means("4702", "scheduled-task-updated", CONFIGURATION, CHANGE)),
    works(means("4719", "changed-audit-config", CONFIGURATION, CHANGE)),
    works(means("4720", "added-user-account", IAM, &["creation", "user"])),
    works(means("4722", "enabled-user-account", IAM, USER_CHANGE)),
    means("4723", "changed-password", IAM, USER_CHANGE),
    means("4724", "reset-password", IAM, USER_CHANGE),
    works(means("4725", "disabled-user-account", IAM, USER_CHANGE)),
    works(means("4726", "deleted-user-account", IAM, &["deletion", "user"])),
    works(means("4727", "added-group-account", IAM, &["creation", "group"])),
    works(means("4728", "added-member-to-group", IAM, GROUP_CHANGE)),
    works(means("4729", "removed-member-from-group", IAM, GROUP_CHANGE)),
    works(means("4730", "deleted-group-account", IAM, &["deletion", "group"])),
    works(means("4731", "added-group-account", IAM, &["creation", "group"])),
    works(means("4732", "added-member-to-group", IAM, GROUP_CHANGE)),
    works(means("4733", "removed-member-from-group", IAM, GROUP_CHANGE)),
    works(means("4734", "deleted-group-account", IAM, &["deletion", "group"])),
    works(means("4735", "modified-group-account", IAM, GROUP_CHANGE)),
    works(means("4737", "modified-group-account", IAM, GROUP_CHANGE)),
    works(means("4738", "modified-user-account", IAM, USER_CHANGE)),
    works(means("4739", "changed-domain-policy", CONFIGURATION, CHANGE)),
    means("4740", "locked-out-user-account", IAM, USER_CHANGE),
    works(means("4741", "added-computer-account", IAM, &["creation", "admin"])),
    works(means("4742", "modified-computer-account", IAM, &["change", "admin"])),
    works(means("4743", "deleted-computer-account", IAM, &["deletion", "admin"])),
    works(means("4754", "added-group-account", IAM, &["creation", "group"])),
    works(means("4755", "modified-group-account", IAM, GROUP_CHANGE)),
    works(means("4756", "added-member-to-group", IAM, GROUP_CHANGE)),
    works(means("4757", "removed-member-from-group", IAM, GROUP_CHANGE)),
    works(means("4758", "deleted-group-account", IAM, &["deletion", "group"])),
    works(means("4767", "unlocked-user-account", IAM, USER_CHANGE)),
    means("4768", "kerberos-authentication-ticket-requested", AUTHENTICATION, START),
    means("4769", "kerberos-service-ticket-requested", AUTHENTICATION, START),
    fails(means("4771", "kerberos-preauth-failed", AUTHENTICATION, INFO)),
    means("4776", "credential-validated", AUTHENTICATION, INFO),
    works(means("4778", "session-reconnected", SESSION, START)),
    works(means("4779", "session-disconnected", SESSION, END)),
    works(means("4781", "renamed-user-account", IAM, USER_CHANGE)),
    means("4794", "set-restore-mode-password", IAM, USER_CHANGE),
    means("4798", "group-membership-enumerated", IAM, &["info", "user"]),
    means("4799", "group-membership-enumerated", IAM, &["info", "group"]),
    works(means("4904", "registered-event-source", CONFIGURATION, CHANGE)),
    works(means("4946", "added-firewall-rule", CONFIGURATION, &["creation"])),
    works(means("4947", "modified-firewall-rule", CONFIGURATION, CHANGE)),
    works(means("4948", "deleted-firewall-rule", CONFIGURATION, &["deletion"])),
    works(means("5136", "modified-directory-object", IAM, CHANGE)),
    works(means("5137", "added-directory-object", IAM, &["creation"])),
    works(means("5141", "deleted-directory-object", IAM, &["deletion"])),
    means("5140", "network-share-accessed", &["network", "file"], ACCESS),
    means("5142", "network-share-added", CONFIGURATION, &["creation"]),
    means("5144", "network-share-deleted", CONFIGURATION, &["deletion"]),
    means("5145", "network-share-object-checked", &["network", "file"], ACCESS),
    fails(means("5152", "firewall-denied", NETWORK, &["connection", "denied"])),
    works(means("5156", "firewall-allowed", NETWORK, &["connection", "allowed"])),
    fails(means("5157", "firewall-denied", NETWORK, &["connection", "denied"])),
    fails(means("6273", "network-policy-denied", AUTHENTICATION, INFO)),
    works(means("6272", "network-policy-granted", AUTHENTICATION, START)),
    means("6416", "external-device-recognised", &["host"], CHANGE),
];

const SYSTEM: &[Row] = &[
    works(means("104", "audit-log-cleared", CONFIGURATION, &["deletion"])),
    means("1074", "host-shutdown", &["host"], END),
    means("6005", "logging-service-started", PROCESS, START),
    means("6006", "logging-service-shutdown", PROCESS, END),
    means("6008", "unexpected-shutdown", &["host"], END),
    means("7034", "service-crashed", PROCESS, END),
    means("7036", "service-state-changed", PROCESS, CHANGE),
    means("7040", "service-start-type-changed", CONFIGURATION, CHANGE),
    works(means("7045", "service-installed", CONFIGURATION, &["creation"])),
];

const POWERSHELL: &[Row] = &[
    means("4103", "powershell-pipeline", PROCESS, INFO),
    means("4104", "powershell-script-block", PROCESS, INFO),
    means("4105", "powershell-script-block-started", PROCESS, START),
    means("4106", "powershell-script-block-ended", PROCESS, END),
    means("40961", "powershell-started", PROCESS, START),
];

const POWERSHELL_CLASSIC: &[Row] = &[
    means("400", "powershell-started", PROCESS, START),
    means("403", "powershell-ended", PROCESS, END),
    means("600", "powershell-provider-started", PROCESS, START),
    means("800", "powershell-pipeline", PROCESS, INFO),
];

const DEFENDER: &[Row] = &[
    means("1006", "malware-detected", MALWARE, INFO),
    means("1007", "malware-acted-upon", MALWARE, INFO),
    fails(means("1008", "malware-acted-upon", MALWARE, INFO)),
    means("1015", "suspicious-behaviour-detected", MALWARE, INFO),
    means("1116", "malware-detected", MALWARE, INFO),
    works(means("1117", "malware-acted-upon", MALWARE, INFO)),
    fails(means("1118", "malware-acted-upon", MALWARE, INFO)),
    fails(means("1119", "malware-acted-upon", MALWARE, INFO)),
    means("1121", "attack-surface-rule-blocked", &["intrusion_detection"], &["denied"]),
    means("1122", "attack-surface-rule-audited", &["intrusion_detection"], INFO),
    works(means("5001", "antivirus-disabled", CONFIGURATION, CHANGE)),
    means("5007", "antivirus-configuration-changed", CONFIGURATION, CHANGE),
    works(means("5010", "antivirus-disabled", CONFIGURATION, CHANGE)),
    works(means("5012", "antivirus-disabled", CONFIGURATION, CHANGE)),
    means("5013", "antivirus-tampering-blocked", CONFIGURATION, CHANGE),
];

const TASKS: &[Row] = &[
    works(means("106", "scheduled-task-created", CONFIGURATION, &["creation"])),
    works(means("140", "scheduled-task-updated", CONFIGURATION, CHANGE)),
    works(means("141", "scheduled-task-deleted", CONFIGURATION, &["deletion"])),
    means("200", "scheduled-task-started", PROCESS, START),
    means("201", "scheduled-task-ended", PROCESS, END),
];

const TERMINAL: &[Row] = &[
    works(means("21", "logged-in", &["session"], START)),
    works(means("23", "logged-out", &["session"], END)),
    works(means("24", "session-disconnected", &["session"], END)),
    works(means("25", "session-reconnected", &["session"], START)),
];

const FIREWALL: &[Row] = &[
    means("2004", "added-firewall-rule", CONFIGURATION, &["creation"]),
    means("2005", "modified-firewall-rule", CONFIGURATION, CHANGE),
    means("2006", "deleted-firewall-rule", CONFIGURATION, &["deletion"]),
    means("2033", "deleted-firewall-rules", CONFIGURATION, &["deletion"]),
];

const OTHER: Meaning = Meaning::new("", &["host"], &["info"]);

fn table(dataset: &str) -> &'static [Row] {
    match dataset {
        channel::SYSMON | channel::LINUX => SYSMON,
        channel::SECURITY => SECURITY,
        "windows.system" => SYSTEM,
        "windows.powershell" => POWERSHELL,
        "windows.powershell_classic" => POWERSHELL_CLASSIC,
        "windows.defender" => DEFENDER,
        "windows.taskscheduler" => TASKS,
        "windows.terminalservices" => TERMINAL,
        "windows.firewall" => FIREWALL,
        _ => &[],
    }
}

pub(super) fn put(known: Known<'_>, event: &mut EventBuilder<'_>) {
    event.put(field::EVENT_KIND, if is_alert(known) { "alert" } else { "event" });
    let row = table(known.dataset).iter().find(|(code, _)| *code == known.code);
    row.map_or(OTHER, |(_, meaning)| *meaning).put(event);
}

/// Records that are themselves somebody's detection.
fn is_alert(known: Known<'_>) -> bool {
    known.dataset == "windows.defender" && matches!(known.code, "1006" | "1015" | "1116" | "1121")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_ecs_and_name_no_event_twice() {
        let tables = [
            SYSMON,
            SECURITY,
            SYSTEM,
            POWERSHELL,
            POWERSHELL_CLASSIC,
            DEFENDER,
            TASKS,
            TERMINAL,
            FIREWALL,
        ];
        for table in tables {
            for (code, meaning) in table {
                meaning.check();
                assert_eq!(table.iter().filter(|(other, _)| other == code).count(), 1, "{code}");
            }
        }
        OTHER.check();
    }
}
