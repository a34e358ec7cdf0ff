//! What to merge and what to drop: decisions from the manifest's knowledge alone.

use std::collections::BTreeMap;
use std::time::Duration;

use keng_event::Timestamp;

use crate::config::Config;
use crate::store::manifest::ShardMeta;

/// Unmerged shards of one time slice at which they are merged although more may come.
const WIDTH: usize = 16;

/// Most events in one shard: merging takes about 6 µs an event and should end within minutes.
const SHARD_EVENTS_MAX: u64 = 20_000_000;

/// Events below which the shards of a whole day become one: a quiet node would otherwise have
/// thousands of tiny ones.
const DAY_EVENTS_MAX: u64 = 2_000_000;

/// How long nothing may have come for a time slice before it counts as closed.
const QUIET: Duration = Duration::from_secs(600);

const DAY_SECONDS: i64 = 86_400;

/// Shards to be made into one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Merge {
    pub(crate) shards: Vec<u32>,
    /// Level and time slice of the result.
    pub(crate) level: u8,
    pub(crate) bucket: Option<i64>,
}

/// Shards that may be merged with each other.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    level: u8,
    /// What the merged shard's slice is: the shards' own at first, then their day.
    bucket: Option<i64>,
    day: i64,
}

impl Group {
    fn of(shard: &ShardMeta) -> Self {
        let level = shard.level;
        match shard.bucket {
            // Scattered events go by the day of their receipt, for retention's sake.
            None => {
                let day = seconds(shard.received[1]).div_euclid(DAY_SECONDS);
                Self { level, bucket: None, day }
            }
            Some(start) => {
                let day = start.div_euclid(DAY_SECONDS);
                let bucket = if level == 0 { start } else { day * DAY_SECONDS };
                Self { level, bucket: Some(bucket), day }
            }
        }
    }
}

/// The next merge that is due, if any: widely, once a time slice has closed or when very many
/// shards wait, so that an event is merged once, twice on a quiet node.
pub(crate) fn next_merge<'a>(
    shards: impl Iterator<Item = &'a ShardMeta>,
    config: &Config,
    now: Timestamp,
) -> Option<Merge> {
    let mut groups: BTreeMap<Group, Vec<&ShardMeta>> = BTreeMap::new();
    for shard in shards.filter(|shard| shard.level < 2) {
        groups.entry(Group::of(shard)).or_default().push(shard);
    }
    let width = i64::try_from(config.bucket.duration().as_secs()).unwrap_or(i64::MAX);
    let is_quiet = |group: &Group, shards: &[&ShardMeta]| {
        let end = match (group.level, group.bucket) {
            (0, Some(start)) => start.saturating_add(width),
            _ => (group.day + 1) * DAY_SECONDS,
        };
        let last = shards.iter().map(|shard| seconds(shard.received[1])).max().unwrap_or(0);
        Timestamp::from_seconds(end.max(last)).plus(QUIET) < now
    };
    // A slice that was sealed in one piece has nothing to be merged with but its day.
    let alone = groups
        .extract_if(.., |group, shards| {
            group.level == 0 && shards.len() == 1 && is_quiet(group, shards)
        })
        .collect::<Vec<_>>();
    for (Group { bucket, day, .. }, shards) in alone {
        let bucket = bucket.map(|_| day * DAY_SECONDS);
        groups.entry(Group { level: 1, bucket, day }).or_default().extend(shards);
    }
    groups.into_iter().find_map(|(key, mut group)| {
        let quiet = is_quiet(&key, &group);
        let Group { level, bucket, .. } = key;
        group.sort_by_key(|shard| shard.received[0]);
        let (limit, due) = match level {
            0 => (SHARD_EVENTS_MAX, quiet || group.len() >= WIDTH),
            _ => (DAY_EVENTS_MAX, quiet),
        };
        let mut events = 0_u64;
        group.retain(|shard| {
            events = events.saturating_add(shard.events);
            events <= limit
        });
        (due && group.len() >= 2).then(|| Merge {
            shards: group.iter().map(|shard| shard.id).collect(),
            level: level + 1,
            bucket,
        })
    })
}

/// Shards whose events were all received before the retention time, and the oldest ones above
/// the disk budget. The newest is never dropped for the budget.
pub(crate) fn expired<'a>(
    shards: impl Iterator<Item = &'a ShardMeta>,
    config: &Config,
    now: Timestamp,
) -> Vec<u32> {
    let mut shards: Vec<_> = shards.collect();
    shards.sort_by_key(|shard| shard.received[1]);
    let oldest = now.minus(config.retention.duration()).as_nanos();
    let budget = match config.disk_max.bytes() {
        0 => u64::MAX,
        bytes => bytes,
    };
    let mut used: u64 = shards.iter().map(|shard| shard.bytes_total()).sum();
    let newest = shards.last().map(|shard| shard.id);
    shards
        .into_iter()
        .take_while(|shard| {
            let old = shard.received[1] < oldest;
            let over = used > budget && Some(shard.id) != newest;
            used = used.saturating_sub(shard.bytes_total());
            old || over
        })
        .map(|shard| shard.id)
        .collect()
}

fn seconds(nanos: i64) -> i64 {
    Timestamp::from_nanos(nanos).as_seconds()
}

#[cfg(test)]
mod tests {
    use super::*;
    use keng_event::unit::ByteSize;

    const HOUR: i64 = 3_600;

    fn shard(id: u32, level: u8, bucket: Option<i64>, received_seconds: i64) -> ShardMeta {
        let received = Timestamp::from_seconds(received_seconds).as_nanos();
        ShardMeta {
            id,
            level,
            bucket,
            events: 100,
            bytes: 1_000,
            time: [0, 0],
            received: [received, received],
            ids: Vec::new(),
            packs: Vec::new(),
        }
    }

    fn due(shards: &[ShardMeta], now_seconds: i64) -> Option<Vec<u32>> {
        let now = Timestamp::from_seconds(now_seconds);
        next_merge(shards.iter(), &Config::default(), now).map(|merge| merge.shards)
    }

    #[test]
    fn a_slice_is_merged_when_it_has_closed_and_is_quiet() {
        let shards = [
            shard(1, 0, Some(0), 100),
            shard(2, 0, Some(0), 3_000),
            shard(3, 0, Some(HOUR), 3_700),
        ];
        assert_eq!(due(&shards, HOUR + 599), None);
        assert_eq!(due(&shards, HOUR + 601), Some(vec![1, 2]));
        let late = [shard(1, 0, Some(0), 90_000), shard(2, 0, Some(0), 90_100)];
        assert_eq!(due(&late, 90_200), None);
        assert_eq!(due(&late, 90_701), Some(vec![1, 2]));
    }

    #[test]
    fn very_many_shards_are_merged_before_that() {
        let shards: Vec<_> = (0..16).map(|id| shard(id, 0, Some(0), 100)).collect();
        assert_eq!(due(&shards[..15], 200), None);
        assert_eq!(due(&shards, 200), Some((0..16).collect()));
    }

    #[test]
    fn a_quiet_day_becomes_one_shard() {
        let shards = [shard(1, 1, Some(0), HOUR), shard(2, 1, Some(5 * HOUR), 6 * HOUR)];
        assert_eq!(due(&shards, 23 * HOUR), None);
        assert_eq!(due(&shards, 25 * HOUR), Some(vec![1, 2]));
        let alone = [shard(1, 0, Some(0), HOUR), shard(2, 1, Some(5 * HOUR), 6 * HOUR)];
        assert_eq!(due(&alone, 25 * HOUR), Some(vec![1, 2]), "sealed in one piece");
        let mut busy = shards;
        busy[1].events = DAY_EVENTS_MAX;
        assert_eq!(due(&busy, 25 * HOUR), None);
    }

    #[test]
    fn scattered_shards_are_merged_by_day_of_receipt() {
        let shards = [shard(1, 0, None, 10), shard(2, 0, None, 20), shard(3, 0, None, 25 * HOUR)];
        assert_eq!(due(&shards, 26 * HOUR), Some(vec![1, 2]));
        let now = Timestamp::from_seconds(26 * HOUR);
        assert_eq!(next_merge(shards.iter(), &Config::default(), now).unwrap().bucket, None);
    }

    #[test]
    fn retention_counts_from_receipt_and_drops_the_oldest_for_the_budget() {
        let shards = [shard(1, 0, None, 300), shard(2, 0, None, 100), shard(3, 0, None, 200)];
        let with = |retention: u64, bytes: u64, now: i64| {
            let config = Config {
                retention: keng_event::unit::Span::from_seconds(retention),
                disk_max: ByteSize::new(bytes),
                ..Config::default()
            };
            expired(shards.iter(), &config, Timestamp::from_seconds(now))
        };
        assert_eq!(with(1_000, 0, 400), Vec::<u32>::new());
        assert_eq!(with(150, 0, 400), [2, 3]);
        assert_eq!(with(1_000, 2_999, 400), [2]);
        assert_eq!(with(1_000, 1, 400), [2, 3]);
    }
}
