//! What can only be said by changing a value: it stands beside what Windows wrote, never in its
//! place.

use std::borrow::Cow;

use keng_event::EventBuilder;
use keng_event::field::{self, Field};

use super::shape::{Part, Shape};
use super::{Known, channel};
use crate::dataset::endpoint::SOURCE;
use crate::dataset::members::Members;
use crate::dataset::{network, put_direction};

/// The event's data, by Windows' own names.
#[derive(Clone, Copy)]
struct Data<'m> {
    members: &'m Members,
    shape: Shape,
}

impl<'m> Data<'m> {
    /// A value as text; `None` also for `-`, by which Windows writes that there is none.
    fn get(self, name: &str) -> Option<Cow<'m, str>> {
        let value = self.shape.find(self.members, Part::Data(name))?.to_text();
        Some(value).filter(|text| !matches!(&**text, "" | "-"))
    }
}

pub(super) fn put(members: &Members, shape: Shape, known: Known<'_>, event: &mut EventBuilder<'_>) {
    let data = Data { members, shape };
    level(event);
    match known.dataset {
        channel::SYSMON | channel::LINUX => sysmon(known.code, data, event),
        channel::SECURITY => security(known.code, data, event),
        "windows.terminalservices" => account(data.get("User"), event),
        "windows.rpc_firewall" if known.code == "3" => remote_call(data, event),
        _ => {}
    }
    paths(event);
    outcome(data, event);
}

/// The text of a catalogue field.
fn text(field: Field, event: &EventBuilder<'_>) -> Option<String> {
    event.value(field).map(|value| value.to_text().into_owned())
}

fn put_if(field: Field, value: Option<&str>, event: &mut EventBuilder<'_>) {
    if let Some(value) = value.filter(|_| !event.has(field)) {
        event.put(field, value);
    }
}

fn level(event: &mut EventBuilder<'_>) {
    let Some(level) = text(field::WINLOG_LEVEL, event) else { return };
    let name = match level.as_str() {
        "0" | "4" => "information",
        "1" => "critical",
        "2" => "error",
        "3" => "warning",
        "5" => "verbose",
        _ => return,
    };
    put_if(field::LOG_LEVEL, Some(name), event);
}

fn sysmon(code: &str, data: Data<'_>, event: &mut EventBuilder<'_>) {
    if code == "10" || code == "8" {
        account(data.get("SourceUser"), event);
    }
    account(data.get("User"), event);
    if let Some(hashes) = data.get("Hashes").or_else(|| data.get("Hash")) {
        put_hashes(code, &hashes, event);
    }
    if let Some(protocol) = data.get("Protocol") {
        network::put_protocol(&protocol, event);
    }
    match data.get("Initiated").as_deref() {
        Some("true") => put_direction("egress", event),
        Some("false") => put_direction("ingress", event),
        _ => {}
    }
}

/// RPC Firewall writes its values without names: function, process id and image, protocol,
/// endpoint, the caller's address, interface, operation, the caller's account, in this order.
fn remote_call(data: Data<'_>, event: &mut EventBuilder<'_>) {
    if data.get("InterfaceUuid").is_some() {
        return;
    }
    let mut unnamed = Vec::new();
    for (name, value) in data.members.iter() {
        if data.shape.part(name, "") == Part::Data("Data") {
            unnamed.push(value.to_text());
        }
    }
    // Winlogbeat numbers them.
    let value = |index: usize| {
        let numbered = || data.get(&format!("param{}", index + 1));
        unnamed.get(index).cloned().or_else(numbered)
    };
    for (index, name) in [(6, "InterfaceUuid"), (7, "OpNum")] {
        if let Some(value) = value(index) {
            event.put_named(&["winlog.event_data.", name].concat(), &*value);
        }
    }
    put_if(field::PROCESS_EXECUTABLE, value(2).as_deref(), event);
    if let Some(address) = value(5) {
        SOURCE.put_host(&address, event);
    }
    account(value(8), event);
}

/// `DOMAIN\user`
fn account(account: Option<Cow<'_, str>>, event: &mut EventBuilder<'_>) {
    let Some(account) = account else { return };
    let (domain, user) = match account.split_once('\\') {
        Some((domain, user)) => (Some(domain), user),
        None => (None, &*account),
    };
    put_if(field::USER_DOMAIN, domain, event);
    put_if(field::USER_NAME, Some(user), event);
}

/// `MD5=…,SHA256=…,IMPHASH=…`: of the process (1), the library (7) or the file.
fn put_hashes(code: &str, hashes: &str, event: &mut EventBuilder<'_>) {
    let owner = match code {
        "1" => "process",
        "7" => "dll",
        _ => "file",
    };
    for (kind, hash) in hashes.split(',').filter_map(|part| part.split_once('=')) {
        let kind = match kind.trim() {
            "MD5" => "hash.md5",
            "SHA1" => "hash.sha1",
            "SHA256" => "hash.sha256",
            "IMPHASH" => "pe.imphash",
            _ => continue,
        };
        if !hash.bytes().all(|byte| byte == b'0') {
            event.put_named(&[owner, ".", kind].concat(), hash.to_ascii_lowercase().as_str());
        }
    }
}

/// Who acted and who was acted upon, by the kind of event.
fn security(code: &str, data: Data<'_>, event: &mut EventBuilder<'_>) {
    let logon = matches!(
        code,
        "4624" | "4625" | "4634" | "4647" | "4768" | "4769" | "4771" | "4776" | "4778" | "4779"
    );
    let member = matches!(code, "4728" | "4729" | "4732" | "4733" | "4756" | "4757");
    let group = member
        || matches!(
            code,
            "4727" | "4730" | "4731" | "4734" | "4735" | "4737" | "4754" | "4755" | "4758" | "4799"
        );
    let person = |part: &str| {
        let text = |kind: &str| data.get(&[part, kind].concat());
        (text("UserName"), text("DomainName"), text("UserSid").or_else(|| text("Sid")))
    };
    let (subject, target) = (person("Subject"), person("Target"));
    let (actor, acted_upon) = match logon {
        true => (target, (None, None, None)),
        false => (subject, target),
    };
    // Terminal sessions (4778) name the person otherwise.
    let name = actor.0.or_else(|| data.get("AccountName"));
    put_if(field::USER_NAME, name.as_deref(), event);
    put_if(field::USER_DOMAIN, actor.1.as_deref(), event);
    put_if(field::USER_ID, actor.2.as_deref(), event);
    if group {
        put_if(field::GROUP_NAME, acted_upon.0.as_deref(), event);
        put_if(field::GROUP_ID, acted_upon.2.as_deref(), event);
    } else {
        put_if(field::USER_TARGET_NAME, acted_upon.0.as_deref(), event);
        put_if(field::USER_TARGET_ID, acted_upon.2.as_deref(), event);
    }
    if member {
        let name = data.get("MemberName");
        put_if(field::USER_TARGET_NAME, name.as_deref().map(common_name), event);
        put_if(field::USER_TARGET_ID, data.get("MemberSid").as_deref(), event);
    }
    put_if(field::WINLOG_LOGON_TYPE, data.get("LogonType").as_deref().and_then(logon_type), event);
    let id = if code == "4624" { "TargetLogonId" } else { "SubjectLogonId" };
    put_if(field::WINLOG_LOGON_ID, data.get(id).as_deref(), event);
    put_if(field::SERVICE_NAME, data.get("ServiceName").as_deref(), event);
    if let Some(pid) = data.get("NewProcessId").as_deref().and_then(hexadecimal) {
        event.put(field::PROCESS_PID, pid);
    }
}

/// `Nguyễn Văn A` of `CN=Nguyễn Văn A,OU=…`.
fn common_name(name: &str) -> &str {
    let name = name.strip_prefix("CN=").or_else(|| name.strip_prefix("cn=")).unwrap_or(name);
    name.split_once(',').map_or(name, |(name, _)| name)
}

fn logon_type(number: &str) -> Option<&'static str> {
    Some(match number {
        "2" => "Interactive",
        "3" => "Network",
        "4" => "Batch",
        "5" => "Service",
        "7" => "Unlock",
        "8" => "NetworkCleartext",
        "9" => "NewCredentials",
        "10" => "RemoteInteractive",
        "11" => "CachedInteractive",
        _ => return None,
    })
}

fn hexadecimal(text: &str) -> Option<i64> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    i64::from_str_radix(digits, 16).ok()
}

/// Names of files and registry keys out of their paths.
fn paths(event: &mut EventBuilder<'_>) {
    let of = [
        (field::PROCESS_EXECUTABLE, field::PROCESS_NAME),
        (field::PROCESS_PARENT_EXECUTABLE, field::PROCESS_PARENT_NAME),
        (field::DLL_PATH, field::DLL_NAME),
        (field::FILE_PATH, field::FILE_NAME),
    ];
    for (path, name) in of {
        let path = text(path, event);
        put_if(name, path.as_deref().map(last), event);
    }
    if let Some(file) = text(field::FILE_NAME, event) {
        let extension = file.rsplit_once('.').map(|(_, extension)| extension);
        put_if(field::FILE_EXTENSION, extension.filter(|text| !text.is_empty()), event);
    }
    let Some(path) = text(field::REGISTRY_PATH, event) else { return };
    if let Some((hive, key)) = path.split_once('\\') {
        put_if(field::REGISTRY_HIVE, Some(hive), event);
        put_if(field::REGISTRY_KEY, Some(key), event);
        put_if(field::REGISTRY_VALUE, Some(last(key)), event);
    }
}

fn last(path: &str) -> &str {
    path.rsplit_once(['\\', '/']).map_or(path, |(_, name)| name)
}

/// Audit success or failure (the keyword, as a mask or a word), else the status of a Kerberos or
/// NTLM answer.
fn outcome(data: Data<'_>, event: &mut EventBuilder<'_>) {
    if event.has(field::EVENT_OUTCOME) {
        return;
    }
    let keyword = text(field::WINLOG_KEYWORDS, event);
    let outcome = match keyword.as_deref() {
        Some("Audit Success" | "0x8020000000000000" | "-9214364837600034816") => "success",
        Some("Audit Failure" | "0x8010000000000000" | "-9218868437227405312") => "failure",
        _ => match data.get("Status").as_deref() {
            Some("0x0") => "success",
            Some(status) if status.starts_with("0x") => "failure",
            _ => return,
        },
    };
    event.put(field::EVENT_OUTCOME, outcome);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_apart() {
        assert_eq!(last(r"C:\Windows\System32\cmd.exe"), "cmd.exe");
        assert_eq!(last("/usr/bin/bash"), "bash");
        assert_eq!(common_name("CN=Nguyễn Văn A,OU=SOC,DC=example"), "Nguyễn Văn A");
        assert_eq!(hexadecimal("0x1a4"), Some(420));
        assert_eq!(logon_type("10"), Some("RemoteInteractive"));
    }
}
