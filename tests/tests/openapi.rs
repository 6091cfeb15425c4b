//! The description of the restreamer's API is true: schemathesis asks a running server all that
//! it allows, and much that it does not, and holds each answer against it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tests::content::{sha256_base64, ts_bytes};
use tests::node::Node;
use tests::numbered::{Options, make};
use tests::process::Process;
use tokio::process::Command;

/// It takes some seconds.
const LIMIT: Duration = Duration::from_secs(120);

/// What the description's examples name.
const HOUR: &str = "desertbus/source/2026-11-14T18";

#[tokio::test]
async fn the_server_does_what_its_description_says() {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/python/bin/schemathesis");
    assert!(
        tool.is_file(),
        "schemathesis is missing and this test needs it: run scripts/python-tools (make test does)"
    );
    let mut node = Node::new("a");
    let directory = node.base_dir().join(HOUR);
    fs::create_dir_all(&directory).expect("a directory");
    for segment in 0..60 {
        let content = if segment == 0 {
            "".into()
        } else {
            ts_bytes(segment, 1880)
        };
        let hash = sha256_base64(&content);
        let name = format!("00:{segment:02}.000000-2.0-full-{hash}.ts");
        fs::write(directory.join(name), content).expect("a file");
    }
    // Of the same start, what is larger counts: real video, for what decodes it.
    let options = Options {
        seconds: 4.0,
        start: "2026-11-14T18:00:00Z".parse().expect("a time"),
        ..Options::default()
    };
    make(&node.base_dir().join("desertbus/source"), &options).await;
    node.start_restreamer().await;
    let mut command = Command::new(tool);
    command
        .arg("run")
        .arg(format!("{}/openapi.json", node.restreamer_url()))
        .args(["--phases", "examples,coverage,fuzzing,stateful"])
        // A path that could be one but is not, or an end before its start, is refused as it should
        // be; a schema cannot say so.
        .args(["--exclude-checks", "positive_data_acceptance"])
        .args(["--max-examples", "50", "--seed", "1", "--no-color"])
        .current_dir(node.base_dir());
    let mut run = Process::spawn("schemathesis", command);
    let status = run.wait(LIMIT).await;
    let log = run.log().join("\n");
    assert!(status.success(), "{log}");
    // It has asked: every operation that is described, and more than the examples.
    let description = node.get("/openapi.json").await.json();
    let paths = description["paths"].as_object().expect("paths");
    let metrics = node.metrics().await;
    for path in paths.keys() {
        // These take any number of parts, which a description cannot say.
        let endpoint = path.replace("{path}", "{*path}");
        let endpoint = endpoint.replace("{directory}", "{*directory}");
        let asked = [("endpoint", endpoint.as_str())];
        let asked = metrics.sum("http_request_latency_all_count", &asked);
        // The description itself is fetched and not tested; its test is that all this works.
        let least = if path == "/openapi.json" { 1.0 } else { 5.0 };
        assert!(asked >= least, "{path}: {asked} requests\n{log}");
    }
    let restreamer = node.restreamer.as_mut().expect("it was started");
    assert!(restreamer.is_running());
    assert_eq!(restreamer.count_log("ERROR"), 0, "{:?}", restreamer.log());
}
