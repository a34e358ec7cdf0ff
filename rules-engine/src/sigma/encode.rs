//! The forms in which programs write the same text: option dashes, UTF-16, Base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Fault;
use super::test::Pattern;
use crate::limits;

/// The dashes that Windows programs take for one another.
const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Utf16 {
    LittleEndian,
    BigEndian,
    Marked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base64 {
    Whole,
    Offsets,
}

/// Writes a text in UTF-16 and then in Base64, as far as each is asked for.
pub(super) fn encode(
    text: &str,
    utf16_as: Option<Utf16>,
    base64: Option<Base64>,
    line: u64,
) -> Result<Vec<Pattern>, Fault> {
    let pattern = Pattern::parse(text);
    if utf16_as.is_none() && base64.is_none() {
        return Ok(vec![pattern]);
    }
    let Some(literal) = pattern.as_literal() else {
        return Err(Fault::new(line, "a value with wildcards cannot be encoded")
            .hint("escape them (`\\*`) or leave the encoding modifier out"));
    };
    let bytes = match utf16_as {
        Some(encoding) => utf16(literal, encoding),
        None => literal.as_bytes().to_vec(),
    };
    Ok(match base64 {
        Some(Base64::Whole) => vec![Pattern::literal(STANDARD.encode(&bytes))],
        Some(Base64::Offsets) => base64_offsets(&bytes).map(Pattern::literal).collect(),
        // Each byte is one character of the log text.
        None => vec![Pattern::literal(bytes.iter().map(|b| char::from(*b)).collect::<String>())],
    })
}

/// Every way to write the option dashes of a text: a dash that begins a word, with any of the
/// five characters in its place.
pub(super) fn dashes(text: &str, line: u64) -> Result<Vec<String>, Fault> {
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
