//! `macos.eslogger`: events of Apple's Endpoint Security, as `eslogger` and agents like it write
//! them.
//!
//! | field | holds |
//! |---|---|
//! | `event.action` | `exec`, `create`, `rename`, `close` or the event's own word |
//! | `process.executable`, `process.command_line`, `process.pid`, `process.working_directory` | what runs; of an exec, what runs from then on |
//! | `process.parent.executable` | of an exec, what ran there before: the shell that began it |
//! | `file.path` | what was made, renamed to, or written |

use keng_event::dataset::{Alias, Guard};
use keng_event::{EventBuilder, LogSource, field};

use super::super::meaning::Meaning;
use super::super::members::Members;
use super::shape::Shape;
use super::{Vendor, called};

pub(super) const TABLE: &[Vendor] = &[Vendor {
    shapes: &[
        Shape::with("event.exec.target.executable.path", &["event_type"]),
        Shape::with("process.executable.path", &["event_type", "schema_version"]),
    ],
    times: &["time"],
    names: &[("user.id", "process.audit_token.euid"), ("event.sequence", "global_seq_num")],
    constants: &[(field::HOST_OS_TYPE, "macos")],
    meaning: Meaning::new("", &["process"], &["info"]),
    derive,
    ..Vendor::new(
        "macos.eslogger",
        &[
            LogSource { product: Some("macos"), category: None, service: None, guards: &[] },
            events("process_creation", &["exec"]),
            events("file_event", &["create", "rename", "close"]),
        ],
        ALIASES,
    )
}];

const fn events(category: &'static str, any_of: &'static [&'static str]) -> LogSource {
    // A slice of one constant guard would not outlive this; the two there are stand here.
    const EXEC: &[Guard] = &[Guard { field: "event.action", any_of: &["exec"] }];
    const FILE: &[Guard] =
        &[Guard { field: "event.action", any_of: &["create", "rename", "close"] }];
    let guards = if any_of.len() == 1 { EXEC } else { FILE };
    LogSource { product: Some("macos"), category: Some(category), service: None, guards }
}

const ALIASES: &[Alias] = &[
    called("CommandLine", &["process.command_line"]),
    called("Image", &["process.executable"]),
    called("ParentImage", &["process.parent.executable"]),
    called("TargetFilename", &["file.path"]),
    called("User", &["user.id"]),
];

fn derive(members: &Members, event: &mut EventBuilder<'_>) {
    let own = members.text("process.executable.path").unwrap_or_default();
    if let Some(image) = members.text("event.exec.target.executable.path") {
        event.put(field::EVENT_ACTION, "exec");
        event.put(field::EVENT_CATEGORY, "process").put(field::EVENT_TYPE, "start");
        put_process(image, event);
        event.put(field::PROCESS_PARENT_EXECUTABLE, own);
        event.put_some(field::PROCESS_PID, members.number("event.exec.target.audit_token.pid"));
        event.put_some(field::PROCESS_PARENT_PID, members.number("event.exec.target.ppid"));
        event.put_some(field::PROCESS_WORKING_DIRECTORY, members.text("event.exec.cwd.path"));
        let arguments = members.iter().filter(|(name, _)| *name == "event.exec.args");
        let words: Vec<_> = arguments.map(|(_, value)| value.to_text()).collect();
        event.put(field::PROCESS_COMMAND_LINE, &*words.join(" "));
        return;
    }
    put_process(own, event);
    event.put_some(field::PROCESS_PID, members.number("process.audit_token.pid"));
    event.put_some(field::PROCESS_PARENT_PID, members.number("process.ppid"));
    let word = members.iter().find_map(|(name, _)| name.strip_prefix("event.")?.split('.').next());
    event.put_some(field::EVENT_ACTION, word);
    let (kind, path) = match word {
        Some("create") => ("creation", destination("event.create.destination", members)),
        Some("rename") => ("change", destination("event.rename.destination", members)),
        Some("close" | "write") => {
            let target = word.map(|word| ["event.", word, ".target.path"].concat());
            let path = target.and_then(|name| members.text(&name));
            ("change", path.map(str::to_owned))
        }
        _ => return,
    };
    if let Some(path) = path {
        event.put(field::FILE_PATH, &*path);
        event.put_some(field::FILE_NAME, path.rsplit_once('/').map(|(_, name)| name));
    }
    event.put(field::EVENT_CATEGORY, "file").put(field::EVENT_TYPE, kind);
}

fn put_process(image: &str, event: &mut EventBuilder<'_>) {
    event.put(field::PROCESS_EXECUTABLE, image);
    event.put_some(field::PROCESS_NAME, image.rsplit_once('/').map(|(_, name)| name));
}

/// A file that was there, or a folder and a name in it.
fn destination(prefix: &str, members: &Members) -> Option<String> {
    let text = |rest: &str| members.text(&[prefix, rest].concat());
    if let Some(path) = text(".existing_file.path") {
        return Some(path.to_owned());
    }
    let folder = text(".new_path.dir.path")?.trim_end_matches('/');
    Some([folder, "/", text(".new_path.filename")?].concat())
}
