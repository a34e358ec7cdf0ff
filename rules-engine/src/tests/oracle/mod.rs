//! What other implementations say: pySigma with its SQLite backend, and rsigma's evaluator, code
//! that is not ours, are asked which events a rule finds. Where one and Keng differ on purpose, the
//! test says why and counts how often.
//!
//! They are no reference for what Sigma *should* mean: `docs/sigma.md` tells that.

mod events;
mod regular;
mod rsigma;
mod sigmahq;
mod vectors;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value as Json;

/// Another implementation, as a program that reads a question and writes the answer, both JSON.
/// What stands in them is told at the beginning of the scripts beside this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Oracle {
    Pysigma,
    Rsigma,
}

/// Where its program is, once it is known to be there.
pub(super) struct Installed {
    oracle: Oracle,
    program: PathBuf,
}

impl Oracle {
    /// `None` where it was not installed; the test then says so.
    pub(super) fn installed(self, test: &str) -> Option<Installed> {
        let (script, arguments): (_, &[&str]) = match self {
            Self::Pysigma => ("pysigma.sh", &["python"]),
            Self::Rsigma => ("rsigma.sh", &["program", "rsigma-oracle"]),
        };
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts"));
        let output = Command::new(folder.join(script)).args(arguments).output().unwrap();
        if output.status.success() {
            let program = String::from_utf8(output.stdout).unwrap().trim_end().into();
            return Some(Installed { oracle: self, program });
        }
        let reason = String::from_utf8_lossy(&output.stderr);
        assert!(!super::complete(), "{test} needs {self:?}, and CI=true: {reason}");
        println!("skipped: {test} ({})", reason.trim_end());
        None
    }
}

impl Installed {
    /// Asks what kind of question it is: about `detection` or `correlation`.
    pub(super) fn ask(&self, kind: &str, asked: &Json) -> Json {
        let scripts = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/oracle"));
        let argument = match self.oracle {
            Oracle::Pysigma => scripts.join(kind).with_extension("py"),
            Oracle::Rsigma => kind.into(),
        };
        let mut child = Command::new(&self.program)
            .arg(argument)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(asked.to_string().as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{:?} failed over {kind}", self.oracle);
        serde_json::from_slice(&output.stdout).unwrap()
    }
}
