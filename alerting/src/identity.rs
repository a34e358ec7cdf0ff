//! What makes two findings the same alert, and the keys derived from it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// Bytes of a SHA-256 that a key keeps: 128 bits are far more than the number of alerts needs.
const KEY_BYTES: usize = 16;

/// Identity of an alert: rule id and group values, neither the rule's version nor any time.
pub(crate) fn identity(rule_id: &str, group: &BTreeMap<String, String>) -> String {
    let pairs = group.iter().flat_map(|(field, value)| [field.as_str(), value.as_str()]);
    key(std::iter::once(rule_id).chain(pairs))
}

/// Idempotency key of a notification: the `ordinal`-th of its kind about an alert on a channel.
pub(crate) fn notification(alert: &str, channel: &str, kind: &str, ordinal: u64) -> String {
    key([alert, channel, kind, &ordinal.to_string()])
}

/// Every part goes in with its length before it: `("ab", "c")` is not `("a", "bc")`.
fn key<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hex(hash.finalize().iter().take(KEY_BYTES))
}

/// Lower-case hexadecimal.
pub(crate) fn hex<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> String {
    bytes.into_iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(field, value)| ((*field).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn parts_are_kept_apart() {
        assert_ne!(identity("r", &group(&[("ab", "c")])), identity("r", &group(&[("a", "bc")])));
        assert_ne!(identity("r", &group(&[])), identity("", &group(&[("r", "")])));
        assert_ne!(notification("a", "b", "c", 1), notification("a", "b", "c1", 1));
    }

    #[test]
    fn identity_is_stable_across_versions() {
        let group = group(&[("source.ip", "203.0.113.7"), ("host.name", "web1")]);
        let expected = "7090dae8c8f14aa04e08150f1aa11a85";
        assert_eq!(identity("ssh-brute-force", &group), expected);
    }
}
