//! `--delete-old`: whole hours before `--start` go, but not their tombstones (SPEC §6). What is
//! deleted, and that nothing else is, `common::store` sees to.

use std::collections::HashSet;

use chrono::Utc;
use common::names::{Channel, Quality};
use common::segment::Hour;
use common::store::StoreError;
use common::timing::jitter;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::Context;
use crate::metrics;

/// Deletes what is old, and again after every interval (with `--run-once`: once), until `stop`.
/// Does nothing without `--delete-old` and `--start`.
pub async fn run(context: &Context, stop: &CancellationToken) {
    let options = &context.options;
    if !options.delete_old {
        return;
    }
    let mut said = HashSet::new();
    while let Some(first) = options.first_hour(Utc::now()) {
        delete(context, first, &mut said, stop).await;
        if options.run_once {
            return;
        }
        let pause = sleep(jitter(options.interval));
        if stop.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}

/// Deletes the hours before `first`. A failure is `said` once.
async fn delete(
    context: &Context,
    first: Hour,
    said: &mut HashSet<String>,
    stop: &CancellationToken,
) {
    let options = &context.options;
    let (mut hours, mut segments, mut bytes) = (0, 0, 0);
    for channel in &options.channels {
        for quality in &options.qualities {
            let old = hours_before(context, channel, quality, first).await;
            for hour in say(old, said).unwrap_or_default() {
                if stop.is_cancelled() {
                    return;
                }
                let (store, channel, quality) =
                    (context.store.clone(), channel.clone(), quality.clone());
                let labels = [channel.to_string(), quality.to_string(), hour.to_string()];
                let work = move || Ok(store.delete_hour(&channel, &quality, hour));
                let Some((deleted, error)) = say(blocking(work).await, said) else {
                    continue;
                };
                // What is gone is gone, whatever stays.
                say(error.map_or(Ok(()), Err), said);
                if deleted.files > 0 {
                    metrics::SEGMENTS_DELETED
                        .with_label_values(&labels)
                        .inc_by(deleted.files);
                    hours += 1;
                    segments += deleted.files;
                    bytes += deleted.bytes;
                }
            }
        }
    }
    if hours > 0 {
        tracing::info!(before = %first, hours, segments, bytes, "deleted what was old");
    }
}

async fn hours_before(
    context: &Context,
    channel: &Channel,
    quality: &Quality,
    first: Hour,
) -> Result<Vec<Hour>, StoreError> {
    let (store, channel, quality) = (context.store.clone(), channel.clone(), quality.clone());
    let hours = blocking(move || store.hours(&channel, &quality)).await?;
    Ok(hours.into_iter().filter(|hour| *hour < first).collect())
}

async fn blocking<T: Default + Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    // A thread is lost when the process ends: the next one deletes the rest.
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Ok(T::default()))
}

fn say<T>(outcome: Result<T, StoreError>, said: &mut HashSet<String>) -> Option<T> {
    match outcome {
        Ok(done) => Some(done),
        Err(error) => {
            let error = error.to_string();
            if said.insert(error.clone()) {
                tracing::warn!(error, "cannot delete what is old");
            }
            None
        }
    }
}
