//! Wildcard patterns: `*` is anything or nothing, `?` is one character.
//!
//! Patterns are matched against folded text and hold folded text. Matching is linear in the
//! text whatever the pattern.

use std::net::Ipv4Addr;

use memchr::memmem;

use super::pattern::Pattern;

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GlobPart {
    /// These characters.
    Literal(String),
    /// `?`
    One,
    /// `*`
    Many,
}

/// Splits a bare value at its wildcards. A run of backslashes before a wildcard says whether it
/// is one: each pair is a backslash, an odd one makes the wildcard a plain character. Elsewhere a
/// backslash is a backslash.
#[must_use]
pub fn parse_bare(text: &str) -> Vec<GlobPart> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut backslashes = 0;
    for c in text.chars() {
        match c {
            '\\' => {
                backslashes += 1;
                continue;
            }
            '*' | '?' => {
                literal.extend(std::iter::repeat_n('\\', backslashes / 2));
                if backslashes % 2 == 1 {
                    literal.push(c);
                } else {
                    push_literal(&mut parts, &mut literal);
                    parts.push(if c == '*' { GlobPart::Many } else { GlobPart::One });
                }
            }
            _ => {
                literal.extend(std::iter::repeat_n('\\', backslashes));
                literal.push(c);
            }
        }
        backslashes = 0;
    }
    literal.extend(std::iter::repeat_n('\\', backslashes));
    push_literal(&mut parts, &mut literal);
    parts
}

fn push_literal(parts: &mut Vec<GlobPart>, literal: &mut String) {
    if !literal.is_empty() {
        parts.push(GlobPart::Literal(std::mem::take(literal)));
    }
}

/// A pattern that a folded value must fit from beginning to end.
#[derive(Clone, Debug)]
pub struct Glob {
    parts: Vec<GlobPart>,
    plan: Plan,
}

#[derive(Clone, Debug)]
enum Plan {
    /// Literals in order with anything between them; the first and the last are at the ends.
    Segments { first: String, middle: Vec<memmem::Finder<'static>>, last: String },
    /// There is a `?`.
    Regex(Pattern),
}

impl Glob {
    /// From parts whose literals are folded already and that hold at least one wildcard.
    ///
    /// # Errors
    /// The pattern is too large, in words.
    pub fn new(mut parts: Vec<GlobPart>) -> Result<Self, String> {
        parts.dedup_by(|next, previous| *next == GlobPart::Many && *previous == GlobPart::Many);
        let plan = match segments(&parts) {
            Some(segments) => segments,
            None => Plan::Regex(Pattern::whole(&regex_source(&parts, "(?s:.*)", "(?s:.)"), false)?),
        };
        Ok(Self { parts, plan })
    }

    /// Whether the folded text fits, from beginning to end.
    #[must_use]
    pub fn matches(&self, folded: &str) -> bool {
        match &self.plan {
            Plan::Regex(pattern) => pattern.is_match(folded),
            Plan::Segments { first, middle, last } => {
                let Some(mut rest) = folded.strip_prefix(first.as_str()) else { return false };
                for finder in middle {
                    let Some(at) = finder.find(rest.as_bytes()) else { return false };
                    rest = rest.get(at + finder.needle().len()..).unwrap_or_default();
                }
                rest.ends_with(last.as_str())
            }
        }
    }

    /// Whether it takes the memory of a regular expression.
    #[must_use]
    pub fn is_compiled(&self) -> bool {
        matches!(self.plan, Plan::Regex(_))
    }

    /// What every value that fits begins with; may be empty.
    #[must_use]
    pub fn prefix(&self) -> &str {
        match self.parts.first() {
            Some(GlobPart::Literal(text)) => text,
            _ => "",
        }
    }

    /// Whether it is `prefix*` and nothing more.
    #[must_use]
    pub fn is_prefix(&self) -> bool {
        matches!(&*self.parts, [GlobPart::Literal(_), GlobPart::Many])
    }

    /// The pattern's parts, literals folded.
    #[must_use]
    pub fn parts(&self) -> &[GlobPart] {
        &self.parts
    }

    /// The IPv4 addresses whose text fits, if they are one range: `10.1.*` is 10.1.0.0 to
    /// 10.1.255.255. No IPv6 address fits such a pattern.
    #[must_use]
    pub fn ipv4_range(&self) -> Option<(Ipv4Addr, Ipv4Addr)> {
        let [GlobPart::Literal(text), GlobPart::Many] = &*self.parts else { return None };
        let octets: Vec<&str> = text.strip_suffix('.')?.split('.').collect();
        let fill = |octet: &str| -> Option<Ipv4Addr> {
            let mut all = octets.clone();
            all.resize(4, octet);
            all.join(".").parse().ok()
        };
        (octets.len() < 4).then(|| Some((fill("0")?, fill("255")?)))?
    }
}

/// `None` if there is a `?` or no `*`.
fn segments(parts: &[GlobPart]) -> Option<Plan> {
    let mut literals = vec![String::new()];
    for part in parts {
        match part {
            GlobPart::One => return None,
            GlobPart::Many => literals.push(String::new()),
            GlobPart::Literal(text) => literals.last_mut()?.push_str(text),
        }
    }
    let last = literals.pop()?;
    let mut literals = literals.into_iter();
    let first = literals.next()?;
    let middle = literals.map(|text| memmem::Finder::new(&text).into_owned()).collect();
    Some(Plan::Segments { first, middle, last })
}

/// The pattern as a regular expression, with the given meanings of `*` and `?`.
#[must_use]
pub fn regex_source(parts: &[GlobPart], many: &str, one: &str) -> String {
    let mut source = String::new();
    for part in parts {
        match part {
            GlobPart::Literal(text) => source.push_str(&regex::escape(text)),
            GlobPart::One => source.push_str(one),
            GlobPart::Many => source.push_str(many),
        }
    }
    source
}
