//! Random secrets, and what is stored in their place.
//!
//! A secret has 256 random bits, so a plain SHA-256 of it gives nothing away and needs no salt;
//! passwords, which people choose, are `people::password`'s matter.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore as _;
use sha2::{Digest, Sha256};

use crate::identity::hex;

/// A new secret of 256 bits from the operating system's randomness, in 43 characters that are
/// safe in a URL, a header and a shell.
pub(crate) fn fresh() -> String {
    let mut bytes = [0u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A short random name for something that is not secret.
pub(crate) fn fresh_id() -> String {
    let mut bytes = [0u8; 8];
    rand::rng().fill_bytes(&mut bytes);
    hex(&bytes)
}

/// What the store keeps of a secret.
pub(crate) fn digest(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// Compares digests without telling by the time taken how far they agree.
pub(crate) fn same(left: &str, right: &str) -> bool {
    left.len() == right.len()
        && left.bytes().zip(right.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_and_differ() {
        assert_eq!(fresh().len(), 43);
        assert_ne!(fresh(), fresh());
        assert!(same(&digest("a"), &digest("a")) && !same(&digest("a"), &digest("b")));
    }
}
