//! How many connections each address has open. It knows addresses as the socket does: everybody
//! behind a proxy is one, and so is everybody on this machine. Of IPv6 a whole /64 is one: whoever
//! has one of its addresses has all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::CONNECTIONS_PER_ADDRESS_MAX;

/// Open connections per address; an address without any takes no memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peers {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection of an address, until dropped.
#[derive(Debug)]
pub(crate) struct Place {
    peers: Peers,
    address: IpAddr,
}

impl Peers {
    /// A place for one more connection, unless the address has
    /// [`CONNECTIONS_PER_ADDRESS_MAX`] already.
    pub(crate) fn admit(&self, address: IpAddr) -> Option<Place> {
        // A socket for both versions of IP shows one peer under either form.
        let address = match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
            v4 @ IpAddr::V4(_) => v4,
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_insert(0);
        if *count >= CONNECTIONS_PER_ADDRESS_MAX {
            return None;
        }
        *count += 1;
        Some(Place { peers: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.peers.open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = open.get_mut(&self.address) else { return };
        *count = count.saturating_sub(1);
        if *count == 0 {
            open.remove(&self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_places_and_others_have_theirs() {
        let peers = Peers::default();
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        let mut places: Vec<_> =
            (0..CONNECTIONS_PER_ADDRESS_MAX).map(|_| peers.admit(one).unwrap()).collect();
        assert!(peers.admit(one).is_none() && peers.admit(mapped).is_none());
        assert!(peers.admit(other).is_some());
        places.pop();
        let again = peers.admit(mapped).unwrap();
        assert!(peers.admit(one).is_none());
        drop((places, again));
        assert!(peers.open.lock().unwrap().is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one() {
        let peers = Peers::default();
        let of = |text: &str| text.parse::<IpAddr>().unwrap();
        let address = |last: usize| of(&format!("2001:db8::{last:x}"));
        let places: Vec<_> = (0..CONNECTIONS_PER_ADDRESS_MAX)
            .map(|last| peers.admit(address(last)).unwrap())
            .collect();
        assert!(peers.admit(of("2001:db8::ffff:0:0:1")).is_none());
        assert!(peers.admit(of("2001:db8:0:1::1")).is_some());
        drop(places);
        assert!(peers.open.lock().unwrap().is_empty());
    }
}
