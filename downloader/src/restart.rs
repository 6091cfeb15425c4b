//! What crashed begins again.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use common::names::Channel;
use common::tasks::panic_text;
use futures::FutureExt;
use tokio_util::sync::CancellationToken;

/// A channel that crashes at every look must not do so all the time.
const PAUSE: Duration = Duration::from_secs(5);

/// Runs what records a channel, and again if it panics: what others look after must not be given
/// up for one fault. What it holds goes with it; it finds anew what it needs.
pub(crate) async fn until_it_ends<F: Future<Output = ()>>(
    channel: &Channel,
    stop: &CancellationToken,
    mut start: impl FnMut() -> F,
) {
    while let Err(cause) = AssertUnwindSafe(start()).catch_unwind().await {
        let cause = panic_text(&*cause).unwrap_or_default();
        tracing::error!(%channel, cause, "the manager of a channel crashed; it is started again");
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_panics_is_started_again_until_it_ends_or_is_stopped() {
        let channel = Channel::new("c").unwrap();
        let stop = CancellationToken::new();
        let mut starts = 0;
        until_it_ends(&channel, &stop, || {
            starts += 1;
            let crashes = starts < 3;
            async move { assert!(!crashes, "a test") }
        })
        .await;
        assert_eq!(starts, 3);
        stop.cancel();
        until_it_ends(&channel, &stop, || async { panic!("a test") }).await;
    }
}
