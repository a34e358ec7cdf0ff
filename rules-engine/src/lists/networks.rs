//! Addresses and networks as sorted ranges, so that one binary search answers.

use std::net::IpAddr;

use ipnet::IpNet;

/// Networks, merged where they touch or overlap.
#[derive(Debug, Default)]
pub(super) struct Networks {
    four: Vec<(u32, u32)>,
    six: Vec<(u128, u128)>,
}

impl Networks {
    pub(super) fn add(&mut self, network: IpNet) {
        match network {
            IpNet::V4(net) => self.four.push((net.network().into(), net.broadcast().into())),
            IpNet::V6(net) => self.six.push((net.network().into(), net.broadcast().into())),
        }
    }

    pub(super) fn finish(mut self) -> Self {
        merge(&mut self.four, |end| end.checked_add(1));
        merge(&mut self.six, |end| end.checked_add(1));
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.four.is_empty() && self.six.is_empty()
    }

    /// Whether the address, IPv4 in IPv6 written as IPv4, lies in one of them.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(four) => within(&self.four, u32::from(four)),
            IpAddr::V6(six) => within(&self.six, u128::from(six)),
        }
    }
}

fn within<N: Ord + Copy>(ranges: &[(N, N)], wanted: N) -> bool {
    let behind = ranges.partition_point(|(start, _)| *start <= wanted);
    let last = behind.checked_sub(1).and_then(|at| ranges.get(at));
    last.is_some_and(|(_, end)| wanted <= *end)
}

fn merge<N: Ord + Copy>(ranges: &mut Vec<(N, N)>, next: impl Fn(N) -> Option<N>) {
    ranges.sort_unstable();
    ranges.dedup_by(|(start, end), (_, before)| {
        let touches = next(*before).is_none_or(|next| *start <= next);
        if touches {
            *before = (*before).max(*end);
        }
        touches
    });
    ranges.shrink_to_fit();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_network() -> impl Strategy<Value = IpNet> {
        // Few different addresses, so that networks touch and hold one another.
        let four = (0..64_u32, 26..=32_u8).prop_map(|(n, length)| {
            IpNet::new(IpAddr::V4((0xc000_0200 + n).into()), length).unwrap()
        });
        let six = (0..64_u128, 122..=128_u8)
            .prop_map(|(n, length)| IpNet::new(IpAddr::V6(n.into()), length).unwrap());
        prop_oneof![four, six]
    }

    proptest! {
        #[test]
        fn holds_what_each_network_holds(
            networks in proptest::collection::vec(any_network(), 0..20),
            four in 0..70_u32,
            six in 0..70_u128,
        ) {
            let mut all = Networks::default();
            networks.iter().for_each(|network| all.add(*network));
            let all = all.finish();
            for address in [IpAddr::V4((0xc000_0200 + four).into()), IpAddr::V6(six.into())] {
                let wanted = networks.iter().any(|network| network.contains(&address));
                prop_assert_eq!(all.contains(address), wanted, "{}", address);
            }
        }
    }

    #[test]
    fn the_whole_space_has_an_end() {
        let mut all = Networks::default();
        for net in ["0.0.0.0/0", "255.255.255.255/32", "::/0", "ffff::/16"] {
            all.add(net.parse().unwrap());
        }
        let all = all.finish();
        assert_eq!((all.four.len(), all.six.len()), (1, 1));
        assert!(all.contains("255.255.255.255".parse().unwrap()));
        assert!(all.contains("::".parse().unwrap()));
    }
}
