//! Load from `wrk`, and what it costs the server.

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use tempfile::NamedTempFile;
use tests::process::Process;
use tokio::process::Command;

/// What is asked for.
pub(super) struct Load {
    url: String,
    /// A script in wrk's language.
    script: String,
}

impl Load {
    /// One target again and again.
    pub(super) fn one(url: &str, target: &str) -> Load {
        Load::many(url, &[target.to_owned()])
    }

    /// These targets, one after the other.
    pub(super) fn many(url: &str, targets: &[String]) -> Load {
        let list: Vec<String> = targets.iter().map(|target| format!("{target:?}")).collect();
        let script = format!(
            "local list, n = {{{}}}, 0\n\
             request = function() n = n + 1; return wrk.format(\"GET\", list[n % #list + 1]) end\n",
            list.join(",")
        );
        Load {
            url: url.to_owned(),
            script,
        }
    }

    /// `PREFIX0.ts`, `PREFIX1.ts` … up to `count`.
    pub(super) fn cycle(url: &str, prefix: &str, count: usize) -> Load {
        let targets: Vec<String> = (0..count).map(|n| format!("{prefix}{n}.ts")).collect();
        Load::many(url, &targets)
    }

    /// With a header.
    pub(super) fn with(mut self, name: &str, value: &str) -> Load {
        self.script
            .push_str(&format!("wrk.headers[{name:?}] = {value:?}\n"));
        self
    }
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) requests: f64,
    pub(super) bytes: f64,
    pub(super) seconds: f64,
    /// Answers other than 2xx and 3xx, and connections that failed.
    pub(super) errors: u64,
}

impl Done {
    /// Requests a second.
    pub(super) fn rate(&self) -> f64 {
        self.requests / self.seconds
    }
}

/// Asks as fast as it can.
pub(super) async fn wrk(load: &Load, connections: usize, time: Duration) -> Done {
    run(Command::new("wrk"), load, connections, time).await
}

/// The same, on what others leave of the processor: load that comes from other machines in life
/// and must not be what keeps the one that is measured waiting.
pub(super) async fn wrk_behind(load: &Load, connections: usize, time: Duration) -> Done {
    let mut command = Command::new("chrt");
    command.args(["--idle", "0", "wrk"]);
    run(command, load, connections, time).await
}

/// Asks as fast as it can, on one processor.
pub(super) async fn wrk_on(cpu: &str, load: &Load, connections: usize, time: Duration) -> Done {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", cpu, "wrk"]);
    run(command, load, connections, time).await
}

async fn run(mut command: Command, load: &Load, connections: usize, time: Duration) -> Done {
    let mut file = NamedTempFile::new().expect("a temporary file");
    let report = "done = function(s, l, r) io.write(string.format(\"RESULT %d %d %d %d\\n\", \
        s.requests, s.bytes, s.duration, s.errors.connect + s.errors.read + s.errors.write + \
        s.errors.status + s.errors.timeout)) end\n";
    write!(file, "{}{report}", load.script).expect("a script");
    command
        .args([
            "-t1",
            &format!("-c{connections}"),
            &format!("-d{}s", time.as_secs()),
        ])
        .args(["--timeout", "20s", "-s"])
        .arg(file.path())
        .arg(&load.url);
    let mut process = Process::spawn("wrk", command);
    let status = process.wait(time + Duration::from_secs(60)).await;
    let log = process.log();
    let result = log.iter().find_map(|line| line.strip_prefix("RESULT "));
    let result = result.unwrap_or_else(|| panic!("wrk ended with {status}: {log:?}"));
    let numbers: Vec<f64> = result
        .split(' ')
        .map(|n| n.parse().expect("a number"))
        .collect();
    Done {
        requests: numbers[0],
        bytes: numbers[1],
        seconds: numbers[2] / 1e6,
        errors: numbers[3] as u64,
    }
}

/// The processor time that processes have taken, in seconds.
pub(super) fn cpu_time(pids: &[u32]) -> f64 {
    let ticks = pids.iter().map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process");
        // What follows the name in parentheses; user and system time are the 12th and 13th there.
        let (_, fields) = stat.rsplit_once(") ").expect("its fields");
        let fields: Vec<u64> = fields.split(' ').map(|f| f.parse().unwrap_or(0)).collect();
        fields[11] + fields[12]
    });
    // Linux counts in hundredths of a second for programs.
    ticks.sum::<u64>() as f64 / 100.0
}
