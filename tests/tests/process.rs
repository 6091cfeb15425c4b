//! The helper that runs real processes, tried on small ones of the system's; and what a service
//! takes signals for.
#![allow(
    clippy::unwrap_used,
    reason = "clippy allows it in tests, but not in what they share"
)]

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use tests::node::{Node, Service, free_port};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

const SOON: Duration = Duration::from_secs(20);

fn shell(script: &str) -> Service {
    let arguments = ["-c".to_owned(), script.to_owned()];
    Service::spawn(
        "a shell",
        Path::new("/bin/sh"),
        &arguments,
        &[("X", "from the test")],
    )
}

#[tokio::test]
async fn output_is_kept_and_awaited_and_the_environment_is_clean() {
    let mut service = shell(
        "echo \"X is $X\"; echo \"manifest: <$CARGO_MANIFEST_DIR>\" >&2; \
         echo INFO listening address=127.0.0.1:1234; exec sleep 60",
    );
    service.wait_for_log("X is from the test", SOON).await;
    service.wait_for_log("manifest: <>", SOON).await;
    assert_eq!(service.address().await.port(), 1234);
    assert_eq!(service.count_log("listening"), 1);
    assert!(service.is_running());
}

#[tokio::test]
async fn ends_are_told_apart() {
    let mut service = shell("exit 3");
    assert_eq!(service.wait(SOON).await.code(), Some(3));
    assert_eq!(service.wait(SOON).await.code(), Some(3));
    service.terminate();

    let mut service =
        shell("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done");
    service.wait_for_log("ready", SOON).await;
    service.terminate();
    assert_eq!(service.wait(SOON).await.code(), Some(0));
    service.wait_for_log("bye", SOON).await;

    let mut service = shell("echo ready; exec sleep 60");
    service.wait_for_log("ready", SOON).await;
    service.kill_hard();
    assert_eq!(service.wait(SOON).await.signal(), Some(9));
}

#[tokio::test]
async fn a_dropped_process_is_killed_and_reaped() {
    let service = shell("echo ready; exec sleep 60");
    service.wait_for_log("ready", SOON).await;
    let process = format!("/proc/{}", service.id().unwrap());
    assert!(Path::new(&process).exists());
    drop(service);
    assert!(!Path::new(&process).exists());
}

#[tokio::test]
#[should_panic(
    expected = "did not write the line \"never\" (its output has ended); its last lines:\n  one"
)]
async fn a_wait_in_vain_shows_the_output() {
    shell("echo one").wait_for_log("never", SOON).await;
}

#[tokio::test]
async fn much_output_is_bounded_and_still_searched() {
    let mut service =
        shell("i=0; while [ $i -lt 25000 ]; do echo line $i; i=$((i+1)); done; echo end");
    service.wait_for_log("end", SOON).await;
    service.wait(SOON).await;
    let log = service.log();
    assert_eq!(log.len(), 20_000);
    assert_eq!(log.last().map(String::as_str), Some("end"));
}

#[tokio::test]
async fn a_free_port_can_be_bound() {
    let port = free_port();
    // A process that is just being started beside this test has the socket for an instant.
    tests::eventually(SOON, "the port to be free", async || {
        std::net::TcpListener::bind(("127.0.0.1", port)).map_err(|error| error.to_string())
    })
    .await;
}

/// More than what the system keeps of a connection.
const LONG: u64 = 40_000_000;

/// A restreamer with an answer under way, whose client does not take it, and that client.
async fn busy(node: &mut Node) -> TcpStream {
    let hour = "test/source/2026-11-14T18";
    let name = format!("00:00.000000-2.0-full-{}.ts", "A".repeat(43));
    fs::create_dir_all(node.base_dir().join(hour)).unwrap();
    let segment = File::create(node.base_dir().join(hour).join(&name)).unwrap();
    segment.set_len(LONG).unwrap();
    node.start_restreamer().await;
    let mut client = TcpStream::connect(node.restreamer_address()).await.unwrap();
    let request = format!("GET /segments/{hour}/{name} HTTP/1.1\r\nHost: a\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    client.read_exact(&mut [0; 12]).await.unwrap();
    client
}

#[tokio::test]
async fn signals_that_come_together_are_one_wish() {
    let mut node = Node::new("a");
    let mut client = busy(&mut node).await;
    let service = node.restreamer.as_mut().unwrap();
    service.terminate();
    // As a wrapper does it; at once they would be one for the system.
    sleep(Duration::from_millis(20)).await;
    service.terminate();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() as u64 > LONG, "{}", rest.len());
    assert_eq!(service.wait(SOON).await.code(), Some(0));
    assert_eq!(service.count_log("stopping at once"), 0);
}

#[tokio::test]
async fn a_signal_that_comes_again_later_ends_it_at_once() {
    let mut node = Node::new("a");
    let _client = busy(&mut node).await;
    let service = node.restreamer.as_mut().unwrap();
    service.terminate();
    service.wait_for_log("stopping", SOON).await;
    sleep(Duration::from_millis(1100)).await;
    service.terminate();
    assert_eq!(service.wait(SOON).await.code(), Some(143));
}
