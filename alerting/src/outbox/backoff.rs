//! When to try again.

use std::time::Duration;

use rand::Rng;

/// Delay after the first failure; it doubles with each further one.
const FIRST: Duration = Duration::from_secs(1);

/// Longest delay of our own: a receiver that is back hears of everything within five minutes.
const LONGEST: Duration = Duration::from_secs(300);

/// Longest delay that a receiver may ask for; past this it would be a way to silence us.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// Exponential, with the second half of it random, so that a thousand notifications that failed
/// together do not come back together; never sooner than the receiver asked.
pub(super) fn delay(
    attempts: u64,
    retry_after: Option<Duration>,
    random: &mut impl Rng,
) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    let whole = FIRST.saturating_mul(2u32.saturating_pow(doublings)).min(LONGEST);
    let jittered = whole.mul_f64(random.random_range(0.5..=1.0));
    let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
    jittered.max(asked)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn doubles_up_to_a_bound_with_jitter() {
        let mut random = StdRng::seed_from_u64(1);
        for attempts in 1..200u64 {
            let delay = delay(attempts, None, &mut random);
            let whole = Duration::from_secs(1 << (attempts - 1).min(9)).min(LONGEST);
            assert!(delay >= whole / 2 && delay <= whole, "{attempts}: {delay:?}");
        }
        let several: Vec<_> = (0..8).map(|_| delay(5, None, &mut random)).collect();
        assert!(several.windows(2).any(|pair| pair[0] != pair[1]), "no jitter");
    }

    #[test]
    fn the_receivers_wish_is_honoured_within_reason() {
        let mut random = StdRng::seed_from_u64(1);
        let asked = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(delay(1, asked(120), &mut random), Duration::from_secs(120));
        assert_eq!(delay(1, asked(u64::MAX), &mut random), RETRY_AFTER_MAX);
        assert!(delay(9, asked(1), &mut random) > Duration::from_secs(100));
    }
}
