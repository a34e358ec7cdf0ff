//! Which idempotency keys were seen lately, and which are being dealt with.

use std::collections::{HashSet, VecDeque};
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

#[derive(Debug, Default)]
struct State {
    done: HashSet<Box<str>>,
    /// The oldest first.
    order: VecDeque<Box<str>>,
    claimed: HashSet<Box<str>>,
}

/// What a key means for the request that brings it.
pub(super) enum Claim<'a> {
    /// Its events are in the log.
    Done,
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
        if state.done.contains(key) {
            return Ok(Claim::Done);
        }
        if !state.claimed.insert(key.into()) {
            return Err(busy("a request with this idempotency key is being dealt with"));
        }
        Ok(Claim::Ours(Ours { keys: self, key: key.into() }))
    }

    pub(super) fn remember(&self, key: &str) {
        let mut state = self.lock();
        if !state.done.insert(key.into()) {
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
    pub(super) fn done(self) {
        self.keys.remember(&self.key);
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
        second.done();
        assert!(matches!(keys.claim("a"), Ok(Claim::Done)));
    }

    #[test]
    fn the_oldest_keys_are_forgotten() {
        let keys = Keys::default();
        for number in 0..=KEYS_MAX {
            keys.remember(&number.to_string());
        }
        assert!(matches!(keys.claim("0"), Ok(Claim::Ours(_))));
        assert!(matches!(keys.claim("1"), Ok(Claim::Done)));
    }

    #[test]
    fn what_cannot_be_a_key_is_refused() {
        let keys = Keys::default();
        for key in ["", &"x".repeat(KEY_BYTES_MAX + 1)] {
            assert!(matches!(keys.claim(key), Err(Refused::InvalidKey { .. })));
        }
    }
}
