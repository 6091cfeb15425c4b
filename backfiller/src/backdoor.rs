//! What an operator can reach in the backfiller: peers and their rounds, what is missing where,
//! and how much is fetched at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::backdoor::{
    Array, Caller, Dynamic, EvalAltResult, Map, NativeCallContext, Outcome, Registry, count,
    failure, hour_of, list, maybe, seconds, time,
};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::Context;
use crate::item::Place;
use crate::options::MOST_AT_ONCE;
use crate::plan::Rules;
use crate::round::{self, Report, Task};
use crate::site::{RealSite, Site};
use crate::watch::{LastRound, Watched};
use crate::{metrics, missing};

/// So many names of files are listed.
const MOST_NAMES: usize = 2000;

/// A peer as a value.
#[derive(Debug, Clone)]
struct Peer(Arc<Watched>);

/// Registers everything.
pub(crate) fn registry(context: &Arc<Context>) -> Registry {
    let mut registry = Registry::new("backfiller");
    peers(&mut registry, context);
    incomplete(&mut registry, context);
    act(&mut registry, context);
    registry
}

fn peers(registry: &mut Registry, context: &Arc<Context>) {
    registry
        .kind::<Peer>("peer")
        .field("name", "what it is called", |peer| {
            peer.0.target.peer.to_string().into()
        })
        .field("url", "where it is", |peer| peer.0.url.to_string().into())
        .field("paused", "true if it is asked nothing", |peer| {
            peer.0.is_paused().into()
        })
        .field("state", "what its worker does, or waits for", |peer| {
            peer.0.status().state.into()
        })
        .field("state_age", "for how many seconds", |peer| {
            seconds(peer.0.status().since.elapsed())
        })
        .field("place", "the hour that its round is at", |peer| {
            maybe(peer.0.target.place().map(|place| place.to_string()))
        })
        .field(
            "missing",
            "files that it has and this node has not",
            |peer| {
                count(
                    missing::all(Some(&peer.0.target.peer))
                        .iter()
                        .map(|it| it.2)
                        .sum::<i64>(),
                )
            },
        )
        .field("in_flight", "downloads under way", |peer| {
            let labels = [&*peer.0.target.peer];
            metrics::IN_FLIGHT.with_label_values(&labels).get().into()
        })
        .field("rounds", "rounds done", |peer| {
            count(peer.0.status().rounds)
        })
        .field("failures", "failed rounds in a row", |peer| {
            count(peer.0.status().failures)
        })
        .field("last_round", "what the last one did", |peer| {
            maybe(peer.0.status().last.map(last_round))
        })
        .field("last_error", "why it failed", |peer| {
            maybe(peer.0.status().last.and_then(|last| last.error))
        })
        .field("extras_error", "why its extras failed", |peer| {
            maybe(peer.0.status().extras_error)
        })
        .done();
    let shared = Arc::clone(context);
    registry.function("peers()", "all peers", move || {
        Ok(list(shared.peers.all().into_iter().map(Peer)))
    });
    let shared = Arc::clone(context);
    registry.function("peer(name)", "the one of this name", move |name: &str| {
        let peer = shared.peers.get(name);
        let peer = peer.ok_or_else(|| failure(format!("there is no peer '{name}'")))?;
        Ok(Dynamic::from(Peer(peer)))
    });
}

fn last_round(last: LastRound) -> Map {
    Map::from_iter([
        ("ended".into(), time(last.ended)),
        ("seconds".into(), seconds(last.took)),
        ("hours".into(), count(last.hours)),
        ("missing".into(), count(last.missing)),
        ("segments".into(), count(last.segments)),
        ("bytes".into(), count(last.bytes)),
        ("failures".into(), count(last.failures)),
    ])
}

fn incomplete(registry: &mut Registry, context: &Arc<Context>) {
    let listed = |peer: Option<&str>| -> Outcome {
        let missing = missing::all(peer).into_iter().map(|(peer, place, files)| {
            let mut map = of_place(&place);
            map.insert("peer".into(), peer.into());
            map.insert("files".into(), files.into());
            Dynamic::from(map)
        });
        Ok(missing.collect::<Array>().into())
    };
    registry.function(
        "missing()",
        "hours of which something is missing here, as the last rounds saw it",
        move || listed(None),
    );
    registry.function("missing(peer)", "those at a peer", move |peer: Peer| {
        listed(Some(&peer.0.target.peer))
    });
    let shared = Arc::clone(context);
    registry.function(
        "missing(peer, channel, quality, hour)",
        "asks the peer now what of an hour (2026-01-02T03) is missing here",
        move |call: NativeCallContext<'_>, peer: Peer, channel: &str, quality: &str, hour: &str| {
            let place = place(channel, quality, hour)?;
            let site = RealSite {
                context: &shared,
                target: &peer.0.target,
                beside: false,
            };
            let rules = Rules::new(&shared.options, site.now());
            let looked = Caller::of(&call)?.wait(site.missing(&place, &rules))?;
            let names = looked.map_err(failure)?;
            let names = names.iter().take(MOST_NAMES);
            Ok(names
                .map(|item| Dynamic::from(item.to_string()))
                .collect::<Array>()
                .into())
        },
    );
}

fn act(registry: &mut Registry, context: &Arc<Context>) {
    let shared = Arc::clone(context);
    registry.function(
        "backfill(peer, channel, quality, hour)",
        "fetches now what of an hour is missing here and at the peer",
        move |call: NativeCallContext<'_>, peer: Peer, channel: &str, quality: &str, hour: &str| {
            let place = place(channel, quality, hour)?;
            Ok(backfill(&call, &shared, &peer.0, &place)?.into())
        },
    );
    let shared = Arc::clone(context);
    registry.function(
        "backfill(channel, quality, hour)",
        "the same at all peers, one after the other",
        move |call: NativeCallContext<'_>, channel: &str, quality: &str, hour: &str| {
            let place = place(channel, quality, hour)?;
            let mut done = Array::new();
            for peer in shared.peers.all() {
                done.push(backfill(&call, &shared, &peer, &place)?.into());
            }
            Ok(done.into())
        },
    );
    registry.function(
        "pause(peer)",
        "asks it nothing, from now on; false if that was so already",
        |peer: Peer| Ok(pause(&peer.0, true)),
    );
    registry.function(
        "resume(peer)",
        "goes on with it, with a round now; false if it was not paused",
        |peer: Peer| Ok(pause(&peer.0, false)),
    );
    registry.function("hurry(peer)", "begins its next round now", |peer: Peer| {
        peer.0.hurry();
        Ok(Dynamic::UNIT)
    });
    let shared = Arc::clone(context);
    registry.function(
        "concurrency()",
        "how many files are downloaded at once from each peer",
        move || Ok(count(shared.at_once())),
    );
    let shared = Arc::clone(context);
    registry.function(
        "concurrency(count)",
        "another number, at once; --max-downloads and --max-rate still bound it",
        move |told: i64| {
            let bad = || failure(format!("a number from 1 to {MOST_AT_ONCE} is wanted"));
            let told = u16::try_from(told).map_err(|_| bad())?;
            if !(1..=MOST_AT_ONCE).contains(&told) {
                return Err(bad());
            }
            let before = shared.concurrency.swap(told, Ordering::Relaxed);
            tracing::info!(before, now = told, "another number of downloads at once");
            Ok(count(shared.at_once()))
        },
    );
}

fn pause(peer: &Watched, paused: bool) -> Dynamic {
    let changed = peer.pause(paused);
    if changed {
        tracing::info!(peer = &*peer.target.peer, paused, "an operator's wish");
    }
    changed.into()
}

/// Goes through an hour at a peer, paused or not.
fn backfill(
    call: &NativeCallContext<'_>,
    context: &Arc<Context>,
    peer: &Watched,
    place: &Place,
) -> Result<Map, Box<EvalAltResult>> {
    let site = RealSite {
        context,
        target: &peer.target,
        beside: false,
    };
    let task = Task {
        options: &context.options,
        peer: &peer.target.peer,
        journal: &peer.target.journal,
        refusals: &peer.target.refusals,
        patient: true,
    };
    let work = round::hour(&site, task, place, StdRng::from_rng(&mut rand::rng()));
    let report = Caller::of(call)?.wait(work)?;
    let Report {
        missing,
        segments,
        bytes,
        failures,
        error,
        ..
    } = report;
    let mut map = of_place(place);
    map.extend([
        ("peer".into(), peer.target.peer.to_string().into()),
        ("missing".into(), count(missing)),
        ("segments".into(), count(segments)),
        ("bytes".into(), count(bytes)),
        ("failures".into(), count(failures)),
        ("error".into(), maybe(error.map(|error| error.to_string()))),
    ]);
    Ok(map)
}

fn of_place(place: &Place) -> Map {
    Map::from_iter([
        ("channel".into(), place.channel.to_string().into()),
        ("quality".into(), place.quality.to_string().into()),
        ("hour".into(), place.hour.to_string().into()),
    ])
}

fn place(channel: &str, quality: &str, hour: &str) -> Result<Place, Box<EvalAltResult>> {
    let (channel, quality, hour) = hour_of(channel, quality, hour)?;
    Ok(Place {
        hour,
        channel,
        quality,
    })
}
