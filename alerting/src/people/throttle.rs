//! Slows down guessing: after a few wrong passwords nothing is looked at for a while. How many
//! passwords are checked at a time is [`super::password`]'s.
//!
//! Counted per name and address together and per address alone. Not per name alone: that would
//! let anybody lock anybody out. In memory only; a restart forgives.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Wrong passwords for one name from one address before it must wait.
const PER_NAME_MAX: u32 = 5;

/// Wrong passwords from one address, for whatever names; more, since an office may share one.
const PER_ADDRESS_MAX: u32 = 30;

/// Over which time they are counted, from the first one.
const WINDOW: Duration = Duration::from_secs(60);

/// Counters kept. When there are more, the oldest half is forgotten: whoever commands that many
/// addresses is not stopped by counting per address.
const COUNTERS_MAX: usize = 20_000;

type Key = (Option<String>, Option<IpAddr>);

/// Counts attempts; times are those of a monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    counters: Mutex<HashMap<Key, Counter>>,
}

#[derive(Clone, Copy, Debug)]
struct Counter {
    since: Duration,
    attempts: u32,
}

impl Throttle {
    /// Counts an attempt before it is looked at, so that many at the same time are not all let
    /// through by a count that none of them has reached yet. It stays counted as a failure unless
    /// [`Self::succeeded`] or [`Self::take_back`] follows.
    ///
    /// # Errors
    /// How long to wait, when there were too many; this attempt is then not counted.
    pub(super) fn begin(
        &self,
        name: &str,
        address: Option<IpAddr>,
        now: Duration,
    ) -> Result<(), Duration> {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = keys(name, address);
        let waits = keys.iter().filter_map(|(key, max)| {
            let counter = counters.get(key)?;
            let until = counter.since.saturating_add(WINDOW);
            (counter.attempts >= *max && now < until).then(|| until.saturating_sub(now))
        });
        if let Some(wait) = waits.max() {
            return Err(wait);
        }
        if counters.len() >= COUNTERS_MAX {
            shrink(&mut counters, now);
        }
        for (key, _) in keys {
            let counter = counters.entry(key).or_insert(Counter { since: now, attempts: 0 });
            if now.saturating_sub(counter.since) >= WINDOW {
                *counter = Counter { since: now, attempts: 0 };
            }
            counter.attempts = counter.attempts.saturating_add(1);
        }
        Ok(())
    }

    /// After the right password: forgets the attempts for a name from an address, and that this
    /// one came from the address.
    pub(super) fn succeeded(&self, name: &str, address: Option<IpAddr>) {
        self.take_back(name, address);
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let [(of_name, _), _] = keys(name, address);
        counters.remove(&of_name);
    }

    /// An attempt that was not looked at after all was not a guess.
    pub(super) fn take_back(&self, name: &str, address: Option<IpAddr>) {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, _) in keys(name, address) {
            let Some(counter) = counters.get_mut(&key) else { continue };
            counter.attempts = counter.attempts.saturating_sub(1);
            if counter.attempts == 0 {
                counters.remove(&key);
            }
        }
    }
}

fn keys(name: &str, address: Option<IpAddr>) -> [(Key, u32); 2] {
    // A name is bounded before it becomes a key of a map in memory.
    let name = name.chars().take(64).collect();
    [((Some(name), address), PER_NAME_MAX), ((None, address), PER_ADDRESS_MAX)]
}

fn shrink(counters: &mut HashMap<Key, Counter>, now: Duration) {
    counters.retain(|_, counter| now.saturating_sub(counter.since) < WINDOW);
    if counters.len() >= COUNTERS_MAX {
        let mut times: Vec<_> = counters.values().map(|counter| counter.since).collect();
        times.sort_unstable();
        let middle = times.get(times.len() / 2).copied().unwrap_or_default();
        counters.retain(|_, counter| counter.since > middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    fn from(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn waits_after_some_failures_and_not_for_ever() {
        let throttle = Throttle::default();
        for _ in 0..PER_NAME_MAX {
            assert_eq!(throttle.begin("lan", from(1), NOW), Ok(()));
        }
        assert_eq!(throttle.begin("lan", from(1), NOW), Err(WINDOW));
        assert_eq!(throttle.begin("lan", from(2), NOW), Ok(()), "others are not locked out");
        assert_eq!(throttle.begin("lan", from(1), NOW + WINDOW), Ok(()));
    }

    #[test]
    fn one_address_cannot_try_many_names() {
        let throttle = Throttle::default();
        for number in 0..PER_ADDRESS_MAX {
            assert_eq!(throttle.begin(&format!("user{number}"), from(1), NOW), Ok(()));
        }
        assert_eq!(throttle.begin("somebody", from(1), NOW), Err(WINDOW));
    }

    #[test]
    fn right_passwords_use_nothing_up() {
        let throttle = Throttle::default();
        for number in 0..3 * PER_ADDRESS_MAX {
            // Longer than what is kept of a name.
            let name = format!("{}{number}", "x".repeat(70));
            assert_eq!(throttle.begin(&name, from(1), NOW), Ok(()));
            throttle.succeeded(&name, from(1));
        }
        assert!(throttle.counters.lock().unwrap().is_empty());
    }

    #[test]
    fn a_right_password_forgives_the_name_and_not_the_address() {
        let throttle = Throttle::default();
        for _ in 0..PER_ADDRESS_MAX {
            assert_eq!(throttle.begin("guessed", from(1), NOW), Ok(()));
            assert_eq!(throttle.begin("own", from(1), NOW), Ok(()));
            throttle.succeeded("own", from(1));
            if throttle.begin("guessed", from(1), NOW).is_err() {
                return;
            }
        }
        panic!("own logins let somebody guess on");
    }

    #[test]
    fn what_was_not_looked_at_is_not_counted() {
        let throttle = Throttle::default();
        for _ in 0..3 * PER_ADDRESS_MAX {
            assert_eq!(throttle.begin("lan", from(1), NOW), Ok(()));
            throttle.take_back("lan", from(1));
        }
    }

    #[test]
    fn memory_is_bounded() {
        let throttle = Throttle::default();
        for number in 0..30_000u32 {
            let address = Some(IpAddr::from(number.to_be_bytes()));
            assert_eq!(throttle.begin("x", address, NOW), Ok(()));
        }
        assert!(throttle.counters.lock().unwrap().len() <= COUNTERS_MAX + 2);
    }
}
