//! What dead processes left: their temporary files go, beside the work, because to look for them
//! takes seconds on a week of recordings. Which they are, and that nothing a living process
//! writes is touched, `common::store` sees to.

use std::sync::Arc;
use std::time::Duration;

use common::store::FRESH;
use common::timing::jitter;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::Context;

/// Who crashes is started again at once as a rule, and what is fresh is left: we look a second
/// time when nothing of that crash is fresh any more.
const SECOND_LOOK: Duration = FRESH.saturating_add(Duration::from_secs(1));

/// And then now and then: others may crash on the same disk.
const INTERVAL: Duration = Duration::from_secs(3600);

/// Removes what was left of our channels and extras, again and again (with `--run-once`: once),
/// until `stop`.
pub(crate) async fn run(context: &Arc<Context>, stop: &CancellationToken) {
    let mut pause = SECOND_LOOK;
    loop {
        let (of, until) = (Arc::clone(context), stop.clone());
        let removing = tokio::task::spawn_blocking(move || remove(&of, &until));
        // It ends soon after `stop`; if the disk does not let it, nobody waits.
        if let Some(Err(error)) = stop.run_until_cancelled(removing).await {
            tracing::error!(%error, "the clean-up ended badly");
        }
        if context.options.run_once || stop.run_until_cancelled(sleep(pause)).await.is_none() {
            return;
        }
        pause = jitter(INTERVAL);
    }
}

/// Looks once, in no more directories when it is to stop. Blocking.
fn remove(context: &Context, stop: &CancellationToken) {
    let go_on = || !stop.is_cancelled();
    let (store, options) = (&context.store, &context.options);
    for channel in options.channels.iter().take_while(|_| go_on()) {
        if let Err(error) = store.remove_leftovers_while(channel, go_on) {
            tracing::warn!(%channel, %error, "cannot look for temporary files of dead processes");
        }
    }
    for directory in options.extras.iter().take_while(|_| go_on()) {
        if let Err(error) = store.remove_leftovers_below(directory.parts()) {
            tracing::warn!(%directory, %error, "cannot look for temporary files of dead processes");
        }
    }
}
