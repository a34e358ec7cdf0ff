//! Slows down guessing: after a few wrong passwords nothing is looked at for a while.
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

/// Counts failures; times are those of a monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    counters: Mutex<HashMap<Key, Counter>>,
}

#[derive(Clone, Copy, Debug)]
struct Counter {
    since: Duration,
    failures: u32,
}

impl Throttle {
    /// How long to wait before another attempt; `None` if it may be made now.
    pub(super) fn wait(
        &self,
        name: &str,
        address: Option<IpAddr>,
        now: Duration,
    ) -> Option<Duration> {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        keys(name, address)
            .into_iter()
            .filter_map(|(key, max)| {
                let counter = counters.get(&key)?;
                let until = counter.since.saturating_add(WINDOW);
                (counter.failures >= max && now < until).then(|| until.saturating_sub(now))
            })
            .max()
    }

    /// Counts a failure.
    pub(super) fn failed(&self, name: &str, address: Option<IpAddr>, now: Duration) {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        if counters.len() >= COUNTERS_MAX {
            shrink(&mut counters, now);
        }
        for (key, _) in keys(name, address) {
            let counter = counters.entry(key).or_insert(Counter { since: now, failures: 0 });
            if now.saturating_sub(counter.since) >= WINDOW {
                *counter = Counter { since: now, failures: 0 };
            }
            counter.failures = counter.failures.saturating_add(1);
        }
    }

    /// Forgets the failures of a name from an address, after the right password.
    pub(super) fn succeeded(&self, name: &str, address: Option<IpAddr>) {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.remove(&(Some(name.to_owned()), address));
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
            assert_eq!(throttle.wait("lan", from(1), NOW), None);
            throttle.failed("lan", from(1), NOW);
        }
        assert_eq!(throttle.wait("lan", from(1), NOW), Some(WINDOW));
        assert_eq!(throttle.wait("lan", from(2), NOW), None, "others are not locked out");
        assert_eq!(throttle.wait("lan", from(1), NOW + WINDOW), None);
    }

    #[test]
    fn one_address_cannot_try_many_names() {
        let throttle = Throttle::default();
        for number in 0..PER_ADDRESS_MAX {
            throttle.failed(&format!("user{number}"), from(1), NOW);
        }
        assert!(throttle.wait("somebody", from(1), NOW).is_some());
    }

    #[test]
    fn memory_is_bounded() {
        let throttle = Throttle::default();
        for number in 0..30_000u32 {
            throttle.failed("x", Some(IpAddr::from(number.to_be_bytes())), NOW);
        }
        assert!(throttle.counters.lock().unwrap().len() <= COUNTERS_MAX + 2);
    }
}
