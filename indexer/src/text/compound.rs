//! Finds identifiers that are made of several words.
//!
//! Recognition looks at the words and at what stands between them, and only at whole
//! identifiers: `10.1.2.3` is no address inside `10.1.2.3.4`. What is not recognised is found as
//! a sequence of words all the same.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Word;
use super::fold::fold_keyword;

/// Longest e-mail address (RFC 5321 §4.5.3.1: 64 octets, `@`, 255 octets).
const MAIL_BYTES_MAX: usize = 320;

/// Calls `emit(index of the first word, number of words, compound)` for each compound, ordered
/// by the first word among equal compounds. `text` must be in NFC.
pub(super) fn find(text: &str, words: &[Word], mut emit: impl FnMut(usize, usize, &str)) {
    let reader = Reader { text, words };
    // Words before this one are in a dotted compound, and begin no other.
    let mut dotted_end = 0;
    for (at, word) in words.iter().enumerate() {
        let next = text.as_bytes().get(word.end);
        let found = match next {
            Some(b'.') if at < dotted_end => None,
            Some(b'.') => {
                let found = reader.ipv4(at).or_else(|| reader.dotted_mac(at));
                dotted_end = found.as_ref().map_or(dotted_end, |found| at + found.width);
                found
            }
            Some(b':') => reader.mac(at, ":").or_else(|| reader.ipv6(at)),
            Some(b'-') => reader.hyphenated(at),
            Some(b'@') => reader.mail(at),
            _ => None,
        };
        // `::1`; and `::10.1.2.3`, which is an IPv4 address besides.
        let before = text.as_bytes().get(..word.start).unwrap_or_default();
        let colons_before = next != Some(&b':') && matches!(before, [.., b':', b':']);
        let leading = colons_before.then(|| reader.ipv6(at)).flatten();
        for compound in found.into_iter().chain(leading) {
            emit(compound.first, compound.width, &compound.text);
        }
    }
}

struct Compound<'a> {
    first: usize,
    width: usize,
    text: Cow<'a, str>,
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    text: &'a str,
    words: &'a [Word],
}

impl<'a> Reader<'a> {
    fn word(self, at: usize) -> Option<&'a str> {
        let word = self.words.get(at)?;
        self.text.get(word.start..word.end)
    }

    /// What stands between the word and the next.
    fn gap(self, at: usize) -> Option<&'a str> {
        self.text.get(self.words.get(at)?.end..self.words.get(at.checked_add(1)?)?.start)
    }

    /// The text before the word.
    fn before(self, at: usize) -> &'a str {
        self.words.get(at).and_then(|word| self.text.get(..word.start)).unwrap_or_default()
    }

    /// Whether the word and the one after it are parts joined by `separator`.
    fn joins(self, at: usize, separator: &str, part: impl Fn(&str) -> bool) -> bool {
        self.gap(at) == Some(separator)
            && self.word(at).is_some_and(&part)
            && self.word(at + 1).is_some_and(part)
    }

    /// Whether exactly `count` parts, no more, are joined by `separator` from `first` on.
    fn group(self, first: usize, count: usize, separator: &str, part: fn(&str) -> bool) -> bool {
        let last = first + count - 1;
        (first..last).all(|at| self.joins(at, separator, part))
            && !self.joins(last, separator, part)
            && !first.checked_sub(1).is_some_and(|before| self.joins(before, separator, part))
    }

    fn ipv4(self, first: usize) -> Option<Compound<'a>> {
        if !self.group(first, 4, ".", is_number) {
            return None;
        }
        let text = self.whole(first, 4)?;
        text.parse::<Ipv4Addr>().ok()?;
        Some(Compound { first, width: 4, text: text.into() })
    }

    fn mac(self, first: usize, separator: &str) -> Option<Compound<'a>> {
        self.group(first, 6, separator, |part| is_hex(part) && part.len() == 2).then_some(())?;
        let text = self.whole(first, 6)?.to_ascii_lowercase().replace(separator, ":");
        Some(Compound { first, width: 6, text: text.into() })
    }

    /// `aabb.ccdd.eeff`, as Cisco writes it.
    fn dotted_mac(self, first: usize) -> Option<Compound<'a>> {
        self.group(first, 3, ".", |part| is_hex(part) && part.len() == 4).then_some(())?;
        let mut text = String::with_capacity(17);
        let digits = self.whole(first, 3)?.chars().filter(|c| *c != '.');
        for (index, digit) in digits.enumerate() {
            if index > 0 && index % 2 == 0 {
                text.push(':');
            }
            text.push(digit.to_ascii_lowercase());
        }
        Some(Compound { first, width: 3, text: text.into() })
    }

    fn ipv6(self, first: usize) -> Option<Compound<'a>> {
        let joined = |at: usize| matches!(self.gap(at), Some(":" | "::"));
        let part = |at: usize| self.word(at).is_some_and(|word| is_hex(word) && word.len() <= 4);
        let starts_inside = first.checked_sub(1).is_some_and(|at| joined(at) && part(at));
        if starts_inside || !part(first) {
            return None;
        }
        let mut last = first;
        // Eight parts at most, and one more to see that there are too many.
        while last - first < 9 && joined(last) && part(last + 1) {
            last += 1;
        }
        if self.group(last, 4, ".", is_number) {
            last += 3;
        }
        let mut start = self.words.get(first)?.start;
        if let Some(outside) = self.before(first).strip_suffix("::")
            && !outside.ends_with(|c: char| c.is_alphanumeric() || c == ':')
        {
            start -= 2;
        }
        let mut end = self.words.get(last)?.end;
        let after = self.text.get(end..)?;
        if let Some(outside) = after.strip_prefix("::")
            && !outside.starts_with(|c: char| c.is_alphanumeric() || c == ':')
        {
            end += 2;
        }
        let address: Ipv6Addr = self.text.get(start..end)?.parse().ok()?;
        let text = IpAddr::V6(address).to_canonical().to_string();
        Some(Compound { first, width: last - first + 1, text: text.into() })
    }

    fn hyphenated(self, first: usize) -> Option<Compound<'a>> {
        self.mac(first, "-")
            .or_else(|| self.uuid(first))
            .or_else(|| self.sid(first))
            .or_else(|| self.cve(first))
    }

    fn uuid(self, first: usize) -> Option<Compound<'a>> {
        self.group(first, 5, "-", is_hex).then_some(())?;
        let lengths = (first..first + 5).filter_map(|at| self.word(at)).map(str::len);
        lengths.eq([8, 4, 4, 4, 12]).then_some(())?;
        self.lowered(first, 5)
    }

    /// A Windows security identifier, `S-1-5-21-…`; well-known ones have three numbers or more.
    fn sid(self, first: usize) -> Option<Compound<'a>> {
        self.word(first)?.eq_ignore_ascii_case("s").then_some(())?;
        // Fifteen subauthorities at most (MS-DTYP §2.4.2).
        let numbers = (first..first + 17)
            .take_while(|at| self.gap(*at) == Some("-") && self.word(at + 1).is_some_and(is_number))
            .count();
        (numbers >= 3).then(|| self.lowered(first, numbers + 1))?
    }

    fn cve(self, first: usize) -> Option<Compound<'a>> {
        self.word(first)?.eq_ignore_ascii_case("cve").then_some(())?;
        let joined = self.gap(first)? == "-" && self.gap(first + 1)? == "-";
        let (year, number) = (self.word(first + 1)?, self.word(first + 2)?);
        let numbers = is_number(year) && year.len() == 4 && is_number(number) && number.len() >= 4;
        (joined && numbers).then(|| self.lowered(first, 3))?
    }

    /// The address whose local part ends with the word before the `@`.
    fn mail(self, at: usize) -> Option<Compound<'a>> {
        (self.gap(at)? == "@").then_some(())?;
        let mut first = at;
        while let Some(before) = first.checked_sub(1)
            && matches!(self.gap(before), Some("." | "-" | "_" | "+" | "%"))
            && at - before < 16
        {
            first = before;
        }
        let mut last = at + 1;
        while matches!(self.gap(last), Some("." | "-")) && last - at < 16 {
            last += 1;
        }
        let compound = self.lowered(first, last - first + 1)?;
        (compound.text.len() <= MAIL_BYTES_MAX).then_some(compound)
    }

    fn whole(self, first: usize, width: usize) -> Option<&'a str> {
        let last = self.words.get(first.checked_add(width)?.checked_sub(1)?)?;
        self.text.get(self.words.get(first)?.start..last.end)
    }

    fn lowered(self, first: usize, width: usize) -> Option<Compound<'a>> {
        Some(Compound { first, width, text: fold_keyword(self.whole(first, width)?) })
    }
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_hex(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_hexdigit())
}
