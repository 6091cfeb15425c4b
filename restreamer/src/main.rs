//! The restreamer: options from arguments or the environment, then [`restreamer::run`].

use std::process::ExitCode;

use common::service;
use restreamer::Options;

fn main() -> ExitCode {
    let options: Options = match service::options("restreamer") {
        Ok(options) => options,
        Err(code) => return code,
    };
    service::run("restreamer", &options.common, |shutdown| {
        restreamer::run(&options, shutdown)
    })
}
