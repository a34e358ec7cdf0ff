//! Modifiers: what `field|contains|all` makes of the values that follow it.
//!
//! The order in which modifiers are written does not matter; they are applied in the one order
//! that makes sense: `expand`, `windash`, `utf16…`, `base64…`, then the place in the value, then
//! `all` and `neq` over the whole list (Sigma appendix "modifiers", version 2.1.0).

use ipnet::IpNet;
use keng_event::spelling::edits;

use super::Fault;
use super::encode::{self, Base64, Utf16};
use super::item::{Content, Item, Value};
use super::placeholder::Template;
use super::test::{Comparison, Number, Pattern, Place, RegexFlags, TimePart};
use super::yaml::{Node, Yaml};
use crate::limits;

/// The modifiers of one key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Modifiers {
    pub(crate) all: bool,
    pub(crate) cased: bool,
    pub(crate) neq: bool,
    exists: bool,
    expand: bool,
    windash: bool,
    cidr: bool,
    field_ref: bool,
    in_list: bool,
    regex: Option<RegexFlags>,
    utf16: Option<Utf16>,
    base64: Option<Base64>,
    pub(crate) place: Option<Place>,
    comparison: Option<Comparison>,
    part: Option<TimePart>,
}

/// What `key: value` asks for. `key` is a field name (empty for keywords) and modifiers.
pub(crate) fn item(key: &str, line: u64, value: &Node) -> Result<Item, Fault> {
    let mut words = key.split('|');
    let field = words.next().filter(|name| !name.is_empty()).map(str::to_owned);
    let modifiers = Modifiers::parse(words, line)?;
    modifiers.check(field.is_none(), line)?;
    let values = match &value.value {
        Yaml::List(items) => items.as_slice(),
        _ => std::slice::from_ref(value),
    };
    let null = values.is_empty() || values.iter().any(|value| value.value == Yaml::Null);
    if field.is_none() && null {
        return Err(Fault::new(value.line, "null is no keyword")
            .hint("take it out, or write the field that must have no value"));
    }
    let templates =
        modifiers.expand.then(|| values.iter().map(Template::parse).collect::<Vec<_>>());
    let waiting =
        |templates: &Vec<Template>| templates.iter().any(|value| value.placeholder().is_some());
    let content = match templates.filter(waiting) {
        Some(templates) => Content::Waiting(templates),
        None => Content::Values(modifiers.apply(values)?),
    };
    Ok(Item { line, field, modifiers, content, steps: Vec::new() })
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
            "in_list" => !std::mem::replace(&mut self.in_list, true),
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
                return Err(
                    Fault::new(line, format!("there is no modifier `{word}`")).hint(meant(word))
                );
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
    fn check(&self, keywords: bool, line: u64) -> Result<(), Fault> {
        let encodes = self.windash || self.utf16.is_some() || self.base64.is_some();
        // Each names a kind of value of its own, so that no two go together.
        let kinds = [
            ("exists", self.exists),
            ("cidr", self.cidr),
            ("re", self.regex.is_some()),
            ("fieldref", self.field_ref),
            ("in_list", self.in_list),
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
        if keywords && first != "re" {
            return Err(Fault::new(line, format!("`{first}` needs a field name before it")));
        }
        Ok(())
    }

    /// Whether the values are regular expressions.
    pub(crate) fn is_regex(&self) -> bool {
        self.regex.is_some()
    }

    /// Whether `expand` is all that is done to a value.
    pub(super) fn only_expand(&self) -> bool {
        let Self { neq, all, .. } = *self;
        *self == Self { expand: true, neq, all, ..Self::default() }
    }

    /// What the values mean.
    pub(crate) fn apply(&self, values: &[Node]) -> Result<Vec<Value>, Fault> {
        let mut applied = Vec::with_capacity(values.len());
        let mut texts = 0;
        for node in values {
            let value = self.value(node)?;
            if let Value::Text(spellings) = &value {
                texts += spellings.len();
            }
            if texts > limits::ATOMS_PER_RULE_MAX {
                return Err(Fault::new(node.line, "the list has too many values"));
            }
            applied.push(value);
        }
        // An empty list asks, as null does, that there is no value.
        Ok(if applied.is_empty() { vec![Value::Null] } else { applied })
    }

    fn value(&self, node: &Node) -> Result<Value, Fault> {
        let line = node.line;
        if self.exists {
            return Ok(Value::Exists(node.truth("the value of `exists`")?));
        }
        if self.comparison.is_some() || self.part.is_some() {
            return self.number(node);
        }
        match &node.value {
            Yaml::Null if *self == Self { neq: self.neq, all: self.all, ..Self::default() } => {
                Ok(Value::Null)
            }
            Yaml::Null => Err(Fault::new(line, "null cannot be combined with modifiers")),
            Yaml::List(_) | Yaml::Map(_) => {
                Err(Fault::new(line, format!("a value cannot be {}", node.kind())))
            }
            Yaml::Text(text) => self.text(text, line),
            Yaml::Int(number) => self.numeric(Number::Int(*number), line),
            Yaml::Float(number) => self.numeric(Number::float(*number), line),
            Yaml::Bool(truth) if self.takes_words() => {
                let spellings = if *truth { ["true", "1"] } else { ["false", "0"] };
                Ok(self.placed(spellings.map(Pattern::literal).to_vec()))
            }
            Yaml::Bool(_) => Err(Fault::new(line, "a truth value cannot have this modifier")),
        }
    }

    /// Whether values are texts rather than expressions, networks or names.
    fn takes_words(&self) -> bool {
        self.regex.is_none() && !self.cidr && !self.field_ref && !self.in_list
    }

    fn placed(&self, patterns: Vec<Pattern>) -> Value {
        let place = self.place.unwrap_or(Place::Whole);
        Value::Text(patterns.into_iter().map(|pattern| pattern.at(place)).collect())
    }

    /// A plain number matches the number and its text; with modifiers it is its text.
    fn numeric(&self, number: Number, line: u64) -> Result<Value, Fault> {
        let mut spellings = number.spellings();
        if self.windash || self.utf16.is_some() || self.base64.is_some() || self.regex.is_some() {
            return self.text(&spellings.swap_remove(0), line);
        }
        if !self.takes_words() {
            return Err(Fault::new(line, "a number cannot have this modifier"));
        }
        Ok(self.placed(spellings.into_iter().map(Pattern::literal).collect()))
    }

    fn number(&self, node: &Node) -> Result<Value, Fault> {
        let number = match &node.value {
            Yaml::Int(number) => Number::Int(*number),
            Yaml::Float(number) if number.is_finite() => Number::float(*number),
            _ => {
                let message = format!("this modifier compares numbers, not {}", node.kind());
                return Err(Fault::new(node.line, message).hint("write the number without quotes"));
            }
        };
        let comparison = self.comparison.unwrap_or(Comparison::Equal);
        Ok(match self.part {
            Some(part) => Value::TimePart(part, comparison, number),
            None => Value::Compare(comparison, number),
        })
    }

    fn text(&self, text: &str, line: u64) -> Result<Value, Fault> {
        if let Some(flags) = self.regex {
            return self.regular(text, flags, line);
        }
        if self.cidr {
            return Ok(Value::Network(network(text, line)?));
        }
        if self.in_list {
            return Ok(Value::InList(text.to_owned()));
        }
        if self.field_ref {
            return Ok(Value::FieldRef(text.to_owned(), self.place.unwrap_or(Place::Whole)));
        }
        let texts = if self.windash { encode::dashes(text, line)? } else { vec![text.to_owned()] };
        let mut patterns = Vec::with_capacity(texts.len());
        for text in texts {
            patterns.extend(encode::encode(&text, self.utf16, self.base64, line)?);
        }
        Ok(self.placed(patterns))
    }

    fn regular(&self, text: &str, flags: RegexFlags, line: u64) -> Result<Value, Fault> {
        let source = match self.place {
            Some(Place::Start) => format!("^(?:{text})"),
            Some(Place::End) => format!("(?:{text})$"),
            _ => text.to_owned(),
        };
        // It is compiled when the rule is put together, where all of a set are bounded.
        match crate::text::parse_regex(&source, flags) {
            Ok(_) => Ok(Value::Regex(source, flags)),
            Err(reason) => Err(irregular(&reason, line)),
        }
    }
}

/// Every modifier, by all its names.
const WORDS: [&str; 35] = [
    "all",
    "cased",
    "neq",
    "exists",
    "expand",
    "windash",
    "cidr",
    "in_list",
    "fieldref",
    "contains",
    "startswith",
    "endswith",
    "wide",
    "utf16le",
    "utf16be",
    "utf16",
    "base64",
    "base64offset",
    "lt",
    "lte",
    "gt",
    "gte",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "year",
    "re",
    "i",
    "ignorecase",
    "m",
    "multiline",
    "s",
    "dotall",
];

/// What to do about a modifier that is none.
fn meant(word: &str) -> String {
    let length = word.chars().count();
    let far = (length / 3).min(3);
    // What is much longer is no slip, and may be as long as a file.
    let near = |known: &&&str| known.len().abs_diff(length) <= far;
    let distances = WORDS.iter().filter(near);
    let distances = distances.map(|known| (edits(&word.to_lowercase(), known), known));
    match distances.filter(|(distance, _)| *distance <= far).min() {
        Some((_, known)) => format!("did you mean `{known}`?"),
        None => "see the list in Sigma's appendix on modifiers, version 2.1.0".to_owned(),
    }
}

/// Why a regular expression is refused.
pub(crate) fn irregular(error: &str, line: u64) -> Fault {
    // The last line of a syntax error is the reason, the others draw a picture.
    let reason = error.lines().last().unwrap_or_default();
    let reason = reason.strip_prefix("error: ").unwrap_or(reason);
    Fault::new(line, format!("not a regular expression we can run: {reason}"))
        .hint("look-around and back-references are outside Sigma's regular expressions")
}

/// A network; an address stands for itself.
fn network(text: &str, line: u64) -> Result<IpNet, Fault> {
    let parsed = match text.parse::<IpNet>() {
        Ok(network) => Some(network),
        Err(_) => text.parse().ok().map(|address: std::net::IpAddr| IpNet::from(address)),
    };
    let Some(network) = parsed else {
        return Err(Fault::new(line, format!("'{text}' is not a network"))
            .hint("write 10.0.0.0/8 or 2001:db8::/32"));
    };
    Ok(canonical(network))
}

/// The form in which networks are compared: IPv4 written as IPv6 becomes IPv4, and what is behind
/// the prefix is cut.
pub(crate) fn canonical(network: IpNet) -> IpNet {
    if let IpNet::V6(six) = network
        && let (Some(four), Some(length)) =
            (six.addr().to_ipv4_mapped(), six.prefix_len().checked_sub(96))
        && let Ok(mapped) = ipnet::Ipv4Net::new(four, length)
    {
        return IpNet::V4(mapped.trunc());
    }
    network.trunc()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sigma::yaml;

    fn parsed(key: &str, value: &str) -> Result<Item, Fault> {
        let document = yaml::documents(&format!("v: {value}")).unwrap().remove(0);
        item(key, 1, document.get("v").unwrap())
    }

    /// The patterns in Sigma's notation.
    fn patterns(key: &str, value: &str) -> Vec<String> {
        let Content::Values(values) = parsed(key, value).unwrap().content else { return vec![] };
        let texts = values.into_iter().flat_map(|value| match value {
            Value::Text(patterns) => patterns,
            other => panic!("{other:?}"),
        });
        texts.map(|pattern| pattern.to_string()).collect()
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
            ("f|in_list|contains", "x"),
            ("f|in_list", "5"),
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
    fn a_slip_in_a_modifier_is_told_with_what_was_meant() {
        for (key, hint) in [
            ("f|containz", "did you mean `contains`?"),
            ("f|Contains", "did you mean `contains`?"),
            ("f|startwith", "did you mean `startswith`?"),
            ("f|bas64offset", "did you mean `base64offset`?"),
            ("f|frobnicate", "see the list"),
            ("f|x", "see the list"),
        ] {
            let told = parsed(key, "x").unwrap_err().hint.unwrap();
            assert!(told.starts_with(hint), "{key}: {told}");
        }
        for word in WORDS {
            let told = parsed(&format!("f|{word}"), "x").err();
            let message = told.map(|fault| fault.message).unwrap_or_default();
            assert!(!message.starts_with("there is no modifier"), "{message}");
        }
    }

    #[test]
    fn expand_without_a_placeholder_is_a_plain_text() {
        assert_eq!(patterns("f|expand", "'100% sure'"), ["100% sure"]);
    }

    #[test]
    fn placeholders_are_filled_before_all_other_modifiers() {
        let values = |name: &str| match name {
            "who" => Some(vec!["adm".to_owned(), "root".to_owned()]),
            "DC-NAME 1" => Some(vec!["dc1".to_owned()]),
            "empty" => Some(Vec::new()),
            _ => None,
        };
        let expanded = |key: &str, text: &str| {
            let mut item = parsed(key, &format!("'{text}'")).unwrap();
            assert!(matches!(item.content, Content::Waiting(_)), "{text}");
            item.expand(&mut |name| values(name)).unwrap();
            item.content
        };
        let texts = |content| match content {
            Content::Values(values) => values
                .into_iter()
                .flat_map(|value| match value {
                    Value::Text(patterns) => patterns,
                    other => panic!("{other:?}"),
                })
                .map(|pattern| pattern.to_string())
                .collect::<Vec<_>>(),
            Content::Waiting(nodes) => panic!("{nodes:?}"),
        };
        assert_eq!(texts(expanded("f|expand", "%who%")), ["adm", "root"]);
        assert_eq!(texts(expanded("f|contains|expand", "x%who%-%DC-NAME 1%")).len(), 2);
        assert_eq!(texts(expanded("f|expand|contains", "%who%y")), ["*admy*", "*rooty*"]);
        assert_eq!(texts(expanded("f|base64|expand", "%who%")), ["YWRt", "cm9vdA=="]);
        assert_eq!(texts(expanded("f|expand", "100%%who%")), ["100%adm", "100%root"]);
        assert_eq!(texts(expanded("f|expand", "%empty%")), [""; 0]);
        assert!(matches!(expanded("f|expand", "%who%%what%"), Content::Waiting(_)));
    }
}
