//! Holds the style that a test can hold. Formatting and lints are rustfmt's and clippy's.

use std::path::{Path, PathBuf};

/// Longest file in lines, its tests not counted.
const FILE_LINES_MAX: usize = 500;

/// Every tracked or new source file of ours below the root.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let folders = [
        "event",
        "metrics",
        "bus",
        "ingest",
        "rules-engine",
        "indexer",
        "alerting",
        "api",
        "config",
        "src",
        "tests",
    ];
    for folder in folders {
        walk(&root.join(folder), &mut found);
    }
    assert!(found.len() > 50, "the walk found the sources");
    found
}

fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("sources are UTF-8");
            found.push((path, text));
        }
    }
}

fn complain(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let mute = |(path, text): &(PathBuf, String)| {
        (!text.starts_with("//!")).then(|| format!("{}: begin with `//!`", path.display()))
    };
    complain(&sources().iter().filter_map(mute).collect::<Vec<_>>());
}

#[test]
fn files_stay_small() {
    let long = |(path, text): &(PathBuf, String)| {
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        let tests = path.components().any(|part| part.as_os_str() == "tests")
            || path.file_stem().is_some_and(|stem| stem == "tests");
        (lines > FILE_LINES_MAX && !tests)
            .then(|| format!("{}: {lines} lines, split it (max {FILE_LINES_MAX})", path.display()))
    };
    complain(&sources().iter().filter_map(long).collect::<Vec<_>>());
}

#[test]
fn nothing_is_left_unfinished() {
    // Written apart so that this file does not find itself.
    let markers = [
        concat!("to", "do!("),
        concat!("unimpl", "emented!("),
        concat!("FIX", "ME"),
        concat!("db", "g!("),
    ];
    let mut problems = Vec::new();
    for (path, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            for marker in markers.iter().filter(|marker| line.contains(**marker)) {
                problems.push(format!("{}:{}: {marker}", path.display(), number + 1));
            }
            if line.trim() == concat!("#[ign", "ore]") {
                problems.push(format!(
                    "{}:{}: ignored without a reason",
                    path.display(),
                    number + 1
                ));
            }
        }
    }
    complain(&problems);
}

#[test]
fn names_say_what_is_in_them() {
    let vague = ["common", "util", "utils", "helpers", "manager", "misc"];
    let bad = |(path, _): &(PathBuf, String)| {
        let stem = path.file_stem()?.to_str()?;
        vague.contains(&stem).then(|| format!("{}: name it for what it does", path.display()))
    };
    complain(&sources().iter().filter_map(bad).collect::<Vec<_>>());
}
