//! What is wrong with a configuration, where, and how to mend it.

use std::fmt;
use std::path::{Path, PathBuf};

use keng_event::spelling::edits;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1, where it can be said.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub remedy: Option<String>,
}

/// Every mistake that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Problems(Vec<Problem>);

impl Problems {
    pub(crate) fn one(file: &Path, line: Option<usize>, message: String) -> Self {
        Self(vec![Problem { file: file.to_owned(), line, message, remedy: None }])
    }

    /// What is wrong with settings that were read, with the line that `line_of` finds for each.
    pub(crate) fn of(
        file: &Path,
        messages: Vec<String>,
        line_of: impl Fn(&str) -> Option<usize>,
    ) -> Self {
        let problem = |message: String| {
            let line = line_of(&message);
            Problem { file: file.to_owned(), line, message, remedy: None }
        };
        Self(messages.into_iter().map(problem).collect()).in_order()
    }

    pub(crate) fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same, in the order of the file.
    pub(crate) fn in_order(mut self) -> Self {
        self.0.sort_by_key(|problem| problem.line);
        self
    }

    /// The mistakes.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl Problem {
    /// From what the TOML reader says; of an unknown name, the nearest known one becomes the
    /// remedy.
    pub(crate) fn of_toml(file: &Path, line: Option<usize>, message: &str) -> Self {
        let (message, remedy) = match unknown_name(message) {
            Some((unknown, known)) => {
                let message = format!("there is no setting or value `{unknown}` here");
                (message, Some(suggest(&unknown, &known)))
            }
            None => {
                let form = FORMS.iter().find(|(said, ..)| message.contains(said));
                match form {
                    Some((_, meant, remedy)) => ((*meant).to_owned(), Some((*remedy).to_owned())),
                    None => (without_types(message.trim()), None),
                }
            }
        };
        Self { file: file.to_owned(), line, message, remedy }
    }
}

/// What the standard library says of an address, in a user's words, with an example.
const FORMS: [(&str, &str, &str); 3] = [
    (
        "invalid socket address",
        "this is not an address with a port",
        "write for example 127.0.0.1:8642, 0.0.0.0:5514 or [::]:5514",
    ),
    (
        "invalid IP address",
        "this is not an address or a network",
        "write for example 10.0.0.0/8, 192.0.2.7/32 or 2001:db8::/32",
    ),
    ("invalid port", "this is not a port", "write a number from 1 to 65535"),
];

/// What serde expects, in a user's words; types of Rust are none of his.
const EXPECTED: [(&str, &[&str]); 5] = [
    ("a whole number", &["usize", "isize", "u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"]),
    ("a number", &["f32", "f64"]),
    ("a text", &["a string", "string", "path string"]),
    ("true or false", &["a boolean", "bool"]),
    ("a list in brackets", &["a sequence"]),
];

/// "invalid type: …, expected usize" without the type.
fn without_types(message: &str) -> String {
    let Some((said, expected)) = message.rsplit_once(", expected ") else {
        return message.to_owned();
    };
    let meant = EXPECTED.iter().find(|(_, types)| types.contains(&expected));
    let meant = match expected.split_once(' ') {
        Some(("struct", _)) => "a section of settings",
        _ => meant.map_or(expected, |(meant, _)| *meant),
    };
    format!("{said}, expected {meant}")
}

/// Takes serde's "unknown field `x`, expected one of `a`, `b`" apart.
fn unknown_name(message: &str) -> Option<(String, Vec<String>)> {
    let rest = message
        .strip_prefix("unknown field `")
        .or_else(|| message.strip_prefix("unknown variant `"))?;
    let (unknown, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    Some((unknown.to_owned(), known))
}

fn suggest(unknown: &str, known: &[String]) -> String {
    let nearest = known.iter().min_by_key(|name| edits(unknown, name));
    match nearest {
        Some(name) if edits(unknown, name) <= unknown.len().max(3) / 2 => {
            format!("did you mean `{name}`?")
        }
        _ => format!("known here: {}", known.join(", ")),
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.message)?;
        match &self.remedy {
            Some(remedy) => write!(f, " ({remedy})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_far_name_gets_the_list_instead() {
        let known = ["listen".to_owned(), "tls_key".to_owned()];
        assert_eq!(suggest("qqqqqqqqqq", &known), "known here: listen, tls_key");
        assert_eq!(suggest("listn", &known), "did you mean `listen`?");
    }
}
