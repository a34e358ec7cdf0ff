//! Work that several threads share for a moment: what is borrowed by them is given back when the
//! call returns.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Does `work` on each item, every item on a thread of its own, and gives the results in order.
/// Where the system refuses a thread, those that there are do its work.
pub(crate) fn each<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let slots: Vec<_> = items.into_iter().map(|item| Mutex::new((Some(item), None))).collect();
    let next = AtomicUsize::new(0);
    let run = &|| {
        while let Some(slot) = slots.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(item) = slot.0.take() {
                slot.1 = Some(work(item));
            }
        }
    };
    thread::scope(|scope| {
        let threads = (1..slots.len())
            .map(|_| thread::Builder::new().name("keng-rules".to_owned()).spawn_scoped(scope, run));
        let _started = threads.take_while(Result::is_ok).count();
        run();
    });
    let done =
        slots.into_iter().map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner));
    done.filter_map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn results_come_in_the_order_of_the_items() {
        let mut lent = [1, 2, 3, 4, 5];
        let doubled = super::each(lent.iter_mut().collect(), |number: &mut i32| {
            *number *= 2;
            *number
        });
        assert_eq!(doubled, [2, 4, 6, 8, 10]);
        assert_eq!(lent, [2, 4, 6, 8, 10]);
        assert_eq!(super::each(Vec::new(), |(): ()| ()), []);
    }
}
