use super::*;
use crate::mpegts::mux::Muxer;
use crate::mpegts::packet::PACKET;
use crate::mpegts::tables::Stream;
use proptest::prelude::*;

#[test]
fn what_is_no_stream_is_refused() {
    let error = |bytes: &[u8]| demux(bytes, Damage::Fails).unwrap_err();
    assert_eq!(error(b"").problem, Problem::NoProgram);
    assert_eq!(error(&[0x47; 100]).problem, Problem::Truncated(100));
    assert_eq!(error(&[0; PACKET]).problem, Problem::NoSync(0));
    let found = demux(&[0; 1000], Damage::IsSkipped);
    assert_eq!(found.unwrap_err().problem, Problem::NoProgram);
}

#[test]
fn pictures_without_times_get_those_between() {
    const FRAME: i64 = 3600;
    let (pid, codec) = (0x100, Codec::H264);
    // Pictures by their delay, and which of them say a time; when the others are shown.
    let made = |delay: i64, said: &[usize]| {
        let mut muxer = Muxer::new(Program::of(Stream { pid, codec }), 0);
        for number in 0..8 {
            let dts = 90_000 + number * FRAME;
            let picture = vec![0, 0, 1, 0x41, 0x9a, number as u8];
            muxer.add(&Unit::new(pid, codec, 0xe0, dts + delay, dts, picture));
        }
        let mut packets = muxer.packets();
        let mut number = 0;
        for packet in packets.chunks_mut(PACKET) {
            let read = Packet::read((&*packet).try_into().unwrap()).unwrap();
            let at = read.payload_at();
            if read.pid() == pid && read.begins() {
                if !said.contains(&number) {
                    let length = usize::from(packet[at + 8]);
                    packet[at + 7] &= 0x3f;
                    packet[at + 9..at + 9 + length].fill(0xff);
                }
                number += 1;
            }
        }
        demux(&packets, Damage::Fails)
    };
    for said in [&[0, 3, 6][..], &[0, 1, 2, 3, 4, 5, 6, 7], &[2, 4]] {
        let media = made(0, said).unwrap();
        let times: Vec<i64> = media.units.iter().map(|unit| unit.pts).collect();
        let expected: Vec<i64> = (0..8).map(|at| 90_000 + at * FRAME).collect();
        assert_eq!(times, expected, "{said:?}");
    }
    for (delay, said) in [(0, &[3][..]), (FRAME, &[0, 3, 6])] {
        assert_eq!(made(delay, said).unwrap_err().problem, Problem::NoTime(pid));
    }
}

proptest! {
    #[test]
    fn nothing_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        for at in (0..bytes.len()).step_by(PACKET) {
            bytes[at] = 0x47;
        }
        let _ = demux(&bytes, Damage::IsSkipped);
    }
}
