//! When two spellings are the same: normal form, letter case, accents.
//!
//! Keyword values keep their accents, because `đ` in a domain name may be an attack; only words
//! of a text lose them. Characters are folded one by one, without looking at their neighbours, so
//! that a part of a text folds to a part of the folded text.

use std::borrow::Cow;

use unicode_normalization::char::{decompose_canonical, is_combining_mark};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// The text in Unicode's normal form C, borrowed where it is that already.
#[must_use]
pub fn nfc(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.nfc().collect())
    }
}

/// The form in which keyword values are compared when letter case is ignored: NFC, lower-case,
/// with accents.
#[must_use]
pub fn fold_keyword(text: &str) -> Cow<'_, str> {
    fold(text, |c, out| out.extend(lower(c)))
}

/// The form in which texts are compared: NFC, lower-case, Latin letters without accents.
/// Everything that is not a letter stays as it is.
#[must_use]
pub fn fold_text(text: &str) -> Cow<'_, str> {
    fold(text, fold_char)
}

/// Whether the character is part of a word; a combining mark is, because not every accented
/// letter has a composed form.
#[must_use]
pub fn is_word(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_alphanumeric()
    } else {
        c.is_alphanumeric() || is_combining_mark(c)
    }
}

/// Whether a word can begin with the character: a mark without a letter is no word.
pub(super) fn begins_word(c: char) -> bool {
    c.is_alphanumeric() && !is_combining_mark(c)
}

fn fold(text: &str, push: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if text.is_ascii() {
        return if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(text.to_ascii_lowercase())
        } else {
            Cow::Borrowed(text)
        };
    }
    let mut folded = String::with_capacity(text.len());
    nfc(text).chars().for_each(|c| push(c, &mut folded));
    // Lower case can leave the normal form (`İ` becomes `i` and a dot).
    let composed = match nfc(&folded) {
        Cow::Owned(composed) => Some(composed),
        Cow::Borrowed(_) => None,
    };
    Cow::Owned(composed.unwrap_or(folded))
}

/// Appends the character in lower case and without accents.
pub(super) fn fold_char(c: char, out: &mut String) {
    if c.is_ascii() {
        out.push(c.to_ascii_lowercase());
        return;
    }
    for c in lower(c) {
        match c {
            '\u{300}'..='\u{36f}' => {}
            // The one Vietnamese letter that Unicode does not take apart.
            'đ' => out.push('d'),
            _ => out.push(base(c)),
        }
    }
}

/// The ASCII letter below the accents, or the character itself: `й` is not `и`.
fn base(c: char) -> char {
    let mut first = None;
    decompose_canonical(c, |part| {
        first.get_or_insert(part);
    });
    first.filter(char::is_ascii_alphabetic).unwrap_or(c)
}

fn lower(c: char) -> impl Iterator<Item = char> {
    // A sigma at the end of a word is the same letter.
    c.to_lowercase().map(|c| if c == 'ς' { 'σ' } else { c })
}
