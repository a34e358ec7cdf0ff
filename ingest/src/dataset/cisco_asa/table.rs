//! The messages: id, layout, meaning. Sorted by id; of several layouts of one id the first that
//! fits holds.
//!
//! Names without a dot are read by [`super::put`]; the others are fields.

use crate::dataset::meaning::Meaning;
use crate::dataset::network::{ALLOWED, DENIED};
use crate::dataset::phrase::Layout;

/// One layout of one message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    pub(super) id: &'static str,
    pub(super) layout: Layout,
    pub(super) meaning: Meaning,
}

const fn on(id: &'static str, layout: &'static str, meaning: Meaning) -> Message {
    Message { id, layout: Layout::of(layout), meaning }
}

/// The action of meanings that the message's own verdict replaces.
pub(super) const ACCESS_LIST: &str = "access-list";

const VERDICT: Meaning = Meaning::new(ACCESS_LIST, &["network"], &["connection"]);
const BUILT: Meaning =
    Meaning::new("connection-started", &["network"], &["connection", "start", "allowed"]).success();
const ENDED: Meaning = Meaning::new("connection-ended", &["network"], &["connection", "end"]);
const MAPPED: Meaning = Meaning::new("translation-started", &["network"], &["start", "info"]);
const UNMAPPED: Meaning = Meaning::new("translation-ended", &["network"], &["end", "info"]);
const MAP_FAILED: Meaning = Meaning::new("translation-failed", &["network"], &["info"]).failure();
const HOST_STARTED: Meaning = Meaning::new("host-started", &["network"], &["start", "info"]);
const HOST_ENDED: Meaning = Meaning::new("host-ended", &["network"], &["end", "info"]);
const SPOOFED: Meaning =
    Meaning::new("spoofing-denied", &["network", "intrusion_detection"], &["denied"]).failure();
const THREAT: Meaning =
    Meaning::new("threat-detected", &["intrusion_detection", "network"], &["info"]);
const SHUNNED: Meaning =
    Meaning::new("host-shunned", &["intrusion_detection", "network"], &["denied"]);
const LIMIT: Meaning =
    Meaning::new("connection-limit", &["network"], &["connection", "denied"]).failure();
const FILE: Meaning = Meaning::new("ftp-transfer", &["file", "network"], &["access"]);
const URL: Meaning = Meaning::new("url-accessed", &["web", "network"], &["access"]).success();
const URL_DENIED: Meaning =
    Meaning::new("url-denied", &["web", "network"], &["access", "denied"]).failure();
const RESOLVER: Meaning =
    Meaning::new("dns-dropped", &["network"], &["denied", "protocol"]).failure();
const PROTOCOL: Meaning = Meaning::new("protocol-anomaly", &["network"], &["protocol", "info"]);
const REQUESTED: Meaning = Meaning::new("access-requested", &["network"], &["connection", "start"]);

const LOGIN: Meaning = Meaning::new("login", &["authentication", "session"], &["start"]).success();
const LOGIN_DENIED: Meaning = Meaning::new("login", &["authentication"], &["info"]).failure();
const LOGOUT: Meaning = Meaning::new("logout", &["authentication", "session"], &["end"]).success();
const AAA: Meaning = Meaning::new("aaa-authenticate", &["authentication"], &["info"]);
const AUTHORISED: Meaning = Meaning::new("aaa-authorise", &["network"], &["allowed"]).success();
const UNAUTHORISED: Meaning = Meaning::new("aaa-authorise", &["network"], &["denied"]).failure();
const LOCKED: Meaning = Meaning::new("locked-account", &["iam"], &["change", "user"]);
const UNLOCKED: Meaning = Meaning::new("unlocked-account", &["iam"], &["change", "user"]);
const SERVER_DOWN: Meaning =
    Meaning::new("aaa-server-failed", &["authentication"], &["info"]).failure();
const SERVER_UP: Meaning =
    Meaning::new("aaa-server-active", &["authentication"], &["info"]).success();
const POLICY: Meaning = Meaning::new("vpn-policy", &["session"], &["info"]);
const VPN_LOGIN: Meaning =
    Meaning::new("vpn-login", &["session", "network"], &["start", "connection"]).success();
const VPN_AUTH: Meaning = Meaning::new("vpn-authenticate", &["authentication"], &["info"]);
const VPN_ADDRESS: Meaning =
    Meaning::new("vpn-address-assigned", &["session", "network"], &["info"]);
const VPN_LOGOUT: Meaning =
    Meaning::new("vpn-logout", &["session", "network"], &["end", "connection"]);

const COMMAND: Meaning =
    Meaning::new("command-executed", &["configuration", "process"], &["change"]).success();
const SHOWN: Meaning =
    Meaning::new("command-executed", &["configuration", "process"], &["access"]).success();
const WRITTEN: Meaning = Meaning::new("configuration-changed", &["configuration"], &["change"]);
const READ: Meaning = Meaning::new("configuration-read", &["configuration"], &["access"]);
const CLEARED: Meaning =
    Meaning::new("configuration-cleared", &["configuration"], &["deletion"]).success();
const USER_ADDED: Meaning =
    Meaning::new("added-user-account", &["iam"], &["creation", "user"]).success();
const USER_DELETED: Meaning =
    Meaning::new("deleted-user-account", &["iam"], &["deletion", "user"]).success();
const USER_CHANGED: Meaning =
    Meaning::new("modified-user-account", &["iam"], &["change", "user"]).success();
const LINK: Meaning = Meaning::new("interface-state-changed", &["host"], &["change"]);

// One message a line, however long: the table is read down, not across.
#[rustfmt::skip]
pub(super) const MESSAGES: &[Message] = &[
    on("106001", "Inbound {transport} connection denied from {source} to {destination} flags {cisco.asa.tcp_flags} on interface {observer.ingress.interface.name}", DENIED,
   ),
    on("106002", "{transport} Connection denied by outbound list {rule.name} src {source} dest {destination}", DENIED,
   ),
    on("106006", "Deny inbound {transport} from {source} to {destination} on interface {observer.ingress.interface.name}", DENIED,
   ),
    on("106007", "Deny inbound {transport} from {source} to {destination} due to DNS {event.reason}", DENIED,
   ),
    on("106010", "Deny inbound {transport} src {source} dst {destination}", DENIED),
    on("106011", "Deny inbound (No xlate) {transport} src {source} dst {destination}", DENIED),
    on("106012", "Deny IP from {source} to {destination}, IP options {event.reason}", DENIED),
    on("106013", "Dropping echo request from {source} to PAT address {destination}", DENIED),
    on("106014", "Deny inbound {transport} src {source} dst {destination} (type {cisco.asa.icmp_type}, code {cisco.asa.icmp_code})", DENIED,
   ),
    on("106015", "Deny {transport} (no connection) from {source} to {destination} flags {cisco.asa.tcp_flags} on interface {observer.ingress.interface.name}", DENIED,
   ),
    on("106016", "Deny IP spoof from ({source}) to {destination} on interface {observer.ingress.interface.name}", SPOOFED,
   ),
    on("106017", "Deny IP due to Land Attack from {source} to {destination}", SPOOFED),
    on("106018", "ICMP packet type {cisco.asa.icmp_type} denied by outbound list {rule.name} src {source} dest {destination}", DENIED,
   ),
    on("106020", "Deny IP teardrop fragment ({_}) from {source} to {destination}", SPOOFED),
    on("106021", "Deny {transport} reverse path check from {source} to {destination} on interface {observer.ingress.interface.name}", SPOOFED,
   ),
    on("106022", "Deny {transport} connection spoof from {source} to {destination} on interface {observer.ingress.interface.name}", SPOOFED,
   ),
    on("106023", "Deny {transport} src {source} dst {destination} (type {cisco.asa.icmp_type}, code {cisco.asa.icmp_code}) by access-group \"{rule.name}\" {_}", DENIED,
   ),
    on("106023", "Deny {transport} src {source} dst {destination} by access-group \"{rule.name}\" {_}", DENIED,
   ),
    on("106023", "Deny {transport} src {source} dst {destination} by access-group \"{rule.name}\"", DENIED,
   ),
    on("106100", "access-list {rule.name} {verdict} {transport} {source} -> {destination} hit-cnt {cisco.asa.hit_count} {_}", VERDICT,
   ),
    on("106102", "access-list {rule.name} {verdict} {transport} for user {user} {source} -> {destination} hit-cnt {cisco.asa.hit_count} {_}", VERDICT,
   ),
    on("109005", "Authentication succeeded for user {user} from {source} to {destination} on interface {observer.ingress.interface.name}", AAA.success()),
    on("109006", "Authentication failed for user {user} from {source} to {destination} on interface {observer.ingress.interface.name}", AAA.failure()),
    on("109007", "Authorization permitted for user {user} from {source} to {destination} on interface {observer.ingress.interface.name}", AUTHORISED,
   ),
    on("109008", "Authorization denied for user {user} from {source} to {destination} on interface {observer.ingress.interface.name}", UNAUTHORISED,
   ),
    on("110002", "Failed to locate egress interface for {transport} from {source} to {destination}", DENIED,
   ),
    on("110003", "Routing failed to locate next hop for {transport} from {source} to {destination}", DENIED,
   ),
    on("111001", "Begin configuration: {source} writing to {cisco.asa.device}", WRITTEN),
    on("111002", "Begin configuration: {source} reading from {cisco.asa.device}", READ),
    on("111003", "{source} Erase configuration", CLEARED),
    on("111004", "{source} end configuration: {cisco.asa.result}", WRITTEN),
    on("111005", "{source} end configuration: {cisco.asa.result}", WRITTEN),
    on("111007", "Begin configuration: {source} reading from {cisco.asa.device}", READ),
    on("111008", "User '{user..}' executed the '{process.command_line}' command.", COMMAND),
    on("111008", "User '{user..}' executed the '{process.command_line}' command", COMMAND),
    on("111009", "User '{user..}' executed cmd: {process.command_line}", SHOWN),
    on("111010", "User '{user}', running '{cisco.asa.application}' from IP {source}, executed '{process.command_line}'", COMMAND,
   ),
    on("112001", "({_}) Clear complete.", CLEARED),
    on("113003", "AAA group policy for user {user} is being set to {group.name}", POLICY),
    on("113004", "AAA user {_} Successful : server = {cisco.asa.server} : user = {user}", AAA.success()),
    on("113005", "AAA user authentication Rejected : reason = {event.reason} : server = {cisco.asa.server} : user = {user} : user IP = {source}", AAA.failure()),
    on("113005", "AAA user authentication Rejected : reason = {event.reason} : server = {cisco.asa.server} : user = {user}", AAA.failure()),
    on("113006", "User {user..} locked out on exceeding {cisco.asa.attempts} successive failed authentication attempts", LOCKED,
   ),
    on("113007", "User {user.target.name..} unlocked by {user}", UNLOCKED),
    on("113008", "AAA transaction status ACCEPT : user = {user}", AAA.success()),
    on("113009", "AAA retrieved default group policy ({group.name}) for user = {user}", POLICY),
    on("113010", "AAA challenge received for user {user} from server {cisco.asa.server}", AAA),
    on("113011", "AAA retrieved user specific group policy ({group.name}) for user = {user}", POLICY,
   ),
    on("113012", "AAA user authentication Successful : local database : user = {user}", AAA.success()),
    on("113013", "AAA unable to complete the request Error : reason = {event.reason} : user = {user}", AAA.failure()),
    on("113014", "AAA authentication server not accessible : server = {cisco.asa.server} : user = {user}", SERVER_DOWN,
   ),
    on("113015", "AAA user authentication Rejected : reason = {event.reason} : local database : user = {user} : user IP = {source}", AAA.failure()),
    on("113015", "AAA user authentication Rejected : reason = {event.reason} : local database : user = {user}", AAA.failure()),
    on("113016", "AAA credentials rejected : reason = {event.reason} : server = {cisco.asa.server} : user = {user}", AAA.failure()),
    on("113017", "AAA credentials rejected : reason = {event.reason} : local database : user = {user}", AAA.failure()),
    on("113019", "Group = {group.name}, Username = {user}, IP = {source}, Session disconnected. Session Type: {cisco.asa.session_type}, Duration: {duration}, Bytes xmt: {destination.bytes}, Bytes rcv: {source.bytes}, Reason: {event.reason}", VPN_LOGOUT,
   ),
    on("113021", "Attempted console login failed. User {user..} did NOT have appropriate Admin Rights.", LOGIN_DENIED,
   ),
    on("113022", "AAA Marking {_} server {cisco.asa.server} in aaa-server group {_} as FAILED", SERVER_DOWN,
   ),
    on("113023", "AAA Marking {_} server {cisco.asa.server} in aaa-server group {_} as ACTIVE", SERVER_UP,
   ),
    on("113039", "Group <{group.name}> User <{user}> IP <{source}> {_}", VPN_LOGIN),
    on("201002", "Too many TCP connections on {_} {destination}! {_}", LIMIT),
    on("201003", "Embryonic limit exceeded {cisco.asa.limit} for {first} ({_}) {second} on interface {observer.ingress.interface.name}", LIMIT,
   ),
    on("201010", "Embryonic connection limit exceeded {cisco.asa.limit} for {direction} packet from {source} to {destination} on interface {observer.ingress.interface.name}", LIMIT,
   ),
    on("201011", "Connection limit exceeded {cisco.asa.limit} for {direction} packet from {source} to {destination} on interface {observer.ingress.interface.name}", LIMIT,
   ),
    on("201012", "Per-client embryonic connection limit exceeded {cisco.asa.limit} for {direction} packet from {source} to {destination} on interface {observer.ingress.interface.name}", LIMIT,
   ),
    on("201013", "Per-client connection limit exceeded {cisco.asa.limit} for {direction} packet from {source} to {destination} on interface {observer.ingress.interface.name}", LIMIT,
   ),
    on("302013", "Built {direction} {transport} connection {cisco.asa.connection_id} for {first} to {second}", BUILT,
   ),
    on("302014", "Teardown {transport} connection {cisco.asa.connection_id} for {first} to {second} duration {duration} bytes {network.bytes} {event.reason}", ENDED,
   ),
    on("302014", "Teardown {transport} connection {cisco.asa.connection_id} for {first} to {second} duration {duration} bytes {network.bytes}", ENDED,
   ),
    on("302015", "Built {direction} {transport} connection {cisco.asa.connection_id} for {first} to {second}", BUILT,
   ),
    on("302016", "Teardown {transport} connection {cisco.asa.connection_id} for {first} to {second} duration {duration} bytes {network.bytes} {event.reason}", ENDED,
   ),
    on("302016", "Teardown {transport} connection {cisco.asa.connection_id} for {first} to {second} duration {duration} bytes {network.bytes}", ENDED,
   ),
    on("302017", "Built {direction} {transport} connection {cisco.asa.connection_id} from {source} to {destination}", BUILT,
   ),
    on("302018", "Teardown {transport} connection {cisco.asa.connection_id} from {source} to {destination} duration {duration} bytes {network.bytes}", ENDED,
   ),
    on("302020", "Built {direction} {transport} connection for faddr {first} gaddr {_} laddr {second} type {cisco.asa.icmp_type} code {cisco.asa.icmp_code}", BUILT,
   ),
    on("302020", "Built {direction} {transport} connection for faddr {first} gaddr {_} laddr {second}", BUILT,
   ),
    on("302021", "Teardown {transport} connection for faddr {destination} gaddr {_} laddr {source} type {cisco.asa.icmp_type} code {cisco.asa.icmp_code}", ENDED,
   ),
    on("302021", "Teardown {transport} connection for faddr {destination} gaddr {_} laddr {source}", ENDED,
   ),
    on("303002", "FTP connection from {source} to {destination}, user {user} {cisco.asa.ftp_command} file {file.path}", FILE,
   ),
    on("304001", "{source} Accessed URL {destination}:{url.original}", URL),
    on("304002", "Access denied URL {url.original} SRC {source} DEST {destination} on interface {observer.ingress.interface.name}", URL_DENIED,
   ),
    on("304002", "Access denied URL {url.original} SRC {source} DEST {destination}", URL_DENIED),
    on("305005", "No translation group found for {transport} src {source} dst {destination} (type {cisco.asa.icmp_type}, code {cisco.asa.icmp_code})", MAP_FAILED,
   ),
    on("305005", "No translation group found for {transport} src {source} dst {destination}", MAP_FAILED,
   ),
    on("305006", "{_} translation creation failed for {transport} src {source} dst {destination} (type {cisco.asa.icmp_type}, code {cisco.asa.icmp_code})", MAP_FAILED,
   ),
    on("305006", "{_} translation creation failed for {transport} src {source} dst {destination}", MAP_FAILED,
   ),
    on("305009", "Built {_} translation from {source} to {cisco.asa.mapped}", MAPPED),
    on("305010", "Teardown {_} translation from {source} to {cisco.asa.mapped} duration {duration}", UNMAPPED,
   ),
    on("305011", "Built {_} {transport} translation from {source} to {cisco.asa.mapped}", MAPPED),
    on("305012", "Teardown {_} {transport} translation from {source} to {cisco.asa.mapped} duration {duration}", UNMAPPED,
   ),
    on("308001", "console enable password incorrect for {cisco.asa.attempts} tries (from {source})", LOGIN_DENIED,
   ),
    on("313001", "Denied {transport} type={cisco.asa.icmp_type}, code={cisco.asa.icmp_code} from {source} on interface {observer.ingress.interface.name}", DENIED,
   ),
    on("313004", "Denied {transport} type={cisco.asa.icmp_type}, from laddr {source} on interface {observer.ingress.interface.name} to {destination}: {event.reason}", DENIED,
   ),
    on("313005", "No matching connection for ICMP error message: {transport} src {source} dst {destination} (type {cisco.asa.icmp_type}, code {cisco.asa.icmp_code}) on {observer.ingress.interface.name} interface. {_}", DENIED,
   ),
    on("313008", "Denied {transport} type={cisco.asa.icmp_type}, code={cisco.asa.icmp_code} from {source} on interface {observer.ingress.interface.name}", DENIED,
   ),
    on("315011", "SSH session from {source} on interface {observer.ingress.interface.name} for user \"{user}\" disconnected by SSH server, reason: \"{event.reason}\" {_}", LOGOUT,
   ),
    on("315011", "SSH session from {source} on interface {observer.ingress.interface.name} for user {user} disconnected by SSH server, reason: {event.reason}", LOGOUT,
   ),
    on("322001", "Deny MAC address {source.mac}, possible spoof attempt on interface {observer.ingress.interface.name}", SPOOFED,
   ),
    on("338001", "Dynamic filter {_} blacklisted {transport} traffic from {source} to {destination}, {event.reason}", THREAT,
   ),
    on("338002", "Dynamic filter {_} blacklisted {transport} traffic from {source} to {destination}, {event.reason}", THREAT,
   ),
    on("338003", "Dynamic filter {_} blacklisted {transport} traffic from {source} to {destination}, {event.reason}", THREAT,
   ),
    on("338004", "Dynamic filter {_} blacklisted {transport} traffic from {source} to {destination}, {event.reason}", THREAT,
   ),
    on("338005", "Dynamic filter {_} blacklisted {transport} traffic from {source} to {destination}, {event.reason}", SHUNNED,
   ),
    on("338006", "Dynamic filter {_} blacklisted {transport} traffic from {source} to {destination}, {event.reason}", SHUNNED,
   ),
    on("338007", "Dynamic filter {_} blacklisted {transport} traffic from {source} to {destination}, {event.reason}", SHUNNED,
   ),
    on("338008", "Dynamic filter {_} blacklisted {transport} traffic from {source} to {destination}, {event.reason}", SHUNNED,
   ),
    on("402117", "IPSEC: Received a non-IPSec packet (protocol= {transport}) from {source} to {destination}.", PROTOCOL,
   ),
    on("402119", "IPSEC: Received an {_} packet ({_}) from {source} (user= {user}) to {destination} that failed anti-replay checking.", THREAT,
   ),
    on("410001", "Dropped {transport} DNS {_} from {source} to {destination}; {event.reason}", RESOLVER,
   ),
    on("411001", "Line protocol on Interface {observer.ingress.interface.name}, changed state to {cisco.asa.state}", LINK,
   ),
    on("411002", "Line protocol on Interface {observer.ingress.interface.name}, changed state to {cisco.asa.state}", LINK,
   ),
    on("411003", "Configuration status on Interface {observer.ingress.interface.name} changed state to {cisco.asa.state}", LINK,
   ),
    on("411004", "Configuration status on interface {observer.ingress.interface.name} changed state to {cisco.asa.state}", LINK,
   ),
    on("419001", "Dropping {transport} packet from {source} to {destination}, reason: {event.reason}", DENIED,
   ),
    on("419002", "Duplicate {transport} SYN from {source} to {destination} with different initial sequence number", PROTOCOL,
   ),
    on("500003", "Bad {transport} hdr length ({_}) from {source} to {destination}, flags: {cisco.asa.tcp_flags}, on interface {observer.ingress.interface.name}", PROTOCOL,
   ),
    on("500004", "Invalid transport field for protocol={transport}, from {source} to {destination}", PROTOCOL,
   ),
    on("502101", "New user added to local dbase: Uname: {user.target.name..} Priv: {cisco.asa.privilege} Encpass: {_}", USER_ADDED,
   ),
    on("502102", "User deleted from local dbase: Uname: {user.target.name..} Priv: {cisco.asa.privilege} Encpass: {_}", USER_DELETED,
   ),
    on("502103", "User priv level changed: Uname: {user.target.name..} From: {cisco.asa.privilege_before} To: {cisco.asa.privilege}", USER_CHANGED,
   ),
    on("605004", "Login denied from {source} to {destination} for user \"{user}\"", LOGIN_DENIED),
    on("605004", "Login denied from {source} to {destination} for user {user}", LOGIN_DENIED),
    on("605005", "Login permitted from {source} to {destination} for user \"{user}\"", LOGIN),
    on("605005", "Login permitted from {source} to {destination} for user {user}", LOGIN),
    on("606001", "ASDM session number {cisco.asa.session_id} from {source} started", LOGIN),
    on("606002", "ASDM session number {cisco.asa.session_id} from {source} ended", LOGOUT),
    on("609001", "Built local-host {source}", HOST_STARTED),
    on("609002", "Teardown local-host {source} duration {duration}", HOST_ENDED),
    on("611101", "User authentication succeeded: IP address: {source}, Uname: {user}", AAA.success()),
    on("611101", "User authentication succeeded: IP, {source} : Uname: {user}", AAA.success()),
    on("611101", "User authentication succeeded: Uname: {user}", AAA.success()),
    on("611102", "User authentication failed: IP address: {source}, Uname: {user}", AAA.failure()),
    on("611102", "User authentication failed: IP = {source}, Uname: {user}", AAA.failure()),
    on("611102", "User authentication failed: Uname: {user}", AAA.failure()),
    on("611103", "User logged out: Uname: {user}", LOGOUT),
    on("710001", "{transport} access requested from {source} to {destination}", REQUESTED),
    on("710002", "{transport} access permitted from {source} to {destination}", ALLOWED),
    on("710003", "{transport} access denied by ACL from {source} to {destination}", DENIED),
    on("710004", "{transport} connection limit exceeded from {source} to {destination} {_}", LIMIT),
    on("710005", "{transport} request discarded from {source} to {destination}", DENIED),
    on("710006", "{transport} request discarded from {source} to {destination}", DENIED),
    on("716001", "Group <{group.name}> User <{user}> IP <{source}> WebVPN session started.", VPN_LOGIN,
   ),
    on("716002", "Group <{group.name}> User <{user}> IP <{source}> WebVPN session terminated: {event.reason}.", VPN_LOGOUT,
   ),
    on("716038", "Group <{group.name}> User <{user}> IP <{source}> Authentication: {verdict}, Session Type: {cisco.asa.session_type}.", VPN_AUTH,
   ),
    on("716039", "Group <{group.name}> User <{user}> IP <{source}> Authentication: {verdict}, Session Type: {cisco.asa.session_type}.", VPN_AUTH,
   ),
    on("716058", "Group <{group.name}> User <{user}> IP <{source}> AnyConnect session lost connection. {event.reason}", VPN_LOGOUT,
   ),
    on("716059", "Group <{group.name}> User <{user}> IP <{source}> AnyConnect session resumed{_}", VPN_LOGIN,
   ),
    on("722022", "Group <{group.name}> User <{user}> IP <{source}> {_} connection established {_}", VPN_LOGIN,
   ),
    on("722023", "Group <{group.name}> User <{user}> IP <{source}> {_} connection terminated {event.reason}", VPN_LOGOUT,
   ),
    on("722033", "Group <{group.name}> User <{user}> IP <{source}> First {_} connection established for SVC session.", VPN_LOGIN,
   ),
    on("722037", "Group <{group.name}> User <{user}> IP <{source}> SVC closing connection: {event.reason}", VPN_LOGOUT,
   ),
    on("722051", "Group <{group.name}> User <{user}> IP <{source}> IPv4 Address <{source.nat.ip}> IPv6 address <{_}> assigned to session", VPN_ADDRESS,
   ),
    on("722051", "Group <{group.name}> User <{user}> IP <{source}> Address <{source.nat.ip}> assigned to session", VPN_ADDRESS,
   ),
    on("733100", "[{cisco.asa.object}] drop rate-{_} exceeded. Current burst rate is {cisco.asa.burst_rate} per second, max configured rate is {cisco.asa.burst_rate_max}; {_}", THREAT,
   ),
    on("733101", "{_} [{source}] is {cisco.asa.role}. Current burst rate is {cisco.asa.burst_rate} per second, max configured rate is {cisco.asa.burst_rate_max}; {_}", THREAT,
   ),
    on("733101", "{_} {source} is {cisco.asa.role}. Current burst rate is {cisco.asa.burst_rate} per second, max configured rate is {cisco.asa.burst_rate_max}; {_}", THREAT,
   ),
    on("733102", "Threat-detection adds host {source} to shun list", SHUNNED),
    on("733103", "Threat-detection removes host {source} from shun list", THREAT),
    on("734001", "DAP: User {user}, Addr {source}, Connection {cisco.asa.connection_type}: The following DAP records were selected for this connection: {cisco.asa.dap_records}", POLICY,
   ),
    on("746012", "user-identity: Add IP-User mapping {source} - {user} Succeeded{_}", POLICY),
    on("746013", "user-identity: Delete IP-User mapping {source} - {user} Succeeded{_}", POLICY),
];
