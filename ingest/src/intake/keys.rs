//! Which idempotency keys were seen lately, and which are being dealt with.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Refused, busy};

/// How many keys are remembered. A sender repeats within seconds or minutes; this is half an hour
/// of fifty requests a second.
const KEYS_MAX: usize = 100_000;

/// Longest key; a UUID has 36 bytes.
const KEY_BYTES_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Keys {
    state: Mutex<State>,
}

/// What a body holds, in short: a key stands for one body only. It recognises a sender's mistake,
/// not somebody who looks for a second body with the same fingerprint: whoever does that fools
/// only himself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    checksum: u32,
    bytes: usize,
}

impl Fingerprint {
    /// Of a body as it was before it was packed: a repeat may be packed anew.
    pub(super) fn of(body: &[u8]) -> Self {
        let mut checksum = flate2::Crc::new();
        checksum.update(body);
        Self { checksum: checksum.sum(), bytes: body.len() }
    }

    /// Key and fingerprint as they lie in the log. No header holds a line end.
    pub(super) fn stored_with(self, key: &str) -> String {
        format!("{key}\n{:08x}-{:x}", self.checksum, self.bytes)
    }

    /// The inverse; a key that was stored alone has no fingerprint.
    fn split(stored: &str) -> (&str, Option<Self>) {
        let parse = || {
            let (key, fingerprint) = stored.rsplit_once('\n')?;
            let (checksum, bytes) = fingerprint.split_once('-')?;
            let checksum = u32::from_str_radix(checksum, 16).ok()?;
            let bytes = usize::from_str_radix(bytes, 16).ok()?;
            Some((key, Some(Self { checksum, bytes })))
        };
        parse().unwrap_or((stored, None))
    }
}

#[derive(Debug, Default)]
struct State {
    /// With the body that each came with, where that is known.
    done: HashMap<Box<str>, Option<Fingerprint>>,
    /// The oldest first.
    order: VecDeque<Box<str>>,
    claimed: HashSet<Box<str>>,
}

/// What a key means for the request that brings it.
pub(super) enum Claim<'a> {
    /// The events of a body with this fingerprint are in the log.
    Done(Option<Fingerprint>),
    /// It is this request's to deal with.
    Ours(Ours<'a>),
}

/// A key that is being dealt with; dropped without [`Ours::done`] it is free again.
pub(super) struct Ours<'a> {
    keys: &'a Keys,
    key: Box<str>,
}

impl Keys {
    /// # Errors
    /// When the key cannot be one, or another request with it is under way.
    pub(super) fn claim(&self, key: &str) -> Result<Claim<'_>, Refused> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(Refused::InvalidKey { bytes_max: KEY_BYTES_MAX });
        }
        let mut state = self.lock();
        if let Some(fingerprint) = state.done.get(key) {
            return Ok(Claim::Done(*fingerprint));
        }
        if !state.claimed.insert(key.into()) {
            return Err(busy("a request with this idempotency key is being dealt with"));
        }
        Ok(Claim::Ours(Ours { keys: self, key: key.into() }))
    }

    /// Takes note of a key as the log holds it.
    pub(super) fn recall(&self, stored: &str) {
        let (key, fingerprint) = Fingerprint::split(stored);
        self.remember(key, fingerprint);
    }

    fn remember(&self, key: &str, fingerprint: Option<Fingerprint>) {
        let mut state = self.lock();
        if state.done.insert(key.into(), fingerprint).is_some() {
            return;
        }
        state.order.push_back(key.into());
        while state.order.len() > KEYS_MAX {
            if let Some(oldest) = state.order.pop_front() {
                state.done.remove(&oldest);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ours<'_> {
    pub(super) fn done(self, fingerprint: Fingerprint) {
        self.keys.remember(&self.key, Some(fingerprint));
    }
}

impl Drop for Ours<'_> {
    fn drop(&mut self) {
        self.keys.lock().claimed.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_claimed_once_and_free_after_a_failure() {
        let keys = Keys::default();
        let first = keys.claim("a").unwrap();
        assert!(matches!(keys.claim("a"), Err(Refused::Busy { .. })));
        drop(first);
        let Ok(Claim::Ours(second)) = keys.claim("a") else { panic!("not free") };
        let fingerprint = Fingerprint::of(b"body");
        second.done(fingerprint);
        assert!(matches!(keys.claim("a"), Ok(Claim::Done(Some(known))) if known == fingerprint));
    }

    #[test]
    fn the_oldest_keys_are_forgotten() {
        let keys = Keys::default();
        for number in 0..=KEYS_MAX {
            keys.recall(&number.to_string());
        }
        assert!(matches!(keys.claim("0"), Ok(Claim::Ours(_))));
        assert!(matches!(keys.claim("1"), Ok(Claim::Done(None))));
    }

    #[test]
    fn a_key_comes_back_from_the_log_with_its_body() {
        let fingerprint = Fingerprint::of(b"a\nb");
        for key in ["k", "k\nl", "k-1"] {
            let stored = fingerprint.stored_with(key);
            assert_eq!(Fingerprint::split(&stored), (key, Some(fingerprint)));
        }
        assert_eq!(Fingerprint::split("of an elder version"), ("of an elder version", None));
        assert_ne!(Fingerprint::of(b"a\nc"), fingerprint);
    }

    #[test]
    fn what_cannot_be_a_key_is_refused() {
        let keys = Keys::default();
        for key in ["", &"x".repeat(KEY_BYTES_MAX + 1)] {
            assert!(matches!(keys.claim(key), Err(Refused::InvalidKey { .. })));
        }
    }
}
