//! A reader's reading, for the roads that live in one process.
//!
//! It decides what comes next; where records rest and how they are made durable is the
//! [`Store`]'s affair.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::group::{MemberId, Members};
use crate::{
    Delivered, Delivery, Epoch, Error, Generation, Group, Position, Positions, Subscription,
};

/// Bytes of one delivery, unless a single record is larger: large enough to spread the cost of a
/// hand-over, small enough that a reader of several partitions is not held up by one of them.
const DELIVERY_BYTES_MAX: usize = 1024 * 1024;

/// One topic's log.
pub(crate) trait Store: Send + Sync + std::fmt::Debug + 'static {
    /// Identity of the log.
    fn epoch(&self) -> Epoch;

    /// How many partitions it has.
    fn partitions(&self) -> u32;

    /// The oldest offset that is kept and the durable end.
    fn edges(&self, partition: u32) -> (u64, u64);

    /// What `group` has committed.
    fn committed(&self, group: &Group, partition: u32) -> Option<u64>;

    /// Makes a group's position durable.
    fn commit(
        &self,
        group: &Group,
        partition: u32,
        offset: u64,
    ) -> BoxFuture<'_, Result<(), Error>>;

    /// Reads from `from` on, below the durable end.
    fn fetch(
        self: Arc<Self>,
        partition: u32,
        from: u64,
        max_bytes: usize,
    ) -> BoxFuture<'static, Result<Page, Error>>;

    /// The readers.
    fn members(&self) -> &Members;

    /// Is told of every change that a waiting reader must look at.
    fn changes(&self) -> &watch::Sender<()>;

    /// Why nothing more will come, if that is so.
    fn ended(&self) -> Option<Error>;
}

/// What reading at a place gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// Records, in order, without gaps. Empty at the end of the log.
    Records(Vec<Delivered>),
    /// Nothing can be read before this offset.
    Gap(u64),
}

/// One reader of a group on a [`Store`].
#[derive(Debug)]
pub(crate) struct LocalSubscription<S: Store> {
    store: Arc<S>,
    group: Group,
    member: MemberId,
    positions: PositionsOf,
    changes: watch::Receiver<()>,
    readings: Vec<Reading>,
    pending: VecDeque<Delivery>,
    /// The partition whose turn it is, so that a busy one does not starve the others.
    turn: usize,
    /// What a caller who gave up waiting left under way.
    fetch: Option<Fetch>,
}

/// A page being read.
struct Fetch {
    partition: u32,
    offset: u64,
    page: BoxFuture<'static, Result<Page, Error>>,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    partition: u32,
    generation: Generation,
    offset: u64,
}

impl std::fmt::Debug for Fetch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fetch({}, {})", self.partition, self.offset)
    }
}

struct PositionsOf(Positions);

impl std::fmt::Debug for PositionsOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Positions")
    }
}

impl<S: Store> LocalSubscription<S> {
    /// Joins when it is first polled.
    pub(crate) fn subscribe(
        store: &Arc<S>,
        group: Group,
        positions: Positions,
    ) -> BoxFuture<'static, Result<Box<dyn Subscription>, Error>> {
        let store = Arc::clone(store);
        Box::pin(async move {
            let joined = Self::join(store, group, positions);
            Ok(Box::new(joined) as Box<dyn Subscription>)
        })
    }

    fn join(store: Arc<S>, group: Group, positions: Positions) -> Self {
        let changes = store.changes().subscribe();
        let member = store.members().join(&group, store.partitions());
        // The other members have to look what was taken from them.
        store.changes().send_replace(());
        Self {
            store,
            group,
            member,
            positions: PositionsOf(positions),
            changes,
            readings: Vec::new(),
            pending: VecDeque::new(),
            turn: 0,
            fetch: None,
        }
    }

    /// Takes notice of partitions that were given or taken.
    fn reassign(&mut self) {
        let assigned = self.store.members().assigned(&self.group, self.member);
        let pending = &mut self.pending;
        self.readings.retain(|reading| {
            let kept = assigned.contains(&(reading.partition, reading.generation));
            if !kept {
                pending.push_back(Delivery::Revoked { partition: reading.partition });
            }
            kept
        });
        for (partition, generation) in assigned {
            if !self.readings.iter().any(|reading| reading.partition == partition) {
                self.begin(partition, generation);
            }
        }
    }

    fn begin(&mut self, partition: u32, generation: Generation) {
        let epoch = self.store.epoch();
        let (start, end) = self.store.edges(partition);
        let at = |offset| Position { epoch, partition, offset };
        let own = (self.positions.0)(partition);
        let committed = || self.store.committed(&self.group, partition).map(at);
        let wanted = own.or_else(committed).unwrap_or(at(start));
        let known = wanted.epoch == epoch && wanted.offset <= end;
        let from = if known { at(wanted.offset) } else { at(start) };
        self.pending.push_back(Delivery::Assigned { from, generation });
        if !known {
            self.pending.push_back(Delivery::EpochChanged { old: wanted.epoch, now: from });
        }
        self.readings.push(Reading { partition, generation, offset: from.offset });
    }

    /// Reads the next partition that has something, if any has.
    async fn read(&mut self) -> Result<Option<Delivery>, Error> {
        for step in 0..self.readings.len() {
            let index = self.turn.wrapping_add(step) % self.readings.len();
            let Some(reading) = self.readings.get_mut(index) else { continue };
            let Reading { partition, offset, .. } = *reading;
            let (start, end) = self.store.edges(partition);
            if offset >= start && offset >= end {
                continue;
            }
            let store = Arc::clone(&self.store);
            // A caller who gives up waiting finds the same fetch under way the next time: a disk
            // that is slower than his patience must not make the page start anew each time.
            let wanted = |fetch: &Fetch| fetch.partition == partition && fetch.offset == offset;
            if !self.fetch.as_ref().is_some_and(wanted) {
                let page = store.fetch(partition, offset, DELIVERY_BYTES_MAX);
                self.fetch = Some(Fetch { partition, offset, page });
            }
            let Some(fetch) = &mut self.fetch else { continue };
            let page = (&mut fetch.page).await;
            self.fetch = None;
            let page = page?;
            let delivery = match page {
                Page::Records(records) => {
                    let Some(last) = records.last() else { continue };
                    reading.offset = last.end().offset;
                    Delivery::Records(records)
                }
                Page::Gap(to) => {
                    reading.offset = to;
                    let at = |offset| Position { epoch: self.store.epoch(), partition, offset };
                    Delivery::Gap { from: at(offset), to: at(to) }
                }
            };
            self.turn = index.wrapping_add(1);
            return Ok(Some(delivery));
        }
        Ok(None)
    }
}

impl<S: Store> Subscription for LocalSubscription<S> {
    fn next(&mut self) -> BoxFuture<'_, Result<Delivery, Error>> {
        Box::pin(async move {
            loop {
                // Marked as seen before looking: what changes after the look wakes the wait below.
                self.changes.borrow_and_update();
                self.reassign();
                if let Some(delivery) = self.pending.pop_front() {
                    return Ok(delivery);
                }
                if let Some(delivery) = self.read().await? {
                    return Ok(delivery);
                }
                if let Some(error) = self.store.ended() {
                    return Err(error);
                }
                self.changes.changed().await.map_err(|_| Error::Closed)?;
            }
        })
    }

    fn commit(
        &mut self,
        position: Position,
        generation: Generation,
    ) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let Position { epoch, partition, offset } = position;
            let members = self.store.members();
            let held = members.holds(&self.group, self.member, partition, generation);
            if !held || epoch != self.store.epoch() {
                return Err(Error::Revoked { partition });
            }
            let (_, end) = self.store.edges(partition);
            if offset > end {
                return Err(Error::InvalidCommit { partition, offset, end });
            }
            self.store.commit(&self.group, partition, offset).await
        })
    }
}

impl<S: Store> Drop for LocalSubscription<S> {
    fn drop(&mut self) {
        self.store.members().leave(&self.group, self.member);
        self.store.changes().send_replace(());
    }
}

/// Chooses the partition of a record: by its key, or `turn` where it has none.
pub(crate) fn partition_of(key: &[u8], turn: u32, partitions: u32) -> u32 {
    let number = if key.is_empty() { turn } else { crc32fast::hash(key) };
    number.checked_rem(partitions).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::FutureExt as _;
    use tokio::sync::Notify;

    use super::*;

    /// A log of ten events whose disk answers when it is told to.
    #[derive(Debug, Default)]
    struct Slow {
        members: Members,
        changes: watch::Sender<()>,
        fetches: AtomicU32,
        answer: Arc<Notify>,
        committed: Mutex<Option<u64>>,
    }

    impl Store for Slow {
        fn epoch(&self) -> Epoch {
            Epoch(1)
        }

        fn partitions(&self) -> u32 {
            1
        }

        fn edges(&self, _partition: u32) -> (u64, u64) {
            (0, 10)
        }

        fn committed(&self, _group: &Group, _partition: u32) -> Option<u64> {
            *self.committed.lock().unwrap()
        }

        fn commit(
            &self,
            _group: &Group,
            _partition: u32,
            offset: u64,
        ) -> BoxFuture<'_, Result<(), Error>> {
            *self.committed.lock().unwrap() = Some(offset);
            std::future::ready(Ok(())).boxed()
        }

        fn fetch(
            self: Arc<Self>,
            partition: u32,
            from: u64,
            _max_bytes: usize,
        ) -> BoxFuture<'static, Result<Page, Error>> {
            self.fetches.fetch_add(1, Ordering::Relaxed);
            async move {
                self.answer.notified().await;
                let position = Position { epoch: Epoch(1), partition, offset: from };
                let (key, value) = (Default::default(), Default::default());
                let count = u32::try_from(10 - from).unwrap();
                Ok(Page::Records(vec![Delivered {
                    position,
                    key,
                    value,
                    count,
                    appended_at_ms: 0,
                }]))
            }
            .boxed()
        }

        fn members(&self) -> &Members {
            &self.members
        }

        fn changes(&self) -> &watch::Sender<()> {
            &self.changes
        }

        fn ended(&self) -> Option<Error> {
            None
        }
    }

    #[tokio::test]
    async fn who_gives_up_waiting_finds_his_page_still_under_way() {
        let store = Arc::new(Slow::default());
        let mut reader =
            LocalSubscription::join(Arc::clone(&store), "rules".into(), crate::committed());
        assert!(matches!(reader.next().await, Ok(Delivery::Assigned { .. })));
        for _ in 0..5 {
            assert!(reader.next().now_or_never().is_none(), "the disk has not answered");
        }
        assert_eq!(store.fetches.load(Ordering::Relaxed), 1, "one page, asked for once");
        store.answer.notify_one();
        let Ok(Delivery::Records(records)) = reader.next().await else { panic!() };
        assert_eq!((records[0].position.offset, records[0].count), (0, 10));
        assert!(reader.next().now_or_never().is_none(), "and handed over once");
        assert_eq!(store.fetches.load(Ordering::Relaxed), 1);
    }
}
