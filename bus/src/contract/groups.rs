//! The promises of the bus to readers that share a group: each record is dealt with by one of
//! them, whoever comes and goes.

use super::*;

pub(super) async fn readers_of_a_group_share_and_a_late_commit_is_refused(road: Road) {
    let bus = road.bus().await;
    let partitions = bus.bounds(Topic::Events).await.unwrap().len();
    let mut first = Reader::join(&bus, "rules", committed()).await;
    first.until(|reader| reader.generations.len() == partitions).await;
    let before = first.generations.clone();
    let mut second = Reader::join(&bus, "rules", committed()).await;
    second.until(|reader| !reader.generations.is_empty()).await;
    let (&moved, _) = second.generations.iter().next().unwrap();
    first.until(|reader| !reader.generations.contains_key(&moved)).await;
    assert!(first.told.contains(&Delivery::Revoked { partition: moved }));

    let epoch = bus.bounds(Topic::Events).await.unwrap()[0].start.epoch;
    let position = Position { epoch, partition: moved, offset: 0 };
    let late = first.subscription.commit(position, before[&moved]).await;
    assert!(matches!(late, Err(Error::Revoked { .. })), "{late:?}");
    second.commit(position).await.unwrap();

    publish(&bus, &["a", "b", "c", "d", "e", "f"], 0..4).await;
    drop(second);
    let mut all = first.take(24).await;
    all.sort_by_key(|record| record.position);
    all.dedup_by_key(|record| record.position);
    assert_eq!(all.len(), 24, "each once, and what the second left uncommitted too");
}

pub(super) async fn who_goes_on_begins_where_the_other_left(road: Road) {
    let bus = road.bus().await;
    let partitions = bus.bounds(Topic::Events).await.unwrap().len();
    let mut first = Reader::join(&bus, "rules", committed()).await;
    first.until(|reader| reader.generations.len() == partitions).await;
    let mut second = Reader::join(&bus, "rules", committed()).await;
    second.until(|reader| !reader.generations.is_empty()).await;
    first.until(|reader| reader.generations.len() < partitions).await;
    let publisher = Arc::clone(&bus);
    // So many keys that every partition has some.
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"];
    let publishing = tokio::spawn(async move { publish(&publisher, &keys, 0..20).await });
    let leaving = tokio::spawn(async move {
        let (mut dealt_with, mut stands) = (Vec::new(), HashMap::new());
        while dealt_with.len() < 10 {
            let record = second.take(1).await.remove(0);
            match second.commit(record.end()).await {
                Ok(()) => stands.insert(record.position.partition, record.end()),
                // It was taken away in the meantime, and is for the other one to deal with.
                Err(Error::Revoked { .. }) => continue,
                Err(error) => panic!("{error}"),
            };
            dealt_with.push(record.position);
        }
        // What it was given and did not commit comes again.
        (dealt_with, stands)
    });
    let mut dealt_with = Vec::new();
    while !leaving.is_finished() {
        if tokio::time::timeout(Duration::from_millis(100), first.step()).await.is_ok() {
            dealt_with.extend(commit_all(&mut first).await);
        }
    }
    let (by_second, stands) = leaving.await.unwrap();
    publishing.await.unwrap();
    let all = bounds_end(&bus).await;
    dealt_with.extend(by_second);
    while dealt_with.len() < all {
        first.step().await;
        dealt_with.extend(commit_all(&mut first).await);
    }
    let total = dealt_with.len();
    dealt_with.sort();
    dealt_with.dedup();
    assert_eq!((dealt_with.len(), total), (320, 320), "each record, and none twice");
    for stood in stands.values() {
        let begun =
            |told: &Delivery| matches!(told, Delivery::Assigned { from, .. } if from == stood);
        assert!(first.told.iter().any(begun), "{stood:?} in {:?}", first.told);
    }
    let lag = bus.lag(Topic::Events, "rules".into()).await.unwrap();
    assert!(lag.iter().all(|lag| lag.events == 0), "{lag:?}");
}

async fn bounds_end(bus: &Arc<dyn Bus>) -> usize {
    let bounds = bus.bounds(Topic::Events).await.unwrap();
    bounds.iter().map(|bounds| usize::try_from(bounds.end).unwrap()).sum()
}

/// Commits one record after the other, and returns those that were still the reader's.
async fn commit_all(reader: &mut Reader) -> Vec<Position> {
    let mut dealt_with = Vec::new();
    for record in std::mem::take(&mut reader.seen) {
        match reader.commit(record.end()).await {
            Ok(()) => dealt_with.push(record.position),
            Err(Error::Revoked { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    dealt_with
}
