//! The one place where a test may sleep: a condition that nobody can announce is polled.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

/// How often the condition is looked at: short beside any timeout, long beside a poll's cost.
const INTERVAL: Duration = Duration::from_millis(50);

/// Polls `check` every 50 ms until it gives `Ok`, and returns that.
///
/// Use it only for what cannot be awaited, such as a file that another process makes; for
/// requests there is [`crate::origin::Origin::wait_for`], for log lines
/// [`crate::process::Process::wait_for_log`].
///
/// # Panics
/// If the time is over: with `what` was waited for and the last reason that `check` gave.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::time::Duration;
/// let mut left = 3;
/// tests::eventually(Duration::from_secs(5), "the count to reach 0", async || {
///     left -= 1;
///     if left == 0 { Ok(()) } else { Err(format!("{left} left")) }
/// })
/// .await;
/// # });
/// ```
pub async fn eventually<T>(
    timeout: Duration,
    what: &str,
    mut check: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let deadline = Instant::now() + timeout;
    let mut reason = "the first look did not end".to_owned();
    loop {
        match timeout_at(deadline, check()).await {
            Ok(Ok(value)) => return value,
            Ok(Err(why)) => reason = why,
            Err(_) => {}
        }
        assert!(
            Instant::now() < deadline,
            "waited {timeout:?} in vain for {what}: {reason}"
        );
        sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[should_panic(expected = "in vain for the moon: still 1 mile")]
    async fn the_last_reason_is_told() {
        eventually(Duration::from_millis(120), "the moon", async || {
            Err::<(), _>("still 1 mile".to_owned())
        })
        .await;
    }

    #[tokio::test]
    #[should_panic(expected = "the first look did not end")]
    async fn a_look_that_hangs_is_ended() {
        eventually(Duration::from_millis(50), "nothing", async || {
            std::future::pending::<Result<(), String>>().await
        })
        .await;
    }
}
