//! Values as JSON text, appended to a string without going through `fmt`.

use std::net::IpAddr;

use crate::id::EventId;
use crate::time::Timestamp;
use crate::value::Value;

/// Appends a value as JSON.
pub(super) fn push_value(value: Value<'_>, out: &mut String) {
    match value {
        Value::Str(text) => push_string(text, out),
        Value::Bytes(bytes) => push_string(&String::from_utf8_lossy(bytes), out),
        Value::I64(number) => push_whole(number, out),
        Value::Bool(truth) => out.push_str(if truth { "true" } else { "false" }),
        Value::Time(time) => push_time(time, out),
        Value::Ip(IpAddr::V4(address)) => {
            let mut before = '"';
            for octet in address.octets() {
                out.push(before);
                push_digits::<10>(octet.into(), out);
                before = '.';
            }
            out.push('"');
        }
        Value::Ip(IpAddr::V6(_)) => push_formatted(format_args!("\"{value}\""), out),
        Value::F64(_) => push_formatted(format_args!("{value}"), out),
    }
}

/// Appends a time as a JSON string.
pub(super) fn push_time(time: Timestamp, out: &mut String) {
    out.push('"');
    time.push_text(out);
    out.push('"');
}

/// Appends an id as a JSON string.
pub(super) fn push_id(id: EventId, out: &mut String) {
    out.push('"');
    push_digits::<16>(id.epoch, out);
    out.push('-');
    push_digits::<10>(id.partition.into(), out);
    out.push('-');
    push_digits::<10>(id.offset, out);
    out.push('"');
}

/// Appends a whole number.
pub(crate) fn push_whole(number: i64, out: &mut String) {
    if number < 0 {
        out.push('-');
    }
    push_digits::<10>(number.unsigned_abs(), out);
}

/// Appends a number in base 10 or 16.
fn push_digits<const BASE: u64>(number: u64, out: &mut String) {
    // 2^64 has 20 digits.
    let mut digits = [b'0'; 20];
    let (mut rest, mut start) = (number, digits.len());
    for slot in digits.iter_mut().rev() {
        let digit = u8::try_from(rest % BASE).unwrap_or_default();
        *slot = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
        rest /= BASE;
        start -= 1;
        if rest == 0 {
            break;
        }
    }
    out.push_str(ascii(digits.get(start..).unwrap_or_default()));
}

/// Digits as text.
fn ascii(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// Appends a JSON string (RFC 8259 §7), copying runs that need no escape as they are.
pub(super) fn push_string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    loop {
        let (plain, after) =
            rest.split_at_checked(plain_bytes(rest.as_bytes())).unwrap_or((rest, ""));
        out.push_str(plain);
        let mut chars = after.chars();
        let Some(special) = chars.next() else { break };
        push_escape(special, out);
        rest = chars.as_str();
    }
    out.push('"');
}

fn push_escape(special: char, out: &mut String) {
    match special {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        other => push_formatted(format_args!("\\u{:04x}", u32::from(other)), out),
    }
}

/// How many bytes there are before the first that needs an escape.
fn plain_bytes(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut plain = 0;
    for word in words {
        let special = specials(u64::from_le_bytes(*word));
        if special != 0 {
            return plain + special.trailing_zeros() as usize / 8;
        }
        plain += 8;
    }
    plain + rest.iter().take_while(|byte| !is_special(**byte)).count()
}

fn is_special(byte: u8) -> bool {
    matches!(byte, 0..0x20 | b'"' | b'\\' | 0x7f)
}

/// The high bit of the lowest byte of eight that needs an escape is set, and none below it
/// (bytes above may be marked falsely).
fn specials(word: u64) -> u64 {
    ends_of_plain(word) | equal(word, 0x7f) & HIGH
}

/// The same for bytes that may not stand in a string: quotes, backslashes, control characters.
pub(super) fn ends_of_plain(word: u64) -> u64 {
    (less(word, 0x20) | equal(word, b'"') | equal(word, b'\\')) & HIGH
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x80 * ONES;

/// A byte less than `n` borrows from its high bit.
fn less(word: u64, n: u64) -> u64 {
    word.wrapping_sub(n * ONES) & !word
}

/// Equal to `byte` is the same as (byte xor `byte`) < 1.
fn equal(word: u64, byte: u8) -> u64 {
    less(word ^ (u64::from(byte) * ONES), 1)
}

fn push_formatted(arguments: std::fmt::Arguments<'_>, out: &mut String) {
    // Writing to a `String` cannot fail.
    let _infallible = std::fmt::Write::write_fmt(out, arguments);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, by the letter.
    fn naive(text: &str) -> String {
        let escaped = text.chars().map(|c| match c {
            '"' => "\\\"".to_owned(),
            '\\' => "\\\\".to_owned(),
            '\n' => "\\n".to_owned(),
            '\r' => "\\r".to_owned(),
            '\t' => "\\t".to_owned(),
            '\0'..' ' | '\x7f' => format!("\\u{:04x}", u32::from(c)),
            other => other.to_string(),
        });
        format!("\"{}\"", escaped.collect::<String>())
    }

    fn rendered(value: Value<'_>) -> String {
        let mut out = String::new();
        push_value(value, &mut out);
        out
    }

    proptest! {
        #[test]
        fn strings_are_escaped_as_defined(text in "([ -~é]|[\\x00-\\x7f]|\\PC){0,40}") {
            prop_assert_eq!(rendered(Value::Str(&text)), naive(&text));
        }

        #[test]
        fn numbers_addresses_times_and_ids_are_as_displayed(
            number in any::<i64>(),
            shift in 0..64_u32,
            address in any::<[u8; 4]>(),
            id in any::<(u64, u32, u64)>(),
        ) {
            let number = number >> shift;
            prop_assert_eq!(rendered(Value::I64(number)), number.to_string());
            let address = IpAddr::from(address);
            prop_assert_eq!(rendered(Value::Ip(address)), format!("\"{address}\""));
            let time = Timestamp::from_nanos(number);
            prop_assert_eq!(rendered(Value::Time(time)), format!("\"{time}\""));
            let id = EventId { epoch: id.0 >> shift, partition: id.1, offset: id.2 >> shift };
            let mut out = String::new();
            push_id(id, &mut out);
            prop_assert_eq!(out, format!("\"{id}\""));
        }
    }
}
