//! What is remembered of each exporter beside its templates: how it samples, and which sequence
//! number comes next.

use std::collections::HashMap;

use netflow_parser::variable_versions::ipfix::lookup::IANAIPFixField as Element;

use super::record::Fields;
use super::{EXPORTERS_MAX, Scope};

/// Most samplers of one exporter.
const SAMPLERS_MAX: usize = 64;

/// A jump of the sequence beyond this is a restart, not a loss.
const GAP_MAX: u32 = 1 << 20;

/// The exporters heard of, bounded.
#[derive(Debug, Default)]
pub(super) struct Exporters {
    known: HashMap<Scope, Exporter>,
    turn: u64,
}

impl Exporters {
    /// The exporter of that scope; makes room for a new one by forgetting that heard least recently.
    pub(super) fn of(&mut self, scope: Scope) -> &mut Exporter {
        self.turn += 1;
        if self.known.len() >= EXPORTERS_MAX && !self.known.contains_key(&scope) {
            let oldest = self.known.iter().min_by_key(|(_, exporter)| exporter.heard);
            if let Some(oldest) = oldest.map(|(scope, _)| *scope) {
                self.known.remove(&oldest);
            }
        }
        let exporter = self.known.entry(scope).or_default();
        exporter.heard = self.turn;
        exporter
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}

/// What a sequence number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// v5 and IPFIX.
    Flows,
    /// v9.
    Datagrams,
}

/// One exporter.
#[derive(Debug, Default)]
pub(super) struct Exporter {
    heard: u64,
    next: Option<u32>,
    /// One in how many packets, by the sampler's id.
    samplers: HashMap<u64, u64>,
    default_rate: Option<u64>,
}

impl Exporter {
    /// Takes note of a datagram's sequence number and of how much it counts for; gives how much
    /// is missing before it. `advance` is `None` where that cannot be known.
    pub(super) fn sequence(&mut self, sequence: u32, advance: Option<u64>, unit: Unit) -> u64 {
        let expected = self.next;
        let advance = advance.and_then(|advance| u32::try_from(advance).ok());
        let gap = expected.map_or(0, |expected| sequence.wrapping_sub(expected));
        // Older than expected (above half the circle): it came out of order, and what it fills
        // was counted as lost; the sequence goes on from the newest.
        let late = gap > u32::MAX / 2 && u32::MAX - gap < GAP_MAX;
        if !late || unit == Unit::Flows && advance.is_none() {
            self.next = advance.map(|advance| sequence.wrapping_add(advance));
        }
        if gap < GAP_MAX { u64::from(gap) } else { 0 }
    }

    /// Learns from an options record how the exporter samples (RFC 3954 section 6.1, RFC 5476
    /// section 6.5.2).
    pub(super) fn learn(&mut self, fields: &Fields<'_>) {
        let Some(rate) = rate(fields) else { return };
        match fields.number(Element::SamplerId).or_else(|| fields.number(Element::SelectorId)) {
            Some(id) if self.samplers.len() < SAMPLERS_MAX || self.samplers.contains_key(&id) => {
                self.samplers.insert(id, rate);
            }
            Some(_) => {}
            None => self.default_rate = Some(rate),
        }
    }

    /// One in how many packets this flow is made of: by its own word, its sampler's, the
    /// exporter's, or the datagram's.
    pub(super) fn rate(&self, fields: &Fields<'_>, datagram: Option<u64>) -> u64 {
        let sampler = || {
            let id =
                fields.number(Element::SamplerId).or_else(|| fields.number(Element::SelectorId));
            match id {
                Some(id) => self.samplers.get(&id).copied(),
                // With one sampler there is no doubt whose the flow is.
                None if self.samplers.len() == 1 => self.samplers.values().next().copied(),
                None => None,
            }
        };
        let rate = rate(fields).or_else(sampler).or(self.default_rate).or(datagram);
        rate.filter(|rate| *rate > 0).unwrap_or(1)
    }
}

/// The sampling rate that a record states.
fn rate(fields: &Fields<'_>) -> Option<u64> {
    let interval = fields.number(Element::SamplerRandomInterval);
    let interval = interval.or_else(|| fields.number(Element::SamplingInterval));
    let interval = interval.filter(|interval| *interval > 0);
    if interval.is_some() {
        return interval;
    }
    let taken = fields.number(Element::SamplingPacketInterval).filter(|taken| *taken > 0);
    if let (Some(taken), Some(left)) = (taken, fields.number(Element::SamplingPacketSpace)) {
        return Some(taken.saturating_add(left) / taken);
    }
    let size = fields.number(Element::SamplingSize).filter(|size| *size > 0);
    match (size, fields.number(Element::SamplingPopulation)) {
        (Some(size), Some(population)) => Some((population / size).max(1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_missing_and_forgives_disorder() {
        let mut exporter = Exporter::default();
        let mut at = |sequence| exporter.sequence(sequence, Some(1), Unit::Datagrams);
        assert_eq!(at(10), 0);
        assert_eq!(at(11), 0);
        assert_eq!(at(15), 3);
        assert_eq!(at(13), 0);
        assert_eq!(at(16), 0);
        assert_eq!(at(1), 0);
    }

    #[test]
    fn the_sequence_wraps() {
        let mut exporter = Exporter::default();
        assert_eq!(exporter.sequence(u32::MAX, Some(2), Unit::Flows), 0);
        assert_eq!(exporter.sequence(1, Some(1), Unit::Flows), 0);
        assert_eq!(exporter.sequence(4, Some(1), Unit::Flows), 2);
    }

    #[test]
    fn forgets_the_exporter_not_heard_for_longest() {
        let mut exporters = Exporters::default();
        let scope = |domain| {
            let address = "192.0.2.1:4739".parse().unwrap();
            Scope { address, version: 9, domain }
        };
        for domain in 0..=u32::try_from(EXPORTERS_MAX).unwrap() {
            exporters.of(scope(domain));
        }
        assert_eq!(exporters.len(), EXPORTERS_MAX);
        assert!(!exporters.known.contains_key(&scope(0)));
        assert!(exporters.known.contains_key(&scope(1)));
    }
}
