//! A place in a text, moved over what is recognised. It only ever stops at ASCII bytes, so every
//! slice that it gives out is whole characters.

/// A cursor over one record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// What was not read yet.
    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    /// Moves over `count` bytes, which were looked at before.
    pub(super) fn skip(&mut self, count: usize) {
        self.at = (self.at + count).min(self.text.len());
    }

    /// Moves over `byte` if it is next.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        self.at += usize::from(next);
        next
    }

    /// Moves over spaces; whether there was one.
    pub(super) fn eat_spaces(&mut self) -> bool {
        let before = self.at;
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
        self.at > before
    }

    /// How many of the next bytes, at most `most`, are digits.
    pub(super) fn digits_ahead(&self, most: usize) -> usize {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        rest.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count()
    }

    /// A number of `least` to `most` digits (at most 18) that no further digit follows.
    pub(super) fn number(&mut self, least: usize, most: usize) -> Option<i64> {
        let digits = self.digits_ahead(most + 1);
        if !(least..=most).contains(&digits) {
            return None;
        }
        let text = self.text.as_bytes().get(self.at..self.at + digits)?;
        self.at += digits;
        Some(text.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
    }

    /// The bytes up to the next space or the end, which may be none.
    pub(super) fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = memchr::memchr(b' ', rest.as_bytes()).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }
}
