//! Segments on one line of time: which instant has which time there, and the packets with these
//! times (`feed`).

mod feed;

use super::graph::{Frame, Join, Scene};
use super::model::Model;
use super::placed::{Placed, lead_of};
use crate::cut::load::{LoadError, load};
use crate::cut::plan::Clip;
use crate::cut::sound::form;
use crate::cut::stretch::{Source, Stretch};
use crate::ffmpeg::Job;
use crate::footage::{Footage, Picture};
use crate::mpegts::audio::Form;
use crate::mpegts::tables::{Codec, Stream};
use crate::mpegts::time::{TICKS_A_SECOND, ticks};
use crate::mpegts::video::Access;

/// From one stretch to the next: more than segments before and after reach, so that nothing of
/// one is taken for the other's.
const APART: i64 = 120 * TICKS_A_SECOND;

/// So much of the time before a stretch is needed at most; else its first pictures are lost.
const MAX_BEFORE: i64 = 60 * TICKS_A_SECOND;

/// Sound may begin so much later than the picture without being missed.
const SOUND_TOLERANCE: i64 = TICKS_A_SECOND / 40;

/// What is to be fed, and what it looks like.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) scenes: Vec<Scene>,
    pub(super) has_video: bool,
    pub(super) has_audio: bool,
    /// What the first of it is like, and the program as which all of it is fed.
    pub(super) model: Option<Model>,
    /// What its sound is like, if that matters.
    sound: Option<Form>,
    /// True iff only sound is fed.
    sound_only: bool,
    /// Each with where its stretch is.
    sources: Vec<(Placed, Source)>,
}

impl Layout {
    /// Looks at the edges of each clip.
    pub(super) async fn of(job: &Job, clips: Vec<Clip>) -> Result<Layout, LoadError> {
        Layout::with(job, clips, false).await
    }

    /// The same for sound alone, which is cut where the clips are, whatever is shown.
    pub(super) async fn of_sound(job: &Job, clips: Vec<Clip>) -> Result<Layout, LoadError> {
        Layout::with(job, clips, true).await
    }

    async fn with(job: &Job, clips: Vec<Clip>, sound_only: bool) -> Result<Layout, LoadError> {
        let mut layout = Layout {
            sound_only,
            scenes: Vec::new(),
            has_video: false,
            has_audio: false,
            model: None,
            sound: None,
            sources: Vec::new(),
        };
        for clip in clips {
            let before = layout.scenes.len();
            for stretch in clip.stretches {
                layout.add(job, stretch).await?;
            }
            // Between the stretches of a clip is a hole, which is left out: a hard cut.
            if let (Some(fade), Some(last)) = (clip.fade, layout.scenes[before..].last_mut()) {
                last.join = Join::Fade {
                    transition: fade.transition,
                    length: fade.length,
                };
            }
        }
        if layout.scenes.is_empty() {
            return Err(LoadError::Nothing);
        }
        Ok(layout)
    }

    async fn add(&mut self, job: &Job, mut stretch: Stretch) -> Result<(), LoadError> {
        let previous = self.scenes.last().map_or(0, |scene| scene.end);
        let placed = Placed {
            from: stretch.from.timestamp_micros(),
            base: previous + APART,
            first: None,
        };
        let Some(head) = self.head(job, &mut stretch).await? else {
            return Ok(());
        };
        let Some(last) = stretch.sources.last() else {
            return Ok(());
        };
        let tail = load(job, last).await?.footage;
        let placed = Placed {
            first: Some((placed.shift(&head), lead_of(&head))),
            ..placed
        };
        let has_video = head.main.codec.is_video() && !self.sound_only;
        self.has_video |= has_video;
        self.know(&head, true);
        self.know(&tail, false);
        // What comes first may be a short advertisement: the rest need not sound as it does.
        let coded = self.model.as_ref().and_then(Model::sound);
        let is_it = |form: &Form| coded.is_some_and(|sound| sound.codec == form.codec);
        let found = || [&tail, &head].into_iter().filter_map(form).find(is_it);
        self.sound = self.sound.or_else(found);
        let (from, until) = (placed.from, stretch.until.timestamp_micros());
        let mut scene = Scene {
            start: placed.base,
            last: placed.base + ticks(until - from) - 1,
            end: placed.base + ticks(until - from),
            frames: [frame(&[]); 2],
            join: Join::Hard,
        };
        if has_video {
            let pictures = head.pictures();
            scene.frames[0] = frame(&pictures);
            let is_wanted = |picture: &&Picture| picture.instant >= from && picture.instant < until;
            let shown = |footage: &Footage, picture: &Picture| picture.pts + placed.shift(footage);
            if let Some(picture) = pictures
                .iter()
                .filter(is_wanted)
                .min_by_key(|picture| picture.pts)
            {
                scene.start = shown(&head, picture);
            }
            let last = tail.pictures();
            scene.frames[1] = frame(&last);
            match last
                .iter()
                .filter(is_wanted)
                .max_by_key(|picture| picture.pts)
            {
                Some(picture) => {
                    scene.last = shown(&tail, picture);
                    scene.end = scene.last + ends_after(picture, &last, scene.frames[1]);
                }
                // Its pictures all come later: the one before it is whole.
                None => {
                    scene.end = tail.shown + placed.shift(&tail);
                    scene.last = scene.end - scene.frames[1].times(1) / 2;
                }
            }
            if scene.end <= scene.start {
                return Ok(());
            }
        }
        for source in self.before(job, &stretch, &head, placed, &scene).await? {
            self.sources.push((placed, source));
        }
        let after = stretch.after;
        let sources = stretch.sources.into_iter();
        self.sources.extend(sources.map(|source| (placed, source)));
        // Without it some sound may be missing at the end, and that is all.
        if let Some(after) = after
            && load(job, &after).await.is_ok()
        {
            self.sources.push((placed, after));
        }
        self.scenes.push(scene);
        Ok(())
    }

    /// The segment of a stretch with the first picture that is wanted. If that comes in the second one, the
    /// first is none of the stretch: what is shown as it begins is not wanted.
    async fn head(&self, job: &Job, stretch: &mut Stretch) -> Result<Option<Footage>, LoadError> {
        let Some(first) = stretch.sources.first() else {
            return Ok(None);
        };
        let head = load(job, first).await?.footage;
        let from = stretch.from.timestamp_micros();
        let has_wanted = |footage: &Footage| {
            let pictures = footage.pictures();
            pictures.iter().any(|picture| picture.instant >= from)
        };
        if self.sound_only || head.pictures().is_empty() || has_wanted(&head) {
            return Ok(Some(head));
        }
        let Some(second) = stretch.sources.get(1) else {
            return Ok(Some(head));
        };
        let second = load(job, second).await?.footage;
        if !has_wanted(&second) {
            return Ok(Some(head));
        }
        let passed = stretch.sources.remove(0);
        stretch.before.push(passed);
        Ok(Some(second))
    }

    /// Notes what a segment at an edge is like. What is fed has sound from the start on, if any of these
    /// has.
    fn know(&mut self, footage: &Footage, is_head: bool) {
        let model = Model::of(footage);
        // Before sound that begins later there has to be silence, which we have of one kind.
        let counts = |sound: &Stream| is_head || sound.codec == Codec::Adts;
        let has_sound = model.sound().as_ref().is_some_and(counts);
        match &mut self.model {
            None => self.model = Some(model),
            Some(known) => {
                let same_video = model.program.video().map(|stream| stream.codec)
                    == known.program.video().map(|stream| stream.codec);
                if has_sound && known.sound().is_none() && same_video {
                    known.sounds_like(model);
                }
            }
        }
        self.has_audio |= has_sound;
    }

    /// Which of the segments before a stretch its first pictures, or its first sound, need.
    async fn before(
        &self,
        job: &Job,
        stretch: &Stretch,
        head: &Footage,
        placed: Placed,
        scene: &Scene,
    ) -> Result<Vec<Source>, LoadError> {
        let mut pictures = head.pictures();
        if self.sound_only {
            pictures.clear();
        }
        let shift = placed.shift(head);
        // The first key picture that what is wanted can be decoded from.
        let key = pictures
            .iter()
            .position(|picture| picture.access != Access::None);
        let is_lost = |picture: &Picture| picture.pts + shift >= scene.start;
        let lacks_pictures = match key {
            None => !pictures.is_empty(),
            Some(key) => {
                let leads = pictures[key].access == Access::Open;
                let leading = pictures[key..]
                    .iter()
                    .filter(|picture| picture.pts < pictures[key].pts);
                pictures[..key].iter().any(is_lost)
                    || leads && leading.copied().any(|picture| is_lost(&picture))
            }
        };
        let sound = head
            .media
            .units
            .iter()
            .filter(|unit| unit.codec.is_audio())
            .map(|unit| unit.pts)
            .min();
        let lacks_sound = sound.is_some_and(|first| first + shift > scene.start + SOUND_TOLERANCE);
        let mut needed = Vec::new();
        if !lacks_pictures && !lacks_sound {
            return Ok(needed);
        }
        for source in stretch.before.iter().rev() {
            let earlier = ticks(placed.from - source.segment.start_micros());
            if earlier > MAX_BEFORE {
                break;
            }
            let Ok(footage) = load(job, source).await.map(|loaded| loaded.footage) else {
                break;
            };
            needed.insert(0, source.clone());
            let has_key = footage
                .pictures()
                .iter()
                .any(|picture| picture.access != Access::None);
            if has_key || !lacks_pictures {
                break;
            }
        }
        Ok(needed)
    }
}

/// How long a picture is shown: what those are on average that are about as most.
fn frame(pictures: &[Picture]) -> Frame {
    let mut times: Vec<i64> = pictures.iter().map(|picture| picture.pts).collect();
    times.sort_unstable();
    let mut lengths: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    lengths.retain(|length| *length > 0);
    lengths.sort_unstable();
    let middle = lengths.get(lengths.len() / 2).copied().unwrap_or(0);
    lengths.retain(|length| (middle / 2 + 1..middle * 3 / 2 + 1).contains(length));
    Frame::of(lengths.iter().sum(), lengths.len() as i64)
}

/// How long the last picture that is wanted is shown: until the next one, if that comes in time.
fn ends_after(last: &Picture, pictures: &[Picture], frame: Frame) -> i64 {
    let later = pictures.iter().map(|picture| picture.pts - last.pts);
    let next = later.filter(|after| *after > 0).min();
    next.unwrap_or(frame.times(1)).min(frame.times(2))
}
