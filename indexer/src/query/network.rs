//! Sets of addresses: networks, ranges, `private` and `public`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::IpNet;

/// Ranges of addresses in the order of [`ip_to_u128`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks(Vec<RangeInclusive<u128>>);

/// The address as a number, IPv4 mapped into IPv6 (RFC 4291 §2.5.5.2), so that all addresses
/// have one order.
#[must_use]
pub fn ip_to_u128(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl Networks {
    /// One network.
    #[must_use]
    pub fn of(network: IpNet) -> Self {
        Self(vec![ip_to_u128(network.network())..=ip_to_u128(network.broadcast())])
    }

    /// One address.
    #[must_use]
    pub fn single(address: IpAddr) -> Self {
        let address = ip_to_u128(address);
        Self(vec![address..=address])
    }

    /// Addresses that are not routed on the Internet: RFC 1918, RFC 6598 (carrier NAT), RFC 4193,
    /// loopback and link-local.
    #[must_use]
    pub fn private() -> Self {
        let v4 = |a, b, length| (IpAddr::from([a, b, 0, 0]), length);
        Self::from_prefixes(&[
            v4(10, 0, 8),
            v4(100, 64, 10),
            v4(127, 0, 8),
            v4(169, 254, 16),
            v4(172, 16, 12),
            v4(192, 168, 16),
            (Ipv6Addr::LOCALHOST.into(), 128),
            (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0).into(), 7),
            (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0).into(), 10),
        ])
    }

    /// Addresses that can belong to a host on the Internet: all that are neither private, nor
    /// multicast, unspecified, "this network" (RFC 1122) or reserved (RFC 1112 §4). Networks for
    /// documentation count as public, so that examples behave like what they stand for.
    #[must_use]
    pub fn public() -> Self {
        let others = Self::from_prefixes(&[
            (Ipv4Addr::UNSPECIFIED.into(), 8),
            (Ipv4Addr::new(224, 0, 0, 0).into(), 3),
            (Ipv6Addr::UNSPECIFIED.into(), 128),
            (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0).into(), 8),
        ]);
        let mut taken = Self::private().0;
        taken.extend(others.0);
        taken.sort_by_key(|range| *range.start());
        let mut free = Vec::new();
        let mut next = 0_u128;
        for range in taken {
            if let Some(last) = range.start().checked_sub(1)
                && next <= last
            {
                free.push(next..=last);
            }
            next = next.max(range.end().saturating_add(1));
        }
        // The highest addresses are multicast: nothing is left above.
        Self(free)
    }

    fn from_prefixes(prefixes: &[(IpAddr, u8)]) -> Self {
        let networks = prefixes.iter().filter_map(|(ip, length)| IpNet::new(*ip, *length).ok());
        Self(networks.flat_map(|network| Self::of(network.trunc()).0).collect())
    }

    /// Whether the address is in one of the ranges.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = ip_to_u128(address);
        self.0.iter().any(|range| range.contains(&address))
    }

    /// Whether the text is an address in one of the ranges.
    #[must_use]
    pub fn contains_text(&self, text: &str) -> bool {
        text.parse().is_ok_and(|address| self.contains(address))
    }

    /// The ranges, both ends belonging to them.
    pub fn ranges(&self) -> impl Iterator<Item = RangeInclusive<u128>> {
        self.0.iter().cloned()
    }
}
