//! The backfiller's process: options, then [`backfiller::run`].

use std::process::ExitCode;

use backfiller::Options;
use chrono::Utc;
use common::service;

fn main() -> ExitCode {
    let options: Options = match service::options("backfiller") {
        Ok(options) => options,
        Err(code) => return code,
    };
    if let Err(line) = options.check(Utc::now()) {
        eprintln!("backfiller: {line}");
        return ExitCode::from(2);
    }
    let common = options.common.clone();
    service::run("backfiller", &common, |shutdown| {
        backfiller::run(options, shutdown)
    })
}
