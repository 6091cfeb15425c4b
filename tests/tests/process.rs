//! The helper that runs real processes, tried on small ones of the system's.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use tests::node::{Service, free_port};

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
