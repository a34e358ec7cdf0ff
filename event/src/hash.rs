//! FNV-1a (draft-eastlake-fnv): hashes that stay the same over versions and machines, for what is
//! stored, compared later, or derived again on a replay. They guard against nobody: whoever
//! chooses the input can choose its hash.

use std::fmt;

/// FNV-1a with 64 bits, fed piece by piece; what is written with `write!` is hashed as text
/// without being put together first.
#[derive(Clone, Copy, Debug)]
pub struct Fnv64(u64);

impl Default for Fnv64 {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv64 {
    /// Adds bytes.
    pub fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// The hash of all that was added.
    #[must_use]
    pub fn finish(self) -> u64 {
        self.0
    }
}

impl fmt::Write for Fnv64 {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write(text.as_bytes());
        Ok(())
    }
}

/// FNV-1a with 64 bits of these bytes.
#[must_use]
pub fn fnv64(bytes: &[u8]) -> u64 {
    let mut hash = Fnv64::default();
    hash.write(bytes);
    hash.finish()
}

/// FNV-1a with 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fnv128(u128);

impl Default for Fnv128 {
    fn default() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl Fnv128 {
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 ^= u128::from(*byte);
            self.0 = self.0.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }

    /// 32 hexadecimal digits.
    pub(crate) fn to_hex(self) -> String {
        let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        let pairs = self.0.to_be_bytes().map(|byte| [digit(byte >> 4), digit(byte & 15)]);
        String::from_utf8(pairs.as_flattened().to_vec()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_published_values() {
        assert_eq!(fnv64(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv64(b"foobar"), 0x8594_4171_f739_67e8);
        let mut hash = Fnv128::default();
        hash.write(b"foobar");
        assert_eq!(hash.to_hex(), "343e1662793c64bf6f0d3597ba446f18");
    }

    #[test]
    fn pieces_hash_as_the_whole() {
        let mut hash = Fnv64::default();
        std::fmt::Write::write_fmt(&mut hash, format_args!("foo{}", "bar")).unwrap();
        assert_eq!(hash.finish(), fnv64(b"foobar"));
    }
}
