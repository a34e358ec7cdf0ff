//! Which reader of a group reads which partition, on the roads that live in one process.
//!
//! Kafka has a coordinator of its own; this one knows nothing of positions or records.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Generation, Group};

/// The readers of one topic.
#[derive(Debug, Default)]
pub(crate) struct Members {
    groups: Mutex<HashMap<Group, Roster>>,
}

/// Names a reader within its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemberId(u64);

#[derive(Debug, Default)]
struct Roster {
    members: Vec<MemberId>,
    owners: Vec<Option<(MemberId, Generation)>>,
    last_member: u64,
    generation: u64,
}

impl Members {
    /// Adds a reader to `group` and divides the partitions anew.
    pub(crate) fn join(&self, group: &Group, partitions: u32) -> MemberId {
        let mut groups = self.lock();
        let roster = groups.entry(group.clone()).or_default();
        roster.owners.resize(usize::try_from(partitions).unwrap_or(usize::MAX), None);
        roster.last_member = roster.last_member.saturating_add(1);
        let member = MemberId(roster.last_member);
        roster.members.push(member);
        roster.divide();
        member
    }

    /// Removes a reader and divides the partitions among those that are left.
    pub(crate) fn leave(&self, group: &Group, member: MemberId) {
        if let Some(roster) = self.lock().get_mut(group) {
            roster.members.retain(|other| *other != member);
            roster.divide();
        }
    }

    /// What `member` reads, in ascending order of partitions.
    pub(crate) fn assigned(&self, group: &Group, member: MemberId) -> Vec<(u32, Generation)> {
        let groups = self.lock();
        let owners = groups.get(group).map(|roster| roster.owners.as_slice()).unwrap_or_default();
        let mine = (0_u32..).zip(owners).filter_map(|(partition, owner)| match owner {
            Some((owner, generation)) if *owner == member => Some((partition, *generation)),
            _ => None,
        });
        mine.collect()
    }

    /// Whether `member` reads `partition` since `generation`, without interruption.
    pub(crate) fn holds(
        &self,
        group: &Group,
        member: MemberId,
        partition: u32,
        generation: Generation,
    ) -> bool {
        self.assigned(group, member).contains(&(partition, generation))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Group, Roster>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Roster {
    /// Deals the partitions round. Who keeps one keeps its generation: nothing happened to it.
    fn divide(&mut self) {
        let mut dealt = self.members.iter().cycle();
        for slot in &mut self.owners {
            let owner = dealt.next().copied();
            if slot.map(|(owner, _)| owner) == owner {
                continue;
            }
            *slot = owner.map(|owner| {
                self.generation = self.generation.saturating_add(1);
                (owner, Generation(self.generation))
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_divided_and_every_one_has_one_owner() {
        let (members, group) = (Members::default(), Group::from("rules"));
        let first = members.join(&group, 3);
        assert_eq!(members.assigned(&group, first).len(), 3);
        let second = members.join(&group, 3);
        let (a, b) = (members.assigned(&group, first), members.assigned(&group, second));
        assert_eq!((a.len(), b.len()), (2, 1));
        assert!(members.holds(&group, first, 0, Generation(1)), "partition 0 never moved");
        assert!(!members.holds(&group, first, 1, Generation(2)), "partition 1 did");
        members.leave(&group, first);
        assert_eq!(members.assigned(&group, second).len(), 3);
        assert!(members.assigned(&group, first).is_empty());
        members.leave(&group, second);
        let third = members.join(&group, 3);
        let newest = members.assigned(&group, third).into_iter().map(|(_, generation)| generation);
        assert!(newest.min() > Some(Generation(4)), "generations never come back");
    }
}
