//! Intervals as the services use them: with jitter, so that a fleet does not act in step.

use std::time::Duration;

use rand::RngExt;

/// The share by which an interval may be longer or shorter (SPEC §5: ±10 %).
const JITTER: f64 = 0.1;

/// The interval, made up to 10 % longer or shorter by chance.
///
/// ```
/// use std::time::Duration;
/// let jittered = common::timing::jitter(Duration::from_secs(10));
/// assert!(jittered >= Duration::from_secs(9) && jittered <= Duration::from_secs(11));
/// ```
#[must_use]
pub fn jitter(interval: Duration) -> Duration {
    interval.mul_f64(rand::rng().random_range(1.0 - JITTER..=1.0 + JITTER))
}

/// The wait before attempt `failures + 1`: `first`, doubled with each failure, `doublings`
/// times at most, with jitter.
#[must_use]
pub fn backoff(first: Duration, failures: u32, doublings: u32) -> Duration {
    jitter(first * 2_u32.pow(failures.saturating_sub(1).min(doublings)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_limit() {
        for (failures, seconds) in [(0, 5.0), (1, 5.0), (2, 10.0), (5, 80.0), (50, 80.0)] {
            let wait = backoff(Duration::from_secs(5), failures, 4).as_secs_f64();
            assert!(
                (seconds * 0.9..=seconds * 1.1).contains(&wait),
                "{failures}: {wait}"
            );
        }
    }
}
