//! `make bench`: our figures beside others' for the same work, in one run on one machine. Quote
//! the ratios: these machines are noisy. What each figure means is in docs/PERFORMANCE.md.
//!
//! `PART` in the environment runs one part alone.

mod backfill;
mod cut;
mod day;
mod record;
mod report;
mod restream;

/// What there is to measure, in the order in which all of it runs.
const PARTS: [&str; 5] = ["day", "record", "backfill", "restream", "cut"];

#[tokio::main]
async fn main() -> std::process::ExitCode {
    if restream::paced::asked() {
        return std::process::ExitCode::SUCCESS;
    }
    let wanted = std::env::var("PART").unwrap_or_default();
    if !wanted.is_empty() && !PARTS.contains(&wanted.as_str()) {
        eprintln!(
            "bench: there is no PART={wanted}, only {}",
            PARTS.join(", ")
        );
        return std::process::ExitCode::from(2);
    }
    for part in PARTS
        .iter()
        .filter(|part| wanted.is_empty() || wanted == **part)
    {
        match *part {
            "day" => day::run().await,
            "record" => record::run().await,
            "backfill" => backfill::run().await,
            "restream" => restream::run().await,
            "cut" => cut::run().await,
            other => eprintln!("bench: {other} is listed, but not there"),
        }
    }
    std::process::ExitCode::SUCCESS
}
