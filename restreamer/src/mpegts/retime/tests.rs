use super::*;
use crate::mpegts::demux::{Damage, Unit, demux};
use crate::mpegts::mux::Muxer;
use crate::mpegts::tables::{Codec, Program, Stream};

const FRAME: i64 = 3600;

/// Pictures that are shown and decoded then.
fn file(times: impl IntoIterator<Item = (i64, i64)>, lead: i64) -> Vec<u8> {
    let program = Program::of(Stream {
        pid: 0x100,
        codec: Codec::H264,
    });
    let mut muxer = Muxer::new(program, lead);
    for (number, (pts, dts)) in times.into_iter().enumerate() {
        let bytes = vec![0, 0, 1, 0x65, number as u8, 7];
        let unit = Unit::new(0x100, Codec::H264, 0xe0, pts, dts, bytes);
        muxer.add(&unit);
    }
    muxer.packets()
}

/// So many pictures from a time on, each decoded `delay` before it is shown.
fn stream(from: i64, count: i64, delay: i64, lead: i64) -> (Vec<u8>, Start) {
    let shown = (0..count).map(|number| from + number * FRAME);
    let start = Start {
        shown: from,
        lowest: from - delay,
        lead,
    };
    (file(shown.map(|pts| (pts, pts - delay)), lead), start)
}

fn times(bytes: &[u8]) -> Vec<(i64, i64)> {
    let media = demux(bytes, Damage::Fails).unwrap();
    media
        .units
        .iter()
        .map(|unit| (unit.pts, unit.dts))
        .collect()
}

#[test]
fn stretches_follow_one_another() {
    let wrap = 1_i64 << 33;
    let mut retimer = Retimer::from_zero();
    let mut all = Vec::new();
    // The second begins anew in the middle; the third needs its pictures earlier.
    for (from, delay) in [(500_000, 0), (wrap - 2 * FRAME, 0), (90_000, 2 * FRAME)] {
        let (mut bytes, start) = stream(from, 4, delay, 60_000);
        retimer.begin(start);
        retimer.rewrite(&mut bytes).unwrap();
        all.extend(bytes);
    }
    let found = times(&all);
    let shown: Vec<i64> = found.iter().map(|(pts, _)| *pts).collect();
    let expected: Vec<i64> = (0..12).map(|number| number * FRAME).collect();
    assert_eq!(shown, expected);
    assert!(
        found.windows(2).all(|pair| pair[0].1 < pair[1].1),
        "{found:?}"
    );
    let media = demux(&all, Damage::Fails).unwrap();
    assert_eq!(media.lead, 0);
    let counters = packet::packets(&all).filter_map(|(_, packet)| packet.ok());
    let counters = counters.filter(|packet| packet.pid() == 0x100 && packet.has_payload());
    let counters: Vec<u8> = counters.map(|packet| packet.counter()).collect();
    let expected: Vec<u8> = (0..counters.len())
        .map(|number| number as u8 % 16)
        .collect();
    assert_eq!(counters, expected);
}

#[test]
fn another_clock_in_the_middle_of_a_stretch_goes_on() {
    let mut retimer = Retimer::from_zero();
    let mut all = Vec::new();
    for (number, from) in [90_000, 90_000 + 4 * FRAME, 7_000_000]
        .into_iter()
        .enumerate()
    {
        let (mut bytes, start) = stream(from, 4, FRAME, 0);
        if number == 0 {
            retimer.begin(start);
        }
        retimer.next_file(&bytes);
        retimer.rewrite(&mut bytes).unwrap();
        all.extend(bytes);
    }
    let expected: Vec<_> = (0..12).map(|n| ((n + 1) * FRAME, n * FRAME)).collect();
    assert_eq!(times(&all), expected);
}

#[test]
fn what_is_shown_comes_when_the_starts_say() {
    const SECOND: i64 = TICKS_A_SECOND;
    let at_25 = |from: i64, count: i64| -> Vec<i64> {
        let shown = (0..count).map(|number| from + number * FRAME);
        shown.collect()
    };
    // Files: where each starts in ms, when its pictures are shown, how long before they are decoded.
    // Then when they are to be shown.
    type Row = (&'static str, Vec<(i64, Vec<i64>, i64)>, Vec<i64>);
    let slow: Vec<i64> = (0..4).map(|number| number * SECOND).collect();
    let table: Vec<Row> = vec![
        (
            "nothing is shown at the end of a file",
            vec![
                (0, at_25(0, 30), 0),
                (2000, at_25(2 * SECOND, 2), 0),
                (4000, at_25(4 * SECOND, 2), 0),
            ],
            [at_25(0, 30), at_25(2 * SECOND, 2), at_25(4 * SECOND, 2)].concat(),
        ),
        (
            "a picture a second",
            vec![
                (0, slow[..2].to_vec(), 0),
                (2000, slow[2..].to_vec(), 0),
                // Its clock is another.
                (4000, vec![900 * SECOND], 0),
            ],
            [&slow[..], &[4 * SECOND]].concat(),
        ),
        (
            "a picture every twelve seconds",
            vec![(0, vec![0, 12 * SECOND, 24 * SECOND], 0)],
            vec![0, 12 * SECOND, 24 * SECOND],
        ),
        (
            "another clock, and pictures are decoded when they are shown",
            vec![
                (0, at_25(2 * FRAME, 50), 2 * FRAME),
                (2000, at_25(900 * SECOND, 2), 0),
                (2080, at_25(5 * SECOND, 2), 0),
            ],
            at_25(2 * FRAME, 54),
        ),
        (
            "another clock after a while of nothing",
            vec![(0, at_25(0, 20), 0), (2000, at_25(900 * SECOND, 2), 0)],
            [at_25(0, 20), at_25(2 * SECOND, 2)].concat(),
        ),
        (
            "another clock in the middle of a file, twice",
            vec![
                (
                    0,
                    [
                        at_25(0, 20),
                        at_25(900 * SECOND, 20),
                        at_25(50 * SECOND, 10),
                    ]
                    .concat(),
                    0,
                ),
                (2000, at_25(50 * SECOND + 10 * FRAME, 2), 0),
            ],
            at_25(0, 52),
        ),
        (
            "another clock, and one more in the middle",
            vec![
                (0, at_25(0, 50), 0),
                (
                    2000,
                    [at_25(900 * SECOND, 20), at_25(50 * SECOND, 10)].concat(),
                    0,
                ),
            ],
            at_25(0, 80),
        ),
        (
            "starts that cannot be right",
            vec![(0, at_25(0, 20), 0), (5000, at_25(20 * FRAME, 20), 0)],
            at_25(0, 40),
        ),
    ];
    for (what, files, expected) in table {
        let mut retimer = Retimer::from_zero();
        let mut all = Vec::new();
        for (number, (start, shown, delay)) in files.into_iter().enumerate() {
            let first = shown[0];
            let mut bytes = file(shown.into_iter().map(|pts| (pts, pts - delay)), 0);
            let instant = start * 1000;
            if number == 0 {
                retimer.begin(Start {
                    shown: first,
                    lowest: first - delay,
                    lead: 0,
                });
                retimer.next_at(Place {
                    shown: first,
                    instant,
                });
            } else {
                retimer.next_segment(&bytes, instant);
            }
            retimer.rewrite(&mut bytes).unwrap();
            all.extend(bytes);
        }
        let found: Vec<i64> = times(&all).iter().map(|(pts, _)| *pts).collect();
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn what_is_there_twice_stays_so() {
    let (bytes, start) = stream(90_000, 2, 0, 0);
    let last = bytes.len() - PACKET;
    let mut bytes = [&bytes[..], &bytes[last..]].concat();
    let mut retimer = Retimer::from_zero();
    retimer.begin(start);
    retimer.rewrite(&mut bytes).unwrap();
    assert_eq!(bytes[last..last + PACKET], bytes[last + PACKET..]);
    assert_eq!(times(&bytes), [(0, 0), (FRAME, FRAME)]);
}

#[test]
fn the_clock_goes_on_where_there_is_sound_alone() {
    let (mut pictures, start) = stream(500_000, 25, 0, 0);
    let sound = Stream {
        pid: 0x101,
        codec: Codec::MpegAudio,
    };
    let mut muxer = Muxer::new(Program::of(sound), 0);
    for number in 0..120 {
        let pts = 500_000 + TICKS_A_SECOND + number * 2160;
        muxer.add(&Unit::new(0x101, sound.codec, 0xc0, pts, pts, vec![0; 9]));
    }
    let mut sound = muxer.packets();
    let (mut more, _) = stream(500_000 + 4 * TICKS_A_SECOND, 25, 0, 0);
    let mut retimer = Retimer::from_zero();
    retimer.begin(start);
    let clocks = |retimer: &mut Retimer, bytes: &mut [u8]| {
        retimer.rewrite(bytes).unwrap();
        let packets = packet::packets(bytes).filter_map(|(_, packet)| packet.ok());
        let clocks = packets.filter_map(|packet| packet.pcr());
        let clocks: Vec<u64> = clocks.collect();
        (clocks[0], clocks[clocks.len() - 1])
    };
    let clocks = [&mut pictures, &mut sound, &mut more].map(|bytes| clocks(&mut retimer, bytes));
    // It is written every second time.
    let late = 118 * 2160 + TICKS_A_SECOND as u64;
    let expected = (
        4 * TICKS_A_SECOND as u64,
        4 * TICKS_A_SECOND as u64 + 24 * FRAME as u64,
    );
    assert_eq!((clocks[0].0, clocks[1].1), (0, late));
    assert_eq!(clocks[2], expected);
}

#[test]
fn counters_alone_leave_times_as_they_are() {
    let (mut bytes, start) = stream(500_000, 4, FRAME, 100);
    let before = demux(&bytes, Damage::Fails).unwrap();
    let mut retimer = Retimer::of_counters();
    let mut again = bytes.clone();
    for bytes in [&mut bytes, &mut again] {
        retimer.begin(start);
        retimer.next_file(bytes);
        retimer.rewrite(bytes).unwrap();
    }
    let after = demux(&again, Damage::Fails).unwrap();
    assert_eq!((after.units, after.lead), (before.units, before.lead));
    assert_ne!(bytes, again);
}

#[test]
fn damage_has_its_place() {
    let (mut bytes, start) = stream(0, 4, 0, 0);
    bytes[PACKET] = 0;
    let mut retimer = Retimer::from_zero();
    retimer.begin(start);
    let error = retimer.rewrite(&mut bytes).unwrap_err();
    assert_eq!((error.offset, error.problem), (PACKET, Problem::NoSync(0)));
}
