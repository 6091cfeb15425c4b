//! A client that asks at a steady pace, as editors and peers do, and notes how long each answer takes.
//! `wrk` asks again as soon as it has an answer, so that it keeps a core busy itself, and adds made-up
//! delays to its figures for requests that it could not send while one was late.
//!
//! In life it is another machine. So it is a process of its own that never waits for a processor, where
//! `chrt` may arrange that (root); elsewhere its own waits are in the figures.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use tests::process::Process;
use tokio::process::Command;

use crate::report::say;

/// What such a client is to ask: `ADDRESS TARGET MILLISECONDS`.
const TASK: &str = "BENCH_CLIENT";

/// Has `chrt` run what follows before all others.
const FIRST: [&str; 2] = ["--fifo", "1"];

/// Between two requests.
const PAUSE: Duration = Duration::from_millis(5);

/// How long answers took, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Delays(Vec<f64>);

impl Delays {
    /// Asks for so long.
    pub(super) async fn of(url: &str, target: &str, time: Duration) -> Delays {
        let program = std::env::current_exe().expect("the path of this program");
        let address = url.trim_start_matches("http://");
        let mut command = Command::new(&program);
        if may_go_first().await {
            command = Command::new("chrt");
            command.args(FIRST).arg(program);
        }
        command.env(TASK, format!("{address} {target} {}", time.as_millis()));
        let mut client = Process::spawn("a client", command);
        let status = client.wait(time + Duration::from_secs(60)).await;
        let log = client.log();
        assert!(status.success(), "a client ended with {status}: {log:?}");
        let delays: Vec<f64> = log.iter().filter_map(|line| line.parse().ok()).collect();
        assert!(!delays.is_empty(), "a client said nothing: {log:?}");
        Delays(delays)
    }

    /// Those of another time too.
    pub(super) fn add(&mut self, others: Delays) {
        self.0.extend(others.0);
    }

    /// The delay that so much of all answers took at most.
    pub(super) fn quantile(&mut self, share: f64) -> f64 {
        self.0.sort_unstable_by(f64::total_cmp);
        let at = (self.0.len() as f64 * share) as usize;
        self.0.get(at).copied().unwrap_or(f64::NAN)
    }
}

/// True iff a process of ours may have a processor whenever it wants one.
async fn may_go_first() -> bool {
    let mut command = Command::new("chrt");
    let outcome = command.args(FIRST).arg("true").output().await;
    outcome.is_ok_and(|output| output.status.success())
}

/// If this process is such a client: asks, and prints how long each answer took.
pub(crate) fn asked() -> bool {
    let Ok(task) = std::env::var(TASK) else {
        return false;
    };
    let parts: Vec<&str> = task.split(' ').collect();
    let [address, target, time] = parts[..] else {
        panic!("{TASK}={task}: not ADDRESS TARGET MILLISECONDS");
    };
    let time = Duration::from_millis(time.parse().expect("milliseconds"));
    for delay in ask(address, target, time) {
        say(&delay.to_string());
    }
    true
}

/// In milliseconds.
fn ask(address: &str, target: &str, time: Duration) -> Vec<f64> {
    let request = format!("GET {target} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    let mut answers = BufReader::new(stream.try_clone().expect("a connection"));
    let mut delays = Vec::new();
    let begun = Instant::now();
    for number in 1.. {
        // From when it is due: an answer that is late is no excuse for the next.
        let due = begun + PAUSE * number;
        if due > begun + time {
            break;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        stream.write_all(request.as_bytes()).expect("a request");
        take(&mut answers);
        delays.push(due.elapsed().as_secs_f64() * 1e3);
    }
    delays
}

/// An answer, to its end.
fn take(answers: &mut BufReader<TcpStream>) {
    let (mut length, mut line) = (0, String::new());
    for number in 0.. {
        line.clear();
        answers.read_line(&mut line).expect("a head");
        let field = line.trim_end().to_ascii_lowercase();
        if number == 0 {
            assert!(field.contains(" 200"), "{field}");
        } else if let Some(value) = field.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        } else if field.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    answers.read_exact(&mut body).expect("a body");
}
