//! How many bytes of datagrams may wait for the log, and whose.
//!
//! UDP cannot be told to wait, so what does not fit is shed. A sender may hold as much as is
//! still free: alone it may fill half, two that flood fill a third each, and whoever else comes
//! always finds room. (Dynamic thresholds with factor 1: Choudhury and Hahne, IEEE/ACM
//! Transactions on Networking 6(2), 1998.) Streams need no such rule for what is complete: that
//! waits in line. What is not complete yet cannot wait for room, as all that have begun might
//! wait for each other; it has an account of this kind, by way of [`Share`]. Connections are
//! counted alike.
//!
//! A sender is an IPv4 address, or the /64 of an IPv6 address: whoever has one such address has
//! all of them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use crate::metrics::Dropped;

/// The account.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bytes: usize,
    by_sender: HashMap<IpAddr, usize>,
}

/// Whose account an address belongs to.
fn holder(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl Budget {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, state: Mutex::default() }
    }

    /// Books `bytes` for `sender`.
    ///
    /// # Errors
    /// Why they must be shed; nothing was booked.
    pub(crate) fn take(&self, sender: IpAddr, bytes: usize) -> Result<(), Dropped> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.bytes_max.saturating_sub(state.bytes);
        if bytes > free {
            return Err(Dropped::BufferFull);
        }
        match state.by_sender.entry(holder(sender)) {
            Entry::Occupied(held) if *held.get() + bytes > free => {
                return Err(Dropped::SenderShare);
            }
            Entry::Occupied(mut held) => *held.get_mut() += bytes,
            Entry::Vacant(none) => drop(none.insert(bytes)),
        }
        state.bytes += bytes;
        Ok(())
    }

    /// Books `bytes` that are there already, whether there is room or not: they keep others out.
    pub(crate) fn add(&self, sender: IpAddr, bytes: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.bytes += bytes;
        *state.by_sender.entry(holder(sender)).or_default() += bytes;
    }

    /// Gives back what was booked.
    pub(crate) fn give_back(&self, held: &[(IpAddr, usize)]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for (sender, bytes) in held {
            state.bytes = state.bytes.saturating_sub(*bytes);
            if let Entry::Occupied(mut held) = state.by_sender.entry(holder(*sender)) {
                *held.get_mut() = held.get().saturating_sub(*bytes);
                if *held.get() == 0 {
                    held.remove();
                }
            }
        }
    }

    /// How full it is, 0 to 1.
    pub(crate) fn fill(&self) -> f64 {
        let bytes = self.state.lock().unwrap_or_else(PoisonError::into_inner).bytes;
        ratio(bytes, self.bytes_max)
    }
}

/// What one holder has booked, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    sender: IpAddr,
    bytes: usize,
}

impl Share {
    pub(crate) fn new(budget: Arc<Budget>, sender: IpAddr) -> Self {
        Self { budget, sender, bytes: 0 }
    }

    /// Makes it `bytes`; `false` and unchanged where there is no room to grow so far.
    pub(crate) fn resize(&mut self, bytes: usize) -> bool {
        if bytes > self.bytes {
            if self.budget.take(self.sender, bytes - self.bytes).is_err() {
                return false;
            }
        } else if bytes < self.bytes {
            self.budget.give_back(&[(self.sender, self.bytes - bytes)]);
        }
        self.bytes = bytes;
        true
    }

    /// How full the whole account is, 0 to 1.
    pub(crate) fn budget_fill(&self) -> f64 {
        self.budget.fill()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.resize(0);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for a gauge")]
pub(crate) fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { (part as f64 / whole as f64).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOISY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const QUIET: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn a_noisy_sender_leaves_room_for_the_others() {
        let budget = Budget::new(1_000);
        let taken = (0..100).take_while(|_| budget.take(NOISY, 10).is_ok()).count();
        assert_eq!(taken, 50);
        assert_eq!(budget.take(NOISY, 10), Err(Dropped::SenderShare));
        assert_eq!(budget.take(QUIET, 10), Ok(()));
        assert_eq!(budget.take(QUIET, 600), Err(Dropped::BufferFull));
    }

    #[test]
    fn what_is_given_back_is_free_again() {
        let budget = Budget::new(100);
        assert_eq!(budget.take(NOISY, 50), Ok(()));
        assert!(budget.fill() > 0.49);
        budget.give_back(&[(NOISY, 20), (NOISY, 30)]);
        assert_eq!(budget.take(NOISY, 50), Ok(()));
        budget.give_back(&[(NOISY, 50)]);
        assert!(budget.fill() < 0.01);
        assert!(budget.state.lock().unwrap().by_sender.is_empty());
    }

    #[test]
    fn whoever_has_one_address_of_a_network_has_all() {
        let budget = Budget::new(90);
        let of = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(budget.take(of("2001:db8:0:1::1"), 40), Ok(()));
        assert_eq!(budget.take(of("2001:db8:0:1:ffff::2"), 20), Err(Dropped::SenderShare));
        assert_eq!(budget.take(of("2001:db8:0:2::1"), 20), Ok(()));
        assert_eq!(budget.take(of("192.0.2.1"), 10), Ok(()));
        assert_eq!(budget.take(of("::ffff:192.0.2.1"), 20), Err(Dropped::SenderShare));
        budget.give_back(&[(of("2001:db8:0:1::3"), 40)]);
        assert_eq!(budget.take(of("2001:db8:0:1::4"), 25), Ok(()));
    }

    #[test]
    fn what_is_there_already_is_booked_beyond_the_limit_and_keeps_others_out() {
        let budget = Budget::new(100);
        budget.add(NOISY, 150);
        assert_eq!(budget.take(QUIET, 1), Err(Dropped::BufferFull));
        budget.give_back(&[(NOISY, 150)]);
        assert_eq!(budget.take(QUIET, 1), Ok(()));
    }

    #[test]
    fn a_share_grows_while_there_is_room_and_is_given_back_whole() {
        let budget = Arc::new(Budget::new(100));
        let mut share = Share::new(Arc::clone(&budget), NOISY);
        assert!(share.resize(40) && !share.resize(90) && share.resize(10));
        assert_eq!(budget.take(QUIET, 40), Ok(()));
        drop(share);
        budget.give_back(&[(QUIET, 40)]);
        assert_eq!(budget.state.lock().unwrap().bytes, 0);
    }
}
