//! The downloader's process: options in, exit code out.

use std::process::ExitCode;

use common::service;

fn main() -> ExitCode {
    match service::options::<downloader::Options>("downloader") {
        Ok(options) => {
            let common = options.common.clone();
            service::run("downloader", &common, |shutdown| {
                downloader::run(options, shutdown)
            })
        }
        Err(code) => code,
    }
}
