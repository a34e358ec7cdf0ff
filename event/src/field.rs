//! The field catalogue: which names Keng knows, which type each has, and which fields fill
//! `related.*`.
//!
//! Names and types are those of the Elastic Common Schema 9 (`fields.csv`); the `keng.*` names
//! are ours. A name that is not listed here is welcome all the same: it stays under its
//! dataset's name (`cisco.asa.message_id`), holds whatever JSON scalar it was given, and is an
//! address if its name ends in `.ip` or `_ip`.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The type that a field's values are brought into when they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A word or identifier, matched whole.
    Keyword,
    /// Prose, matched word by word.
    Text,
    /// A whole number.
    Long,
    /// A number with a fraction.
    Double,
    /// A truth value.
    Bool,
    /// An IPv4 or IPv6 address.
    Ip,
    /// A point in time.
    Date,
    /// A field outside the catalogue: text, number or truth value, as it came.
    Dynamic,
}

/// Which `related.*` field a value is gathered into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Related {
    /// `related.ip`
    Ip,
    /// `related.user`
    User,
    /// `related.hosts`
    Hosts,
    /// `related.hash`
    Hash,
}

/// A field of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Field(u16);

struct Definition {
    name: &'static str,
    kind: Kind,
    many: bool,
    related: Option<Related>,
}

impl Field {
    /// The field of that name, if the catalogue has it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        static BY_NAME: LazyLock<HashMap<&'static str, Field>> =
            LazyLock::new(|| Field::all().map(|field| (field.name(), field)).collect());
        BY_NAME.get(name).copied()
    }

    /// Every field of the catalogue, in the order of their names.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        (0..DEFINITIONS.len()).map(|index| Self(u16::try_from(index).unwrap_or(u16::MAX)))
    }

    /// The name, for example `source.ip`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.definition().name
    }

    /// The type of its values.
    #[must_use]
    pub fn kind(self) -> Kind {
        self.definition().kind
    }

    /// Whether it is a list by nature, and rendered as one even with a single value.
    #[must_use]
    pub fn is_list(self) -> bool {
        self.definition().many
    }

    /// Where its values are gathered.
    #[must_use]
    pub fn related(self) -> Option<Related> {
        self.definition().related
    }

    /// Position in the catalogue, below [`Field::all`]'s length.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    fn definition(self) -> &'static Definition {
        // Only `named`, `all` and the constants below make a `Field`.
        DEFINITIONS.get(self.index()).unwrap_or(&UNLISTED)
    }
}

const UNLISTED: Definition =
    Definition { name: "", kind: Kind::Dynamic, many: false, related: None };

/// The type of any field, listed or not.
#[must_use]
pub fn kind_of(name: &str) -> Kind {
    match Field::named(name) {
        Some(field) => field.kind(),
        None if name.ends_with(".ip") || name.ends_with("_ip") => Kind::Ip,
        None => Kind::Dynamic,
    }
}

macro_rules! catalogue {
    ($($constant:ident $name:literal $kind:ident $($flag:ident)*;)+) => {
        const DEFINITIONS: &[Definition] = &[
            $(catalogue!(@definition $name $kind $($flag)*)),+
        ];

        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "the order of the list is the index")]
        #[repr(u16)]
        enum Index { $($constant),+ }

        $(
            #[doc = concat!("`", $name, "`")]
            pub const $constant: Field = Field(Index::$constant as u16);
        )+
    };
    (@definition $name:literal $kind:ident) => {
        Definition { name: $name, kind: Kind::$kind, many: false, related: None }
    };
    (@definition $name:literal $kind:ident list) => {
        Definition { name: $name, kind: Kind::$kind, many: true, related: None }
    };
    (@definition $name:literal $kind:ident list $related:ident) => {
        Definition { name: $name, kind: Kind::$kind, many: true, related: Some(Related::$related) }
    };
    (@definition $name:literal $kind:ident $related:ident) => {
        Definition { name: $name, kind: Kind::$kind, many: false, related: Some(Related::$related) }
    };
}

// Sorted by name; a test holds it so.
catalogue! {
    AGENT_ID "agent.id" Keyword;
    AGENT_NAME "agent.name" Keyword;
    AGENT_TYPE "agent.type" Keyword;
    AGENT_VERSION "agent.version" Keyword;
    CLIENT_ADDRESS "client.address" Keyword;
    CLIENT_BYTES "client.bytes" Long;
    CLIENT_DOMAIN "client.domain" Keyword;
    CLIENT_IP "client.ip" Ip Ip;
    CLIENT_MAC "client.mac" Keyword;
    CLIENT_PORT "client.port" Long;
    CLIENT_USER_NAME "client.user.name" Keyword User;
    CLOUD_ACCOUNT_ID "cloud.account.id" Keyword;
    CLOUD_INSTANCE_ID "cloud.instance.id" Keyword;
    CLOUD_PROVIDER "cloud.provider" Keyword;
    CLOUD_REGION "cloud.region" Keyword;
    CONTAINER_ID "container.id" Keyword;
    CONTAINER_IMAGE_NAME "container.image.name" Keyword;
    CONTAINER_NAME "container.name" Keyword;
    DESTINATION_ADDRESS "destination.address" Keyword;
    DESTINATION_AS_NUMBER "destination.as.number" Long;
    DESTINATION_AS_ORGANIZATION_NAME "destination.as.organization.name" Keyword;
    DESTINATION_BYTES "destination.bytes" Long;
    DESTINATION_DOMAIN "destination.domain" Keyword Hosts;
    DESTINATION_GEO_COUNTRY_ISO_CODE "destination.geo.country_iso_code" Keyword;
    DESTINATION_IP "destination.ip" Ip Ip;
    DESTINATION_MAC "destination.mac" Keyword;
    DESTINATION_NAT_IP "destination.nat.ip" Ip Ip;
    DESTINATION_NAT_PORT "destination.nat.port" Long;
    DESTINATION_PACKETS "destination.packets" Long;
    DESTINATION_PORT "destination.port" Long;
    DESTINATION_USER_NAME "destination.user.name" Keyword User;
    DEVICE_ID "device.id" Keyword;
    DLL_HASH_MD5 "dll.hash.md5" Keyword Hash;
    DLL_HASH_SHA256 "dll.hash.sha256" Keyword Hash;
    DLL_NAME "dll.name" Keyword;
    DLL_PATH "dll.path" Keyword;
    DNS_ANSWERS_DATA "dns.answers.data" Keyword list;
    DNS_ANSWERS_TTL "dns.answers.ttl" Long list;
    DNS_ANSWERS_TYPE "dns.answers.type" Keyword list;
    DNS_HEADER_FLAGS "dns.header_flags" Keyword list;
    DNS_ID "dns.id" Keyword;
    DNS_OP_CODE "dns.op_code" Keyword;
    DNS_QUESTION_CLASS "dns.question.class" Keyword;
    DNS_QUESTION_NAME "dns.question.name" Keyword;
    DNS_QUESTION_REGISTERED_DOMAIN "dns.question.registered_domain" Keyword;
    DNS_QUESTION_SUBDOMAIN "dns.question.subdomain" Keyword;
    DNS_QUESTION_TOP_LEVEL_DOMAIN "dns.question.top_level_domain" Keyword;
    DNS_QUESTION_TYPE "dns.question.type" Keyword;
    DNS_RESOLVED_IP "dns.resolved_ip" Ip list Ip;
    DNS_RESPONSE_CODE "dns.response_code" Keyword;
    DNS_TYPE "dns.type" Keyword;
    ECS_VERSION "ecs.version" Keyword;
    ERROR_CODE "error.code" Keyword;
    ERROR_MESSAGE "error.message" Text;
    EVENT_ACTION "event.action" Keyword;
    EVENT_CATEGORY "event.category" Keyword list;
    EVENT_CODE "event.code" Keyword;
    EVENT_CREATED "event.created" Date;
    EVENT_DATASET "event.dataset" Keyword;
    EVENT_DURATION "event.duration" Long;
    EVENT_END "event.end" Date;
    EVENT_HASH "event.hash" Keyword;
    EVENT_KIND "event.kind" Keyword;
    EVENT_MODULE "event.module" Keyword;
    EVENT_ORIGINAL "event.original" Keyword;
    EVENT_OUTCOME "event.outcome" Keyword;
    EVENT_PROVIDER "event.provider" Keyword;
    EVENT_REASON "event.reason" Keyword;
    EVENT_REFERENCE "event.reference" Keyword;
    EVENT_RISK_SCORE "event.risk_score" Double;
    EVENT_SEQUENCE "event.sequence" Long;
    EVENT_SEVERITY "event.severity" Long;
    EVENT_START "event.start" Date;
    EVENT_TIMEZONE "event.timezone" Keyword;
    EVENT_TYPE "event.type" Keyword list;
    EVENT_URL "event.url" Keyword;
    FILE_DIRECTORY "file.directory" Keyword;
    FILE_EXTENSION "file.extension" Keyword;
    FILE_HASH_MD5 "file.hash.md5" Keyword Hash;
    FILE_HASH_SHA1 "file.hash.sha1" Keyword Hash;
    FILE_HASH_SHA256 "file.hash.sha256" Keyword Hash;
    FILE_HASH_SHA512 "file.hash.sha512" Keyword Hash;
    FILE_MIME_TYPE "file.mime_type" Keyword;
    FILE_MODE "file.mode" Keyword;
    FILE_NAME "file.name" Keyword;
    FILE_OWNER "file.owner" Keyword;
    FILE_PATH "file.path" Keyword;
    FILE_SIZE "file.size" Long;
    FILE_TARGET_PATH "file.target_path" Keyword;
    FILE_TYPE "file.type" Keyword;
    GROUP_DOMAIN "group.domain" Keyword;
    GROUP_ID "group.id" Keyword;
    GROUP_NAME "group.name" Keyword;
    HOST_ARCHITECTURE "host.architecture" Keyword;
    HOST_DOMAIN "host.domain" Keyword;
    HOST_HOSTNAME "host.hostname" Keyword Hosts;
    HOST_ID "host.id" Keyword;
    HOST_IP "host.ip" Ip list Ip;
    HOST_MAC "host.mac" Keyword list;
    HOST_NAME "host.name" Keyword Hosts;
    HOST_OS_FAMILY "host.os.family" Keyword;
    HOST_OS_NAME "host.os.name" Keyword;
    HOST_OS_TYPE "host.os.type" Keyword;
    HOST_OS_VERSION "host.os.version" Keyword;
    HTTP_REQUEST_BODY_BYTES "http.request.body.bytes" Long;
    HTTP_REQUEST_BYTES "http.request.bytes" Long;
    HTTP_REQUEST_METHOD "http.request.method" Keyword;
    HTTP_REQUEST_MIME_TYPE "http.request.mime_type" Keyword;
    HTTP_REQUEST_REFERRER "http.request.referrer" Keyword;
    HTTP_RESPONSE_BODY_BYTES "http.response.body.bytes" Long;
    HTTP_RESPONSE_BYTES "http.response.bytes" Long;
    HTTP_RESPONSE_MIME_TYPE "http.response.mime_type" Keyword;
    HTTP_RESPONSE_STATUS_CODE "http.response.status_code" Long;
    HTTP_VERSION "http.version" Keyword;
    KENG_ORIGINAL_BASE64 "keng.original_base64" Keyword;
    KENG_SENDER_IP "keng.sender.ip" Ip;
    KENG_SENDER_PORT "keng.sender.port" Long;
    KENG_SENDER_TLS_SUBJECT "keng.sender.tls_subject" Keyword;
    KENG_SENDER_TRANSPORT "keng.sender.transport" Keyword;
    LOG_FILE_PATH "log.file.path" Keyword;
    LOG_LEVEL "log.level" Keyword;
    LOG_LOGGER "log.logger" Keyword;
    LOG_SYSLOG_APPNAME "log.syslog.appname" Keyword;
    LOG_SYSLOG_FACILITY_CODE "log.syslog.facility.code" Long;
    LOG_SYSLOG_FACILITY_NAME "log.syslog.facility.name" Keyword;
    LOG_SYSLOG_HOSTNAME "log.syslog.hostname" Keyword;
    LOG_SYSLOG_MSGID "log.syslog.msgid" Keyword;
    LOG_SYSLOG_PRIORITY "log.syslog.priority" Long;
    LOG_SYSLOG_PROCID "log.syslog.procid" Keyword;
    LOG_SYSLOG_SEVERITY_CODE "log.syslog.severity.code" Long;
    LOG_SYSLOG_SEVERITY_NAME "log.syslog.severity.name" Keyword;
    LOG_SYSLOG_VERSION "log.syslog.version" Keyword;
    MESSAGE "message" Text;
    NETWORK_APPLICATION "network.application" Keyword;
    NETWORK_BYTES "network.bytes" Long;
    NETWORK_COMMUNITY_ID "network.community_id" Keyword;
    NETWORK_DIRECTION "network.direction" Keyword;
    NETWORK_IANA_NUMBER "network.iana_number" Keyword;
    NETWORK_NAME "network.name" Keyword;
    NETWORK_PACKETS "network.packets" Long;
    NETWORK_PROTOCOL "network.protocol" Keyword;
    NETWORK_TRANSPORT "network.transport" Keyword;
    NETWORK_TYPE "network.type" Keyword;
    NETWORK_VLAN_ID "network.vlan.id" Keyword;
    OBSERVER_EGRESS_INTERFACE_NAME "observer.egress.interface.name" Keyword;
    OBSERVER_EGRESS_ZONE "observer.egress.zone" Keyword;
    OBSERVER_HOSTNAME "observer.hostname" Keyword Hosts;
    OBSERVER_INGRESS_INTERFACE_NAME "observer.ingress.interface.name" Keyword;
    OBSERVER_INGRESS_ZONE "observer.ingress.zone" Keyword;
    OBSERVER_IP "observer.ip" Ip list Ip;
    OBSERVER_NAME "observer.name" Keyword Hosts;
    OBSERVER_PRODUCT "observer.product" Keyword;
    OBSERVER_SERIAL_NUMBER "observer.serial_number" Keyword;
    OBSERVER_TYPE "observer.type" Keyword;
    OBSERVER_VENDOR "observer.vendor" Keyword;
    OBSERVER_VERSION "observer.version" Keyword;
    ORGANIZATION_NAME "organization.name" Keyword;
    PACKAGE_NAME "package.name" Keyword;
    PROCESS_ARGS "process.args" Keyword list;
    PROCESS_ARGS_COUNT "process.args_count" Long;
    PROCESS_COMMAND_LINE "process.command_line" Keyword;
    PROCESS_ENTITY_ID "process.entity_id" Keyword;
    PROCESS_EXECUTABLE "process.executable" Keyword;
    PROCESS_EXIT_CODE "process.exit_code" Long;
    PROCESS_HASH_MD5 "process.hash.md5" Keyword Hash;
    PROCESS_HASH_SHA1 "process.hash.sha1" Keyword Hash;
    PROCESS_HASH_SHA256 "process.hash.sha256" Keyword Hash;
    PROCESS_NAME "process.name" Keyword;
    PROCESS_PARENT_COMMAND_LINE "process.parent.command_line" Keyword;
    PROCESS_PARENT_ENTITY_ID "process.parent.entity_id" Keyword;
    PROCESS_PARENT_EXECUTABLE "process.parent.executable" Keyword;
    PROCESS_PARENT_NAME "process.parent.name" Keyword;
    PROCESS_PARENT_PID "process.parent.pid" Long;
    PROCESS_PE_ORIGINAL_FILE_NAME "process.pe.original_file_name" Keyword;
    PROCESS_PID "process.pid" Long;
    PROCESS_THREAD_ID "process.thread.id" Long;
    PROCESS_TITLE "process.title" Keyword;
    PROCESS_WORKING_DIRECTORY "process.working_directory" Keyword;
    REGISTRY_DATA_STRINGS "registry.data.strings" Keyword list;
    REGISTRY_DATA_TYPE "registry.data.type" Keyword;
    REGISTRY_HIVE "registry.hive" Keyword;
    REGISTRY_KEY "registry.key" Keyword;
    REGISTRY_PATH "registry.path" Keyword;
    REGISTRY_VALUE "registry.value" Keyword;
    RELATED_HASH "related.hash" Keyword list;
    RELATED_HOSTS "related.hosts" Keyword list;
    RELATED_IP "related.ip" Ip list;
    RELATED_USER "related.user" Keyword list;
    RULE_CATEGORY "rule.category" Keyword;
    RULE_DESCRIPTION "rule.description" Keyword;
    RULE_ID "rule.id" Keyword;
    RULE_NAME "rule.name" Keyword;
    RULE_RULESET "rule.ruleset" Keyword;
    RULE_VERSION "rule.version" Keyword;
    SERVER_ADDRESS "server.address" Keyword;
    SERVER_BYTES "server.bytes" Long;
    SERVER_DOMAIN "server.domain" Keyword;
    SERVER_IP "server.ip" Ip Ip;
    SERVER_PORT "server.port" Long;
    SERVICE_NAME "service.name" Keyword;
    SERVICE_STATE "service.state" Keyword;
    SERVICE_TYPE "service.type" Keyword;
    SOURCE_ADDRESS "source.address" Keyword;
    SOURCE_AS_NUMBER "source.as.number" Long;
    SOURCE_AS_ORGANIZATION_NAME "source.as.organization.name" Keyword;
    SOURCE_BYTES "source.bytes" Long;
    SOURCE_DOMAIN "source.domain" Keyword Hosts;
    SOURCE_GEO_COUNTRY_ISO_CODE "source.geo.country_iso_code" Keyword;
    SOURCE_IP "source.ip" Ip Ip;
    SOURCE_MAC "source.mac" Keyword;
    SOURCE_NAT_IP "source.nat.ip" Ip Ip;
    SOURCE_NAT_PORT "source.nat.port" Long;
    SOURCE_PACKETS "source.packets" Long;
    SOURCE_PORT "source.port" Long;
    SOURCE_USER_NAME "source.user.name" Keyword User;
    TAGS "tags" Keyword list;
    THREAT_TACTIC_ID "threat.tactic.id" Keyword list;
    THREAT_TACTIC_NAME "threat.tactic.name" Keyword list;
    THREAT_TECHNIQUE_ID "threat.technique.id" Keyword list;
    THREAT_TECHNIQUE_NAME "threat.technique.name" Keyword list;
    TLS_CIPHER "tls.cipher" Keyword;
    TLS_CLIENT_JA3 "tls.client.ja3" Keyword;
    TLS_CLIENT_SERVER_NAME "tls.client.server_name" Keyword;
    TLS_ESTABLISHED "tls.established" Bool;
    TLS_RESUMED "tls.resumed" Bool;
    TLS_SERVER_ISSUER "tls.server.issuer" Keyword;
    TLS_SERVER_JA3S "tls.server.ja3s" Keyword;
    TLS_SERVER_NOT_AFTER "tls.server.not_after" Date;
    TLS_SERVER_NOT_BEFORE "tls.server.not_before" Date;
    TLS_SERVER_SUBJECT "tls.server.subject" Keyword;
    TLS_VERSION "tls.version" Keyword;
    TLS_VERSION_PROTOCOL "tls.version_protocol" Keyword;
    TRANSACTION_ID "transaction.id" Keyword;
    URL_DOMAIN "url.domain" Keyword Hosts;
    URL_EXTENSION "url.extension" Keyword;
    URL_FRAGMENT "url.fragment" Keyword;
    URL_FULL "url.full" Keyword;
    URL_ORIGINAL "url.original" Keyword;
    URL_PASSWORD "url.password" Keyword;
    URL_PATH "url.path" Keyword;
    URL_PORT "url.port" Long;
    URL_QUERY "url.query" Keyword;
    URL_SCHEME "url.scheme" Keyword;
    URL_USERNAME "url.username" Keyword;
    USER_DOMAIN "user.domain" Keyword;
    USER_EFFECTIVE_ID "user.effective.id" Keyword;
    USER_EFFECTIVE_NAME "user.effective.name" Keyword User;
    USER_EMAIL "user.email" Keyword User;
    USER_FULL_NAME "user.full_name" Keyword;
    USER_GROUP_NAME "user.group.name" Keyword;
    USER_ID "user.id" Keyword;
    USER_NAME "user.name" Keyword User;
    USER_TARGET_ID "user.target.id" Keyword;
    USER_TARGET_NAME "user.target.name" Keyword User;
    USER_AGENT_DEVICE_NAME "user_agent.device.name" Keyword;
    USER_AGENT_NAME "user_agent.name" Keyword;
    USER_AGENT_ORIGINAL "user_agent.original" Keyword;
    USER_AGENT_OS_NAME "user_agent.os.name" Keyword;
    USER_AGENT_VERSION "user_agent.version" Keyword;
    WINLOG_ACTIVITY_ID "winlog.activity_id" Keyword;
    WINLOG_CHANNEL "winlog.channel" Keyword;
    WINLOG_COMPUTER_NAME "winlog.computer_name" Keyword Hosts;
    WINLOG_EVENT_ID "winlog.event_id" Keyword;
    WINLOG_KEYWORDS "winlog.keywords" Keyword list;
    WINLOG_LEVEL "winlog.level" Keyword;
    WINLOG_LOGON_ID "winlog.logon.id" Keyword;
    WINLOG_LOGON_TYPE "winlog.logon.type" Keyword;
    WINLOG_OPCODE "winlog.opcode" Keyword;
    WINLOG_PROCESS_PID "winlog.process.pid" Long;
    WINLOG_PROCESS_THREAD_ID "winlog.process.thread.id" Long;
    WINLOG_PROVIDER_GUID "winlog.provider_guid" Keyword;
    WINLOG_PROVIDER_NAME "winlog.provider_name" Keyword;
    WINLOG_RECORD_ID "winlog.record_id" Keyword;
    WINLOG_TASK "winlog.task" Keyword;
    WINLOG_USER_DOMAIN "winlog.user.domain" Keyword;
    WINLOG_USER_IDENTIFIER "winlog.user.identifier" Keyword;
    WINLOG_USER_NAME "winlog.user.name" Keyword User;
    WINLOG_VERSION "winlog.version" Long;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_sorted_and_has_no_name_twice() {
        let names: Vec<_> = Field::all().map(Field::name).collect();
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn constants_name_their_own_row() {
        assert_eq!(SOURCE_IP.name(), "source.ip");
        assert_eq!(SOURCE_IP.kind(), Kind::Ip);
        assert_eq!(WINLOG_VERSION.name(), "winlog.version");
        assert_eq!(Field::named("source.ip"), Some(SOURCE_IP));
        assert!(TAGS.is_list());
    }

    #[test]
    fn unlisted_names_take_their_kind_from_the_name() {
        assert_eq!(kind_of("cisco.asa.mapped_ip"), Kind::Ip);
        assert_eq!(kind_of("fortigate.vd"), Kind::Dynamic);
        assert_eq!(kind_of("message"), Kind::Text);
    }
}
