//! Modifiers: what `field|contains|all` makes of the values that follow it.
//!
//! The order in which modifiers are written does not matter; they are applied in the one order
//! that makes sense: `expand`, `windash`, `utf16…`, `base64…`, then the place in the value, then
//! `all` and `neq` over the whole list (Sigma appendix "modifiers", version 2.1.0).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;

use super::test::{Atom, Comparison, Number, Pattern, Place, RegexFlags, Subject, Test, TimePart};
use super::yaml::{Node, Yaml};
use super::{Expr, Fault};
use crate::limits;

/// The dashes that Windows programs take for one another.
const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Utf16 {
    LittleEndian,
    BigEndian,
    Marked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base64 {
    Whole,
    Offsets,
}

/// The modifiers of one key.
#[derive(Clone, Debug, Default, PartialEq)]
struct Modifiers {
    all: bool,
    cased: bool,
    neq: bool,
    exists: bool,
    expand: bool,
    windash: bool,
    cidr: bool,
    field_ref: bool,
    regex: Option<RegexFlags>,
    utf16: Option<Utf16>,
    base64: Option<Base64>,
    place: Option<Place>,
    comparison: Option<Comparison>,
    part: Option<TimePart>,
}

/// What the tests of `key: value` are. `key` is a field name (empty for keywords) and modifiers.
pub(crate) fn item(key: &str, line: u64, value: &Node) -> Result<Expr<Atom>, Fault> {
    let mut words = key.split('|');
    let field = words.next().unwrap_or_default();
    let subject = match field {
        "" => Subject::Keywords,
        name => Subject::Field(name.to_owned()),
    };
    let modifiers = Modifiers::parse(words, line)?;
    modifiers.check(&subject, line)?;
    let values = match &value.value {
        Yaml::List(items) => items.as_slice(),
        _ => std::slice::from_ref(value),
    };
    let expr = if values.is_empty() {
        // An empty list asks, as null does, that there is no value.
        absent(subject)
    } else {
        modifiers.apply(&subject, values)?
    };
    Ok(if modifiers.neq { Expr::Not(Box::new(expr)) } else { expr })
}

fn absent(subject: Subject) -> Expr<Atom> {
    Expr::Not(Box::new(Expr::Atom(Atom { subject, test: Test::Present })))
}

impl Modifiers {
    fn parse<'m>(words: impl Iterator<Item = &'m str>, line: u64) -> Result<Self, Fault> {
        let mut modifiers = Self::default();
        for word in words {
            modifiers.add(word, line)?;
        }
        Ok(modifiers)
    }

    fn add(&mut self, word: &str, line: u64) -> Result<(), Fault> {
        let again = || Fault::new(line, format!("modifier `{word}` contradicts one before it"));
        fn set<T>(slot: &mut Option<T>, value: T) -> bool {
            slot.replace(value).is_none()
        }
        let fresh = match word {
            "all" => !std::mem::replace(&mut self.all, true),
            "cased" => !std::mem::replace(&mut self.cased, true),
            "neq" => !std::mem::replace(&mut self.neq, true),
            "exists" => !std::mem::replace(&mut self.exists, true),
            "expand" => !std::mem::replace(&mut self.expand, true),
            "windash" => !std::mem::replace(&mut self.windash, true),
            "cidr" => !std::mem::replace(&mut self.cidr, true),
            "fieldref" => !std::mem::replace(&mut self.field_ref, true),
            "contains" => set(&mut self.place, Place::Anywhere),
            "startswith" => set(&mut self.place, Place::Start),
            "endswith" => set(&mut self.place, Place::End),
            "wide" | "utf16le" => set(&mut self.utf16, Utf16::LittleEndian),
            "utf16be" => set(&mut self.utf16, Utf16::BigEndian),
            "utf16" => set(&mut self.utf16, Utf16::Marked),
            "base64" => set(&mut self.base64, Base64::Whole),
            "base64offset" => set(&mut self.base64, Base64::Offsets),
            "lt" => set(&mut self.comparison, Comparison::Less),
            "lte" => set(&mut self.comparison, Comparison::LessOrEqual),
            "gt" => set(&mut self.comparison, Comparison::Greater),
            "gte" => set(&mut self.comparison, Comparison::GreaterOrEqual),
            "minute" => set(&mut self.part, TimePart::Minute),
            "hour" => set(&mut self.part, TimePart::Hour),
            "day" => set(&mut self.part, TimePart::Day),
            "week" => set(&mut self.part, TimePart::Week),
            "month" => set(&mut self.part, TimePart::Month),
            "year" => set(&mut self.part, TimePart::Year),
            "re" => set(&mut self.regex, RegexFlags::default()),
            "i" | "ignorecase" => self.flag(word, line, |flags| &mut flags.ignore_case)?,
            "m" | "multiline" => self.flag(word, line, |flags| &mut flags.multi_line)?,
            "s" | "dotall" => self.flag(word, line, |flags| &mut flags.dot_all)?,
            _ => {
                return Err(Fault::new(line, format!("there is no modifier `{word}`"))
                    .hint("see the list in Sigma's appendix on modifiers, version 2.1.0"));
            }
        };
        if fresh { Ok(()) } else { Err(again()) }
    }

    fn flag(
        &mut self,
        word: &str,
        line: u64,
        choose: impl Fn(&mut RegexFlags) -> &mut bool,
    ) -> Result<bool, Fault> {
        match &mut self.regex {
            Some(flags) => Ok(!std::mem::replace(choose(flags), true)),
            None => Err(Fault::new(line, format!("modifier `{word}` goes after `re`"))),
        }
    }

    /// Refuses modifiers that say nothing together.
    fn check(&self, subject: &Subject, line: u64) -> Result<(), Fault> {
        let encodes = self.windash || self.utf16.is_some() || self.base64.is_some();
        // Each names a kind of value of its own, so that no two go together.
        let kinds = [
            ("exists", self.exists),
            ("cidr", self.cidr),
            ("re", self.regex.is_some()),
            ("fieldref", self.field_ref),
            ("a comparison or time modifier", self.comparison.is_some() || self.part.is_some()),
        ];
        let mut used = kinds.iter().filter(|(_, used)| *used).map(|(name, _)| *name);
        let Some(first) = used.next() else { return Ok(()) };
        let clash = match used.next() {
            Some(second) => Some(second),
            None if encodes => Some("an encoding modifier"),
            None if self.expand && first != "cidr" && first != "re" => Some("`expand`"),
            None if self.place.is_some() && !matches!(first, "re" | "fieldref") => {
                Some("a place modifier")
            }
            None if self.cased && first != "fieldref" && first != "re" => Some("`cased`"),
            None => None,
        };
        if let Some(second) = clash {
            let message = format!("`{first}` cannot be combined with {second}");
            return Err(Fault::new(line, message));
        }
        if *subject == Subject::Keywords && first != "re" {
            return Err(Fault::new(line, format!("`{first}` needs a field name before it")));
        }
        Ok(())
    }

    fn apply(&self, subject: &Subject, values: &[Node]) -> Result<Expr<Atom>, Fault> {
        let mut parts = Vec::new();
        let mut patterns = Vec::new();
        let mut networks = Vec::new();
        for value in values {
            match self.value(subject, value)? {
                Applied::Patterns(more) if self.all => parts.push(self.text(subject, more)),
                Applied::Patterns(more) => patterns.extend(more),
                Applied::Network(network) if self.all => {
                    parts.push(atom(subject, Test::Cidr(vec![network])));
                }
                Applied::Network(network) => networks.push(network),
                Applied::Expr(expr) => parts.push(expr),
            }
            if patterns.len() > limits::ATOMS_PER_RULE_MAX {
                return Err(Fault::new(value.line, "the list has too many values"));
            }
        }
        // What is joined into one test is matched with one look at the value.
        if !patterns.is_empty() {
            parts.push(self.text(subject, patterns));
        }
        if !networks.is_empty() {
            parts.push(atom(subject, Test::Cidr(networks)));
        }
        Ok(if self.all { Expr::all(parts) } else { Expr::any(parts) })
    }

    fn text(&self, subject: &Subject, patterns: Vec<Pattern>) -> Expr<Atom> {
        let anywhere = *subject == Subject::Keywords && self.place.is_none();
        let place = if anywhere { Some(Place::Anywhere) } else { self.place };
        let patterns =
            patterns.into_iter().map(|pattern| pattern.at(place.unwrap_or(Place::Whole))).collect();
        atom(subject, Test::Text { cased: self.cased, patterns })
    }

    fn value(&self, subject: &Subject, node: &Node) -> Result<Applied, Fault> {
        let line = node.line;
        if self.exists {
            let present = Expr::Atom(Atom { subject: subject.clone(), test: Test::Present });
            let wanted = node.truth("the value of `exists`")?;
            return Ok(Applied::Expr(if wanted { present } else { Expr::Not(Box::new(present)) }));
        }
        if self.comparison.is_some() || self.part.is_some() {
            return self.number(subject, node);
        }
        match &node.value {
            Yaml::Null if *self == Self { neq: self.neq, all: self.all, ..Self::default() } => {
                Ok(Applied::Expr(absent(subject.clone())))
            }
            Yaml::Null => Err(Fault::new(line, "null cannot be combined with modifiers")),
            Yaml::List(_) | Yaml::Map(_) => {
                Err(Fault::new(line, format!("a value cannot be {}", node.kind())))
            }
            Yaml::Text(text) => self.texts(subject, text, line),
            Yaml::Bool(truth) if self.regex.is_none() && !self.cidr && !self.field_ref => {
                let spellings = if *truth { ["true", "1"] } else { ["false", "0"] };
                Ok(Applied::Patterns(spellings.map(Pattern::literal).to_vec()))
            }
            Yaml::Int(number) => self.numeric(subject, Number::Int(*number), line),
            Yaml::Float(number) => self.numeric(subject, Number::float(*number), line),
            Yaml::Bool(_) => Err(Fault::new(line, "a truth value cannot have this modifier")),
        }
    }

    /// A plain number matches the number and its text; with modifiers it is its text.
    fn numeric(&self, subject: &Subject, number: Number, line: u64) -> Result<Applied, Fault> {
        let mut spellings = number.spellings();
        if self.windash || self.utf16.is_some() || self.base64.is_some() || self.regex.is_some() {
            return self.texts(subject, &spellings.swap_remove(0), line);
        }
        if self.cidr || self.field_ref {
            return Err(Fault::new(line, "a number cannot have this modifier"));
        }
        Ok(Applied::Patterns(spellings.into_iter().map(Pattern::literal).collect()))
    }

    fn number(&self, subject: &Subject, node: &Node) -> Result<Applied, Fault> {
        let number = match &node.value {
            Yaml::Int(number) => Number::Int(*number),
            Yaml::Float(number) if number.is_finite() => Number::float(*number),
            _ => {
                let message = format!("this modifier compares numbers, not {}", node.kind());
                return Err(Fault::new(node.line, message).hint("write the number without quotes"));
            }
        };
        let comparison = self.comparison.unwrap_or(Comparison::Equal);
        let test = match self.part {
            Some(part) => Test::TimePart(part, comparison, number),
            None => Test::Compare(comparison, number),
        };
        Ok(Applied::Expr(atom(subject, test)))
    }

    fn texts(&self, subject: &Subject, text: &str, line: u64) -> Result<Applied, Fault> {
        if self.expand
            && let Some(name) = placeholder(text)
        {
            return Err(Fault::new(line, format!("the placeholder %{name}% has no values"))
                .hint("write the values into the rule; value lists are not supported yet"));
        }
        if let Some(flags) = self.regex {
            return self.regex(subject, text, flags, line);
        }
        if self.cidr {
            return Ok(Applied::Network(network(text, line)?));
        }
        if self.field_ref {
            let place = self.place.unwrap_or(Place::Whole);
            let test = Test::FieldRef { other: text.to_owned(), place, cased: self.cased };
            return Ok(Applied::Expr(atom(subject, test)));
        }
        let texts = if self.windash { dashes(text, line)? } else { vec![text.to_owned()] };
        let mut patterns = Vec::with_capacity(texts.len());
        for text in texts {
            self.encode(&text, line, &mut patterns)?;
        }
        Ok(Applied::Patterns(patterns))
    }

    fn regex(
        &self,
        subject: &Subject,
        text: &str,
        flags: RegexFlags,
        line: u64,
    ) -> Result<Applied, Fault> {
        let source = match self.place {
            Some(Place::Start) => format!("^(?:{text})"),
            Some(Place::End) => format!("(?:{text})$"),
            _ => text.to_owned(),
        };
        if let Err(error) = crate::text::regex(&source, flags) {
            // The last line of a syntax error is the reason, the others draw a picture.
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default();
            let reason = reason.strip_prefix("error: ").unwrap_or(reason);
            return Err(Fault::new(line, format!("not a regular expression we can run: {reason}"))
                .hint("look-around and back-references are outside Sigma's regular expressions"));
        }
        Ok(Applied::Expr(atom(subject, Test::Regex { source, flags })))
    }

    /// Applies `utf16…` and `base64…` to one text.
    fn encode(&self, text: &str, line: u64, out: &mut Vec<Pattern>) -> Result<(), Fault> {
        let pattern = Pattern::parse(text);
        if self.utf16.is_none() && self.base64.is_none() {
            out.push(pattern);
            return Ok(());
        }
        let Some(literal) = pattern.as_literal() else {
            return Err(Fault::new(line, "a value with wildcards cannot be encoded")
                .hint("escape them (`\\*`) or leave the encoding modifier out"));
        };
        let bytes = match self.utf16 {
            Some(encoding) => utf16(literal, encoding),
            None => literal.as_bytes().to_vec(),
        };
        match self.base64 {
            Some(Base64::Whole) => out.push(Pattern::literal(STANDARD.encode(&bytes))),
            Some(Base64::Offsets) => out.extend(base64_offsets(&bytes).map(Pattern::literal)),
            // Each byte is one character of the log text.
            None => {
                out.push(Pattern::literal(bytes.iter().map(|b| char::from(*b)).collect::<String>()))
            }
        }
        Ok(())
    }
}

enum Applied {
    Patterns(Vec<Pattern>),
    Network(IpNet),
    Expr(Expr<Atom>),
}

fn atom(subject: &Subject, test: Test) -> Expr<Atom> {
    Expr::Atom(Atom { subject: subject.clone(), test })
}

/// The name in the first `%name%`.
fn placeholder(text: &str) -> Option<&str> {
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('%')?;
        let (name, _) = after.split_once('%')?;
        let word = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        if word && !before.ends_with('\\') {
            return Some(name);
        }
        rest = after;
    }
}

/// A network; an address stands for itself. IPv4 networks written as IPv6 become IPv4, because
/// addresses in events are.
fn network(text: &str, line: u64) -> Result<IpNet, Fault> {
    let parsed = match text.parse::<IpNet>() {
        Ok(network) => Some(network),
        Err(_) => text.parse().ok().map(|address: std::net::IpAddr| IpNet::from(address)),
    };
    let Some(network) = parsed else {
        return Err(Fault::new(line, format!("'{text}' is not a network"))
            .hint("write 10.0.0.0/8 or 2001:db8::/32"));
    };
    if let IpNet::V6(six) = network
        && let (Some(four), Some(length)) =
            (six.addr().to_ipv4_mapped(), six.prefix_len().checked_sub(96))
        && let Ok(mapped) = ipnet::Ipv4Net::new(four, length)
    {
        return Ok(IpNet::V4(mapped.trunc()));
    }
    Ok(network.trunc())
}

/// Every way to write the option dashes of a text: a dash that begins a word, with any of the
/// five characters in its place.
fn dashes(text: &str, line: u64) -> Result<Vec<String>, Fault> {
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let chars: Vec<char> = text.chars().collect();
    let mut texts = vec![String::with_capacity(text.len())];
    for (index, c) in chars.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| chars.get(before)).copied();
        let option = DASHES.contains(c) && !word(before) && word(chars.get(index + 1).copied());
        if !option {
            for text in &mut texts {
                text.push(*c);
            }
            continue;
        }
        if texts.len() * DASHES.len() > limits::EXPANSIONS_MAX {
            return Err(Fault::new(line, "`windash` makes too many texts of this value")
                .hint("split the value into several with `contains|all`"));
        }
        texts = texts
            .iter()
            .flat_map(|text| DASHES.iter().map(move |dash| format!("{text}{dash}")))
            .collect();
    }
    Ok(texts)
}

fn utf16(text: &str, encoding: Utf16) -> Vec<u8> {
    let units = text.encode_utf16();
    match encoding {
        Utf16::LittleEndian => units.flat_map(u16::to_le_bytes).collect(),
        Utf16::BigEndian => units.flat_map(u16::to_be_bytes).collect(),
        Utf16::Marked => [0xfeff].into_iter().chain(units).flat_map(u16::to_le_bytes).collect(),
    }
}

/// The parts of the Base64 forms that stay the same whatever stands before and after the bytes:
/// one for each of the three ways in which they can fall into groups of three.
fn base64_offsets(bytes: &[u8]) -> impl Iterator<Item = String> {
    (0..3).map(move |shift| {
        let mut padded = vec![b' '; shift];
        padded.extend_from_slice(bytes);
        let encoded = STANDARD.encode(&padded);
        let from = [0, 2, 3].get(shift).copied().unwrap_or(0);
        let cut = [0, 3, 2].get(padded.len() % 3).copied().unwrap_or(0);
        encoded.get(from..encoded.len().saturating_sub(cut)).unwrap_or_default().to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sigma::yaml;

    fn parsed(key: &str, value: &str) -> Result<Expr<Atom>, Fault> {
        let document = yaml::documents(&format!("v: {value}")).unwrap().remove(0);
        item(key, 1, document.get("v").unwrap())
    }

    /// The patterns in Sigma's notation.
    fn patterns(key: &str, value: &str) -> Vec<String> {
        fn collect(expr: &Expr<Atom>, out: &mut Vec<String>) {
            use crate::sigma::test::Part;
            match expr {
                Expr::And(parts) | Expr::Or(parts) | Expr::AtLeast(_, parts) => {
                    parts.iter().for_each(|part| collect(part, out));
                }
                Expr::Not(part) => collect(part, out),
                Expr::Atom(Atom { test: Test::Text { patterns, .. }, .. }) => {
                    out.extend(patterns.iter().map(|pattern| {
                        pattern
                            .parts
                            .iter()
                            .map(|part| match part {
                                Part::Any => "*",
                                Part::One => "?",
                                Part::Text(text) => text,
                            })
                            .collect()
                    }));
                }
                Expr::Atom(_) => {}
            }
        }
        let mut out = Vec::new();
        collect(&parsed(key, value).unwrap(), &mut out);
        out
    }

    #[test]
    fn encodings_are_those_of_the_reference() {
        // Values as pySigma's own documentation and tests give them.
        assert_eq!(patterns("f|base64", "foobar"), ["Zm9vYmFy"]);
        assert_eq!(
            patterns("f|base64offset|contains", "foobar"),
            ["*Zm9vYmFy*", "*Zvb2Jhc*", "*mb29iYX*"]
        );
        assert_eq!(patterns("f|wide|base64", "foobar"), ["ZgBvAG8AYgBhAHIA"]);
        assert_eq!(patterns("f|base64|utf16le", "foobar"), ["ZgBvAG8AYgBhAHIA"]);
        assert_eq!(patterns("f|utf16be|base64", "foobar"), ["AGYAbwBvAGIAYQBy"]);
        assert_eq!(patterns("f|utf16|base64", "foobar"), ["//5mAG8AbwBiAGEAcgA="]);
        assert_eq!(patterns("f|wide|contains", "ab"), ["*a\0b\0*"]);
    }

    #[test]
    fn windash_changes_option_dashes_only() {
        assert_eq!(patterns("f|windash", "-a"), ["-a", "/a", "–a", "—a", "―a"]);
        assert_eq!(patterns("f|windash|contains", "' /x a-b - '").len(), 5);
        assert_eq!(patterns("f|windash", "--x-y")[1], "-/x-y");
        assert_eq!(patterns("f|windash", "'-a -b'").len(), 25);
        assert!(parsed("f|windash", "'-a -b -c -d -e -f'").is_err());
    }

    #[test]
    fn numbers_and_truth_values_match_their_texts() {
        assert_eq!(patterns("f", "4688"), ["4688"]);
        assert_eq!(patterns("f|contains", "46"), ["*46*"]);
        assert_eq!(patterns("f", "1.0"), ["1", "1.0"]);
        assert_eq!(patterns("f", "true"), ["true", "1"]);
        assert_eq!(patterns("f", "18446744073709551615"), ["18446744073709551615"]);
    }

    #[test]
    fn networks_are_brought_into_one_form() {
        for (text, wanted) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("2001:db8::1/32", "2001:db8::/32"),
        ] {
            assert_eq!(network(text, 1).unwrap().to_string(), wanted);
        }
    }

    #[test]
    fn the_order_of_modifiers_does_not_matter() {
        for (one, other) in [
            ("f|contains|all|windash", "f|windash|all|contains"),
            ("f|base64offset|wide|contains", "f|contains|wide|base64offset"),
            ("f|neq|cased|endswith", "f|endswith|cased|neq"),
        ] {
            assert_eq!(parsed(one, "['-a', b]").unwrap(), parsed(other, "['-a', b]").unwrap());
        }
    }

    #[test]
    fn what_cannot_be_honoured_is_refused() {
        let refused: Vec<_> = [
            ("f|conains", "x"),
            ("f|contains|startswith", "x"),
            ("f|i", "x"),
            ("f|all|all", "[x, y]"),
            ("f|re|cidr", "x"),
            ("f|re|base64", "x"),
            ("f|re", "(?=x)y"),
            ("f|re", r"(a)\1"),
            ("f|re", "("),
            ("f|re", "'(((a{1000}){1000}){1000})'"),
            ("f|cidr", "10.0.0.0/33"),
            ("f|cidr|contains", "10.0.0.0/8"),
            ("f|gt", "'5'"),
            ("f|hour", "noon"),
            ("f|exists", "maybe"),
            ("f|expand", "'%admins%'"),
            ("f|base64", "'a*b'"),
            ("f|contains", "null"),
            ("f", "[[1]]"),
            ("|exists", "true"),
        ]
        .iter()
        .map(|(key, value)| format!("{key:22} {}", parsed(key, value).unwrap_err().message))
        .collect();
        insta::assert_snapshot!(refused.join("\n"));
    }

    #[test]
    fn expand_without_a_placeholder_is_a_plain_text() {
        assert_eq!(patterns("f|expand", "'100% sure'"), ["100% sure"]);
    }
}
