//! Looking into logs that no process has open: what they hold, whether it is whole, and the
//! records themselves.
//!
//! Nothing is changed, beyond what opening a log after a crash repairs. A log whose files are
//! damaged is read as far as it can be, through a copy ([`View`]) that is removed again.

use std::path::Path;

use super::damage::{Fault, View};
use super::frame;
use super::log::Log;
use super::open::path_of;
use super::segment::Found;
use crate::{BusMetrics, Delivered, Epoch, Error, Group, Now, Topic};

/// Damages of one log that are listed one by one; the rest is only counted.
pub const DAMAGES_LISTED_MAX: usize = 1_000;

/// What a log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogReport {
    /// Which topic.
    pub topic: Topic,
    /// Identity of the log.
    pub epoch: Epoch,
    /// Its partitions, ascending.
    pub partitions: Vec<PartitionReport>,
    /// Where its groups stand.
    pub groups: Vec<GroupPosition>,
}

/// What a partition holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionReport {
    /// Its number.
    pub partition: u32,
    /// Offset of the oldest event that is kept.
    pub start: u64,
    /// Offset that the next event will get.
    pub end: u64,
    /// Bytes as stored.
    pub bytes: u64,
    /// How many segments.
    pub segments: usize,
    /// When the oldest and the newest record were appended, in milliseconds since 1970.
    pub times_ms: Option<(i64, i64)>,
}

/// Where a group stands in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPosition {
    /// Which group.
    pub group: Group,
    /// In which partition.
    pub partition: u32,
    /// The next event that it has yet to deal with.
    pub offset: u64,
}

/// What reading everything gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Which topic.
    pub topic: Topic,
    /// Records that are whole.
    pub records: u64,
    /// Events in them.
    pub events: u64,
    /// Bytes of them as stored.
    pub bytes: u64,
    /// What is not whole, the first [`DAMAGES_LISTED_MAX`].
    pub damages: Vec<Damage>,
    /// How many damages there are.
    pub damaged: u64,
    /// Files that keep the log from being opened as it is; the rest was read without them.
    pub faults: Vec<Fault>,
}

/// A stretch that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// In which partition.
    pub partition: u32,
    /// The first offset that is lost.
    pub from: u64,
    /// The first that is readable again.
    pub to: u64,
    /// What is wrong.
    pub reason: &'static str,
}

/// Reports on every log in `dir`.
///
/// # Errors
///
/// [`Error::Locked`] while a process has the logs open, [`Error::Broken`], [`Error::Storage`].
pub fn list(dir: &Path) -> Result<Vec<LogReport>, Error> {
    let reports = topics(dir)?.into_iter().map(|topic| {
        let log = open(dir, topic)?;
        let partitions = log.partition_numbers().map(|partition| report(&log, partition));
        let partitions = partitions.collect::<Result<_, _>>()?;
        let committed = log.committed.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let groups = committed.iter().map(|((group, partition), offset)| GroupPosition {
            group: group.clone(),
            partition: *partition,
            offset: *offset,
        });
        let mut groups: Vec<_> = groups.collect();
        groups.sort_by(|a, b| (&a.group, a.partition).cmp(&(&b.group, b.partition)));
        Ok(LogReport { topic: log.topic, epoch: log.epoch, partitions, groups })
    });
    reports.collect()
}

/// Reads every record of every log in `dir`: checksums, and that nothing is missing in between.
///
/// # Errors
///
/// [`Error::Locked`], [`Error::Storage`]. Damage is no error here but what is reported.
pub fn check(dir: &Path) -> Result<Vec<Check>, Error> {
    let checks = topics(dir)?.into_iter().map(|topic| {
        let Readable { log, faults, .. } = &open_readable(dir, topic)?;
        let (damages, faults) = (Vec::new(), faults.clone());
        let mut check =
            Check { topic, records: 0, events: 0, bytes: 0, damages, damaged: 0, faults };
        if let Some(log) = log {
            for partition in log.partition_numbers() {
                check_partition(log, partition, &mut check)?;
            }
        }
        Ok(check)
    });
    checks.collect()
}

/// Hands over the records of one topic, partition by partition in order, from offset `from` on,
/// until `visit` says no. Damaged ones are left out; returns which files they were in, where the
/// log could not be opened as it is.
///
/// # Errors
///
/// As [`check`], and [`Error::Config`] for a partition that does not exist.
pub fn export(
    dir: &Path,
    topic: Topic,
    partition: Option<u32>,
    from: u64,
    visit: &mut dyn FnMut(Delivered) -> bool,
) -> Result<Vec<Fault>, Error> {
    if !topics(dir)?.contains(&topic) {
        return Ok(Vec::new());
    }
    let Readable { log, faults, .. } = &open_readable(dir, topic)?;
    if let Some(log) = log {
        let numbers = partition.map_or(log.partition_numbers(), |one| one..one.saturating_add(1));
        for number in numbers {
            let mut at = from;
            loop {
                let records = log.read(number, at, EXPORT_BYTES)?;
                let Some(last) = records.last() else { break };
                at = last.end().offset;
                for record in records {
                    if !visit(record) {
                        return Ok(faults.clone());
                    }
                }
            }
        }
    }
    Ok(faults.clone())
}

/// Bytes that an export holds at a time.
const EXPORT_BYTES: usize = 1024 * 1024;

/// A log as far as it can be read.
struct Readable {
    /// `None` if nothing of it can.
    log: Option<Log>,
    /// Removed after the log was closed.
    _view: Option<View>,
    faults: Vec<Fault>,
}

fn open_readable(dir: &Path, topic: Topic) -> Result<Readable, Error> {
    let (path, faults) = match open(dir, topic) {
        Ok(log) => return Ok(Readable { log: Some(log), _view: None, faults: Vec::new() }),
        Err(Error::Broken { path, faults }) => (path, faults),
        Err(error) => return Err(error),
    };
    let view = View::mended(&path, &faults).map_err(|error| super::open::storage(&path, error))?;
    let copy = view.path.parent().unwrap_or(dir);
    match open(copy, topic) {
        Ok(log) => Ok(Readable { log: Some(log), _view: Some(view), faults }),
        // What else is wrong shows when the first faults are out of the way.
        Err(Error::Broken { .. } | Error::Storage { .. }) => {
            Ok(Readable { log: None, _view: None, faults })
        }
        Err(error) => Err(error),
    }
}

fn topics(dir: &Path) -> Result<Vec<Topic>, Error> {
    let existing = Topic::ALL.into_iter().filter(|topic| path_of(dir, *topic).exists());
    let existing: Vec<_> = existing.collect();
    if existing.is_empty() {
        return Err(Error::Config(format!("there is no log in {}", dir.display())));
    }
    Ok(existing)
}

fn open(dir: &Path, topic: Topic) -> Result<Log, Error> {
    // Nothing here stamps records or is scraped.
    let now: Now = std::sync::Arc::new(|| 0);
    let metrics = BusMetrics::new(&keng_metrics::Registry::new());
    Log::open(topic, dir, None, &now, &metrics)
}

fn report(log: &Log, number: u32) -> Result<PartitionReport, Error> {
    let partition = log.partition(number)?;
    let times = || partition.segments.iter().filter_map(|segment| segment.times_ms);
    let oldest = times().map(|(first, _)| first).min();
    let newest = times().map(|(_, last)| last).max();
    Ok(PartitionReport {
        partition: number,
        start: partition.start(),
        end: partition.end,
        bytes: partition.bytes(),
        segments: partition.segments.len(),
        times_ms: oldest.zip(newest),
    })
}

fn check_partition(log: &Log, number: u32, check: &mut Check) -> Result<(), Error> {
    let partition = log.partition(number)?;
    for (index, segment) in partition.segments.iter().enumerate() {
        let mut at = segment.base;
        segment.walk(segment.base, partition.end_of(index), |found| {
            let damage = match found {
                Found::Hole(to) => Some((to, "it cannot be read from disk")),
                Found::Entry(place, value) => match frame::decode(&value) {
                    Ok(_) => {
                        check.records = check.records.saturating_add(1);
                        check.events = check.events.saturating_add(u64::from(place.count));
                        check.bytes = check.bytes.saturating_add(value.len() as u64);
                        at = place.end();
                        None
                    }
                    Err(reason) => Some((place.end(), reason)),
                },
            };
            if let Some((to, reason)) = damage {
                check.damaged = check.damaged.saturating_add(1);
                if check.damages.len() < DAMAGES_LISTED_MAX {
                    check.damages.push(Damage { partition: number, from: at, to, reason });
                }
                at = to;
            }
            true
        });
    }
    Ok(())
}
