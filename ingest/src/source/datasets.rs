//! Which datasets a source has sent: a host sends of several, and what one last event says is not
//! what it sends.
//!
//! Only datasets of the catalogue are remembered: other names are a sender's own words, of which
//! there may be any number.

use crate::dataset;

/// Most that are remembered of a source; a relay for many hosts has a row for each of them.
const DATASETS_MAX: usize = 32;

/// Most that are told apart within a run of events; those beyond show in a later one.
const IN_RUN_MAX: usize = 8;

/// The datasets of a source, in the order in which they were met.
#[derive(Clone, Debug, Default)]
pub(super) struct Datasets(Vec<&'static str>);

impl Datasets {
    pub(super) fn add(&mut self, dataset: &str) {
        if self.0.len() < DATASETS_MAX && !self.0.contains(&dataset) {
            let known = dataset::all().iter().find(|known| known.name == dataset);
            self.0.extend(known.map(|known| known.name));
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().copied()
    }
}

/// The datasets of a run of events; nothing is allocated for it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Met<'a>([&'a str; IN_RUN_MAX]);

impl<'a> Met<'a> {
    pub(super) fn note(&mut self, dataset: &'a str) {
        // Empty is what has not been taken yet.
        for known in &mut self.0 {
            if known.is_empty() {
                *known = dataset;
            }
            if *known == dataset {
                return;
            }
        }
    }

    pub(super) fn iter(self) -> impl Iterator<Item = &'a str> {
        self.0.into_iter().filter(|dataset| !dataset.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_there_once_and_they_are_bounded() {
        let names = || dataset::all().iter().map(|dataset| dataset.name);
        assert!(names().count() > DATASETS_MAX);
        let (mut datasets, mut met) = (Datasets::default(), Met::default());
        for name in ["web.access", "", "linux.auth", "web.access"] {
            datasets.add(name);
            met.note(name);
        }
        assert_eq!(datasets.iter().collect::<Vec<_>>(), ["web.access", "linux.auth"]);
        assert_eq!(met.iter().collect::<Vec<_>>(), ["web.access", "linux.auth"]);
        datasets.add("a sender's own");
        assert_eq!(datasets.iter().count(), 2);
        names().for_each(|name| datasets.add(name));
        names().for_each(|name| met.note(name));
        assert_eq!((datasets.iter().count(), met.iter().count()), (DATASETS_MAX, IN_RUN_MAX));
    }
}
