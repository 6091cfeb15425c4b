//! What an operator can reach in the restreamer: the index, and the requests that are being
//! answered, cuts among them.

use std::sync::Arc;

use common::backdoor::{Array, Dynamic, Map, Outcome, Registry, count, failure, hour_of, list};
use common::tasks::{self, Running};

use crate::App;
use crate::index::{Index, OfHour, Rendition};

/// So many hours are listed.
const MOST_HOURS: usize = 5000;

/// How the server calls the requests that it is answering.
const REQUEST: &str = "request";

/// What the path of a cut begins with.
const CUT: &str = "/cut/";

/// Registers everything.
pub(crate) fn registry(app: &App) -> Registry {
    let mut registry = Registry::new("restreamer");
    index(&mut registry, app);
    requests(&mut registry);
    registry
}

fn index(registry: &mut Registry, app: &App) {
    let (playlists, listings) = (app.index.clone(), app.listings.clone());
    registry.function(
        "index()",
        "hours held for playlists and for listings: how many, bytes, how often they were of use",
        move || {
            Ok(Map::from_iter([
                ("playlists".into(), state(&playlists)),
                ("listings".into(), state(&listings)),
            ])
            .into())
        },
    );
    let (playlists, listings) = (app.index.clone(), app.listings.clone());
    registry.function("hours()", "the hours held", move || {
        let mut hours = listed(&playlists);
        hours.extend(listed(&listings));
        hours.truncate(MOST_HOURS);
        Ok(hours.into())
    });
    let (playlists, listings) = (app.index.clone(), app.listings.clone());
    registry.function(
        "drop_hour(channel, quality, hour)",
        "lets go of an hour, to be read again when it is wanted; how many indexes held it",
        move |channel: &str, quality: &str, hour: &str| {
            let (channel, quality, hour) = hour_of(channel, quality, hour)?;
            let rendition = Arc::new(Rendition { channel, quality });
            let dropped = [
                playlists.drop_hour(&rendition, hour),
                listings.drop_hour(&rendition, hour),
            ];
            let dropped = dropped.iter().filter(|dropped| **dropped).count();
            let Rendition { channel, quality } = &*rendition;
            tracing::info!(%channel, %quality, %hour, dropped, "dropped from the index");
            Ok(count(dropped))
        },
    );
}

fn state<T: OfHour>(index: &Index<T>) -> Dynamic {
    let (hours, bytes) = index.size();
    let (hits, misses) = index.hits_and_misses();
    let asked = (hits + misses).max(1) as f64;
    let rate = (hits as f64 / asked * 1000.0).round() / 1000.0;
    Map::from_iter([
        ("hours".into(), count(hours)),
        ("bytes".into(), count(bytes)),
        ("limit".into(), count(index.limit())),
        ("hits".into(), count(hits)),
        ("misses".into(), count(misses)),
        ("hit_rate".into(), rate.into()),
    ])
    .into()
}

fn listed<T: OfHour>(index: &Index<T>) -> Array {
    let hours = index.held_hours().into_iter().take(MOST_HOURS);
    let hours = hours.map(|(rendition, hour, bytes)| {
        Dynamic::from(Map::from_iter([
            ("of".into(), T::KIND.into()),
            ("channel".into(), rendition.channel.to_string().into()),
            ("quality".into(), rendition.quality.to_string().into()),
            ("hour".into(), hour.to_string().into()),
            ("bytes".into(), count(bytes)),
        ]))
    });
    hours.collect()
}

fn requests(registry: &mut Registry) {
    registry.function(
        "requests()",
        "the requests that are being answered, as tasks; the oldest first",
        || Ok(list(running(|_| true))),
    );
    registry.function(
        "kill_request(id)",
        "ends one: its client's connection is closed",
        |id: i64| kill(id, |_| true, "request"),
    );
    // A cut lives as long as its request, and takes its ffmpeg with it.
    registry.function("cuts()", "those of them that are cuts", || {
        Ok(list(running(is_cut)))
    });
    registry.function("kill_cut(id)", "ends one, with its ffmpeg", |id: i64| {
        kill(id, is_cut, "cut")
    });
}

fn is_cut(task: &Running) -> bool {
    task.name
        .split(' ')
        .nth(1)
        .is_some_and(|target| target.starts_with(CUT))
}

fn running(which: fn(&Running) -> bool) -> Vec<Running> {
    let mut tasks = tasks::running(usize::MAX);
    tasks.retain(|task| task.kind == REQUEST && which(task));
    tasks
}

fn kill(id: i64, which: fn(&Running) -> bool, what: &str) -> Outcome {
    let number = u64::try_from(id).ok();
    let task = running(which)
        .into_iter()
        .find(|task| Some(task.id) == number);
    let task = task.ok_or_else(|| failure(format!("there is no {what} {id}")))?;
    let ended = task.end();
    tracing::info!(request = task.name, ended, "an operator ends a request");
    Ok(ended.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::tasks::Task;
    use tokio_util::sync::CancellationToken;

    #[test]
    fn a_cut_is_known_by_its_path_and_ended_by_its_number() {
        tasks::keep();
        let begin = |target: &str| {
            let task = Task::begin(REQUEST, || format!("GET {target} from 127.0.0.1:1"));
            let end = CancellationToken::new();
            task.ends_by(&end);
            (task, end)
        };
        let cut = begin("/cut/test/source.ts?start=2026-01-02T03:00:00");
        let other = begin("/segments/cut/cut/x.ts");
        let cuts = running(is_cut);
        assert_eq!(cuts.len(), 1);
        let id = |task: &Running| i64::try_from(task.id).unwrap();
        assert!(kill(id(&cuts[0]) + 1, is_cut, "cut").is_err());
        assert!(!cut.1.is_cancelled());
        assert!(kill(id(&cuts[0]), is_cut, "cut").is_ok());
        assert!(cut.1.is_cancelled() && !other.1.is_cancelled());
        assert_eq!(running(|_| true).len(), 2);
    }
}
