//! The downloader's process: options in, exit code out.

use std::process::ExitCode;

use common::service;
use downloader::Options;

const NAME: &str = "downloader";

fn main() -> ExitCode {
    let options = match service::options::<Options>(NAME) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let channels = match options.channels() {
        Ok(channels) => channels,
        Err(problem) => return service::bad_options(NAME, &problem),
    };
    let common = options.common.clone();
    let threads = downloader::threads(channels.len() * options.qualities.len());
    service::run_on(Some(threads), NAME, &common, |shutdown| {
        downloader::run(options, channels, shutdown)
    })
}
