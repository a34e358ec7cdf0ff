//! The road in memory, for tests and simulations.
//!
//! It keeps every promise of the bus but one: what it holds dies with the process.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::group::Members;
use crate::local::{LocalSubscription, Page, Store, partition_of};
use crate::{
    Bounds, Bus, Delivered, Epoch, Error, Group, Lag, Now, Position, Positions, Record,
    Subscription, Topic, WhenFull,
};

/// How a memory bus is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// Partitions of each topic, at least 1.
    pub partitions: u32,
    /// Bytes of keys and values that each topic may hold.
    pub size_max_bytes: u64,
    /// What happens when that is reached.
    pub when_full: WhenFull,
    /// Groups that must have read a record before it may be forgotten.
    pub required: Vec<(Topic, Group)>,
    /// Identity of the logs.
    pub epoch: Epoch,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            partitions: 1,
            size_max_bytes: 256 * 1024 * 1024,
            when_full: WhenFull::Refuse,
            required: Vec::new(),
            epoch: Epoch(1),
        }
    }
}

/// A bus that lives in memory. Clones share it.
#[derive(Clone, Debug)]
pub struct MemoryBus {
    logs: [Arc<MemoryLog>; 2],
}

impl MemoryBus {
    /// An empty bus.
    #[must_use]
    pub fn new(config: &Config, now: &Now) -> Self {
        let log = |topic| Arc::new(MemoryLog::new(topic, config, Arc::clone(now)));
        Self { logs: Topic::ALL.map(log) }
    }

    fn log(&self, topic: Topic) -> &Arc<MemoryLog> {
        topic.of(&self.logs)
    }
}

impl Bus for MemoryBus {
    fn publish(&self, topic: Topic, record: Record) -> BoxFuture<'_, Result<Position, Error>> {
        async move {
            record.check()?;
            self.log(topic).append(record)
        }
        .boxed()
    }

    fn subscribe(
        &self,
        topic: Topic,
        group: Group,
        positions: Positions,
    ) -> BoxFuture<'_, Result<Box<dyn Subscription>, Error>> {
        LocalSubscription::subscribe(self.log(topic), group, positions)
    }

    fn read(
        &self,
        topic: Topic,
        partition: u32,
        from: u64,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<Vec<Delivered>, Error>> {
        async move {
            let log = self.log(topic);
            log.known(partition)?;
            let (start, _) = log.edges(partition);
            match log.page(partition, from.max(start), max_bytes) {
                Page::Records(records) => Ok(records),
                Page::Gap(_) => Ok(Vec::new()),
            }
        }
        .boxed()
    }

    fn bounds(&self, topic: Topic) -> BoxFuture<'_, Result<Vec<Bounds>, Error>> {
        async move { Ok(self.log(topic).bounds()) }.boxed()
    }

    fn lag(&self, topic: Topic, group: Group) -> BoxFuture<'_, Result<Vec<Lag>, Error>> {
        async move { Ok(self.log(topic).lag(&group)) }.boxed()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            for log in &self.logs {
                log.state().closed = true;
                log.changes.send_replace(());
            }
            Ok(())
        }
        .boxed()
    }
}

struct MemoryLog {
    topic: Topic,
    epoch: Epoch,
    size_max: u64,
    when_full: WhenFull,
    required: Vec<Group>,
    now: Now,
    state: Mutex<State>,
    members: Members,
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    partitions: Vec<Partition>,
    committed: HashMap<(Group, u32), u64>,
    bytes: u64,
    turn: u32,
    closed: bool,
}

#[derive(Clone, Debug, Default)]
struct Partition {
    records: VecDeque<Delivered>,
    end: u64,
}

impl Partition {
    fn start(&self) -> u64 {
        self.records.front().map_or(self.end, |record| record.position.offset)
    }
}

impl std::fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryLog").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl MemoryLog {
    fn new(topic: Topic, config: &Config, now: Now) -> Self {
        let count = usize::try_from(config.partitions.max(1)).unwrap_or(1);
        let partitions = vec![Partition::default(); count];
        let required = config.required.iter().filter(|(required, _)| *required == topic);
        Self {
            topic,
            epoch: config.epoch,
            size_max: config.size_max_bytes,
            when_full: config.when_full,
            required: required.map(|(_, group)| group.clone()).collect(),
            now,
            state: Mutex::new(State { partitions, ..State::default() }),
            members: Members::default(),
            changes: watch::Sender::new(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, partition: u32) -> Result<(), Error> {
        let partitions = self.partitions();
        if partition < partitions {
            return Ok(());
        }
        Err(Error::Config(format!("partition {partition} was asked for, there are {partitions}")))
    }

    fn append(&self, record: Record) -> Result<Position, Error> {
        let mut state = self.state();
        if state.closed {
            return Err(Error::Closed);
        }
        let bytes = record.bytes() as u64;
        self.make_room(&mut state, bytes)?;
        state.turn = state.turn.wrapping_add(1);
        let number = partition_of(&record.key, state.turn, self.partitions_of(&state));
        let Some(partition) = state.partitions.get_mut(number as usize) else {
            return Err(Error::Closed);
        };
        let position = Position { epoch: self.epoch, partition: number, offset: partition.end };
        let Record { key, value, count } = record;
        let appended_at_ms = (self.now)();
        let delivered = Delivered { position, key, value, count, appended_at_ms };
        partition.end = delivered.end().offset;
        partition.records.push_back(delivered);
        state.bytes = state.bytes.saturating_add(bytes);
        drop(state);
        self.changes.send_replace(());
        Ok(position)
    }

    /// Forgets the oldest records until `bytes` more fit.
    fn make_room(&self, state: &mut State, bytes: u64) -> Result<(), Error> {
        while state.bytes.saturating_add(bytes) > self.size_max {
            let full =
                Error::Full { topic: self.topic, bytes: state.bytes, bytes_max: self.size_max };
            let oldest = |partition: &Partition| {
                partition.records.front().map(|record| record.appended_at_ms)
            };
            let numbered = (0_u32..).zip(&state.partitions);
            let candidates = numbered.filter_map(|(number, partition)| {
                let record = partition.records.front()?;
                let end = record.end().offset;
                let read = self.required.iter().all(|group| {
                    state.committed.get(&(group.clone(), number)).is_some_and(|at| *at >= end)
                });
                let droppable = read || self.when_full == WhenFull::DropOldest;
                droppable.then_some((!read, oldest(partition), number))
            });
            let Some((_, _, number)) = candidates.min() else { return Err(full) };
            let partition = state.partitions.get_mut(number as usize);
            let Some(record) = partition.and_then(|partition| partition.records.pop_front()) else {
                return Err(full);
            };
            let freed = record.key.len().saturating_add(record.value.len()) as u64;
            state.bytes = state.bytes.saturating_sub(freed);
        }
        Ok(())
    }

    fn partitions_of(&self, state: &State) -> u32 {
        u32::try_from(state.partitions.len()).unwrap_or(u32::MAX)
    }

    fn page(&self, partition: u32, from: u64, max_bytes: usize) -> Page {
        let state = self.state();
        let Some(partition) = state.partitions.get(partition as usize) else {
            return Page::Records(Vec::new());
        };
        if from < partition.start() {
            return Page::Gap(partition.start());
        }
        let first = partition.records.partition_point(|record| record.end().offset <= from);
        let mut bytes = 0_usize;
        let records = partition.records.iter().skip(first).take_while(|record| {
            let fits = bytes < max_bytes.max(1);
            bytes = bytes.saturating_add(record.value.len());
            fits
        });
        Page::Records(records.cloned().collect())
    }

    fn bounds(&self) -> Vec<Bounds> {
        let state = self.state();
        let numbered = (0_u32..).zip(&state.partitions);
        let bounds = numbered.map(|(number, partition)| Bounds {
            start: Position { epoch: self.epoch, partition: number, offset: partition.start() },
            end: partition.end,
            bytes: partition.records.iter().map(|r| (r.key.len() + r.value.len()) as u64).sum(),
        });
        bounds.collect()
    }

    fn lag(&self, group: &Group) -> Vec<Lag> {
        let state = self.state();
        let now = (self.now)();
        let numbered = (0_u32..).zip(&state.partitions);
        let lags = numbered.map(|(number, partition)| {
            let committed = state.committed.get(&(group.clone(), number)).copied().unwrap_or(0);
            let from = committed.max(partition.start());
            let waiting = partition.records.iter().find(|record| record.end().offset > from);
            let age = waiting.map_or(0, |record| now.saturating_sub(record.appended_at_ms));
            Lag {
                partition: number,
                events: partition.end.saturating_sub(from),
                age: Duration::from_millis(u64::try_from(age).unwrap_or(0)),
            }
        });
        lags.collect()
    }
}

impl Store for MemoryLog {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn partitions(&self) -> u32 {
        self.partitions_of(&self.state())
    }

    fn edges(&self, partition: u32) -> (u64, u64) {
        let state = self.state();
        let partition = state.partitions.get(partition as usize);
        partition.map_or((0, 0), |partition| (partition.start(), partition.end))
    }

    fn committed(&self, group: &Group, partition: u32) -> Option<u64> {
        self.state().committed.get(&(group.clone(), partition)).copied()
    }

    fn commit(
        &self,
        group: &Group,
        partition: u32,
        offset: u64,
    ) -> BoxFuture<'_, Result<(), Error>> {
        let mut state = self.state();
        let done = if state.closed {
            Err(Error::Closed)
        } else {
            state.committed.insert((group.clone(), partition), offset);
            Ok(())
        };
        std::future::ready(done).boxed()
    }

    fn fetch(
        self: Arc<Self>,
        partition: u32,
        from: u64,
        max_bytes: usize,
    ) -> BoxFuture<'static, Result<Page, Error>> {
        std::future::ready(Ok(self.page(partition, from, max_bytes))).boxed()
    }

    fn members(&self) -> &Members {
        &self.members
    }

    fn changes(&self) -> &watch::Sender<()> {
        &self.changes
    }

    fn ended(&self) -> Option<Error> {
        self.state().closed.then_some(Error::Closed)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{Delivery, committed};

    fn bus(when_full: WhenFull) -> MemoryBus {
        let required = vec![(Topic::Events, Group::from("rules"))];
        let config = Config { size_max_bytes: 100, when_full, required, ..Config::default() };
        let now: Now = Arc::new(|| 7);
        MemoryBus::new(&config, &now)
    }

    async fn publish(bus: &MemoryBus) -> Result<Position, Error> {
        let record = Record { key: Bytes::new(), value: vec![0; 30].into(), count: 10 };
        bus.publish(Topic::Events, record).await
    }

    #[tokio::test]
    async fn a_full_bus_refuses_until_the_required_group_has_read() {
        let bus = bus(WhenFull::Refuse);
        for _ in 0..3 {
            publish(&bus).await.unwrap();
        }
        let full = publish(&bus).await;
        assert!(matches!(full, Err(Error::Full { bytes: 90, bytes_max: 100, .. })), "{full:?}");
        let mut reader = bus.subscribe(Topic::Events, "rules".into(), committed()).await.unwrap();
        let Ok(Delivery::Assigned { from, generation }) = reader.next().await else { panic!() };
        reader.commit(Position { offset: 10, ..from }, generation).await.unwrap();
        assert_eq!(publish(&bus).await.unwrap().offset, 30);
        assert!(publish(&bus).await.is_err());
        let beyond = reader.commit(Position { offset: 41, ..from }, generation).await;
        assert!(matches!(beyond, Err(Error::InvalidCommit { end: 40, .. })), "{beyond:?}");
    }

    #[tokio::test]
    async fn what_is_dropped_is_told() {
        let bus = bus(WhenFull::DropOldest);
        let mut reader = bus.subscribe(Topic::Events, "rules".into(), committed()).await.unwrap();
        let Ok(Delivery::Assigned { from, .. }) = reader.next().await else { panic!() };
        for _ in 0..5 {
            publish(&bus).await.unwrap();
        }
        let to = Position { offset: 20, ..from };
        assert_eq!(reader.next().await.unwrap(), Delivery::Gap { from, to });
        let Ok(Delivery::Records(records)) = reader.next().await else { panic!() };
        assert_eq!((records[0].position, records.len()), (to, 3));
    }
}
