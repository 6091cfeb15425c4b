//! Which processors a process may use.

use std::fs;
use std::process::{Command, Stdio};

/// Those that the bench may use, as the system lists them: `0-1` or `0,2-5`.
pub(super) fn allowed() -> String {
    let status = fs::read_to_string("/proc/self/status").expect("the process");
    let mut lines = status.lines();
    let list = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.expect("its processors").trim().to_owned()
}

/// The first two of them; `None` if there is but one.
pub(super) fn two(allowed: &str) -> Option<(String, String)> {
    let mut all = allowed.split(',').flat_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<u32>().expect("a processor's number");
        number(first)..=number(last)
    });
    Some((all.next()?.to_string(), all.next()?.to_string()))
}

/// Keeps processes, with all their threads, on these processors.
pub(super) fn keep_on(cpus: &str, pids: &[u32]) {
    for pid in pids {
        let mut taskset = Command::new("taskset");
        taskset.args(["--all-tasks", "--cpu-list", "--pid", cpus, &pid.to_string()]);
        taskset.stdout(Stdio::null());
        // A thread that ends meanwhile fails it.
        let done = (0..5).any(|_| taskset.status().expect("taskset runs").success());
        assert!(done, "{pid} can be kept on {cpus}");
    }
}

/// For how long a processor has had nothing to do since the start, in seconds.
pub(super) fn idle(cpu: &str) -> f64 {
    let stat = fs::read_to_string("/proc/stat").expect("the kernel's counts");
    let mut lines = stat.lines();
    let line = lines.find_map(|line| line.strip_prefix(&format!("cpu{cpu} ")));
    let mut fields = line.expect("its counts").split(' ');
    let idle = fields.nth(3).and_then(|field| field.parse::<u64>().ok());
    // Linux counts in hundredths of a second for programs.
    idle.expect("a count") as f64 / 100.0
}
