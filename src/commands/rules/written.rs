//! Rule files as one text, for a node that compiles them; and where in them a line of that text
//! stands.

use std::path::{Path, PathBuf};

use anyhow::Context;
use keng_rules_engine::is_rule_file;
use serde_json::Value;

use crate::client::part;
use crate::exit::{Exit, Failure};
use crate::output;

/// What a node takes in one request is less than this (its body is JSON).
const BYTES_MAX: usize = 1_000_000;

/// Rules as they are written.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) text: String,
    /// Each file, and how many lines of the text lie before it.
    files: Vec<(u64, PathBuf)>,
    lines: u64,
}

impl Written {
    /// Reads rule files and directories (recursively `*.yml` and `*.yaml`).
    ///
    /// # Errors
    /// When one cannot be read, or there is more than a node takes at once.
    pub(super) fn read(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut written = Self::default();
        paths.iter().try_for_each(|path| written.add(path, true))?;
        if written.text.len() > BYTES_MAX {
            let reason = "a node takes 1 MB of rules at once: name fewer, or rules that it has \
                          loaded with --id, or read the index itself with --offline";
            return Err(Failure::error(Exit::Invalid, reason));
        }
        Ok(written)
    }

    fn add(&mut self, path: &Path, named: bool) -> anyhow::Result<()> {
        if named && !path.exists() {
            let reason = format!("{}: there is no such file or folder of rules", path.display());
            return Err(Failure::error(Exit::Invalid, reason));
        }
        let reading = || format!("reading {}", path.display());
        if std::fs::metadata(path).with_context(reading)?.is_dir() {
            let entries = std::fs::read_dir(path).with_context(reading)?;
            let mut entries = entries.collect::<Result<Vec<_>, _>>().with_context(reading)?;
            entries.sort_by_key(std::fs::DirEntry::file_name);
            return entries.iter().try_for_each(|entry| {
                let (name, kind) = (entry.file_name(), entry.file_type()?);
                let hidden = name.to_string_lossy().starts_with('.');
                // A link to a folder may lead back to where we are.
                let folder_link = kind.is_symlink() && entry.path().is_dir();
                if hidden || folder_link { Ok(()) } else { self.add(&entry.path(), false) }
            });
        }
        if named || is_rule_file(path) {
            let text = std::fs::read_to_string(path).with_context(reading)?;
            self.push(path, &text);
        }
        Ok(())
    }

    fn push(&mut self, path: &Path, text: &str) {
        // Both may only stand where a stream begins, or behind the end of a document.
        let text = text.trim_start_matches('\u{feff}');
        self.text.push_str(if text.starts_with('%') { "...\n" } else { "---\n" });
        self.lines += 1;
        self.files.push((self.lines, path.to_owned()));
        self.text.push_str(text);
        if !text.ends_with('\n') {
            self.text.push('\n');
        }
        self.lines += text.lines().count() as u64;
    }

    /// The file and its line at a line of the text.
    fn place(&self, line: u64) -> Option<(&Path, u64)> {
        let (before, path) = self.files.iter().rev().find(|(before, _)| *before < line)?;
        Some((path, line - before))
    }

    /// Tells what a node has against the rules; gives whether there is anything.
    pub(super) fn tell(&self, problems: &Value) -> bool {
        let problems = problems.as_array().map(Vec::as_slice).unwrap_or_default();
        for problem in problems {
            let text = |name: &str| part(problem, name).as_str().unwrap_or_default();
            let line = part(problem, "/line").as_u64().unwrap_or_default();
            let place = match self.place(line).filter(|_| text("/file") == "request") {
                Some((path, line)) => format!("{}:{line}", path.display()),
                None => text("/file").to_owned(),
            };
            let hint = match text("/hint") {
                "" => String::new(),
                hint => format!(" ({hint})"),
            };
            output::note(&format!("not loaded: {place}: {}{hint}", text("/message")));
        }
        !problems.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_in_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("a.yml", "one\ntwo");
        write("b.yaml", "---\nthree\n");
        write("c.txt", "none");
        write(".d.yml", "none");
        let written = Written::read(&[folder.path().to_owned()]).unwrap();
        assert_eq!(written.text, "---\none\ntwo\n---\n---\nthree\n");
        let place = |line| {
            let (path, line) = written.place(line)?;
            Some((path.file_name()?.to_str()?, line))
        };
        assert_eq!(place(0), None);
        assert_eq!(place(3), Some(("a.yml", 2)));
        assert_eq!(place(6), Some(("b.yaml", 2)));
        let named = Written::read(&[folder.path().join("c.txt")]).unwrap();
        assert_eq!(named.text, "---\nnone\n");
    }

    #[test]
    fn what_may_only_begin_a_stream_keeps_no_rule_from_the_node() {
        let rule = "title: A\nlogsource: {}\ndetection: {s: {a: 1}, condition: s}\n";
        let files = ["a", "b", "c", "d"].map(|id| format!("id: {id}\n{rule}"));
        let [plain, marked, versioned, both] = &files;
        let marked = format!("\u{feff}{marked}");
        let versioned = format!("%YAML 1.2\n---\n{versioned}");
        let both = format!("\u{feff}%YAML 1.2\n---\n{both}");
        for order in [[plain, &marked, &versioned, &both], [&both, &versioned, &marked, plain]] {
            let mut written = Written::default();
            order.iter().for_each(|text| written.push(Path::new("a.yml"), text));
            let loaded = keng_rules_engine::load_text("request", &written.text, &[]);
            assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
            assert_eq!(loaded.rules.len(), 4);
        }
    }
}
