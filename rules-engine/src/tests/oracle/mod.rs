//! What another implementation says: pySigma with its SQLite backend, code that is not ours, is
//! asked which events a rule finds. Where it and Keng differ on purpose, the test says why and
//! counts how often.
//!
//! This is no reference for what Sigma *should* mean: `docs/sigma.md` tells that.

mod events;
mod regular;
mod sigmahq;
mod vectors;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value as Json;

/// The Python that has pySigma, or `None` where it was not installed; the test then says so.
pub(super) fn python(test: &str) -> Option<PathBuf> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/pysigma.sh");
    let output = Command::new(script).arg("python").output().unwrap();
    if output.status.success() {
        return Some(String::from_utf8(output.stdout).unwrap().trim_end().into());
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    assert!(!super::complete(), "{test} needs pySigma, and CI=true: {reason}");
    println!("skipped: {test} ({})", reason.trim_end());
    None
}

/// Asks one of the scripts beside this file.
pub(super) fn ask(python: &Path, script: &str, asked: &Json) -> Json {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/oracle"));
    let mut child = Command::new(python)
        .arg(folder.join(script))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(asked.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{script} failed");
    serde_json::from_slice(&output.stdout).unwrap()
}
