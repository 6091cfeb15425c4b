//! Cuts, frames and waveforms of half an hour of 1080p60, beside what people do with ffmpeg: its
//! concat demuxer with `-ss` and `-to`, copied (which is not exact) and coded anew; and `cat`.
//!
//! Every contender writes to a socket that is read as fast as it comes. The page cache is warm.

pub(crate) mod video;

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tests::node::Node;

use self::video::Video;
use crate::report::{middle, ms, say};

/// So many times each contender has its turn; the median counts. `RUNS` in the environment is
/// another number.
const RUNS: usize = 3;

/// ffmpeg, that decodes and codes all of it.
const ANEW: &str = "ffmpeg, coded anew";

/// Who asks for cuts and looks at frames takes so long from one to the next, at least.
const A_PERSON: Duration = Duration::from_millis(500);

/// When the first byte of a body came, when all were there, and how many.
#[derive(Debug, Clone, Copy)]
struct Done {
    first: Duration,
    all: Duration,
    bytes: usize,
}

/// What is asked for: a name, our request, and the arguments of ffmpeg for each other way.
struct Question {
    name: &'static str,
    target: String,
    others: Vec<(&'static str, Vec<String>)>,
}

/// Runs this part.
pub(crate) async fn run() {
    let runs = std::env::var("RUNS").ok();
    let runs: usize = runs.and_then(|runs| runs.parse().ok()).unwrap_or(RUNS);
    let mut node = Node::new("bench");
    let video = Video::make(&node.base_dir().join("test/source")).await;
    node.start_restreamer().await;
    let address = node.restreamer_address();
    say(&format!(
        "cuts of {:.0} MB in {} segments of 1080p60; first byte, all of it, speed; medians of {runs} \
         (ours half a second apart, what is coded anew once):",
        video.bytes() as f64 / 1e6,
        video.files().len()
    ));
    for question in questions(&video) {
        let target = question.target.clone();
        let ours = median(runs, || {
            thread::sleep(A_PERSON);
            fetch(address, &target)
        });
        row(question.name, "ours", ours);
        for (whose, arguments) in &question.others {
            // It takes minutes.
            let runs = if *whose == ANEW { 1 } else { runs };
            let other = median(runs, || program(node.base_dir(), arguments));
            row("", whose, other);
        }
    }
}

fn questions(video: &Video) -> Vec<Question> {
    let list = video.list();
    let concat = |cut: &str, how: &str| {
        words(&format!(
            "ffmpeg -nostdin -loglevel error -f concat -safe 0 -i {list} {cut} {how} -f mpegts pipe:1"
        ))
    };
    let anew = "-c:v libx264 -preset veryfast -crf 20 -c:a aac";
    let minute = "start=2026-01-02T00:10:00.7&end=2026-01-02T00:11:00.7";
    let half = "start=2026-01-02T00:00:00.7&end=2026-01-02T00:29:58.7";
    let (a_minute, a_half) = ("-ss 600.7 -to 660.7", "-ss 0.7 -to 1798.7");
    let cut = |range: &str, kind: &str| format!("/cut/test/source.ts?{range}&type={kind}");
    let cat: Vec<String> = [vec!["cat".to_owned()], video.files().to_vec()].concat();
    let one = video.files()[300].clone();
    vec![
        Question {
            name: "rough, 30 min",
            target: cut(half, "rough"),
            others: vec![("cat", cat), ("ffmpeg, copied", concat(a_half, "-c copy"))],
        },
        Question {
            name: "smart, 30 min",
            target: cut(half, "smart"),
            others: vec![("ffmpeg, copied", concat(a_half, "-c copy"))],
        },
        Question {
            name: "smart, 30 min, on key pictures",
            target: cut("start=2026-01-02T00:00:00&end=2026-01-02T00:30:00", "smart"),
            others: Vec::new(),
        },
        Question {
            name: "fast, 1 min",
            target: cut(minute, "fast"),
            others: vec![
                ("ffmpeg, copied", concat(a_minute, "-c copy")),
                (ANEW, concat(a_minute, anew)),
            ],
        },
        frame("frame, early in its group", "00.5", &one),
        frame("frame, late in its group", "01.7", &one),
        Question {
            name: "waveform, 1 min",
            target: format!("/waveform/test/source.png?{minute}"),
            others: vec![(
                "ffmpeg",
                words(&format!(
                    // The one picture would come before `-ss`.
                    "ffmpeg -nostdin -loglevel error -f concat -safe 0 -i {list} -filter_complex \
                     [0:a]atrim=start=600.7:end=660.7,showwavespic=size=1024x64 -frames:v 1 -c:v png \
                     -f image2pipe pipe:1"
                )),
            )],
        },
    ]
}

/// A frame of the 301st segment, which is one group of pictures. ffmpeg cannot seek in it: there is no key
/// picture to go on from.
fn frame(name: &'static str, second: &str, segment: &str) -> Question {
    let theirs = format!(
        "ffmpeg -nostdin -loglevel error -i {segment} -ss {second} -frames:v 1 -c:v png -f image2pipe pipe:1"
    );
    Question {
        name,
        target: format!("/frame/test/source.png?timestamp=2026-01-02T00:10:{second}"),
        others: vec![("ffmpeg", words(&theirs))],
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn row(name: &str, whose: &str, done: Done) {
    say(&format!(
        "  {name:<32} {whose:<20} first byte {:>7.1} ms, all {:>8.1} ms, {:>8.1} MB, {:>6.0} MB/s",
        ms(done.first),
        ms(done.all),
        done.bytes as f64 / 1e6,
        done.bytes as f64 / 1e6 / done.all.as_secs_f64()
    ));
}

fn median(runs: usize, mut work: impl FnMut() -> Done) -> Done {
    let all: Vec<Done> = (0..=runs).map(|_| work()).skip(1).collect();
    let of = |pick: fn(&Done) -> Duration| middle(&mut all.iter().map(pick).collect::<Vec<_>>());
    Done {
        first: of(|done| done.first),
        all: of(|done| done.all),
        bytes: all[0].bytes,
    }
}

/// Reads to the end; `skip` says how much at the beginning is no content, as soon as it can.
fn drain(mut stream: TcpStream, begun: Instant, skip: impl Fn(&[u8]) -> Option<usize>) -> Done {
    let mut buffer = vec![0; 1 << 20];
    let (mut first, mut bytes, mut head) = (None, 0, Vec::new());
    loop {
        let read = stream.read(&mut buffer).expect("what is sent");
        if read == 0 {
            break;
        }
        if first.is_none() {
            head.extend_from_slice(&buffer[..read]);
            if let Some(skipped) = skip(&head).filter(|skipped| head.len() > *skipped) {
                first = Some(begun.elapsed());
                bytes += head.len() - skipped;
            }
        } else {
            bytes += read;
        }
    }
    Done {
        first: first.unwrap_or_default(),
        all: begun.elapsed(),
        bytes,
    }
}

/// Fetches something of ours.
fn fetch(address: SocketAddr, target: &str) -> Done {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).expect("a connection");
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    std::io::Write::write_all(&mut stream, request.as_bytes()).expect("a request");
    drain(stream, begun, |head| {
        let end = head.windows(4).position(|window| window == b"\r\n\r\n")?;
        assert!(
            head.starts_with(b"HTTP/1.1 200"),
            "{target}: {}",
            String::from_utf8_lossy(head)
        );
        Some(end + 4)
    })
}

/// Runs a program that writes to a socket.
fn program(directory: &Path, arguments: &[String]) -> Done {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let begun = Instant::now();
    let ours = TcpStream::connect(address).expect("a connection");
    let (theirs, _) = listener.accept().expect("a connection");
    let mut child = Command::new(&arguments[0])
        .args(&arguments[1..])
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(OwnedFd::from(theirs))
        .spawn()
        .expect("the program");
    let done = drain(ours, begun, |_| Some(0));
    let status = child.wait().expect("its end");
    assert!(status.success() && done.bytes > 0, "{arguments:?}");
    done
}
