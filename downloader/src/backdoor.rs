//! What an operator can reach in the downloader: channels, workers and getters, and what can be
//! done about them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::backdoor::{Dynamic, Registry, count, failure, list, maybe, seconds, time};
use tokio::sync::mpsc;

use crate::channel::{ChannelKind, ChannelSpec};
use crate::watch::{Channels, Fetching, WatchedChannel, WatchedWorker};

/// A channel as a value.
#[derive(Debug, Clone)]
struct Channel(Arc<WatchedChannel>);

/// A worker as a value, with its channel.
#[derive(Debug, Clone)]
struct Worker(Arc<WatchedWorker>, Arc<WatchedChannel>);

/// A getter as a value, with its worker.
#[derive(Debug, Clone)]
struct Getter(Arc<Fetching>, Arc<WatchedWorker>);

/// Registers everything. What is to be recorded as well goes into `added`, if `check` has nothing
/// against it.
pub(crate) fn registry(
    channels: &Arc<Channels>,
    added: mpsc::UnboundedSender<ChannelSpec>,
    check: impl Fn(&ChannelSpec) -> Result<(), String> + Send + Sync + 'static,
) -> Registry {
    let mut registry = Registry::new("downloader");
    kinds(&mut registry);
    look(&mut registry, channels);
    act(&mut registry);
    let shared = Arc::clone(channels);
    registry.function(
        "add_channel(spec)",
        "records another one as well, NAME[!][:TYPE:URL], until this process ends",
        move |spec: &str| {
            let spec: ChannelSpec = spec.parse().map_err(failure)?;
            check(&spec).map_err(failure)?;
            let name = spec.name.clone();
            if find(&shared, name.as_str()).is_some() {
                return Err(failure(format!("channel {name} is recorded already")));
            }
            tracing::info!(channel = %name, "an operator adds a channel");
            added
                .send(spec)
                .map_err(|_| failure("the process is stopping"))?;
            Ok(Dynamic::UNIT)
        },
    );
    registry
}

fn kinds(registry: &mut Registry) {
    registry
        .kind::<Channel>("channel")
        .field("name", "what it is recorded as", |channel| {
            maybe(channel.0.spec.as_ref().map(|spec| spec.name.to_string()))
        })
        .field("from", "where it comes from", |channel| {
            maybe(channel.0.spec.as_ref().map(|spec| match &spec.kind {
                ChannelKind::Twitch => "twitch".to_owned(),
                ChannelKind::Youtube(url) | ChannelKind::Url(url) => {
                    common::http::shown(url).to_string()
                }
            }))
        })
        .field("important", "true if it is expected to be up", |channel| {
            channel
                .0
                .spec
                .as_ref()
                .is_some_and(|spec| spec.important)
                .into()
        })
        .field("age", "seconds since it was added", |channel| {
            seconds(channel.0.since.elapsed())
        })
        .field(
            "live",
            "true if the last look found its playlists",
            |channel| channel.0.status().live.into(),
        )
        .field("looked", "how many seconds ago that was", |channel| {
            maybe(channel.0.status().looked.map(|at| seconds(at.elapsed())))
        })
        .field("last_error", "why it found none", |channel| {
            maybe(channel.0.status().last_error)
        })
        .field("workers", "how many workers it has", |channel| {
            count(channel.0.workers().len())
        })
        .done();
    registry
        .kind::<Worker>("worker")
        .field("channel", "of which channel", |worker| {
            worker.0.channel.to_string().into()
        })
        .field("quality", "and which quality", |worker| {
            worker.0.quality.to_string().into()
        })
        .field("generation", "the how-manyeth it is", |worker| {
            count(worker.0.generation)
        })
        .field("url", "its playlist", |worker| {
            worker.0.url.to_string().into()
        })
        .field("age", "seconds since it began", |worker| {
            seconds(worker.0.since.elapsed())
        })
        .field("state", "what it does, or waits for", |worker| {
            worker.0.status().state.into()
        })
        .field("state_age", "for how many seconds", |worker| {
            seconds(worker.0.status().since.elapsed())
        })
        .field("polls", "looks at its playlist", |worker| {
            count(worker.0.polls.load(Ordering::Relaxed))
        })
        .field("segments", "what it has recorded", |worker| {
            count(worker.0.segments.load(Ordering::Relaxed))
        })
        .field("bytes", "how much that is", |worker| {
            count(worker.0.bytes.load(Ordering::Relaxed))
        })
        .field("queued", "segments that wait for a getter", |worker| {
            count(worker.0.queued.load(Ordering::Relaxed))
        })
        .field("getters", "how many are at work", |worker| {
            count(worker.0.getters().len())
        })
        .field("last_error", "why a poll failed last", |worker| {
            maybe(worker.0.status().last_error)
        })
        .done();
    registry
        .kind::<Getter>("getter")
        .field("channel", "of which channel", |getter| {
            getter.1.channel.to_string().into()
        })
        .field("quality", "and which quality", |getter| {
            getter.1.quality.to_string().into()
        })
        .field("generation", "of which worker", |getter| {
            count(getter.1.generation)
        })
        .field("start", "of its segment", |getter| time(getter.0.start))
        .field("url", "of its segment", |getter| {
            getter.0.url.to_string().into()
        })
        .field("age", "seconds since it was first tried", |getter| {
            seconds(getter.0.since.elapsed())
        })
        .field("attempts", "requests made so far", |getter| {
            count(getter.0.attempts.load(Ordering::Relaxed))
        })
        .field("bytes", "received so far, by all of them", |getter| {
            count(getter.0.bytes.load(Ordering::Relaxed))
        })
        .field("last_error", "why one failed", |getter| {
            maybe(getter.0.last_error())
        })
        .done();
}

fn look(registry: &mut Registry, channels: &Arc<Channels>) {
    let shared = Arc::clone(channels);
    registry.function("channels()", "what is recorded", move || {
        Ok(list(shared.all().into_iter().map(Channel)))
    });
    let shared = Arc::clone(channels);
    registry.function(
        "channel(name)",
        "the one of this name",
        move |name: &str| {
            let channel = find(&shared, name);
            let channel =
                channel.ok_or_else(|| failure(format!("there is no channel '{name}'")))?;
            Ok(Dynamic::from(Channel(channel)))
        },
    );
    let shared = Arc::clone(channels);
    registry.function(
        "workers()",
        "who polls playlists: one for each quality, two during a hand-over",
        move || Ok(list(shared.all().iter().flat_map(workers))),
    );
    registry.function(
        "workers(channel)",
        "those of a channel",
        |channel: Channel| Ok(list(workers(&channel.0))),
    );
    let shared = Arc::clone(channels);
    registry.function("getters()", "who downloads segments now", move || {
        Ok(list(
            shared.all().iter().flat_map(workers).flat_map(getters),
        ))
    });
    registry.function("getters(worker)", "those of a worker", |worker: Worker| {
        Ok(list(getters(worker)))
    });
}

fn act(registry: &mut Registry) {
    registry.function(
        "refresh(channel)",
        "looks now where its playlists are",
        |channel: Channel| {
            channel.0.wish(None);
            Ok(Dynamic::UNIT)
        },
    );
    registry.function(
        "successor(worker)",
        "has another take over, with a fresh URL; this one goes on until that one works",
        |worker: Worker| {
            worker.1.wish(Some(worker.0.quality.clone()));
            Ok(Dynamic::UNIT)
        },
    );
    registry.function(
        "stop(worker)",
        "has it poll no more; its channel gives the quality another one",
        |worker: Worker| {
            let (channel, quality) = (&worker.0.channel, &worker.0.quality);
            let generation = worker.0.generation;
            tracing::info!(%channel, %quality, generation, "an operator stops a worker");
            worker.0.retire.cancel();
            Ok(Dynamic::UNIT)
        },
    );
    registry.function(
        "remove_channel(channel)",
        "records it no more, once what is under way is here",
        |channel: Channel| {
            let name = channel.0.spec.as_ref().map(|spec| spec.name.to_string());
            tracing::info!(channel = name, "an operator removes a channel");
            channel.0.stop.cancel();
            Ok(Dynamic::UNIT)
        },
    );
}

fn find(channels: &Channels, name: &str) -> Option<Arc<WatchedChannel>> {
    let is_it = |channel: &Arc<WatchedChannel>| {
        let spec = channel.spec.as_ref();
        spec.is_some_and(|spec| spec.name.as_str() == name)
    };
    channels.all().into_iter().find(is_it)
}

fn workers(channel: &Arc<WatchedChannel>) -> Vec<Worker> {
    let workers = channel.workers().into_iter();
    workers
        .map(|worker| Worker(worker, Arc::clone(channel)))
        .collect()
}

fn getters(worker: Worker) -> Vec<Getter> {
    let getters = worker.0.getters().into_iter();
    getters
        .map(|getter| Getter(getter, Arc::clone(&worker.0)))
        .collect()
}
