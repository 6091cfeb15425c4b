//! A session as a client sees it, over a connection in memory.

use super::*;
use crate::backdoor::control::Caller;
use crate::backdoor::registry::{Registry, failure};
use rhai::{Dynamic, NativeCallContext};
use std::fmt::Write as _;
use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinHandle;

const IAC: u8 = 255;

struct Client {
    stream: DuplexStream,
    serving: JoinHandle<io::Result<()>>,
    shutdown: CancellationToken,
}

fn client() -> Client {
    let mut registry = Registry::new("test");
    registry.function("fail()", "fails", || Err(failure("so\x1b[2J")));
    registry.function(
        "sleep(seconds)",
        "waits",
        |context: NativeCallContext<'_>, seconds: f64| {
            Caller::of(&context)?.sleep(Duration::from_secs_f64(seconds))?;
            Ok(Dynamic::UNIT)
        },
    );
    registry.function("id(x)", "x", |x: Dynamic| Ok(x));
    let shutdown = CancellationToken::new();
    let (stream, theirs) = duplex(64 * 1024);
    let serving = serve(
        theirs,
        "somebody".to_owned(),
        registry.finish(),
        shutdown.clone(),
    );
    Client {
        stream,
        serving: tokio::spawn(serving),
        shutdown,
    }
}

impl Client {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads until what has come ends so; gives it as text, bytes of negotiation as `<255>`.
    async fn until(&mut self, end: &str) -> String {
        let mut text = String::new();
        let mut bytes = Vec::new();
        while !text.ends_with(end) {
            let mut byte = [0];
            let read = timeout(Duration::from_secs(60), self.stream.read(&mut byte)).await;
            match read {
                Ok(Ok(1)) => bytes.push(byte[0]),
                other => panic!("{end:?} did not come ({other:?}), but {text:?}"),
            }
            text = shown(&bytes);
        }
        text
    }

    /// All that comes until the end.
    async fn rest(mut self) -> String {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes).await.unwrap();
        self.serving.await.unwrap().unwrap();
        shown(&bytes)
    }
}

fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(text, "<{byte}>");
        }
    }
    text
}

#[tokio::test]
async fn lines_of_a_plain_connection_are_run_and_not_echoed() {
    let mut client = client();
    client
        .send("let a = 20\na + 1\nfor i in 0..2 {\n  print(i)\n}\nfail()\nid(a)")
        .await;
    client.stream.shutdown().await.unwrap();
    let text = client.rest().await;
    let (_, text) = text.split_once("leaves\n").unwrap();
    assert_eq!(
        text,
        "test> test> 21\ntest>  ...>  ...> 0\n1\ntest> error: so\\u{1b}[2J\ntest> 20\ntest> "
    );
}

#[tokio::test]
async fn a_script_that_ends_within_a_block_is_told_so() {
    let mut client = client();
    client.send("1\nfor i in 0..2 {\n  print(i)\n").await;
    client.stream.shutdown().await.unwrap();
    let text = client.rest().await;
    assert!(text.contains("error: Syntax error: Expecting"), "{text:?}");
}

#[tokio::test]
async fn a_telnet_client_types_character_by_character() {
    let mut client = client();
    let greeting = client.until("test> ").await;
    let offers = "<255><251>\u{1}<255><251>\u{3}<255><253>\u{1f}";
    assert!(greeting.starts_with(offers), "{greeting:?}");
    client.send([IAC, 253, 1, IAC, 253, 3, IAC, 251, 31]).await;
    client
        .send([IAC, 250, 31, 0, 60, 0, 20, IAC, 240, IAC, 251, 24])
        .await;
    client.send("1 + x\x7f2\r\0").await;
    let text = client.until("test> ").await;
    assert!(text.starts_with("<255><254>\u{18}"), "{text:?}");
    assert!(text.ends_with("2\r\n3\r\ntest> "), "{text:?}");
    // The line before, changed; a block, dropped; then away.
    client.send("\x1b[A\x1b[D\x1b[D\x1b[D*\x1b[3~\r\n").await;
    let text = client.until("\r\ntest> ").await;
    assert!(text.contains("\r\n2\r\n"), "{text:?}");
    client.send("if true {\r").await;
    client.until(" ...> ").await;
    client.send([0, 3]).await;
    assert_eq!(client.until("test> ").await, "^C\r\ntest> ");
    client.send([IAC, 246]).await;
    assert_eq!(client.until("test> ").await, "\r\n[yes]\r\ntest> ");
    client.send([4]).await;
    assert_eq!(client.rest().await, "\r\n");
}

#[tokio::test]
async fn control_c_ends_what_runs_and_drops_what_was_typed_meanwhile() {
    for interrupt in [&[3][..], &[IAC, 244], &[IAC, 243]] {
        let mut client = client();
        client.until("test> ").await;
        client.send("print(1); loop { sleep(0.001) }\n").await;
        client.until("1\n").await;
        client.send("2\n").await;
        client.send(interrupt).await;
        let text = client.until("test> ").await.replace('\r', "");
        assert_eq!(text, "error: interrupted\ntest> ");
        client.send("3\n").await;
        let text = client.until("test> ").await;
        assert!(text.contains("3") && !text.contains('2'), "{text:?}");
    }
}

#[tokio::test]
async fn control_c_is_heard_behind_a_long_paste() {
    let mut client = client();
    client.until("test> ").await;
    client.send("print(1); loop { sleep(0.001) }\n").await;
    client.until("1\n").await;
    let paste = "2\n".repeat(100_000) + "\x03";
    let sent = timeout(Duration::from_secs(20), client.send(paste)).await;
    assert!(sent.is_ok(), "it is not read");
    let text = client.until("test> ").await;
    assert_eq!(text, "error: interrupted\ntest> ");
}

#[tokio::test]
async fn output_can_be_cut_off() {
    let mut client = client();
    client.until("test> ").await;
    client
        .send("print(1); while true { sleep(0.001); print(2) }\n")
        .await;
    client.until("2\n").await;
    client.send([IAC, 245, 3]).await;
    let text = client.until("test> ").await;
    assert!(text.ends_with("error: interrupted\r\ntest> "), "{text:?}");
}

#[tokio::test]
async fn it_ends_with_the_process_and_when_the_client_goes() {
    let mut client = client();
    client.until("test> ").await;
    client.send("print(1); loop { sleep(0.001) }\n").await;
    client.until("1\n").await;
    client.shutdown.cancel();
    assert!(client.rest().await.ends_with("the process is stopping\n"));

    let mut client = super::tests::client();
    client.until("test> ").await;
    client.send([IAC, 253, 1]).await;
    client.send("print(1); loop { sleep(0.001) }\n").await;
    client.until("\n1\r\n").await;
    drop(client.stream);
    client.serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_has_sent_its_end_does_not_keep_its_place_for_long() {
    let mut client = client();
    client.until("test> ").await;
    client.send("print(1); loop { sleep(1) }\n").await;
    client.until("1\n").await;
    tokio::time::pause();
    let begun = Instant::now();
    client.stream.shutdown().await.unwrap();
    let text = client.rest().await;
    assert!(text.starts_with("error: stopped: 20 s after"), "{text:?}");
    assert_eq!(begun.elapsed().as_secs(), AFTER_END.as_secs());
}

#[tokio::test]
async fn http_is_hung_up_on() {
    for head in [
        "POST / HTTP/1.1\r\n1\r\n",
        "host: localhost\r\n1\r\n",
        "x=\nGET /x HTTP/1.0\n1\n",
    ] {
        let mut client = client();
        client.send(head).await;
        let text = client.rest().await;
        assert!(!text.ends_with("1\n"), "{text:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_ends() {
    let client = client();
    let begun = Instant::now();
    let text = client.rest().await;
    assert!(text.ends_with("for hours\n"), "{text:?}");
    assert_eq!(begun.elapsed().as_secs(), IDLE.as_secs());
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_dropped() {
    let client = client();
    tokio::time::pause();
    let mut client = client;
    client
        .send("let a = \"\"; a.pad(100000, 'x'); for i in 0..9 { print(a) }\n")
        .await;
    let ended = client.serving.await.unwrap().unwrap_err();
    assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_client_that_takes_nothing_does_not_keep_the_process() {
    let mut client = client();
    client.until("test> ").await;
    client
        .send("let a = \"\"; a.pad(100000, 'x'); for i in 0..9 { print(a) }\n")
        .await;
    client.until("xxx").await;
    client.shutdown.cancel();
    let ended = timeout(3 * FAREWELL, client.serving).await.unwrap();
    ended.unwrap().unwrap();
}

#[tokio::test]
async fn nothing_is_so_deep_that_the_stack_is_used_up() {
    let mut client = client();
    client.until("test> ").await;
    let grow = "for i in 0..6000 { let y = [0]; y[0] = x.take(); x = y.take() }";
    let look = "print(x.to_string().len()); x == x; let z = x; x";
    client.send(format!("let x = 0; {grow} {look}\n")).await;
    let said = client.until("test> ").await;
    // 6000 lists, each in the next: the process goes on, and they do not stay.
    assert!(
        said.contains("12001\n") && said.contains("deep; they are gone"),
        "{said:?}"
    );
    client.send("1 + 1\n").await;
    assert_eq!(client.until("test> ").await, "2\ntest> ");
}
