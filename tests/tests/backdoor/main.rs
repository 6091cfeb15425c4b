//! The backdoor of each service, over real telnet connections to real processes: whatever
//! `help()` lists is called, and does what it says.
#![allow(
    clippy::unwrap_used,
    reason = "clippy allows it in tests, but not in what they share"
)]

mod backfiller;
mod clients;
mod downloader;
mod restreamer;

use std::time::Duration;

use tests::node::Service;
use tests::operator::Operator;

/// More than anything here takes, on a busy machine too.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Calls what every service has, and sees to it that it does what it says.
pub(crate) async fn everywhere(operator: &mut Operator, service: &Service, name: &str) {
    let version = operator.run("version()").await;
    assert!(version.starts_with(&format!("{name} 0.")), "{version}");
    assert_eq!(
        operator
            .run("let before = uptime(); sleep(0.05); uptime() - before > 0.04")
            .await,
        "true"
    );
    let now = operator.run("now()").await;
    let now = chrono::DateTime::parse_from_rfc3339(&now).unwrap();
    assert!((chrono::Utc::now() - now.to_utc()).num_seconds().abs() < 10);
    let memory = "let m = memory(); m.resident > 1000000 && m.threads > 1 && m.open_files > 3";
    assert_eq!(operator.run(memory).await, "true");
    assert_eq!(operator.run("config().log").await, "info");
    let metrics = operator.run("metrics(\"log_count\")").await;
    assert!(metrics.contains("level=\\\"INFO\\\""), "{metrics}");
    assert_eq!(
        operator
            .run("metrics().keys().contains(\"process_threads\")")
            .await,
        "true"
    );
    assert_eq!(
        operator
            .run("tasks().len() >= tasks(\"operator\").len()")
            .await,
        "true"
    );
    let me = operator.run("tasks(\"operator\")").await;
    assert!(me.contains("state: \"running a line\""), "{me}");
    assert!(
        operator
            .run("help(\"log_level\")")
            .await
            .contains("another one, at once")
    );
    let unknown = operator.run("help(\"nonsense\")").await;
    assert_eq!(
        unknown,
        "error: there is no 'nonsense': help() lists what there is"
    );

    // The log: every line is in it; debug lines come at once, and go.
    assert!(service.count_log("an operator's line") > 5);
    assert_eq!(operator.run("log_level()").await, "info");
    let bad = operator.run("log_level(\"info,common=loud\")").await;
    assert!(bad.starts_with("error: 'common=loud' is neither"), "{bad}");
    assert_eq!(service.count_log("DEBUG"), 0);
    operator.run("log_level(\"common=debug,info\")").await;
    operator.run("1").await;
    service
        .wait_for_log("an operator's line is done", SOON)
        .await;
    operator.run("log_level(\"info\")").await;
    operator.run("1").await;
    assert!(service.count_log("an operator's line is done") <= 2);
    operator.run("log_level(\"debug\")").await;
}

/// Asks the service to end, as `shutdown()` does.
pub(crate) async fn shut_down(mut operator: Operator, mut service: Service) {
    assert_eq!(operator.not_called().await, ["shutdown/0"]);
    operator.send(b"shutdown()\r\n").await;
    assert!(operator.rest().await.contains("the process is stopping"));
    assert_eq!(service.wait(SOON).await.code(), Some(0));
    assert_eq!(service.count_log("ERROR"), 0);
    service.wait_for_log("stopping", SOON).await;
}
