//! JSON text as a stream of tokens (RFC 8259): the one reader of events in JSON.
//!
//! It borrows strings from the text where they hold no escape, and makes no tree: a tree, or a
//! visitor of one, would cost more than what is done with the values. A property test holds it
//! equal to `serde_json`, but for halves of surrogate pairs and numbers beyond an `f64`, which
//! `serde_json` refuses.

use std::fmt;

use super::keys::Keys;
use super::text::ends_of_plain;

/// What a text is not valid JSON for, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    expected: &'static str,
    /// Byte of the text.
    at: usize,
}

impl SyntaxError {
    /// A text whose byte `at` is not UTF-8.
    pub(super) fn not_utf8(at: usize) -> Self {
        Self { expected: "UTF-8", at }
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at byte {}", self.expected, self.at + 1)
    }
}

impl std::error::Error for SyntaxError {}

/// The beginning of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token<'t> {
    /// `{`
    Object,
    /// `[`
    Array,
    /// A string, its escapes resolved, or a number that no other token can hold.
    Text(&'t str),
    Whole(i64),
    Float(f64),
    Truth(bool),
    Null,
}

/// A place in a JSON text.
#[derive(Debug)]
pub(super) struct Scanner<'j> {
    text: &'j str,
    at: usize,
}

type Result<T> = std::result::Result<T, SyntaxError>;

impl<'j> Scanner<'j> {
    pub(super) fn new(text: &'j str) -> Self {
        Self { text, at: 0 }
    }

    fn error<T>(&self, expected: &'static str) -> Result<T> {
        Err(SyntaxError { expected, at: self.at })
    }

    /// The next byte that is no white space, which is not taken.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Takes this byte if it is the next.
    pub(super) fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// Demands that nothing but white space follows.
    pub(super) fn end(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.error("the end of the text"),
        }
    }

    /// After `{` or a member (`first` tells which): the key of the next member, or `None` at `}`.
    pub(super) fn key<'s>(
        &mut self,
        first: bool,
        known: &mut Keys,
        scratch: &'s mut String,
    ) -> Result<Option<&'s str>>
    where
        'j: 's,
    {
        if let Some(key) = self.foretold(first, known) {
            return Ok(Some(key));
        }
        if self.take(b'}') {
            return Ok(None);
        }
        if !first && !self.take(b',') {
            return self.error("`,` or `}`");
        }
        if !self.take(b'"') {
            return self.error("a key in quotes");
        }
        let start = self.at;
        let key = self.string(scratch)?;
        known.met(self.text.get(start..self.at - 1).unwrap_or_default());
        if !self.take(b':') {
            return self.error("`:`");
        }
        Ok(Some(key))
    }

    /// Takes the key that is expected, where it is written as usual.
    fn foretold(&mut self, first: bool, known: &mut Keys) -> Option<&'j str> {
        let rest = self.text.get(self.at..)?;
        let rest = if first { rest } else { rest.strip_prefix(',')? };
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        let written = known.foretold(rest)?;
        self.at = self.text.len() - rest.len() + written;
        rest.get(1..written - 2)
    }

    /// After `[` or an item (`first` tells which): whether there is another, or `]` was met.
    pub(super) fn item(&mut self, first: bool) -> Result<bool> {
        if self.take(b']') {
            return Ok(false);
        }
        if !first && !self.take(b',') {
            return self.error("`,` or `]`");
        }
        Ok(true)
    }

    /// The value that begins here; what is in an object or array follows it.
    pub(super) fn value<'s>(&mut self, scratch: &'s mut String) -> Result<Token<'s>>
    where
        'j: 's,
    {
        let Some(byte) = self.peek() else { return self.error("a value") };
        let word = match byte {
            b'"' => {
                self.at += 1;
                return self.string(scratch).map(Token::Text);
            }
            b'{' => ("{", Token::Object),
            b'[' => ("[", Token::Array),
            b't' => ("true", Token::Truth(true)),
            b'f' => ("false", Token::Truth(false)),
            b'n' => ("null", Token::Null),
            b'-' | b'0'..=b'9' => return self.number(),
            _ => return self.error("a value"),
        };
        let (word, token) = word;
        if !self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return self.error("a value");
        }
        self.at += word.len();
        Ok(token)
    }

    /// Passes over what is left of an object or array, of any depth, its bracket taken.
    pub(super) fn skip(&mut self, bracket: Token<'_>) -> Result<()> {
        // Closing brackets of what is open, and whether something is before the present place.
        let mut open = vec![(bracket == Token::Object, true)];
        let (mut scratch, mut known) = (String::new(), Keys::default());
        while let Some((object, first)) = open.last_mut() {
            let first = std::mem::take(first);
            let more = match object {
                true => self.key(first, &mut known, &mut scratch)?.is_some(),
                false => self.item(first)?,
            };
            if !more {
                open.pop();
                continue;
            }
            match self.value(&mut scratch)? {
                Token::Object => open.push((true, true)),
                Token::Array => open.push((false, true)),
                _ => {}
            }
        }
        Ok(())
    }

    /// What is left of a string, its first quote taken.
    fn string<'s>(&mut self, scratch: &'s mut String) -> Result<&'s str>
    where
        'j: 's,
    {
        let (plain, next) = self.plain();
        if next == Some(b'"') {
            self.at += 1;
            return Ok(plain);
        }
        scratch.clear();
        scratch.push_str(plain);
        self.escaped(next, scratch)?;
        Ok(scratch)
    }

    /// Unescapes what is left of a string, which `next` is the first byte of.
    fn escaped(&mut self, mut next: Option<u8>, scratch: &mut String) -> Result<()> {
        loop {
            match next {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    match self.text.as_bytes().get(self.at + 1).copied().and_then(simple) {
                        Some(escaped) => {
                            self.at += 2;
                            scratch.push(escaped);
                        }
                        None => scratch.push(self.unicode_escape()?),
                    }
                }
                Some(_) => return self.error("no control character within a string"),
                None => return self.error("the end of a string"),
            }
            let plain;
            (plain, next) = self.plain();
            scratch.push_str(plain);
        }
    }

    /// Takes what stands before the next quote, backslash or control character, and gives that.
    fn plain(&mut self) -> (&'j str, Option<u8>) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let plain = rest.get(..plain_bytes(rest.as_bytes())).unwrap_or_default();
        self.at += plain.len();
        (plain, rest.as_bytes().get(plain.len()).copied())
    }

    /// One `\u` escape, or two that are one character. Half of a surrogate pair alone is no
    /// character and becomes U+FFFD, as broken UTF-8 does: names in Windows may hold one, and who
    /// gives such a name must not keep the record from being read.
    fn unicode_escape(&mut self) -> Result<char> {
        let first = self.four_digits()?;
        let rest = self.text.get(self.at..).unwrap_or_default();
        if let Some(lead @ ..0x400) = first.checked_sub(0xd800)
            && rest.starts_with("\\u")
        {
            let second = self.at;
            if let Some(trail @ ..0x400) = self.four_digits()?.checked_sub(0xdc00) {
                let code = 0x1_0000 + (lead << 10 | trail);
                return char::from_u32(code).map_or_else(|| self.error("a character"), Ok);
            }
            // It is a character of its own.
            self.at = second;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// What is written as `\u` and four digits.
    fn four_digits(&mut self) -> Result<u32> {
        let escape = self.text.get(self.at..self.at + 6);
        let digits = escape.and_then(|escape| escape.strip_prefix("\\u"));
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
            Some(number) => {
                self.at += 6;
                Ok(number)
            }
            None => self.error("an escape"),
        }
    }

    fn number(&mut self) -> Result<Token<'j>> {
        let start = self.at;
        let negative = self.byte(b'-');
        let digits = self.at;
        let mut whole = Some(0_u64);
        while let Some(digit @ b'0'..=b'9') = self.text.as_bytes().get(self.at).copied() {
            let digit = u64::from(digit - b'0');
            whole = whole.and_then(|whole| whole.checked_mul(10)?.checked_add(digit));
            self.at += 1;
        }
        let leading_zero = self.at - digits > 1 && self.text.as_bytes().get(digits) == Some(&b'0');
        if self.at == digits || leading_zero {
            return self.error("a number without leading zeros");
        }
        let fraction = self.byte(b'.');
        if fraction {
            self.digits()?;
        }
        let exponent = self.byte(b'e') || self.byte(b'E');
        if exponent {
            let _signed = self.byte(b'+') || self.byte(b'-');
            self.digits()?;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        Ok(match whole.filter(|_| !fraction && !exponent) {
            // There is no whole number that is less than nothing by nothing.
            Some(0) if negative => Token::Float(-0.0),
            Some(whole) if !negative => {
                i64::try_from(whole).map_or(Token::Text(text), Token::Whole)
            }
            Some(whole) if whole <= i64::MIN.unsigned_abs() => {
                Token::Whole(0_i64.wrapping_sub_unsigned(whole))
            }
            _ => match text.parse() {
                Ok(number) if f64::is_finite(number) => Token::Float(number),
                _ => Token::Text(text),
            },
        })
    }

    /// Takes this byte if it is the very next.
    fn byte(&mut self, wanted: u8) -> bool {
        let found = self.text.as_bytes().get(self.at) == Some(&wanted);
        self.at += usize::from(found);
        found
    }

    /// Takes one digit or more.
    fn digits(&mut self) -> Result<()> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        match rest.iter().take_while(|byte| byte.is_ascii_digit()).count() {
            0 => self.error("a digit"),
            digits => {
                self.at += digits;
                Ok(())
            }
        }
    }
}

/// What a backslash and this byte stand for, but for `u`.
fn simple(byte: u8) -> Option<char> {
    Some(match byte {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'n' => '\n',
        b't' => '\t',
        b'r' => '\r',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        _ => return None,
    })
}

/// How many bytes there are before the first quote, backslash or control character.
fn plain_bytes(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut plain = 0;
    for word in words {
        let special = ends_of_plain(u64::from_le_bytes(*word));
        if special != 0 {
            return plain + special.trailing_zeros() as usize / 8;
        }
        plain += 8;
    }
    let special = |byte: &u8| matches!(byte, 0..0x20 | b'"' | b'\\');
    plain + rest.iter().take_while(|byte| !special(byte)).count()
}
