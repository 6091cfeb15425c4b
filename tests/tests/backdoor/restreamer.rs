//! The index, and requests.

use std::fs;

use tests::content::sha256_base64;
use tests::node::{Node, free_port};
use tests::operator::Operator;
use tests::raw;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{SOON, everywhere, shut_down};

const HOUR: &str = "2026-01-02T03";

#[tokio::test]
async fn the_index_and_requests_can_be_looked_at_and_dropped() {
    let node = Node::new("a");
    let hour = node.base_dir().join("test/source").join(HOUR);
    fs::create_dir_all(&hour).unwrap();
    // Too large for what the kernel keeps on its way to a client that reads nothing.
    let content = vec![7; 50_000_000];
    let name = format!("00:00.000000-2.0-full-{}.ts", sha256_base64(&content));
    fs::write(hour.join(&name), &content).unwrap();
    let port = free_port();
    let base = node.base_dir().display().to_string();
    let arguments = [
        "--base-dir",
        &base,
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--log",
        "info",
        "--backdoor-port",
        &port.to_string(),
    ];
    let service = node
        .start("restreamer", &arguments.map(str::to_owned), &[])
        .await;
    let address = service.address().await;
    let mut operator = Operator::connect("restreamer", port).await;
    everywhere(&mut operator, &service, "restreamer").await;
    operator.run("log_level(\"info\")").await;

    // The index.
    assert_eq!(operator.run("index().playlists.hours").await, "0");
    for target in [
        "/playlist/test/source.m3u8",
        "/files/test/source/2026-01-02T03",
    ] {
        assert_eq!(raw::get(address, target).await.status, 200);
    }
    let index = operator.run("index()").await;
    assert_eq!(index.matches("hours: 1,").count(), 2, "{index}");
    assert!(
        operator
            .run("index().playlists.bytes")
            .await
            .parse::<u32>()
            .unwrap()
            > 1000
    );
    let hours = operator.run("hours()").await;
    assert_eq!(hours.matches(HOUR).count(), 2, "{hours}");
    let drop = format!("drop_hour(\"test\", \"source\", \"{HOUR}\")");
    assert_eq!(operator.run(&drop).await, "2");
    assert_eq!(operator.run(&drop).await, "0");
    assert!(
        operator
            .run("drop_hour(\"..\", \"source\", \"x\")")
            .await
            .contains("bad channel")
    );
    assert_eq!(operator.run("hours()").await, "[]");
    assert_eq!(
        raw::get(address, "/playlist/test/source.m3u8").await.status,
        200
    );
    assert_eq!(operator.run("hours().len()").await, "1");

    // A client that does not go on reading, and is sent away.
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /segments/test/source/{HOUR}/{name} HTTP/1.1\r\nhost: x\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(client.read(&mut [0; 1000]).await.unwrap(), 1000);
    let requests = operator
        .run_until("requests()", |said| said.contains("sending"))
        .await;
    assert!(
        requests.contains(&format!("GET /segments/test/source/{HOUR}/")),
        "{requests}"
    );
    assert!(
        requests.contains(&client.local_addr().unwrap().to_string()),
        "{requests}"
    );
    assert_eq!(operator.run("cuts()").await, "[]");
    let no_cut = operator.run("kill_cut(requests()[0].id)").await;
    assert!(no_cut.starts_with("error: there is no cut"), "{no_cut}");
    let nobody = operator.run("kill_request(-1)").await;
    assert_eq!(nobody, "error: there is no request -1");
    assert_eq!(operator.run("kill_request(requests()[0].id)").await, "true");
    operator.run_until("requests()", |said| said == "[]").await;
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(SOON, client.read_to_end(&mut rest)).await;
    assert!(ended.unwrap().is_err() || rest.len() < content.len());

    // A cut goes the same way, and is over then.
    let mut client = TcpStream::connect(address).await.unwrap();
    let target = format!("/cut/test/source.ts?type=rough&start={HOUR}:00:00&end={HOUR}:00:02");
    let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let cuts = operator
        .run_until("cuts()", |said| said.contains("sending"))
        .await;
    assert!(cuts.contains(&target), "{cuts}");
    assert_eq!(operator.run("kill_cut(cuts()[0].id)").await, "true");
    let line = service.wait_for_log("cut ended", SOON).await;
    assert!(line.contains("whole=false"), "{line}");
    operator.run_until("cuts()", |said| said == "[]").await;
    shut_down(operator, service).await;
}
