// Keng's page: search, alerts, sources and rules in one script without a build step.
//
// Everything that comes from logs reaches the document as text (`textContent`, text nodes),
// never as markup; the content security policy forbids the rest. What is on the screen is in
// the URL's fragment, so that a link shows a colleague the same.
"use strict";

// ---- Words -----------------------------------------------------------------------------------

const WORDS = {
  en: {
    skip: "Skip to content", nav: "Main", search: "Search", alerts: "Alerts", sources: "Sources", rules: "Rules",
    zone: "Time zone", zone_browser: "This browser", other_language: "Tiếng Việt", sign_out: "Sign out",
    sign_in: "Sign in", name: "Name", password: "Password", password_new: "New password (at least 12 characters)",
    login_hint: "No account yet? Whoever runs this node finds a one-time setup link in its start message, or adds people with: keng user add NAME",
    setup_title: "Welcome to Keng", setup_hint: "This link works once. Choose the name and password of the first administrator.",
    setup_submit: "Create the first account",
    query: "Query", query_example: "failed password   source.ip:203.0.113.0/24   event.outcome:failure NOT user.name:backup",
    range: "Time range", last: "Last {0}", all_time: "All time", custom: "Custom range…", from: "From", to: "To", apply: "Apply",
    run: "Search", live: "Live", top_values: "Top values", add_field: "Add a field", add_field_example: "add a field…",
    remove: "Remove {0}", include: "Only {0}: {1}", exclude: "Without {0}: {1}", copy: "Copy the value of {0}", copied: "Copied",
    events: "{0} events", events_min: "more than {0} events", took: "{0} ms", partial: "incomplete: part of the range was not searched, counts are lower bounds",
    more: "Show more", fresh: "{0} new events", missed: "{0} events passed too fast to be shown",
    no_time: "no time", raw: "Raw", json: "JSON", fields: "Fields", copy_json: "Copy as JSON", chart: "Events over time, {0} each bar",
    chart_hint: "drag to zoom", none_title: "Nothing matches", none_text: "No event in this time range matches the query.",
    none_live: "Waiting for the next event that matches.", widen: "Search the last 7 days", clear_query: "Clear the query",
    first_title: "No events yet", first_text: "Nothing has been received so far. Send a first message from any machine:",
    first_rsyslog: "To send everything a Linux machine logs, put this into /etc/rsyslog.d/50-keng.conf and restart rsyslog:",
    first_http: "Over HTTP, with an API token:", first_live: "Wait for the first event",
    state: "State", severity: "Severity", any_severity: "Any severity", state_open: "Open", state_acknowledged: "Acknowledged",
    state_snoozed: "Snoozed", state_closed: "Closed", state_trial: "On trial", state_all: "All", acknowledge: "Acknowledge", close: "Close", reopen: "Reopen", assign: "Assign", take: "Assign to me",
    close_false: "Close as false positive", select_none: "Select none", selected: "{0} selected", select_alert: "Select: {0}",
    close_title: "Close the alert", verdict: "Verdict", note: "Note", add_note: "Add note", cancel: "Cancel", done: "Done", back: "Close the details",
    true_positive: "True positive: an attack", benign: "Benign: true, and allowed", false_positive: "False positive: the rule was wrong",
    duplicate: "Duplicate of another alert", test: "Test", inconclusive: "Inconclusive: too little to tell",
    alerts_none: "No alerts here", alerts_none_open: "Nothing is open. When a rule recognises something, it appears here.", alerts_none_other: "No alert has this state and severity.",
    findings: "{0}×", findings_label: "Recognised", first_seen: "First", last_seen: "Last seen", opened: "Opened", acknowledged_at: "Acknowledged", closed_at: "Closed", assignee: "Assignee", nobody: "nobody",
    about: "What identifies it", involved: "Involved", description: "What the rule looks for", runbook: "What to do", false_positives: "Known harmless causes", sample_events: "Events",
    history: "History", next: "Next", show_events: "Search for these events", techniques: "Techniques", assign_to: "Assign to (name)",
    source: "Source", dataset: "Dataset", transport: "Over", rate: "Events/s", total: "Events", failures: "Not parsed", lost: "Lost", active: "active", silent: "silent", never_seen: "never seen", muted: "muted",
    ago: "{0} ago", now: "now", rule: "Rule", level: "Level", kind: "Kind", status: "Status", rules_none: "No rules are loaded. Name a folder of Sigma rules under [rules] in the configuration.", rule_problems: "These rules could not be loaded:",
    critical: "critical", high: "high", medium: "medium", low: "low", informational: "informational",
    help: "Keyboard shortcuts", keys_on: "Single-key shortcuts are on", language_help: "Query language",
    key_slash: "go to the query", key_move: "next, previous row", key_expand: "open or close the row", key_ack: "acknowledge the alert", key_close: "close the alert", key_live: "live on or off", key_escape: "close what is open", key_help: "this list",
    syn_word: "words, accents ignored", syn_phrase: "these words in this order", syn_field: "a field has this value", syn_wild: "begins so", syn_not: "and, or, not", syn_range: "ranges and comparisons", syn_cidr: "addresses in a network", syn_set: "one of several", syn_any: "the field is there",
    did_opened: "opened it", did_acknowledged: "acknowledged", did_assigned: "assigned", did_closed: "closed", did_reopened: "reopened", did_noted: "noted", did_notified: "notified", did_notification_failed: "could not notify", did_severity_raised: "raised the severity", did_test_ended: "made an alert of the test", test_mark: "Test", test_note: "Its rule is being tried: nobody is called",
    offline: "The node does not answer. Trying again…", expired: "Your session has ended. Sign in again.", failed: "That did not work: {0}", hint: "Hint: {0}", missing_role: "This node does not run the part that answers here.",
  },
  vi: {
    skip: "Đến nội dung", nav: "Chính", search: "Tìm kiếm", alerts: "Cảnh báo", sources: "Nguồn", rules: "Luật",
    zone: "Múi giờ", zone_browser: "Theo trình duyệt", other_language: "English", sign_out: "Đăng xuất",
    sign_in: "Đăng nhập", name: "Tên", password: "Mật khẩu", password_new: "Mật khẩu mới (ít nhất 12 ký tự)",
    login_hint: "Chưa có tài khoản? Người vận hành máy chủ thấy liên kết thiết lập dùng một lần trong thông báo khởi động, hoặc thêm người bằng lệnh: keng user add TÊN",
    setup_title: "Chào mừng đến với Kẻng", setup_hint: "Liên kết này chỉ dùng được một lần. Hãy chọn tên và mật khẩu của quản trị viên đầu tiên.",
    setup_submit: "Tạo tài khoản đầu tiên",
    query: "Truy vấn", query_example: "dang nhap that bai   source.ip:203.0.113.0/24   NOT user.name:backup",
    range: "Khoảng thời gian", last: "{0} gần đây", all_time: "Toàn bộ", custom: "Tự chọn…", from: "Từ", to: "Đến", apply: "Áp dụng",
    run: "Tìm", live: "Trực tiếp", top_values: "Giá trị nhiều nhất", add_field: "Thêm trường", add_field_example: "thêm trường…",
    remove: "Bỏ {0}", include: "Chỉ {0}: {1}", exclude: "Trừ {0}: {1}", copy: "Sao chép giá trị của {0}", copied: "Đã sao chép",
    events: "{0} sự kiện", events_min: "hơn {0} sự kiện", took: "{0} ms", partial: "chưa đầy đủ: một phần khoảng thời gian chưa được tìm, số đếm là mức tối thiểu",
    more: "Xem thêm", fresh: "{0} sự kiện mới", missed: "{0} sự kiện trôi quá nhanh nên không hiển thị",
    no_time: "không có thời gian", raw: "Bản gốc", json: "JSON", fields: "Trường", copy_json: "Sao chép JSON", chart: "Sự kiện theo thời gian, mỗi cột {0}",
    chart_hint: "kéo để phóng to", none_title: "Không có kết quả", none_text: "Không có sự kiện nào trong khoảng thời gian này khớp với truy vấn.",
    none_live: "Đang chờ sự kiện tiếp theo khớp với truy vấn.", widen: "Tìm trong 7 ngày gần đây", clear_query: "Xoá truy vấn",
    first_title: "Chưa có sự kiện", first_text: "Chưa nhận được gì. Hãy gửi thông điệp đầu tiên từ một máy bất kỳ:",
    first_rsyslog: "Để gửi toàn bộ nhật ký của một máy Linux, ghi dòng này vào /etc/rsyslog.d/50-keng.conf rồi khởi động lại rsyslog:",
    first_http: "Qua HTTP, với mã API:", first_live: "Chờ sự kiện đầu tiên",
    state: "Trạng thái", severity: "Mức độ", any_severity: "Mọi mức độ", state_open: "Đang mở", state_acknowledged: "Đã tiếp nhận",
    state_snoozed: "Tạm hoãn", state_closed: "Đã đóng", state_trial: "Đang thử", state_all: "Tất cả", acknowledge: "Tiếp nhận", close: "Đóng", reopen: "Mở lại", assign: "Giao", take: "Nhận về tôi",
    close_false: "Đóng: cảnh báo giả", select_none: "Bỏ chọn", selected: "Đã chọn {0}", select_alert: "Chọn: {0}",
    close_title: "Đóng cảnh báo", verdict: "Kết luận", note: "Ghi chú", add_note: "Thêm ghi chú", cancel: "Huỷ", done: "Xong", back: "Đóng chi tiết",
    true_positive: "Đúng: có tấn công", benign: "Đúng nhưng vô hại", false_positive: "Cảnh báo giả: luật sai",
    duplicate: "Trùng với cảnh báo khác", test: "Thử nghiệm", inconclusive: "Chưa đủ căn cứ",
    alerts_none: "Không có cảnh báo", alerts_none_open: "Không có cảnh báo nào đang mở. Khi một luật phát hiện điều gì, nó sẽ hiện ở đây.", alerts_none_other: "Không có cảnh báo nào ở trạng thái và mức độ này.",
    findings: "{0}×", findings_label: "Phát hiện", first_seen: "Lần đầu", last_seen: "Lần cuối", opened: "Mở lúc", acknowledged_at: "Tiếp nhận lúc", closed_at: "Đóng lúc", assignee: "Người xử lý", nobody: "chưa có ai",
    about: "Định danh", involved: "Liên quan", description: "Luật tìm điều gì", runbook: "Cần làm gì", false_positives: "Nguyên nhân vô hại đã biết", sample_events: "Sự kiện",
    history: "Lịch sử", next: "Tiếp theo", show_events: "Tìm các sự kiện này", techniques: "Kỹ thuật", assign_to: "Giao cho (tên)",
    source: "Nguồn", dataset: "Tập dữ liệu", transport: "Qua", rate: "Sự kiện/giây", total: "Sự kiện", failures: "Không phân tích được", lost: "Mất", active: "hoạt động", silent: "im lặng", never_seen: "chưa từng thấy", muted: "tắt theo dõi",
    ago: "{0} trước", now: "vừa xong", rule: "Luật", level: "Mức", kind: "Loại", status: "Tình trạng", rules_none: "Chưa nạp luật nào. Hãy chỉ ra thư mục luật Sigma ở mục [rules] trong cấu hình.", rule_problems: "Các luật sau không nạp được:",
    critical: "nghiêm trọng", high: "cao", medium: "trung bình", low: "thấp", informational: "thông tin",
    help: "Phím tắt", keys_on: "Bật phím tắt một phím", language_help: "Ngôn ngữ truy vấn",
    key_slash: "đến ô truy vấn", key_move: "hàng sau, hàng trước", key_expand: "mở hoặc đóng hàng", key_ack: "tiếp nhận cảnh báo", key_close: "đóng cảnh báo", key_live: "bật hoặc tắt trực tiếp", key_escape: "đóng phần đang mở", key_help: "danh sách này",
    syn_word: "các từ, không phân biệt dấu", syn_phrase: "các từ này theo đúng thứ tự", syn_field: "trường có giá trị này", syn_wild: "bắt đầu bằng", syn_not: "và, hoặc, không", syn_range: "khoảng và so sánh", syn_cidr: "địa chỉ trong mạng", syn_set: "một trong các giá trị", syn_any: "có trường này",
    did_opened: "mở cảnh báo", did_acknowledged: "tiếp nhận", did_assigned: "giao việc", did_closed: "đóng", did_reopened: "mở lại", did_noted: "ghi chú", did_notified: "đã thông báo", did_notification_failed: "không thông báo được", did_severity_raised: "nâng mức độ", did_test_ended: "chuyển từ thử nghiệm thành cảnh báo", test_mark: "Thử nghiệm", test_note: "Luật đang được thử: không ai bị gọi",
    offline: "Máy chủ không trả lời. Đang thử lại…", expired: "Phiên làm việc đã hết. Hãy đăng nhập lại.", failed: "Không thực hiện được: {0}", hint: "Gợi ý: {0}", missing_role: "Máy chủ này không chạy phần trả lời ở đây.",
  },
};

/** What the node says in English, by language: a pattern and its words. What is not here is shown as it came. */
const SAID = {
  vi: [
    [/^nothing$/, "không làm gì thêm"],
    [/^notify (\S+) \(alert\.opened\)$/, "báo cho $1: cảnh báo mới"],
    [/^notify (\S+) \(alert\.updated\)$/, "báo cho $1: cảnh báo vẫn tiếp diễn"],
    [/^notify (\S+) \((\S+)\)$/, "báo cho $1 ($2)"],
    [/^attempt (\d+) failed: (.*)$/s, "lần gửi thứ $1 không thành công: $2"],
    [/^attempt (\d+) is under way$/, "đang gửi lần thứ $1"],
    [/^it goes on counting$/, "vẫn đang đếm thêm"],
    [/^it was just queued$/, "vừa xếp vào hàng đợi"],
    [/^no route leads anywhere for this severity and rule: nobody is notified$/, "không có tuyến nào cho mức độ và luật này: không ai được báo"],
    [/^its rule is being tried: nobody is notified$/, "luật đang được thử: không ai được báo"],
    [/^it waits for somebody to acknowledge it$/, "đang chờ người tiếp nhận"],
    [/^it waits for somebody to close it$/, "đang chờ người đóng cảnh báo"],
  ],
};

/** Headlines of problems by their code, where the reader's language is not the node's. */
const PROBLEMS = {
  vi: {
    malformed: "Yêu cầu sai định dạng", query: "Truy vấn có lỗi", unauthenticated: "Chưa đăng nhập, hoặc sai tên hay mật khẩu", forbidden: "Không có quyền",
    cross_site: "Yêu cầu không đến từ trang này", not_found: "Không tìm thấy", conflict: "Đã bị người khác thay đổi trong lúc đó", too_large: "Quá lớn",
    invalid: "Không thực hiện được", busy: "Quá nhiều việc cùng lúc, hãy thử lại", throttled: "Thử quá nhiều lần, hãy chờ rồi thử lại", timeout: "Mất quá nhiều thời gian",
    role_absent: "Máy chủ này không chạy phần đó", unavailable: "Tạm thời chưa sẵn sàng", internal: "Lỗi bên trong máy chủ",
  },
};

const SYNTAX = [
  ["failed password", "syn_word"], ['"session opened"', "syn_phrase"], ["user.name:root", "syn_field"],
  ["host.name:web*", "syn_wild"], ["a AND (b OR NOT c)", "syn_not"], ["source.port>=1024   destination.port:[1 TO 1023]", "syn_range"],
  ["source.ip:10.0.0.0/8", "syn_cidr"], ["event.action in (ssh_login, logon)", "syn_set"], ["url.path:*", "syn_any"],
];
const KEYS = [
  ["/", "key_slash"], ["j  k", "key_move"], ["e  Enter", "key_expand"], ["a", "key_ack"], ["c", "key_close"],
  ["l", "key_live"], ["Esc", "key_escape"], ["?", "key_help"],
];

const store = {
  get(key, otherwise) { try { return localStorage.getItem(`keng.${key}`) ?? otherwise; } catch { return otherwise; } },
  set(key, value) { try { localStorage.setItem(`keng.${key}`, value); } catch { /* private window */ } },
};

let language = store.get("language", navigator.language?.startsWith("vi") ? "vi" : "en");

/** The text for `key` in the chosen language, `{0}`, `{1}` … replaced. */
function t(key, ...values) {
  const text = WORDS[language]?.[key] ?? WORDS.en[key] ?? key;
  return text.replace(/\{(\d)\}/g, (whole, index) => values[index] ?? whole);
}

/** The node's own sentence in the reader's language, where it is known. */
function said(text) {
  const known = (SAID[language] ?? []).find(([pattern]) => pattern.test(text));
  return known ? text.replace(...known) : text;
}

function number(value) {
  return new Intl.NumberFormat(language === "vi" ? "vi-VN" : "en-GB").format(value ?? 0);
}

// ---- Document --------------------------------------------------------------------------------

const $ = (id) => document.getElementById(id);

/** An element. Properties that begin with "on" are listeners, the rest are attributes. */
function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  set(element, properties);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function svg(tag, properties = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  set(element, properties);
  element.append(...children);
  return element;
}

function set(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
}

function show(element, visible = true) { element.hidden = !visible; }

/** Says something to a screen reader without moving the focus. */
function announce(text) { $("status").textContent = text; }

function notice(text) {
  $("notice").textContent = text ?? "";
  show($("notice"), Boolean(text));
}

// A shape per severity, so that colour is never the only sign.
const SHAPES = {
  critical: "M6 0l6 6-6 6-6-6z", high: "M6 1l6 10H0z", medium: "M1 1h10v10H1z",
  low: "M6 1a5 5 0 1 0 0 10A5 5 0 0 0 6 1z", informational: "M1 5h10v2H1z",
};
const SEVERITIES = ["critical", "high", "medium", "low", "informational"];

function severityMark(level) {
  const shape = svg("svg", { viewBox: "0 0 12 12", "aria-hidden": "true" }, svg("path", { d: SHAPES[level] ?? SHAPES.informational }));
  return el("span", { class: `severity ${level}`, "data-severity": level }, shape, t(level));
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // The clipboard interface exists only under TLS and on localhost.
    const area = el("textarea", { class: "hidden", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  announce(t("copied"));
}

// ---- HTTP ------------------------------------------------------------------------------------

class Problem extends Error {
  constructor(status, body) {
    const detail = body.detail || body.title || `HTTP ${status}`;
    const headline = PROBLEMS[language]?.[body.code];
    super(headline ? `${headline} (${detail})` : detail);
    Object.assign(this, { status, code: body.code, hint: body.hint, span: body.span, fix: body.fix });
  }
}

/** Sends a request to the node and gives its JSON; throws a Problem. */
async function call(method, path, body, signal) {
  let response;
  try {
    response = await fetch(path, {
      method, signal, credentials: "same-origin", cache: "no-store",
      headers: { "X-Keng-Request": "1", "Keng-Time-Zone": zoneName(), ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    notice(t("offline"));
    throw new Problem(0, { detail: t("offline") });
  }
  if ($("notice").textContent === t("offline")) notice();
  const text = await response.text();
  let value = {};
  try { value = text ? JSON.parse(text) : {}; } catch { /* not ours: the status says enough */ }
  if (response.ok) return value;
  if (response.status === 401 && session.signed_in) {
    session = { signed_in: false };
    notice(t("expired"));
    route();
  }
  throw new Problem(response.status, value);
}

/** Tells the person what went wrong with something that they did. */
function complain(error) {
  if (error.name === "AbortError") return;
  notice(t("failed", error.message) + (error.hint ? ` ${t("hint", error.hint)}` : ""));
}

function may(permission) { return session.permissions?.includes(permission) ?? false; }

// ---- Time ------------------------------------------------------------------------------------

const VIETNAM = "Asia/Ho_Chi_Minh";
const browserZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
let zone = store.get("zone", "browser");
const zoneName = () => (zone === "browser" ? browserZone() : zone);
const formats = new Map();

function parts(date) {
  const name = zoneName();
  if (!formats.has(name)) {
    formats.set(name, new Intl.DateTimeFormat("en-GB", {
      timeZone: name, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit",
      hour: "2-digit", minute: "2-digit", second: "2-digit",
    }));
  }
  return Object.fromEntries(formats.get(name).formatToParts(date).map((part) => [part.type, part.value]));
}

/** Minutes by which the chosen zone is ahead of UTC at `date`. */
function offsetMinutes(date) {
  const p = parts(date);
  const local = Date.UTC(p.year, p.month - 1, p.day, p.hour, p.minute, p.second);
  return Math.round((local - Math.floor(date / 1000) * 1000) / 60000);
}

function offsetText(date = new Date()) {
  const minutes = offsetMinutes(date);
  const absolute = Math.abs(minutes);
  const rest = absolute % 60 ? `:${String(absolute % 60).padStart(2, "0")}` : "";
  return minutes === 0 ? "UTC" : `UTC${minutes < 0 ? "−" : "+"}${Math.floor(absolute / 60)}${rest}`;
}

/** The zone that times are shown in, with its offset. */
function zoneText() {
  return zoneName() === "UTC" ? "UTC" : `${zoneName()} ${offsetText()}`;
}

/** `2026-11-22 11:52:33.123` in the chosen zone: sortable and without doubt in any language. */
function time(text, { milliseconds = false, date = true } = {}) {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return t("no_time");
  const p = parts(at);
  const clock = `${p.hour}:${p.minute}:${p.second}` + (milliseconds ? `.${String(at.getUTCMilliseconds()).padStart(3, "0")}` : "");
  return date ? `${p.year}-${p.month}-${p.day} ${clock}` : clock;
}

function timeElement(text, options) {
  return el("time", { datetime: text, title: `${time(text, { milliseconds: true })} ${offsetText(new Date(text))} · ${text}` }, time(text, options));
}

const UNITS = [["d", 86400, "day"], ["h", 3600, "hour"], ["m", 60, "minute"], ["s", 1, "second"]];

function span(seconds) {
  const [, size, unit] = UNITS.find(([, size]) => seconds >= size) ?? UNITS[3];
  return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "long", maximumFractionDigits: 1 }).format(Math.round((seconds / size) * 10) / 10);
}

function ago(text) {
  const seconds = Math.floor((Date.now() - new Date(text)) / 1000);
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 2) return t("now");
  const [, size, unit] = UNITS.find(([, size]) => seconds >= size) ?? UNITS[3];
  const value = new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: 0 }).format(Math.floor(seconds / size));
  return t("ago", value);
}

/** What a `datetime-local` field holds, read in the chosen zone, as RFC 3339 in UTC. */
function fromLocal(text) {
  const wanted = Date.parse(`${text}${text.length === 16 ? ":00" : ""}Z`);
  if (Number.isNaN(wanted)) return undefined;
  // Twice, because the offset is that of the answer and not of the first guess.
  let at = wanted - offsetMinutes(new Date(wanted)) * 60000;
  at = wanted - offsetMinutes(new Date(at)) * 60000;
  return new Date(at).toISOString();
}

function toLocal(text) {
  return time(text).replace(" ", "T");
}

function fillZones() {
  const names = [["browser", `${t("zone_browser")} (${browserZone()})`], [VIETNAM, VIETNAM], ["UTC", "UTC"]];
  $("zone").replaceChildren(...names.map(([value, label]) => el("option", { value, selected: value === zone }, label)));
  $("zone").title = offsetText();
  $("custom-zone").textContent = zoneText();
}

// ---- What is on the screen, as the URL's fragment ---------------------------------------------

function place() {
  const [path, parameters = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view, id] = path.split("/");
  return { view: view || "search", id: id ? decodeURIComponent(id) : undefined, parameters: new URLSearchParams(parameters) };
}

function go(view, parameters = {}, replace = false) {
  const kept = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== "");
  const query = new URLSearchParams(kept).toString();
  const hash = `#/${view}${query ? `?${query}` : ""}`;
  if (hash === location.hash) return route();
  if (replace) {
    history.replaceState(null, "", hash);
    return route();
  }
  location.hash = hash;
}

// ---- Session ---------------------------------------------------------------------------------

let session = { signed_in: false };

async function loadSession() {
  session = await call("GET", "/api/v1/session");
}

function showSession() {
  for (const id of ["nav", "who", "logout"]) show($(id), session.signed_in);
  $("who").textContent = session.signed_in ? session.name : "";
  $("who").title = session.role ?? "";
}

async function enter(form, path, body, error) {
  error.textContent = "";
  const button = form.querySelector(".primary");
  button.disabled = true;
  try {
    await call("POST", path, body);
    form.reset();
    notice();
    await loadSession();
    pollAlerts();
    const asked = place().view;
    go(["login", "setup"].includes(asked) ? "search" : location.hash.replace(/^#\//, ""), {}, true);
  } catch (problem) {
    error.textContent = problem.message + (problem.hint ? ` ${t("hint", problem.hint)}` : "");
  } finally {
    button.disabled = false;
  }
}

// ---- Search ----------------------------------------------------------------------------------

const PRESETS = ["now-15m", "now-1h", "now-24h", "now-7d", ""];
const FACETS = ["host.name", "event.dataset", "source.ip", "user.name", "event.action", "event.outcome"];
const ROWS_MAX = 500;

const search = { query: "", from: "now-24h", to: "", cursor: undefined, ids: new Set(), running: {}, range: undefined };
let facetFields = JSON.parse(store.get("facets", "null")) ?? FACETS;

function fillRanges() {
  const label = (from) => (from === "" ? t("all_time") : t("last", span({ m: 60, h: 3600, d: 86400 }[from.at(-1)] * parseInt(from.slice(4), 10))));
  const isPreset = PRESETS.includes(search.from) && !search.to;
  const options = PRESETS.map((from) => el("option", { value: from, selected: isPreset && from === search.from }, label(from)));
  options.push(el("option", { value: "custom", selected: !isPreset }, t("custom")));
  $("range").replaceChildren(...options);
  show($("custom"), !isPreset);
}

/** Shows the search that the URL names. */
function openSearch(parameters) {
  search.query = parameters.get("q") ?? "";
  search.from = parameters.get("from") ?? "now-24h";
  if (search.from === "all") search.from = "";
  search.to = parameters.get("to") ?? "";
  $("query").value = search.query;
  $("query").placeholder = t("query_example");
  $("add-field").placeholder = t("add_field_example");
  fillRanges();
  if (search.from && !search.from.startsWith("now")) $("from").value = toLocal(search.from);
  if (search.to && !search.to.startsWith("now")) $("to").value = toLocal(search.to);
  runSearch();
  if (parameters.get("live")) startTail(); else stopTail();
}

function navigateSearch(changes = {}) {
  const next = { q: search.query, from: search.from, to: search.to, live: tail.source ? "1" : undefined, ...changes };
  go("search", { ...next, from: next.from === "" ? "all" : next.from });
}

function abortable(name) {
  search.running[name]?.abort();
  search.running[name] = new AbortController();
  return search.running[name].signal;
}

function request(extra) {
  const body = { query: search.query, ...extra };
  if (search.from) body.from = search.from;
  if (search.to) body.to = search.to;
  return body;
}

// Rows, chart and top values are three requests: none waits for another, each may fail alone.
function runSearch() {
  clearTimeout(search.pending);
  search.pending = setTimeout(() => show($("progress")), 150);
  $("search-body").classList.add("stale");
  loadRows(false);
  loadChart();
  loadFacets();
}

async function loadRows(append) {
  try {
    const answer = await call("POST", "/api/v1/search", request({ limit: 50, cursor: append ? search.cursor : undefined }), abortable("rows"));
    showQueryError();
    showRows(answer, append);
  } catch (error) {
    if (error.name === "AbortError") return;
    showQueryError(error);
    if (!append) showRows({ hits: [], total: { value: 0, relation: "eq" }, warnings: [], complete: true, failed: true }, false);
  }
  clearTimeout(search.pending);
  show($("progress"), false);
  $("search-body").classList.remove("stale");
}

function showRows(answer, append) {
  if (!append) {
    search.ids.clear();
    $("hits").replaceChildren();
  }
  for (const hit of answer.hits) {
    search.ids.add(hit.event?.id);
    $("hits").append(hitRow(hit));
  }
  search.cursor = answer.cursor;
  show($("more"), Boolean(answer.cursor));
  showSummary(answer);
  $("warnings").replaceChildren(...answer.warnings.map((warning) => el("li", {}, warning.message + (warning.hint ? ` ${t("hint", warning.hint)}` : ""))));
  show($("warnings"), answer.warnings.length > 0);
  if (!append) showEmpty(answer);
}

function showSummary(answer) {
  if (answer.failed) {
    $("summary").textContent = "";
    return;
  }
  const count = t(answer.total.relation === "gte" ? "events_min" : "events", number(answer.total.value));
  $("summary").textContent = [count, t("took", number(answer.took_ms)), answer.complete ? null : t("partial"), zoneText()].filter(Boolean).join(" · ");
  announce(count);
}

/** Says what to do when there is nothing to show. */
async function showEmpty(answer) {
  show($("empty"), false);
  if (answer.hits.length || answer.failed) return;
  let sources = [];
  try { sources = may("read_events") ? (await call("GET", "/api/v1/sources")).sources : [{}]; } catch { sources = [{}]; }
  if ($("hits").childElementCount) return;
  $("empty").replaceChildren(...(sources.length ? emptyNone() : emptyFirst()));
  show($("empty"));
}

function emptyNone() {
  const buttons = [];
  if (search.from !== "" && search.from !== "now-7d") buttons.push(el("button", { type: "button", "data-test": "widen", onclick: () => navigateSearch({ from: "now-7d", to: "" }) }, t("widen")));
  // Replayed or badly clocked logs lie far from now.
  if (search.from !== "") buttons.push(el("button", { type: "button", "data-test": "all-time", onclick: () => navigateSearch({ from: "", to: "" }) }, t("all_time")));
  if (search.query) buttons.push(el("button", { type: "button", onclick: () => navigateSearch({ q: "" }) }, t("clear_query")));
  return [el("h2", {}, t("none_title")), el("p", { class: "muted" }, t(tail.source ? "none_live" : "none_text")), el("div", { class: "buttons" }, ...buttons)];
}

function emptyFirst() {
  const host = location.hostname;
  return [
    el("h2", {}, t("first_title")),
    el("p", { class: "muted" }, t("first_text")),
    el("pre", {}, `logger --server ${host} --tcp --port 5514 --rfc3164 "hello from $(hostname)"`),
    el("p", { class: "muted" }, t("first_rsyslog")),
    el("pre", {}, `*.* action(type="omfwd" target="${host}" port="5514" protocol="tcp")`),
    el("p", { class: "muted" }, t("first_http")),
    el("pre", {}, `curl ${location.origin}/api/v1/events -H "Authorization: Bearer $TOKEN" \\\n     -H "Content-Type: text/plain" --data-binary @/var/log/auth.log`),
    el("button", { type: "button", onclick: () => navigateSearch({ live: "1" }) }, t("first_live")),
  ];
}

/** Marks the characters of the query that are wrong. Spans count bytes of UTF-8. */
function showQueryError(error) {
  const box = $("query-error");
  $("query").setAttribute("aria-invalid", String(Boolean(error?.span)));
  show(box, Boolean(error));
  if (!error) return;
  box.replaceChildren();
  const bytes = new TextEncoder().encode(search.query);
  const text = (from, to) => new TextDecoder().decode(bytes.slice(from, to));
  if (error.span) {
    const [from, to] = error.span;
    box.append(el("pre", {}, text(0, from), el("mark", { class: "here" }, text(from, Math.max(to, from + 1)) || "␣"), text(Math.max(to, from + 1))));
  }
  box.append(error.message);
  if (error.hint) box.append(el("div", { class: "muted", "data-test": "query-hint" }, t("hint", error.hint)));
  if (error.fix) {
    const [from, to] = error.fix.span;
    const query = text(0, from) + error.fix.replacement + text(to);
    box.append(el("button", { type: "button", class: "fix", "data-test": "query-fix", onclick: () => navigateSearch({ q: query }) }, query));
  }
}

// ---- An event --------------------------------------------------------------------------------

/** Nested objects as `[name, value]` pairs with dotted names, lists as several pairs. */
function flatten(value, prefix = "", into = []) {
  if (Array.isArray(value)) for (const item of value) flatten(item, prefix, into);
  else if (value !== null && typeof value === "object") {
    for (const [name, inner] of Object.entries(value)) flatten(inner, prefix ? `${prefix}.${name}` : name, into);
  } else if (value !== null) into.push([prefix, String(value)]);
  return into;
}

function summaryText(event) {
  return event.message ?? event.event?.original ?? "";
}

function hitRow(event) {
  const item = el("li", { class: "hit", "data-test": "hit" });
  const source = el("span", { class: "hit-source" }, event.host?.name ?? event.observer?.name ?? event.keng?.sender?.ip ?? "–", el("small", {}, event.event?.dataset ?? ""));
  const head = el("button", { type: "button", class: "hit-head", "aria-expanded": "false", "data-row": "", onclick: () => toggleHit(item, head, event) },
    el("span", { class: "hit-time" }, timeElement(event["@timestamp"], { milliseconds: true })), source, el("span", { class: "hit-text" }, summaryText(event)));
  item.append(head);
  return item;
}

function toggleHit(item, head, event) {
  const open = item.querySelector(".hit-open");
  head.setAttribute("aria-expanded", String(!open));
  if (open) return open.remove();
  item.append(hitDetails(event));
}

function hitDetails(event) {
  const body = el("div", {});
  const forms = {
    fields: () => fieldList(event),
    json: () => el("pre", {}, JSON.stringify(event, null, 2)),
    raw: () => el("pre", {}, event.event?.original ?? ""),
  };
  const buttons = Object.keys(forms).map((form) => el("button", { type: "button", "data-test": `as-${form}`, onclick: () => choose(form) }, t(form)));
  const choose = (form) => {
    buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(Object.keys(forms)[index] === form)));
    body.replaceChildren(forms[form]());
  };
  choose("fields");
  const tools = el("div", { class: "hit-tools" }, el("div", { class: "tabs" }, ...buttons), el("button", { type: "button", class: "quiet", onclick: () => copy(JSON.stringify(event)) }, t("copy_json")));
  return el("div", { class: "hit-open", "data-test": "hit-open" }, tools, body);
}

const FIRST = ["@timestamp", "message", "event.dataset", "event.action", "event.outcome", "host.name", "source.ip", "user.name"];

function fieldList(event) {
  const rank = (name) => (FIRST.indexOf(name) + 1 || FIRST.length + 1);
  const pairs = flatten(event).filter(([name]) => name !== "event.original");
  pairs.sort(([a], [b]) => rank(a) - rank(b) || a.localeCompare(b));
  return el("dl", { class: "fields" }, ...pairs.map(([name, value]) => fieldRow(name, value)));
}

function fieldRow(name, value) {
  const tool = (kind, sign, act) => el("button", { type: "button", class: kind, title: t(kind, name, value), "aria-label": t(kind, name, value), "data-test": kind, onclick: act }, sign);
  const tools = el("div", { class: "field-tools" },
    tool("include", "+", () => addFilter(name, value)), tool("exclude", "−", () => addFilter(name, value, true)), tool("copy", svg("svg", { viewBox: "0 0 16 16", width: 14, height: 14, "aria-hidden": "true" }, svg("path", { d: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3", fill: "none", stroke: "currentColor", "stroke-width": 1.4 })), () => copy(value)));
  return el("div", { class: "field", "data-field": name }, el("dt", {}, name), el("dd", {}, name === "@timestamp" ? `${time(value, { milliseconds: true })} ${offsetText(new Date(value))}` : value), tools);
}

/** `field:value` in the query language, quoted only where it must be. */
function term(field, value) {
  const name = /^[A-Za-z_@][\w.@]*$/.test(field) ? field : `\`${field}\``;
  const bare = /^[A-Za-z0-9_][A-Za-z0-9_.]*$/.test(value) && !/^(AND|OR|NOT|TO|IN)$/i.test(value);
  return `${name}:${bare ? value : `"${value.replace(/[\\"]/g, "\\$&")}"`}`;
}

function withFilter(query, field, value, without = false) {
  const wanted = term(field, value);
  const rest = query.trim();
  const kept = rest === "" || rest === "*" ? "" : /\bOR\b/.test(rest) ? `(${rest}) ` : `${rest} `;
  return kept + (without ? `NOT ${wanted}` : wanted);
}

function addFilter(field, value, without = false) {
  const from = place().view === "search" ? {} : { from: "now-24h", to: "" };
  navigateSearch({ q: withFilter(place().view === "search" ? $("query").value : "", field, value, without), ...from });
}

// ---- Chart -----------------------------------------------------------------------------------

async function loadChart() {
  const buckets = Math.max(30, Math.min(120, Math.floor(($("chart").clientWidth || 600) / 9)));
  try {
    const answer = await call("POST", "/api/v1/histogram", request({ buckets }), abortable("chart"));
    drawChart(answer);
  } catch (error) {
    if (error.name !== "AbortError") drawChart({ buckets: [], interval_seconds: 0 });
  }
}

function drawChart({ buckets, interval_seconds: interval }) {
  const bars = $("bars");
  bars.replaceChildren();
  show($("chart"), buckets.length > 0);
  search.range = undefined;
  if (!buckets.length) return;
  const width = interval * 1000;
  const from = Date.parse(buckets[0].at);
  const to = Date.parse(buckets.at(-1).at) + width;
  search.range = { from, to };
  const most = Math.max(1, ...buckets.map((bucket) => bucket.count));
  bars.setAttribute("viewBox", `0 0 ${buckets.length * 10} 100`);
  buckets.forEach((bucket, index) => {
    if (!bucket.count) return;
    const height = Math.max(3, (bucket.count / most) * 92);
    const bar = svg("rect", { class: "bar", x: index * 10 + 1, y: 100 - height, width: 8, height });
    bar.append(svg("title", {}, document.createTextNode(`${time(bucket.at)} · ${t("events", number(bucket.count))}`)));
    bars.append(bar);
  });
  const sameDay = to - from <= 86400000;
  const edge = (at) => time(new Date(at).toISOString(), { date: !sameDay || at === from });
  $("chart-from").textContent = edge(from);
  $("chart-to").textContent = edge(to);
  $("chart-note").textContent = `${t("chart", span(interval))} · max ${number(most)} · ${t("chart_hint")}`;
}

/** Dragging over the chart, or a click on one bar, narrows the time range. */
function brushChart() {
  const bars = $("bars");
  let start;
  let mark;
  const at = (event) => Math.max(0, Math.min(1, (event.clientX - bars.getBoundingClientRect().left) / bars.getBoundingClientRect().width));
  bars.addEventListener("pointerdown", (event) => {
    if (!search.range || event.button) return;
    start = at(event);
    bars.setPointerCapture(event.pointerId);
    mark = svg("rect", { class: "brush", y: 0, height: 100, x: 0, width: 0 });
    bars.append(mark);
  });
  bars.addEventListener("pointermove", (event) => {
    if (start === undefined) return;
    const size = bars.viewBox.baseVal.width;
    const [low, high] = [start, at(event)].sort((a, b) => a - b);
    set(mark, { x: low * size, width: (high - low) * size });
  });
  const end = (event) => {
    if (start === undefined) return;
    const [low, high] = [start, at(event)].sort((a, b) => a - b);
    start = undefined;
    mark.remove();
    if (event.type === "pointercancel" || high - low < 0.01) return;
    const { from, to } = search.range;
    const iso = (share) => new Date(Math.round(from + (to - from) * share)).toISOString();
    navigateSearch({ from: iso(low), to: iso(high), live: undefined });
  };
  bars.addEventListener("pointerup", end);
  bars.addEventListener("pointercancel", end);
}

// ---- Top values ------------------------------------------------------------------------------

async function loadFacets() {
  if (!$("panel").open) return;
  try {
    const answer = await call("POST", "/api/v1/facets", request({ fields: facetFields, limit: 6 }), abortable("facets"));
    $("facets").replaceChildren(...facetFields.map((field) => facet(field, answer.facets[field] ?? [])));
  } catch (error) {
    if (error.name !== "AbortError") $("facets").replaceChildren();
  }
}

function facet(field, values) {
  const most = Math.max(1, ...values.map((value) => value.count));
  const rows = values.map(({ value, count }) => {
    const row = el("li", {},
      el("button", { type: "button", class: "facet-value", title: t("include", field, value), "data-test": "facet-value", onclick: () => addFilter(field, value) }, el("span", {}, value), el("span", {}, number(count))),
      el("button", { type: "button", class: "facet-not", title: t("exclude", field, value), "aria-label": t("exclude", field, value), onclick: () => addFilter(field, value, true) }, "−"));
    row.style.setProperty("--share", `${(count / most) * 100}%`);
    return row;
  });
  const remove = el("button", { type: "button", title: t("remove", field), "aria-label": t("remove", field), onclick: () => chooseFacets(facetFields.filter((name) => name !== field)) }, "×");
  return el("div", { class: "facet", "data-field": field, hidden: values.length === 0 && FACETS.includes(field) },
    el("h3", { class: "facet-name" }, field, remove), el("ul", {}, ...rows));
}

function chooseFacets(fields) {
  facetFields = fields;
  store.set("facets", JSON.stringify(fields));
  loadFacets();
}

let fieldsLoaded = false;
async function loadFields() {
  if (fieldsLoaded) return;
  fieldsLoaded = true;
  try {
    const { fields } = await call("GET", "/api/v1/fields");
    $("fields").replaceChildren(...fields.map((field) => el("option", { value: field.name })));
  } catch { fieldsLoaded = false; }
}

/** Offers names of fields, or values after a colon, for the last word of the query. */
async function complete() {
  const text = $("query").value;
  const word = text.slice(text.lastIndexOf(" ") + 1);
  const [name, value] = word.includes(":") ? [word.slice(0, word.indexOf(":")), word.slice(word.indexOf(":") + 1)] : [undefined, word];
  if (word.length < 2 || /["()]/.test(word)) return $("completions").replaceChildren();
  try {
    const field = name?.replace(/^[-(]+/, "");
    const { suggestions } = await call("POST", "/api/v1/complete", { field, prefix: value, limit: 8 }, abortable("complete"));
    const before = text.slice(0, text.length - value.length);
    $("completions").replaceChildren(...suggestions.map((found) => el("option", { value: before + (field ? term(field, found.value).slice(term(field, "x").length - 1) : `${found.value}:`) })));
  } catch { /* an offer that does not come is no error */ }
}

// ---- Live ------------------------------------------------------------------------------------

const tail = { source: undefined, held: [], waiting: [], timer: undefined, missed: 0, chart: 0 };

function startTail() {
  stopTail();
  const address = `/api/v1/tail?${new URLSearchParams({ query: search.query })}`;
  tail.source = new EventSource(address);
  tail.source.onmessage = (message) => tail.waiting.push(message.data);
  tail.source.addEventListener("missed", (message) => {
    tail.missed = JSON.parse(message.data).missed;
    $("missed").textContent = t("missed", number(tail.missed));
    show($("missed"));
  });
  tail.source.onerror = () => {
    // A stream that was cut resumes by itself; one that was refused does not.
    if (tail.source?.readyState === EventSource.CLOSED) navigateSearch({ live: undefined });
  };
  tail.timer = setInterval(flushTail, 250);
  $("live").setAttribute("aria-pressed", "true");
}

function stopTail() {
  tail.source?.close();
  clearInterval(tail.timer);
  Object.assign(tail, { source: undefined, held: [], waiting: [], missed: 0, chart: 0 });
  $("live").setAttribute("aria-pressed", "false");
  show($("fresh"), false);
  show($("missed"), false);
}

// Reading must not be disturbed: while a row is open or the list is scrolled, new events wait.
function flushTail() {
  if (tail.waiting.length) {
    const fresh = tail.waiting.splice(0).slice(-ROWS_MAX).map((text) => JSON.parse(text)).filter((event) => !search.ids.has(event.event?.id));
    fresh.forEach((event) => search.ids.add(event.event?.id));
    tail.held.push(...fresh);
    if (tail.held.length > ROWS_MAX) tail.held.splice(0, tail.held.length - ROWS_MAX);
  }
  if (tail.held.length) {
    const reading = window.scrollY > 200 || $("hits").querySelector(".hit-open");
    if (reading) {
      $("fresh").textContent = t("fresh", number(tail.held.length));
      show($("fresh"));
    } else showHeld();
  }
  tail.chart += 1;
  if (tail.chart % 20 === 0) {
    loadChart();
    loadFacets();
  }
}

function showHeld() {
  show($("empty"), false);
  show($("fresh"), false);
  $("hits").prepend(...tail.held.splice(0).reverse().map(hitRow));
  while ($("hits").childElementCount > ROWS_MAX) $("hits").lastElementChild.remove();
}

// ---- Alerts ----------------------------------------------------------------------------------

// Alerts of rules on trial are a list of their own: a set on trial must not bury the others.
const STATES = ["open", "acknowledged", "closed", "all", "trial"];
const VERDICTS = ["true_positive", "benign", "false_positive", "duplicate", "test", "inconclusive"];
const desk = { state: "open", severity: "", id: undefined, alert: undefined, cursor: undefined, chosen: new Set() };

function openAlerts(id, parameters) {
  desk.state = STATES.includes(parameters.get("state")) ? parameters.get("state") : "open";
  desk.severity = parameters.get("severity") ?? "";
  $("states").replaceChildren(...STATES.map((state) => el("button", { type: "button", "aria-pressed": String(state === desk.state), "data-test": `state-${state}`, onclick: () => navigateAlerts({ state }) }, t(`state_${state}`))));
  $("severity").replaceChildren(el("option", { value: "" }, t("any_severity")), ...SEVERITIES.map((level) => el("option", { value: level, selected: level === desk.severity }, t(level))));
  desk.chosen.clear();
  loadAlerts();
  openAlert(id);
}

function navigateAlerts(changes = {}, id) {
  const next = { state: desk.state, severity: desk.severity, ...changes };
  go(id ? `alerts/${encodeURIComponent(id)}` : "alerts", { ...next, state: next.state === "open" ? "" : next.state });
}

function alertsPath(cursor, limit = 100) {
  const parameters = new URLSearchParams({ limit });
  if (!["all", "trial"].includes(desk.state)) parameters.set("state", desk.state);
  parameters.set("test", String(desk.state === "trial"));
  if (desk.severity) parameters.set("severity", desk.severity);
  if (cursor) parameters.set("cursor", cursor);
  return `/api/v1/alerts?${parameters}`;
}

async function loadAlerts(append = false) {
  try {
    const answer = await call("GET", alertsPath(append ? desk.cursor : undefined));
    if (!append) $("alerts").replaceChildren();
    $("alerts").append(...answer.alerts.map(alertRow));
    desk.cursor = answer.cursor;
    show($("alerts-more"), Boolean(answer.cursor));
    const empty = $("alerts").childElementCount === 0;
    show($("alerts-empty"), empty);
    if (empty) $("alerts-empty").replaceChildren(el("h2", {}, t("alerts_none")), el("p", { class: "muted" }, t(desk.state === "open" && !desk.severity ? "alerts_none_open" : "alerts_none_other")));
    showChosen();
  } catch (error) { complain(error); }
}

function groupText(alert) {
  return Object.entries(alert.group).map(([field, value]) => `${field} ${value}`).join(" · ");
}

function alertRow(alert) {
  const box = el("input", { type: "checkbox", "aria-label": t("select_alert", alert.title), onchange: () => { box.checked ? desk.chosen.add(alert.id) : desk.chosen.delete(alert.id); showChosen(); } });
  box.checked = desk.chosen.has(alert.id);
  const open = el("button", { type: "button", class: "alert-open", "data-row": "", "data-test": "alert-open", onclick: () => navigateAlerts({}, alert.id) },
    el("span", { class: "alert-title" }, alert.test ? testMark() : "", alert.title), el("span", { class: "alert-group" }, groupText(alert)));
  const state = alert.state === desk.state ? "" : `${t(`state_${alert.state}`)} · `;
  const side = el("div", { class: "alert-side" }, el("div", {}, el("b", {}, t("findings", number(alert.count)))), el("div", { title: time(alert.last_at) }, state + (alert.assignee ? `${alert.assignee} · ` : "") + ago(alert.last_at)));
  return el("li", { class: `alert-row${alert.id === desk.id ? " here" : ""}`, "data-id": alert.id, "data-test": "alert-row" }, box, severityMark(alert.severity), open, side);
}

function testMark() {
  return el("b", { class: "muted", title: t("test_note"), "data-test": "alert-test" }, `[${t("test_mark")}] `);
}

function showChosen() {
  show($("bulk"), desk.chosen.size > 0 && may("handle_alerts"));
  $("bulk-count").textContent = t("selected", number(desk.chosen.size));
}

async function bulk(action) {
  try {
    const answer = await call("POST", "/api/v1/alerts:bulk", { ids: [...desk.chosen], ...action });
    notice(answer.failed.length ? t("failed", answer.failed.map((failure) => failure.error).join(" ")) : "");
    desk.chosen.clear();
    loadAlerts();
    pollAlerts();
    if (desk.id) openAlert(desk.id);
  } catch (error) { complain(error); }
}

async function openAlert(id) {
  desk.id = id;
  document.querySelector(".alerts-body").classList.toggle("split", Boolean(id));
  for (const row of $("alerts").children) row.classList.toggle("here", row.dataset.id === id);
  if (!id) {
    desk.alert = undefined;
    return show($("alert"), false);
  }
  try {
    desk.alert = await call("GET", `/api/v1/alerts/${encodeURIComponent(id)}`);
    if (desk.id === id) showAlert();
  } catch (error) {
    complain(error);
    navigateAlerts();
  }
}

async function act(action, body = {}) {
  if (!desk.alert) return;
  try {
    desk.alert = await call("POST", `/api/v1/alerts/${encodeURIComponent(desk.alert.id)}/${action}`, { ...body, version: desk.alert.version });
    notice();
    showAlert();
    loadAlerts();
    pollAlerts();
  } catch (error) {
    complain(error);
    if (error.status === 409) openAlert(desk.id);
  }
}

function showAlert() {
  const alert = desk.alert;
  const back = el("button", { type: "button", class: "quiet", "aria-label": t("back"), "data-test": "alert-back", onclick: () => navigateAlerts() }, "×");
  const head = el("div", { class: "detail-head" }, el("div", {}, severityMark(alert.severity), el("h2", { "data-test": "alert-title" }, alert.test ? testMark() : "", alert.title)), back);
  $("alert").replaceChildren(head, alertActions(alert), alertFacts(alert), ...alertProse(alert), ...alertEvents(alert), ...alertHistory(alert));
  show($("alert"));
  announce(`${alert.title}: ${t(`state_${alert.state}`)}`);
}

function alertActions(alert) {
  const actions = el("div", { class: "actions" });
  if (!may("handle_alerts")) return actions;
  const add = (key, name, run, kind = "") => actions.append(el("button", { type: "button", class: kind, "data-test": `act-${name}`, onclick: run }, t(key)));
  if (alert.state === "open") add("acknowledge", "ack", () => act("ack"), "primary");
  if (alert.state !== "closed") add("close", "close", askVerdict);
  if (alert.state !== "open") add("reopen", "reopen", () => act("reopen"));
  if (alert.state !== "closed" && alert.assignee !== session.name && session.kind === "person") add("take", "take", () => act("assign", { assignee: session.name }));
  return actions;
}

function alertFacts(alert) {
  const facts = el("dl", { class: "facts" });
  const add = (key, ...value) => facts.append(el("dt", {}, t(key)), el("dd", {}, ...value));
  add("state", el("b", { "data-test": "alert-state", "data-state": alert.state }, t(`state_${alert.state}`)), alert.verdict ? ` · ${t(alert.verdict)}` : "", alert.test ? ` · ${t("test_note")}` : "");
  add("about", el("div", { class: "chips" }, ...Object.entries(alert.group).map(([field, value]) => pivot(field, value))));
  add("findings_label", t("findings", number(alert.count)));
  add("first_seen", timeElement(alert.first_at));
  add("last_seen", timeElement(alert.last_at), ` · ${ago(alert.last_at)}`);
  if (alert.acknowledged_at) add("acknowledged_at", timeElement(alert.acknowledged_at));
  if (alert.closed_at) add("closed_at", timeElement(alert.closed_at));
  add("assignee", el("span", { "data-test": "alert-assignee" }, alert.assignee ?? t("nobody")));
  if (alert.next) add("next", [said(alert.next.what), alert.next.at ? time(alert.next.at) : null, alert.next.why && said(alert.next.why)].filter(Boolean).join(" · "));
  const tags = (alert.rule.tags ?? []).filter((tag) => tag.startsWith("attack."));
  if (tags.length) add("techniques", el("div", { class: "chips" }, ...tags.map((tag) => el("span", { class: "chip" }, tag.slice(7).replaceAll("_", " ")))));
  const known = new Set(Object.entries(alert.group).map(([field, value]) => `${field}\n${value}`));
  const others = (alert.entities ?? []).filter(({ field, value }) => !known.has(`${field}\n${value}`)).slice(0, 20);
  if (others.length) add("involved", el("div", { class: "chips" }, ...others.map(({ field, value }) => pivot(field, value))));
  return facts;
}

/** A value that leads to the events that have it, from an hour before until an hour after. */
function pivot(field, value) {
  const range = new URLSearchParams({ q: term(field, value), ...around(desk.alert) });
  return el("a", { class: "chip", href: `#/search?${range}`, title: t("show_events") }, `${field} ${value}`);
}

function around(alert) {
  const hour = 3600000;
  return { from: new Date(Date.parse(alert.first_at) - hour).toISOString(), to: new Date(Date.parse(alert.last_at) + hour).toISOString() };
}

function alertProse(alert) {
  const { description, runbook, false_positives: harmless = [] } = alert.rule;
  const section = (key, text, test) => (text ? [el("h3", {}, t(key)), el("p", { class: "prose", "data-test": test }, text)] : []);
  return [...section("description", description, "alert-description"), ...section("runbook", runbook, "alert-runbook"), ...section("false_positives", harmless.join("\n"))];
}

function alertEvents(alert) {
  const events = alert.events ?? [];
  if (!events.length) return [];
  return [el("h3", {}, t("sample_events")), el("ol", { class: "hits", "data-test": "alert-events" }, ...events.map(hitRow))];
}

/** What an entry of the history says; words that the dictionary lacks are shown as they are. */
function did(action) {
  return WORDS.en[`did_${action}`] ? t(`did_${action}`) : action.replaceAll("_", " ");
}

function alertHistory(alert) {
  const entries = (alert.history ?? []).map(({ at, actor, action, note }) => el("li", {}, el("span", { class: "muted" }, timeElement(at), " "), el("b", {}, actor), ` ${did(action)}`, note ? el("div", { class: "prose" }, note) : null));
  const text = el("textarea", { rows: "2", maxlength: "4000", "aria-label": t("note"), "data-test": "note-text" });
  const form = el("form", { class: "note-form", onsubmit: (event) => { event.preventDefault(); if (text.value.trim()) act("note", { note: text.value.trim() }); } },
    text, el("button", { "data-test": "note-submit" }, t("add_note")));
  return [el("h3", {}, t("history")), el("ol", { class: "history", "data-test": "alert-history" }, ...entries), may("handle_alerts") ? form : null].filter(Boolean);
}

function askVerdict() {
  if (!desk.alert) return;
  $("verdict").replaceChildren(...VERDICTS.map((verdict) => el("option", { value: verdict }, t(verdict))));
  $("close-note").value = "";
  $("closing").showModal();
}

async function pollAlerts() {
  if (!session.signed_in || document.hidden) return;
  try {
    const { total } = await call("GET", "/api/v1/alerts?state=open&test=false&limit=1");
    $("open-count").textContent = total > 99 ? "99+" : number(total);
    show($("open-count"), total > 0);
    if (place().view === "alerts" && desk.total !== undefined && desk.total !== total && desk.chosen.size === 0) loadAlerts();
    desk.total = total;
  } catch { /* the notice says it already */ }
}

// ---- Sources and rules -----------------------------------------------------------------------

function table(test, headings, rows) {
  const head = el("tr", {}, ...headings.map(([key, kind]) => el("th", { scope: "col", class: kind ?? "" }, t(key))));
  return el("div", { class: "scroll" }, el("table", { "data-test": test }, el("thead", {}, head), el("tbody", {}, ...rows)));
}

const STATE_SIGNS = { active: "●", silent: "▲", never_seen: "○", muted: "–" };

async function loadSources() {
  try {
    const { sources } = await call("GET", "/api/v1/sources");
    if (!sources.length) return $("sources").replaceChildren(el("div", { class: "empty" }, ...emptyFirst()));
    const rows = sources.map((source) => el("tr", { "data-test": "source-row" },
      el("td", {}, el("a", { href: `#/search?${new URLSearchParams({ q: source.host ? term("host.name", source.host) : term("keng.sender.ip", source.sender ?? ""), from: "now-24h" })}` }, source.name ?? source.host ?? source.sender), el("small", {}, source.sender)),
      el("td", { class: `state ${source.state}` }, `${STATE_SIGNS[source.state] ?? ""} ${t(source.state)}`),
      el("td", {}, source.last_seen ? timeElement(source.last_seen) : "–", source.last_seen ? el("small", {}, ago(source.last_seen)) : null),
      el("td", {}, source.dataset ?? "–"), el("td", {}, source.transport ?? "–"),
      el("td", { class: "number" }, number(Math.round((source.rate_per_second ?? 0) * 10) / 10)), el("td", { class: "number" }, number(source.events_total)),
      el("td", { class: `number${source.parse_failures_total ? " warn" : ""}` }, number(source.parse_failures_total)), el("td", { class: `number${source.lost_total ? " warn" : ""}` }, number(source.lost_total))));
    $("sources").replaceChildren(table("sources-table", [["source"], ["state"], ["last_seen"], ["dataset"], ["transport"], ["rate", "number"], ["total", "number"], ["failures", "number"], ["lost", "number"]], rows));
  } catch (error) { $("sources").replaceChildren(el("p", { class: "muted" }, error.message)); }
}

async function loadRules() {
  try {
    const { rules, problems = [] } = await call("GET", "/api/v1/rules");
    const rank = (rule) => SEVERITIES.indexOf(rule.level);
    rules.sort((a, b) => rank(a) - rank(b) || a.title.localeCompare(b.title));
    const rows = rules.map((rule) => el("tr", {}, el("td", {}, severityMark(rule.level)), el("td", {}, rule.title, el("small", {}, rule.file ?? "")),
      el("td", {}, logSource(rule.logsource)), el("td", {}, rule.kind ?? "–"), el("td", {}, rule.status ?? "–")));
    const bad = problems.length ? [el("h2", {}, t("rule_problems")), el("ul", {}, ...problems.map((problem) => el("li", {}, el("code", {}, [problem.file, problem.line].filter(Boolean).join(":")), ` ${problem.message}`)))] : [];
    const list = rows.length ? table("rules-table", [["level"], ["rule"], ["source"], ["kind"], ["status"]], rows) : el("p", { class: "muted" }, t("rules_none"));
    $("rules").replaceChildren(...bad, list);
  } catch (error) { $("rules").replaceChildren(el("p", { class: "muted" }, error.message)); }
}

function logSource(source) {
  if (!source || typeof source === "string") return source || "–";
  return [source.product, source.category, source.service].filter(Boolean).join(" / ") || "–";
}

// ---- Keyboard --------------------------------------------------------------------------------

/** Moves the focus among the rows that can be seen. */
function moveRow(step) {
  const rows = [...document.querySelectorAll("[data-row]")].filter((row) => row.offsetParent);
  if (!rows.length) return;
  const now = rows.indexOf(document.activeElement.closest?.(".hit, .alert-row")?.querySelector("[data-row]"));
  const next = rows[Math.max(0, Math.min(rows.length - 1, now + step))];
  document.querySelectorAll(".hit.here").forEach((row) => row.classList.remove("here"));
  next.closest(".hit")?.classList.add("here");
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}

/** The alert that a key acts on: the one that is open, or the one whose row has the focus. */
async function withAlert(run) {
  const row = document.activeElement.closest?.(".alert-row");
  if (row && row.dataset.id !== desk.id) await openAlert(row.dataset.id);
  run();
}

function onKey(event) {
  // Keys that belong to an input method or carry a modifier are not ours.
  if (event.isComposing || event.keyCode === 229 || event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches?.("input:not([type=checkbox]), textarea, select") || document.querySelector("dialog[open]");
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) {
    if (typing) return event.target.blur();
    if (place().view === "alerts" && desk.id) return navigateAlerts();
    return document.querySelectorAll(".hit-head[aria-expanded=true]").forEach((head) => head.click());
  }
  if (typing || !session.signed_in || store.get("keys", "on") !== "on") return;
  const view = place().view;
  const keys = {
    "/": () => { if (view !== "search") navigateSearch(); $("query").focus(); $("query").select(); },
    "?": () => $("help").showModal(),
    j: () => moveRow(1),
    k: () => moveRow(-1),
    e: () => document.activeElement.closest?.(".hit, .alert-row")?.querySelector("[data-row]")?.click(),
    l: () => view === "search" && $("live").click(),
    a: () => view === "alerts" && withAlert(() => desk.alert?.state === "open" && act("ack")),
    c: () => view === "alerts" && withAlert(() => desk.alert?.state !== "closed" && askVerdict()),
  };
  const run = keys[event.key];
  if (!run) return;
  event.preventDefault();
  run();
}

// ---- Start -----------------------------------------------------------------------------------

function translate() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = t(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", t(element.dataset.label));
  $("language").textContent = t("other_language");
  $("language").lang = language === "vi" ? "en" : "vi";
  const list = (pairs) => pairs.flatMap(([sign, key]) => [el("dt", {}, sign), el("dd", {}, t(key))]);
  $("keys").replaceChildren(...list(KEYS));
  $("syntax").replaceChildren(...list(SYNTAX));
  fillZones();
}

/** Shows what the URL says. */
function route() {
  const { view, id, parameters } = place();
  showSession();
  const setup = view === "setup" && !session.signed_in;
  const shown = setup ? "setup" : session.signed_in ? (["search", "alerts", "sources", "rules"].includes(view) ? view : "search") : "login";
  for (const section of document.querySelectorAll("main > section")) show(section, section.id === `view-${shown}`);
  for (const link of $("nav").children) {
    if (link.dataset.view === shown) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  document.title = `${t(shown === "login" || shown === "setup" ? "sign_in" : shown)} · Keng`;
  if (shown !== "search") stopTail();
  ({ search: () => openSearch(parameters), alerts: () => openAlerts(id, parameters), sources: loadSources, rules: loadRules }[shown] ?? (() => {}))();
  if (shown === "login") $("login-name").focus();
  if (shown === "setup") $("setup-name").focus();
}

function listen() {
  window.addEventListener("hashchange", route);
  document.addEventListener("keydown", onKey);
  $("language").addEventListener("click", () => { language = language === "vi" ? "en" : "vi"; store.set("language", language); translate(); route(); });
  $("zone").addEventListener("change", () => { zone = $("zone").value; store.set("zone", zone); fillZones(); route(); });
  $("logout").addEventListener("click", async () => { try { await call("DELETE", "/api/v1/session"); } catch { /* gone either way */ } location.hash = ""; location.reload(); });
  $("login").addEventListener("submit", (event) => { event.preventDefault(); enter($("login"), "/api/v1/session", { name: $("login-name").value, password: $("login-password").value }, $("login-error")); });
  $("setup").addEventListener("submit", (event) => { event.preventDefault(); enter($("setup"), "/api/v1/setup", { token: place().id ?? "", name: $("setup-name").value, password: $("setup-password").value }, $("setup-error")); });
  $("search").addEventListener("submit", (event) => { event.preventDefault(); navigateSearch({ q: $("query").value }); });
  let typing;
  $("query").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(complete, 200); });
  $("range").addEventListener("change", () => {
    if ($("range").value !== "custom") return navigateSearch({ q: $("query").value, from: $("range").value, to: "" });
    const { from, to } = search.range ?? { from: Date.now() - 3600000, to: Date.now() };
    $("from").value = toLocal(new Date(from).toISOString());
    $("to").value = toLocal(new Date(to).toISOString());
    show($("custom"));
    $("from").focus();
  });
  $("apply").addEventListener("click", () => navigateSearch({ q: $("query").value, from: fromLocal($("from").value) ?? "", to: fromLocal($("to").value) ?? "", live: undefined }));
  $("live").addEventListener("click", () => navigateSearch({ q: $("query").value, live: tail.source ? undefined : "1" }));
  $("fresh").addEventListener("click", () => { $("hits").querySelectorAll(".hit-open").forEach((open) => open.previousSibling.click()); window.scrollTo(0, 0); showHeld(); });
  $("more").addEventListener("click", () => loadRows(true));
  $("panel").addEventListener("toggle", loadFacets);
  $("add-field").addEventListener("focus", loadFields);
  $("add-field").addEventListener("change", () => { const field = $("add-field").value.trim(); $("add-field").value = ""; if (field && !facetFields.includes(field)) chooseFacets([...facetFields, field]); });
  $("severity").addEventListener("change", () => navigateAlerts({ severity: $("severity").value }));
  $("alerts-more").addEventListener("click", () => loadAlerts(true));
  $("bulk-ack").addEventListener("click", () => bulk({ action: "acknowledge" }));
  $("bulk-close").addEventListener("click", () => bulk({ action: "close", verdict: "false_positive" }));
  $("bulk-none").addEventListener("click", () => { desk.chosen.clear(); loadAlerts(); });
  $("close-form").addEventListener("submit", () => act("close", { verdict: $("verdict").value, note: $("close-note").value.trim() || undefined }));
  $("close-cancel").addEventListener("click", () => $("closing").close());
  $("help-open").addEventListener("click", () => $("help").showModal());
  $("keys-on").checked = store.get("keys", "on") === "on";
  $("keys-on").addEventListener("change", () => store.set("keys", $("keys-on").checked ? "on" : "off"));
  brushChart();
  setInterval(pollAlerts, 10000);
  setInterval(() => { if (place().view === "sources" && session.signed_in && !document.hidden) loadSources(); }, 5000);
}

async function start() {
  $("panel").open = window.innerWidth > 860;
  translate();
  listen();
  try { await loadSession(); } catch { setTimeout(start_again, 3000); return; }
  route();
  pollAlerts();
}

async function start_again() {
  try { await loadSession(); route(); pollAlerts(); } catch { setTimeout(start_again, 3000); }
}

start();
