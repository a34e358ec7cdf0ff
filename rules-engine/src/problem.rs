//! What is wrong with a rule file, or hardly meant, said so that its author can put it right.

use std::fmt;

use serde::Serialize;

/// One fault in one rule file. A rule with a problem is not loaded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The file as it was named to the loader.
    pub file: String,
    /// Line in the file, from 1; 0 when the file could not be read at all.
    pub line: u64,
    /// The rule's id, or its title where it has none; empty when the file is no rule.
    pub rule: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: ", self.file)?,
            line => write!(f, "{}:{line}: ", self.file)?,
        }
        write_rest(f, &self.rule, &self.message, self.hint.as_deref())
    }
}

/// Something in a rule file that is allowed and yet hardly meant. The rule is loaded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Warning {
    /// The file as it was named to the loader.
    pub file: String,
    /// Line in the file, from 1.
    pub line: u64,
    /// The rule's id, or its title where it has none.
    pub rule: String,
    /// Which lint it is, for example `short-keyword`; the list is in `docs/sigma.md`.
    pub code: &'static str,
    /// What is odd.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: warning[{}]: ", self.file, self.line, self.code)?;
        write_rest(f, &self.rule, &self.message, self.hint.as_deref())
    }
}

/// What follows the place.
fn write_rest(
    f: &mut fmt::Formatter<'_>,
    rule: &str,
    message: &str,
    hint: Option<&str>,
) -> fmt::Result {
    if !rule.is_empty() {
        write!(f, "rule {rule}: ")?;
    }
    f.write_str(message)?;
    match hint {
        Some(hint) => write!(f, " ({hint})"),
        None => Ok(()),
    }
}
