use std::fs;
use std::sync::Barrier;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::hls::HourLines;
use tempfile::TempDir;

const HASH: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

struct Place {
    base: TempDir,
    index: Index<HourLines>,
    rendition: Arc<Rendition>,
}

impl Place {
    fn new(limit: usize) -> Place {
        let base = TempDir::new().unwrap();
        let index = Index::new(Store::new(base.path()), limit);
        let rendition = Arc::new(Rendition {
            channel: Channel::new("c").unwrap(),
            quality: Quality::new("source").unwrap(),
        });
        Place {
            base,
            index,
            rendition,
        }
    }

    fn hour(n: usize) -> Hour {
        format!("2026-01-{:02}T{:02}", 1 + n / 24, n % 24)
            .parse()
            .unwrap()
    }

    fn directory(&self, hour: usize) -> PathBuf {
        let hour = Self::hour(hour).to_string();
        self.base.path().join("c/source").join(hour)
    }

    fn add(&self, hour: usize, second: usize) {
        let (minute, second) = (second / 60, second % 60);
        let name = format!("{minute:02}:{second:02}.000000-1.0-full-{HASH}.ts");
        fs::create_dir_all(self.directory(hour)).unwrap();
        fs::write(self.directory(hour).join(name), "").unwrap();
    }

    /// How many segments each of these hours has; those that do not exist are left out.
    fn counts(&self, hours: &[usize]) -> Vec<usize> {
        let hours: Vec<Hour> = hours.iter().map(|&n| Self::hour(n)).collect();
        let lines = self.index.hours(&self.rendition, &hours).unwrap();
        lines.iter().map(|lines| lines.segments().len()).collect()
    }

    /// As though nothing had happened to an hour's directory for a long time.
    fn settle(&self, hour: usize) {
        let directory = self.directory(hour);
        while !Stamp::of(&directory)
            .unwrap()
            .is_some_and(|stamp| stamp.is_settled(SystemTime::now()))
        {
            thread::yield_now();
        }
    }

    /// The lines now held of an hour, whoever would look.
    fn held(&self, hour: usize) -> Option<Arc<HourLines>> {
        let key = (Arc::clone(&self.rendition), Self::hour(hour));
        let slot = self.index.held().existing_slot(&key)?;
        let reading = slot.reading.lock().unwrap();
        reading.as_ref().map(|reading| Arc::clone(&reading.content))
    }
}

#[test]
fn every_change_is_seen_at_once() {
    let place = Place::new(1 << 20);
    assert!(place.counts(&[0]).is_empty());
    // As fast as it can: many changes share a tick of the file system's clock.
    for second in 0..500 {
        place.add(0, second);
        assert_eq!(place.counts(&[0]), [second + 1]);
        if second % 50 == 0 {
            place.settle(0);
            assert_eq!(place.counts(&[0]), [second + 1]);
        }
    }
    fs::remove_dir_all(place.directory(0)).unwrap();
    assert!(place.counts(&[0]).is_empty());
    assert_eq!(place.index.size(), (0, 0));
}

#[test]
fn a_directory_put_in_the_place_of_another_is_seen() {
    let place = Place::new(1 << 20);
    place.add(0, 0);
    place.add(1, 0);
    place.add(1, 1);
    place.settle(1);
    assert_eq!(place.counts(&[0, 1]), [1, 2]);
    let (old, new) = (place.directory(0), place.directory(1));
    let aside = place.base.path().join("aside");
    fs::rename(&old, &aside).unwrap();
    fs::rename(&new, &old).unwrap();
    assert_eq!(place.counts(&[0, 1]), [2]);
}

#[test]
fn a_settled_hour_is_read_once_and_hours_come_in_order() {
    let place = Place::new(1 << 20);
    for hour in [0, 1, 3] {
        for second in 0..=hour {
            place.add(hour, second);
        }
        place.settle(hour);
    }
    assert_eq!(place.counts(&[0, 1, 2, 3]), [1, 2, 4]);
    let before = [0, 1, 3].map(|hour| place.held(hour).unwrap());
    assert_eq!(place.counts(&[0, 1, 2, 3]), [1, 2, 4]);
    for (before, hour) in before.iter().zip([0, 1, 3]) {
        assert!(Arc::ptr_eq(before, &place.held(hour).unwrap()));
    }
}

#[test]
fn those_who_ask_at_the_same_time_share_one_reading() {
    let place = Place::new(1 << 20);
    for second in 0..200 {
        place.add(0, second);
    }
    place.settle(0);
    let barrier = Barrier::new(8);
    let seen: Vec<Arc<HourLines>> = thread::scope(|scope| {
        let ask = || {
            barrier.wait();
            let hours = place.index.hours(&place.rendition, &[Place::hour(0)]);
            hours.unwrap().remove(0)
        };
        let asking: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(seen.iter().all(|lines| Arc::ptr_eq(lines, &seen[0])));
}

#[test]
fn with_writers_and_readers_at_once_no_answer_is_older_than_its_request() {
    let place = Place::new(64 << 10);
    let written = AtomicUsize::new(0);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    let before = written.load(Ordering::SeqCst);
                    let counts = place.counts(&[0]);
                    let seen = counts.first().copied().unwrap_or(0);
                    assert!(seen >= before, "{seen} of {before}");
                }
            });
        }
        for second in 0..400 {
            place.add(0, second);
            written.store(second + 1, Ordering::SeqCst);
            if second % 64 == 0 {
                // Now and then the readers get to answer from what they hold.
                place.settle(0);
            }
        }
        done.store(true, Ordering::SeqCst);
    });
}

#[test]
fn memory_is_bounded_and_the_longest_unused_go() {
    let limit = 40 << 10;
    let place = Place::new(limit);
    for hour in 0..40 {
        for second in 0..10 {
            place.add(hour, second);
        }
    }
    place.settle(39);
    for hour in 0..40 {
        assert_eq!(place.counts(&[0, hour]).last(), Some(&10));
        let (_, bytes) = place.index.size();
        assert!(bytes <= limit, "{bytes}");
    }
    let (hours, _) = place.index.size();
    assert!((3..40).contains(&hours), "{hours}");
    assert!(place.held(0).is_some() && place.held(39).is_some());
    assert!(place.held(1).is_none());
    // More than fits, at once: all of it is answered.
    let all: Vec<usize> = (0..40).collect();
    assert_eq!(place.counts(&all), [10; 40]);
}

#[test]
fn a_directory_that_cannot_be_read_is_an_error_and_nothing_is_kept_of_it() {
    let place = Place::new(1 << 20);
    std::os::unix::fs::symlink("loop", place.base.path().join("loop")).unwrap();
    let rendition = Arc::new(Rendition {
        channel: Channel::new("loop").unwrap(),
        quality: Quality::new("source").unwrap(),
    });
    let error = place
        .index
        .hours(&rendition, &[Place::hour(0)])
        .unwrap_err();
    assert!(error.to_string().contains("loop/source"), "{error}");
    assert_eq!(place.index.size(), (0, 0));
}

#[test]
fn what_is_no_longer_held_has_no_weight() {
    let place = Place::new(usize::MAX);
    for second in 0..100 {
        place.add(0, second);
    }
    place.counts(&[0]);
    let (_, before) = place.index.size();
    let Rendition { channel, quality } = &*place.rendition;
    let other = HourLines::new(channel, quality, Place::hour(0), Vec::new(), None);
    place
        .index
        .weigh(&place.rendition, Place::hour(0), &Arc::new(other));
    assert_eq!(place.index.size(), (1, before));
}
