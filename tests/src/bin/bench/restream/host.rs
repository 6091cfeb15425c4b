//! Time that the host of a virtual machine takes from it. Where a host keeps to a quota, all stands
//! still for 30 ms of every 100 once that is used up, and a delay says nothing of who is measured.

use std::fs;

use crate::report::say;

/// What it may take while something is measured, in hundredths of a second of one processor: less than
/// one such stall.
const ALLOWED: u64 = 2;

/// So often a turn is done again before what it gave counts.
const AGAIN: usize = 3;

/// What the host did to a table's turns.
#[derive(Debug, Default)]
pub(super) struct Host {
    again: usize,
    disturbed: usize,
}

impl Host {
    /// Does a turn, and again where the host took time from it.
    pub(super) async fn undisturbed<T>(&mut self, turn: impl AsyncFn() -> T) -> T {
        let mut left = AGAIN;
        loop {
            let before = taken();
            let outcome = turn().await;
            let is_quiet = taken().saturating_sub(before) <= ALLOWED;
            if is_quiet || left == 0 {
                self.disturbed += usize::from(!is_quiet);
                return outcome;
            }
            self.again += 1;
            left -= 1;
        }
    }

    /// Says how often, if ever.
    pub(super) fn say_what_it_took(&self) {
        if self.again > 0 {
            say(&format!(
                "  ({} turns were done again, from which the machine's host had taken time; {} count \
                 all the same)",
                self.again, self.disturbed
            ));
        }
    }
}

/// What the host has taken since the start, in hundredths of a second: `steal` of proc(5).
fn taken() -> u64 {
    let stat = fs::read_to_string("/proc/stat").expect("the kernel's counts");
    let all = stat.lines().next().expect("the sum over processors");
    let fields: Vec<u64> = all
        .split_whitespace()
        .filter_map(|f| f.parse().ok())
        .collect();
    fields.get(7).copied().unwrap_or(0)
}
