//! Which channel is which dataset, and which Sigma log sources each serves.
//!
//! Channels and event ids are those of the Sigma specification 2.1, appendix "Taxonomy".

use keng_event::dataset::{Alias, Guard};
use keng_event::{Dataset, LogSource};

use crate::dataset::members::Members;

pub(super) const SYSMON: &str = "windows.sysmon";
pub(super) const SECURITY: &str = "windows.security";
/// Sysmon for Linux writes the same events to syslog or a file.
pub(super) const LINUX: &str = "linux.sysmon";
const OTHER: &str = "windows.other";

/// The dataset of a channel. Letter case does not matter; where a flat object names none, the
/// provider or Sysmon's own fields tell.
pub(super) fn dataset(channel: &str, provider: &str, members: &Members) -> &'static str {
    let by_channel = CHANNELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(channel));
    let by_provider = || {
        PROVIDERS.iter().find(|(name, _)| channel.is_empty() && name.eq_ignore_ascii_case(provider))
    };
    match by_channel.or_else(by_provider) {
        Some((_, dataset)) => dataset,
        None if channel.is_empty() && members.has("UtcTime") && members.has("ProcessGuid") => {
            SYSMON
        }
        None if channel.is_empty() && members.has("ProcessGuid") => SYSMON,
        None => OTHER,
    }
}

const PROVIDERS: &[(&str, &str)] = &[
    ("Microsoft-Windows-Sysmon", SYSMON),
    ("Linux-Sysmon", LINUX),
    ("Microsoft-Windows-Security-Auditing", SECURITY),
    ("Microsoft-Windows-PowerShell", "windows.powershell"),
    ("PowerShell", "windows.powershell_classic"),
    ("Service Control Manager", "windows.system"),
    ("Microsoft-Windows-Windows Defender", "windows.defender"),
    ("Microsoft-Windows-Kernel-File", "windows.kernel_file"),
];

const CHANNELS: &[(&str, &str)] = &[
    ("Security", SECURITY),
    ("Microsoft-Windows-Sysmon/Operational", SYSMON),
    ("Linux-Sysmon/Operational", LINUX),
    ("System", "windows.system"),
    ("Application", "windows.application"),
    ("Microsoft-Windows-PowerShell/Operational", "windows.powershell"),
    ("PowerShellCore/Operational", "windows.powershell"),
    ("Windows PowerShell", "windows.powershell_classic"),
    ("Microsoft-Windows-Windows Defender/Operational", "windows.defender"),
    ("Microsoft-Windows-AppLocker/EXE and DLL", "windows.applocker"),
    ("Microsoft-Windows-AppLocker/MSI and Script", "windows.applocker"),
    ("Microsoft-Windows-AppLocker/Packaged app-Deployment", "windows.applocker"),
    ("Microsoft-Windows-AppLocker/Packaged app-Execution", "windows.applocker"),
    ("Microsoft-Windows-AppModel-Runtime/Admin", "windows.appmodel_runtime"),
    ("Microsoft-Windows-AppXDeploymentServer/Operational", "windows.appxdeployment_server"),
    ("Microsoft-Windows-AppxPackaging/Operational", "windows.appxpackaging_om"),
    (
        "Microsoft-Windows-Application-Experience/Program-Telemetry",
        "windows.application_experience",
    ),
    (
        "Microsoft-Windows-Application-Experience/Program-Compatibility-Assistant",
        "windows.application_experience",
    ),
    ("Microsoft-Windows-BitLocker/BitLocker Management", "windows.bitlocker"),
    ("Microsoft-Windows-Bits-Client/Operational", "windows.bits_client"),
    ("Microsoft-Windows-CAPI2/Operational", "windows.capi2"),
    (
        "Microsoft-Windows-CertificateServicesClient-Lifecycle-System/Operational",
        "windows.certificate_lifecycle",
    ),
    ("Microsoft-Windows-CodeIntegrity/Operational", "windows.codeintegrity"),
    ("Microsoft-Windows-DHCP-Server/Operational", "windows.dhcp_server"),
    ("Microsoft-Windows-Diagnosis-Scripted/Operational", "windows.diagnosis_scripted"),
    ("Microsoft-Windows-DNS Client Events/Operational", "windows.dns_client"),
    ("Microsoft-Windows-DNS-Client/Operational", "windows.dns_client"),
    ("DNS Server", "windows.dns_server"),
    ("Microsoft-Windows-DNS-Server/Analytical", "windows.dns_server_analytic"),
    ("Microsoft-Windows-DNS-Server/Audit", "windows.dns_server_audit"),
    ("Microsoft-Windows-DriverFrameworks-UserMode/Operational", "windows.driver_framework"),
    ("Microsoft-Windows-Windows Firewall With Advanced Security/Firewall", "windows.firewall"),
    ("Microsoft-Windows-Hyper-V-Worker", "windows.hyper_v_worker"),
    ("Microsoft-Windows-Hyper-V-Worker-Admin", "windows.hyper_v_worker"),
    ("Microsoft-IIS-Configuration/Operational", "windows.iis_configuration"),
    ("Microsoft-Windows-Kernel-EventTracing", "windows.kernel_event_tracing"),
    ("Microsoft-Windows-Kernel-EventTracing/Admin", "windows.kernel_event_tracing"),
    ("Microsoft-Windows-Kernel-ShimEngine/Operational", "windows.kernel_shimengine"),
    ("Microsoft-Windows-Kernel-ShimEngine/Diagnostic", "windows.kernel_shimengine"),
    ("Microsoft-Windows-Kernel-File/Analytic", "windows.kernel_file"),
    ("Microsoft-Windows-LDAP-Client/Debug", "windows.ldap_client"),
    ("Microsoft-Windows-LSA/Operational", "windows.lsa_server"),
    ("MSExchange Management", "windows.msexchange_management"),
    ("Microsoft-Windows-Ntfs/Operational", "windows.ntfs"),
    ("Microsoft-Windows-NTLM/Operational", "windows.ntlm"),
    ("OpenSSH/Operational", "windows.openssh"),
    ("Microsoft-Windows-PrintService/Admin", "windows.printservice_admin"),
    ("Microsoft-Windows-PrintService/Operational", "windows.printservice_operational"),
    ("Microsoft-Windows-Security-Mitigations/Kernel Mode", "windows.security_mitigations"),
    ("Microsoft-Windows-Security-Mitigations/User Mode", "windows.security_mitigations"),
    ("Microsoft-Windows-Security-Mitigations/KernelMode", "windows.security_mitigations"),
    ("Microsoft-Windows-Security-Mitigations/UserMode", "windows.security_mitigations"),
    ("Microsoft-Windows-SENSE/Operational", "windows.sense"),
    ("Microsoft-ServiceBus-Client/Operational", "windows.servicebus_client"),
    ("Microsoft-ServiceBus-Client/Admin", "windows.servicebus_client"),
    ("Microsoft-Windows-Shell-Core/Operational", "windows.shell_core"),
    ("Microsoft-Windows-SmbClient/Connectivity", "windows.smbclient_connectivity"),
    ("Microsoft-Windows-SmbClient/Security", "windows.smbclient_security"),
    ("Microsoft-Windows-SMBServer/Connectivity", "windows.smbserver_connectivity"),
    ("Microsoft-Windows-TaskScheduler/Operational", "windows.taskscheduler"),
    (
        "Microsoft-Windows-TerminalServices-LocalSessionManager/Operational",
        "windows.terminalservices",
    ),
    ("Microsoft-Windows-VHDMP/Operational", "windows.vhdmp"),
    ("Microsoft-Windows-VHDMP-Operational", "windows.vhdmp"),
    ("Microsoft-Windows-WMI-Activity/Operational", "windows.wmi"),
    ("RPCFW", "windows.rpc_firewall"),
];

/// Every dataset of Windows events, and Sysmon's on Linux.
pub(in crate::dataset) const DATASETS: &[Dataset] = &[
    dataset_of(SYSMON, SYSMON_SOURCES),
    dataset_of(
        LINUX,
        &[
            LogSource {
                product: Some("linux"),
                category: None,
                service: Some("sysmon"),
                guards: &[],
            },
            LogSource {
                product: Some("linux"),
                category: Some("process_creation"),
                service: None,
                guards: &[code(&["1"])],
            },
            LogSource {
                product: Some("linux"),
                category: Some("network_connection"),
                service: None,
                guards: &[code(&["3"])],
            },
            LogSource {
                product: Some("linux"),
                category: Some("file_event"),
                service: None,
                guards: &[code(&["11"])],
            },
        ],
    ),
    dataset_of(SECURITY, &[service("security"), category("process_creation", &[code(&["4688"])])]),
    dataset_of(
        "windows.powershell",
        &[
            service("powershell"),
            category("ps_module", &[code(&["4103"])]),
            category("ps_script", &[code(&["4104"])]),
        ],
    ),
    dataset_of(
        "windows.powershell_classic",
        &[
            service("powershell-classic"),
            category("ps_classic_start", &[code(&["400"])]),
            category("ps_classic_provider_start", &[code(&["600"])]),
            category("ps_classic_script", &[code(&["800"])]),
        ],
    ),
    dataset_of("windows.system", &[service("system")]),
    dataset_of("windows.application", &[service("application")]),
    dataset_of(
        "windows.defender",
        &[
            service("windefend"),
            LogSource {
                product: None,
                category: Some("antivirus"),
                service: None,
                guards: &[code(&[
                    "1006", "1007", "1008", "1009", "1015", "1116", "1117", "1118", "1119",
                ])],
            },
        ],
    ),
    dataset_of(
        "windows.kernel_file",
        &[
            service("kernel-file"),
            category("file_access", &[code(&["12", "30"])]),
            category("file_rename", &[code(&["19", "27"])]),
        ],
    ),
    dataset_of("windows.applocker", &[service("applocker")]),
    dataset_of("windows.application_experience", &[service("application-experience")]),
    dataset_of("windows.appmodel_runtime", &[service("appmodel-runtime")]),
    dataset_of("windows.appxdeployment_server", &[service("appxdeployment-server")]),
    dataset_of("windows.appxpackaging_om", &[service("appxpackaging-om")]),
    dataset_of("windows.bitlocker", &[service("bitlocker")]),
    dataset_of("windows.bits_client", &[service("bits-client")]),
    dataset_of("windows.capi2", &[service("capi2")]),
    dataset_of(
        "windows.certificate_lifecycle",
        &[service("certificateservicesclient-lifecycle-system")],
    ),
    dataset_of("windows.codeintegrity", &[service("codeintegrity-operational")]),
    dataset_of("windows.dhcp_server", &[service("dhcp")]),
    dataset_of("windows.diagnosis_scripted", &[service("diagnosis-scripted")]),
    dataset_of("windows.dns_client", &[service("dns-client")]),
    dataset_of("windows.dns_server", &[service("dns-server")]),
    dataset_of("windows.dns_server_analytic", &[service("dns-server-analytic")]),
    dataset_of("windows.dns_server_audit", &[service("dns-server-audit")]),
    dataset_of("windows.driver_framework", &[service("driver-framework")]),
    dataset_of("windows.firewall", &[service("firewall-as")]),
    dataset_of("windows.hyper_v_worker", &[service("hyper-v-worker")]),
    dataset_of("windows.iis_configuration", &[service("iis-configuration")]),
    dataset_of("windows.kernel_event_tracing", &[service("kernel-event-tracing")]),
    dataset_of("windows.kernel_shimengine", &[service("kernel-shimengine")]),
    dataset_of("windows.ldap_client", &[service("ldap")]),
    dataset_of("windows.lsa_server", &[service("lsa-server")]),
    dataset_of("windows.msexchange_management", &[service("msexchange-management")]),
    dataset_of("windows.ntfs", &[service("ntfs")]),
    dataset_of("windows.ntlm", &[service("ntlm")]),
    dataset_of("windows.openssh", &[service("openssh")]),
    dataset_of("windows.printservice_admin", &[service("printservice-admin")]),
    dataset_of("windows.printservice_operational", &[service("printservice-operational")]),
    dataset_of(
        "windows.rpc_firewall",
        &[LogSource {
            product: Some("rpc_firewall"),
            category: Some("application"),
            service: None,
            guards: &[],
        }],
    ),
    dataset_of("windows.security_mitigations", &[service("security-mitigations")]),
    dataset_of("windows.sense", &[service("sense")]),
    dataset_of(
        "windows.servicebus_client",
        &[service("servicebus-client"), service("microsoft-servicebus-client")],
    ),
    dataset_of("windows.shell_core", &[service("shell-core")]),
    dataset_of("windows.smbclient_connectivity", &[service("smbclient-connectivity")]),
    dataset_of("windows.smbclient_security", &[service("smbclient-security")]),
    dataset_of("windows.smbserver_connectivity", &[service("smbserver-connectivity")]),
    dataset_of("windows.taskscheduler", &[service("taskscheduler")]),
    dataset_of("windows.terminalservices", &[service("terminalservices-localsessionmanager")]),
    dataset_of("windows.vhdmp", &[service("vhdmp")]),
    dataset_of("windows.wmi", &[service("wmi")]),
    dataset_of(OTHER, &[service("other")]),
];

/// Sysmon's event ids and the categories that Sigma has for them.
const SYSMON_SOURCES: &[LogSource] = &[
    service("sysmon"),
    category("process_creation", &[code(&["1"])]),
    category("file_change", &[code(&["2"])]),
    category("network_connection", &[code(&["3"])]),
    category("sysmon_status", &[code(&["4", "16"])]),
    category("process_termination", &[code(&["5"])]),
    category("driver_load", &[code(&["6"])]),
    category("image_load", &[code(&["7"])]),
    category("create_remote_thread", &[code(&["8"])]),
    category("raw_access_thread", &[code(&["9"])]),
    category("process_access", &[code(&["10"])]),
    category("file_event", &[code(&["11"])]),
    category("registry_event", &[code(&["12", "13", "14"])]),
    // Event 12 is both; what it was is said beside the id.
    category("registry_add", &[code(&["12"]), registry(&["CreateKey", "CreateValue"])]),
    category("registry_delete", &[code(&["12"]), registry(&["DeleteKey", "DeleteValue"])]),
    category("registry_set", &[code(&["13"])]),
    category("registry_rename", &[code(&["14"])]),
    category("create_stream_hash", &[code(&["15"])]),
    category("pipe_created", &[code(&["17", "18"])]),
    category("wmi_event", &[code(&["19", "20", "21"])]),
    category("dns_query", &[code(&["22"])]),
    category("file_delete", &[code(&["23", "26"])]),
    category("clipboard_capture", &[code(&["24"])]),
    category("process_tampering", &[code(&["25"])]),
    category("file_delete_detected", &[code(&["26"])]),
    category("file_block_executable", &[code(&["27"])]),
    category("file_block_shredding", &[code(&["28"])]),
    category("file_executable_detected", &[code(&["29"])]),
    category("sysmon_error", &[code(&["255"])]),
];

const fn dataset_of(name: &'static str, log_sources: &'static [LogSource]) -> Dataset {
    Dataset { name, log_sources, aliases: ALIASES, prefixes: &["winlog.event_data."] }
}

const fn service(name: &'static str) -> LogSource {
    LogSource { product: Some("windows"), category: None, service: Some(name), guards: &[] }
}

const fn category(name: &'static str, guards: &'static [Guard]) -> LogSource {
    LogSource { product: Some("windows"), category: Some(name), service: None, guards }
}

const fn code(any_of: &'static [&'static str]) -> Guard {
    Guard { field: "event.code", any_of }
}

const fn registry(any_of: &'static [&'static str]) -> Guard {
    Guard { field: "winlog.event_data.EventType", any_of }
}

const fn called(sigma: &'static str, fields: &'static [&'static str]) -> Alias {
    Alias { sigma, fields }
}

/// Sigma speaks Windows' own names. Those not here are found behind the prefix. An address comes
/// after its own text: where they differ, the text is what the rule means.
const ALIASES: &[Alias] = &[
    called("Channel", &["winlog.channel"]),
    called("CommandLine", &["process.command_line"]),
    called("Computer", &["winlog.computer_name"]),
    called("ComputerName", &["winlog.computer_name"]),
    called("CurrentDirectory", &["process.working_directory"]),
    called("DestinationHostname", &["destination.domain"]),
    called("DestinationIp", &["winlog.event_data.DestinationIp", "destination.ip"]),
    called("DestinationPort", &["destination.port"]),
    called("Details", &["registry.data.strings"]),
    called("EventID", &["event.code"]),
    called("EventLog", &["winlog.channel"]),
    called("EventRecordID", &["winlog.record_id"]),
    called("EventlogProvider", &["winlog.provider_name"]),
    called("Feature_Name", &["winlog.event_data.Feature Name"]),
    called("FileName", &["winlog.event_data.FileName", "winlog.event_data.ObjectName"]),
    called("Filename", &["winlog.event_data.Path"]),
    called("Image", &["process.executable"]),
    called("ImageLoaded", &["dll.path", "file.path"]),
    called("Imphash", &["process.pe.imphash", "dll.pe.imphash", "file.pe.imphash"]),
    called("IpAddress", &["winlog.event_data.IpAddress", "source.ip"]),
    called("IpPort", &["source.port"]),
    called("Keywords", &["winlog.keywords"]),
    called("Level", &["winlog.level"]),
    called("LogonId", &["winlog.logon.id"]),
    called("Message", &["message"]),
    called("NewProcessName", &["process.executable"]),
    called("NewValue", &["winlog.event_data.NewValue", "winlog.event_data.New Value"]),
    called("OldValue", &["winlog.event_data.OldValue", "winlog.event_data.Old Value"]),
    called("Opcode", &["winlog.opcode"]),
    called("OriginalFileName", &["process.pe.original_file_name"]),
    called("ParentCommandLine", &["process.parent.command_line"]),
    called("ParentImage", &["process.parent.executable"]),
    called("ParentProcessGuid", &["process.parent.entity_id"]),
    called("ParentProcessId", &["process.parent.pid"]),
    called("ParentProcessName", &["process.parent.executable"]),
    called("ProcessGuid", &["process.entity_id"]),
    called("ProcessId", &["process.pid"]),
    called("ProcessName", &["process.executable", "winlog.event_data.Process Name"]),
    called("Provider_Name", &["winlog.provider_name"]),
    called("QueryName", &["dns.question.name"]),
    called("Signature", &["winlog.event_data.Signature", "winlog.event_data.Threat Name"]),
    called("SourceHostname", &["source.domain"]),
    called("SourceImage", &["process.executable"]),
    called("SourceIp", &["winlog.event_data.SourceIp", "source.ip"]),
    called("SourceName", &["winlog.provider_name"]),
    called("SourcePort", &["source.port"]),
    called("SourceProcessGUID", &["process.entity_id"]),
    called("SourceProcessGuid", &["process.entity_id"]),
    called("SourceProcessId", &["process.pid"]),
    called("SubjectAccountName", &["winlog.event_data.SubjectUserName"]),
    called("TargetFilename", &["file.path"]),
    called("TargetObject", &["registry.path"]),
    called("Task", &["winlog.task"]),
    called("ThreatName", &["winlog.event_data.ThreatName", "winlog.event_data.Threat Name"]),
    called("UserID", &["winlog.user.identifier"]),
    called("imphash", &["process.pe.imphash", "dll.pe.imphash", "file.pe.imphash"]),
    called("md5", &["process.hash.md5", "dll.hash.md5", "file.hash.md5"]),
    called("sha1", &["process.hash.sha1", "dll.hash.sha1", "file.hash.sha1"]),
    called("sha256", &["process.hash.sha256", "dll.hash.sha256", "file.hash.sha256"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_has_its_dataset() {
        for (channel, dataset) in CHANNELS.iter().chain(PROVIDERS) {
            assert!(DATASETS.iter().any(|known| known.name == *dataset), "{channel}: {dataset}");
        }
    }

    #[test]
    fn aliases_are_sorted_and_unique() {
        assert!(ALIASES.windows(2).all(|pair| pair[0].sigma < pair[1].sigma));
    }
}
