//! The filters that cut scenes out of one line of time, join and cross-fade them. Pure: numbers
//! and names of transitions become text, nothing else.

use std::fmt::Write as _;

use chrono::TimeDelta;

use crate::ffmpeg::Transition;
use crate::mpegts::time::ticks;

/// Some of what comes in: pictures shown from `start` on, and before `end`, in ticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scene {
    /// When the first picture is shown.
    pub(super) start: i64,
    /// When the last one is not shown any more.
    pub(super) end: i64,
    /// How long a picture is shown.
    pub(super) frame: i64,
    /// What comes between it and the next one.
    pub(super) join: Join,
}

impl Scene {
    fn length(&self) -> i64 {
        self.end - self.start
    }
}

/// What comes between two scenes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Join {
    /// Nothing.
    Hard,
    /// Both are shown for a while.
    Fade {
        /// How the one becomes the other.
        transition: Transition,
        /// For how long.
        length: TimeDelta,
    },
}

/// A time in seconds, exact to the microsecond.
fn seconds(ticks: i64) -> String {
    let micros = crate::mpegts::time::micros(ticks);
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// The graph: from `[0:v:0]` and `[0:a:0]` to `[v]` and `[a]`.
pub(super) fn graph(scenes: &[Scene], has_video: bool, has_audio: bool) -> String {
    let mut chains = Vec::new();
    if has_video {
        chains.push(video(scenes));
    }
    if has_audio {
        chains.push(audio(scenes));
    }
    chains.join(";")
}

fn video(scenes: &[Scene]) -> String {
    // Of what xfade wants, the same count of time on both sides, and a rate of pictures that is
    // known, the second comes from the stream. (The filter fps would make sure of it, but moves
    // last pictures.)
    // Pictures of another size later on are made as large as the first.
    let mut text = split("[0:v:0]scale,", "split", "s", scenes.len());
    for (number, scene) in scenes.iter().enumerate() {
        let Scene { start, end, .. } = scene;
        let _ = write!(
            text,
            "[s{number}]trim=start_pts={start}:end_pts={},setpts=PTS-{start},settb=AVTB[v{number}];",
            end - scene.frame / 2
        );
    }
    let mut made = scenes.first().map_or(0, Scene::length);
    let mut last = "[v0]".to_owned();
    for (number, pair) in scenes.windows(2).enumerate() {
        let next = number + 1;
        match &pair[0].join {
            Join::Hard => {
                let _ = write!(text, "{last}[v{next}]concat=n=2,settb=AVTB[j{next}];");
                made += pair[1].length();
            }
            Join::Fade { transition, length } => {
                let fade = ticks_of(*length);
                let _ = write!(
                    text,
                    "{last}[v{next}]xfade=transition={}:duration={}:offset={}[j{next}];",
                    transition.as_str(),
                    seconds(fade),
                    // No picture is just there: none is taken for earlier by a rounding.
                    seconds((made - fade - pair[0].frame / 2).max(0)),
                );
                made += pair[1].length() - fade;
            }
        }
        last = format!("[j{next}]");
    }
    text + last.as_str() + "null[v]"
}

fn audio(scenes: &[Scene]) -> String {
    let mut text = split("[0:a:0]", "asplit", "t", scenes.len());
    for (number, scene) in scenes.iter().enumerate() {
        let (start, length) = (seconds(scene.start), seconds(scene.length()));
        // What is missing is silence: each scene's sound is as long as its pictures.
        let _ = write!(
            text,
            "[t{number}]atrim=start={start}:end={},asetpts=PTS-{start}/TB,\
             aresample=async=1000:first_pts=0:flags=+res,apad=whole_dur={length},atrim=end={length}[a{number}];",
            seconds(scene.end),
        );
    }
    let mut last = "[a0]".to_owned();
    for (number, pair) in scenes.windows(2).enumerate() {
        let next = number + 1;
        let _ = match &pair[0].join {
            Join::Hard => write!(text, "{last}[a{next}]concat=n=2:v=0:a=1[k{next}];"),
            Join::Fade { length, .. } => write!(
                text,
                "{last}[a{next}]acrossfade=duration={}[k{next}];",
                seconds(ticks_of(*length))
            ),
        };
        last = format!("[k{next}]");
    }
    text + last.as_str() + "anull[a]"
}

/// One stream for each scene.
fn split(from: &str, filter: &str, name: &str, count: usize) -> String {
    let mut text = format!("{from}{filter}={count}");
    for number in 0..count {
        let _ = write!(text, "[{name}{number}]");
    }
    text + ";"
}

fn ticks_of(length: TimeDelta) -> i64 {
    // At most a minute: it fits.
    ticks(length.num_microseconds().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(start: i64, end: i64, join: Join) -> Scene {
        Scene {
            start,
            end,
            frame: 3600,
            join,
        }
    }

    #[test]
    fn one_scene_is_cut_out() {
        let graph = graph(&[scene(90_000, 270_000, Join::Hard)], true, true);
        assert_eq!(
            graph,
            "[0:v:0]scale,split=1[s0];[s0]trim=start_pts=90000:end_pts=268200,setpts=PTS-90000,settb=AVTB[v0];[v0]null[v];\
             [0:a:0]asplit=1[t0];[t0]atrim=start=1.000000:end=3.000000,asetpts=PTS-1.000000/TB,\
             aresample=async=1000:first_pts=0:flags=+res,apad=whole_dur=2.000000,atrim=end=2.000000[a0];[a0]anull[a]"
        );
    }

    #[test]
    fn scenes_are_joined_and_cross_faded() {
        let fade = Join::Fade {
            transition: Transition::of("wipeleft"),
            length: TimeDelta::milliseconds(500),
        };
        let scenes = [
            scene(0, 180_000, fade),
            scene(900_000, 1_080_000, Join::Hard),
            scene(1_800_000, 1_980_000, Join::Hard),
        ];
        let video = graph(&scenes, true, false);
        for part in [
            "split=3[s0][s1][s2];",
            "[s1]trim=start_pts=900000:end_pts=1078200,setpts=PTS-900000,settb=AVTB[v1];",
            "[v0][v1]xfade=transition=wipeleft:duration=0.500000:offset=1.480000[j1];",
            "[j1][v2]concat=n=2,settb=AVTB[j2];[j2]null[v]",
        ] {
            assert!(video.contains(part), "{part}: {video}");
        }
        let audio = graph(&scenes, false, true);
        for part in [
            "[a0][a1]acrossfade=duration=0.500000[k1];",
            "[k1][a2]concat=n=2:v=0:a=1[k2];[k2]anull[a]",
        ] {
            assert!(audio.contains(part), "{part}: {audio}");
        }
    }
}
