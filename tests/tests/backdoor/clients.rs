//! How operators come and go: several at once, with Debian's own clients, and who is kept out.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tests::node::{Node, Service, free_port};
use tests::operator::Operator;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::time::timeout;

use super::SOON;

async fn restreamer(node: &Node, extra: &[&str]) -> Service {
    let base = node.base_dir().display().to_string();
    let arguments = ["--base-dir", &base, "--host", "127.0.0.1", "--port", "0"];
    let arguments: Vec<String> = arguments
        .iter()
        .chain(extra)
        .map(|&word| word.to_owned())
        .collect();
    node.start("restreamer", &arguments, &[]).await
}

async fn with_backdoor(node: &Node) -> (Service, u16) {
    let port = free_port();
    let service = restreamer(node, &["--backdoor-port", &port.to_string()]).await;
    service.wait_for_address("backdoor").await;
    (service, port)
}

#[tokio::test]
async fn ones_endless_loop_is_not_anothers() {
    let node = Node::new("a");
    let (service, port) = with_backdoor(&node).await;
    let mut first = Operator::connect("restreamer", port).await;
    let mut second = Operator::connect("restreamer", port).await;
    first.run("let a = 1").await;
    first.send(b"while true { sleep(0.001) }\r").await;
    let running = |said: &str| said == "1";
    let others = "tasks(\"operator\").filter(|t| t.state == \"running a line\").len() - 1";
    second.run_until(others, running).await;
    assert_eq!(
        second.run("a").await,
        "error: Variable not found: a (line 1, position 1)"
    );
    assert_eq!(second.run("let a = 2; a + 1").await, "3");
    // What was typed meanwhile is dropped with what runs.
    first.send(b"a = 5\r\x03").await;
    let said = first.until_prompt().await;
    assert!(said.ends_with("error: interrupted\r\n"), "{said:?}");
    assert_eq!(first.run("a").await, "1");
    // Interrupt process, and the mark up to which all is urgent.
    first.send(b"while true { sleep(0.001) }\r").await;
    second.run_until(others, running).await;
    first.send(&[255, 244, 255]).await;
    first.send_urgent(242);
    let said = first.until_prompt().await;
    assert!(said.ends_with("error: interrupted\r\n"), "{said:?}");
    assert_eq!(
        first.run("loop { }").await,
        "error: stopped: more than 5000000 steps"
    );

    // Cursor keys, history, a block of lines, characters of several bytes.
    first.send("print(\"äb\")".as_bytes()).await;
    first.send(b"\x1b[D\x1b[D\x7fx\x1b[H\x1b[F\r").await;
    let said = first.until_prompt().await;
    assert!(said.ends_with("\r\näx\r\n"), "{said:?}");
    first.send(b"\x1b[A\x1b[A\r\n").await;
    assert!(first.until_prompt().await.contains("5000000 steps"));
    first
        .send(b"for i in 0..2 {\r\0print(i + 40)\r\0}\r\0")
        .await;
    let said = first.until_prompt().await;
    assert!(
        said.contains(" ...> ") && said.ends_with("40\r\n41\r\n"),
        "{said:?}"
    );
    first.send(b"exit\r").await;
    assert!(first.rest().await.ends_with("exit\r\n"));
    assert_eq!(second.run("1").await, "1");
    assert_eq!(
        service.count_log("line=\"a = 5\""),
        0,
        "only what is run is logged"
    );
    assert_eq!(service.count_log("line=\"loop { }\""), 2);
}

/// What the process had of memory at most, in MiB.
fn most_memory(service: &Service) -> u64 {
    let status = format!("/proc/{}/status", service.id().unwrap());
    let status = std::fs::read_to_string(status).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() / 1024
}

#[tokio::test]
async fn no_line_takes_the_memory_of_the_machine() {
    let node = Node::new("a");
    let (service, port) = with_backdoor(&node).await;
    // Should this ever fail, it is not to take the memory of the machine.
    let process = Pid::from_raw(service.id().unwrap().cast_signed());
    let limit = Rlimit {
        current: Some(8 << 30),
        maximum: Some(8 << 30),
    };
    prlimit(process, Resource::As, limit).unwrap();
    let mut operator = Operator::connect("restreamer", port).await;
    let long = "let t = \"\"; t.pad(500000, \"a\"); let n = []; n.pad(20000, 0)";
    operator.run(long).await;
    let long_names = "let m = #{}; for i in 0..200 { m[t + i] = 0 }";
    // Gigabytes each, by copies that are made in one step, or in a few.
    for (text, reason) in [
        (
            "let s = t; s.replace(\"a\", t); s.len()",
            "Length of string",
        ),
        ("n.map(|x| t + x)", "128 MiB"),
        ("n.map(Fn(\"sub_string\").curry(t))", "128 MiB"),
        (&format!("{long_names} [{}]", "m,".repeat(20)), "128 MiB"),
    ] {
        let said = operator.run(text).await;
        assert!(said.contains(reason), "{text}: {said}");
        let most = most_memory(&service);
        assert!(most < 700, "{text}: {most} MiB");
    }
    assert_eq!(operator.run("n.len()").await, "20000");
}

#[tokio::test]
async fn a_crowd_a_browser_and_other_machines_are_kept_out() {
    let node = Node::new("a");
    let (service, port) = with_backdoor(&node).await;
    let mut inside = Vec::new();
    for _ in 0..8 {
        inside.push(Operator::connect("restreamer", port).await);
    }
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut ninth = TcpStream::connect(address).await.unwrap();
    let mut said = String::new();
    timeout(SOON, ninth.read_to_string(&mut said))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(said, "there are 8 operators here already\r\n");
    let mut leaving = inside.pop().unwrap();
    leaving.send(&[4]).await;
    leaving.rest().await;
    service.wait_for_log("an operator has left", SOON).await;

    // A page that posts commands to localhost.
    let mut page = TcpStream::connect(address).await.unwrap();
    let post = b"POST / HTTP/1.1\r\nhost: localhost\r\n\r\nshutdown()\r\n";
    page.write_all(post).await.unwrap();
    let mut said = Vec::new();
    // A reset is an end as well.
    let _ = timeout(SOON, page.read_to_end(&mut said)).await.unwrap();
    service
        .wait_for_log("HTTP came to the backdoor", SOON)
        .await;
    assert_eq!(inside[0].run("1").await, "1");

    // 127.0.0.1 and no other address, of this machine or any.
    let all = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let all = all + &std::fs::read_to_string("/proc/net/tcp6").unwrap_or_default();
    let end = format!(":{port:04X}");
    let listening = all.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (local, _, state) = (words.next()?, words.next()?, words.next()?);
        (state == "0A" && local.ends_with(&end)).then(|| local.to_owned())
    });
    let listening: Vec<String> = listening.collect();
    assert_eq!(listening, [format!("0100007F{end}")]);
    let elsewhere = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), port));
    assert!(TcpStream::connect(elsewhere).await.is_err());
}

#[tokio::test]
async fn port_0_opens_nothing_and_a_taken_port_is_said_in_a_line() {
    let node = Node::new("a");
    let service = restreamer(&node, &["--backdoor-port", "0"]).await;
    service.address().await;
    let sockets = |id: u32| {
        let files = std::fs::read_dir(format!("/proc/{id}/fd")).unwrap();
        let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        let sockets = links.filter_map(|link| {
            let name = link
                .to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')?
                .to_owned();
            Some(name)
        });
        sockets.collect::<Vec<String>>()
    };
    let mine = sockets(service.id().unwrap());
    let all = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let listening = all.lines().filter(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(3) == Some(&"0A")
            && mine
                .iter()
                .any(|inode| Some(&inode.as_str()) == words.get(9))
    });
    assert_eq!(listening.count(), 1, "the port for clients, and no other");
    assert_eq!(service.count_log("backdoor"), 0);

    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut service = restreamer(&node, &["--backdoor-port", &port.to_string()]).await;
    assert_eq!(service.wait(SOON).await.code(), Some(1));
    let line = service.wait_for_log("cannot listen", SOON).await;
    assert!(
        line.contains(&format!("127.0.0.1:{port}: Address already in use")),
        "{line}"
    );
}

/// Debian's telnet client, on a terminal of its own.
#[tokio::test]
async fn debians_telnet_is_a_client() {
    let node = Node::new("a");
    let (_service, port) = with_backdoor(&node).await;
    let mut telnet = std::process::Command::new("script")
        .args(["--quiet", "--return", "--command"])
        .arg(format!("telnet 127.0.0.1 {port}"))
        .arg("/dev/null")
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut keys, mut screen) = (telnet.stdin.take().unwrap(), telnet.stdout.take().unwrap());
    let seen = tokio::task::spawn_blocking(move || {
        let (mut seen, mut from) = (String::new(), 0);
        let mut see = |end: &str| {
            while !seen[from..].contains(end) {
                let mut bytes = [0; 4096];
                match screen.read(&mut bytes) {
                    Ok(read) if read > 0 => seen.push_str(&String::from_utf8_lossy(&bytes[..read])),
                    other => panic!("{end:?} is not seen ({other:?}), but {seen:?}"),
                }
            }
            from += seen[from..].find(end).unwrap() + end.len();
        };
        let prompt = "\r\nrestreamer> ";
        let mut press = |text: &str| keys.write_all(text.as_bytes()).unwrap();
        see("leaves");
        press("let a = \"ä\" + 40\x1b[D\x7f\x7f\"50\"\x1b[C\x08\r");
        see(prompt);
        press("print(a)\r");
        see(prompt);
        // Ctrl-C, and what the client itself sends for an interruption, urgent data included.
        for interrupt in [
            "\x03",
            "\x1dsend ip\r",
            "\x1dsend brk\r",
            "\x1dsend ip synch\r",
        ] {
            press("while true { sleep(0.01) }\r");
            see("0.01) }\r\n");
            for key in interrupt.split_inclusive('\x1d') {
                press(key);
                if key == "\x1d" {
                    see("telnet> ");
                }
            }
            see("interrupted");
            see(prompt);
        }
        press("print(a)\r");
        see(prompt);
        press("\x04");
        see("closed by foreign host");
        seen
    });
    let seen = timeout(SOON, seen).await;
    let _ = telnet.kill();
    let _ = telnet.wait();
    let seen = seen.unwrap().unwrap();
    assert_eq!(seen.matches("\r\nä50\r\n").count(), 2, "{seen:?}");
}

/// A plain connection: lines in, answers out, no echo.
#[tokio::test]
async fn nc_is_a_client() {
    let node = Node::new("a");
    let (service, port) = with_backdoor(&node).await;
    let mut nc = Command::new("nc")
        .args(["-N", "127.0.0.1", &port.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let lines =
        b"let a = [1, 2]\nfor x in a {\n  print(x + 40)\n}\nversion()\nfoo(\n1)\nif true {\n";
    let mut input = nc.stdin.take().unwrap();
    input.write_all(lines).await.unwrap();
    drop(input);
    let output = timeout(Duration::from_secs(20), nc.wait_with_output()).await;
    let output = String::from_utf8_lossy(&output.unwrap().unwrap().stdout).into_owned();
    let (_, said) = output.split_once("leaves\n").unwrap();
    let expected = "restreamer> restreamer>        ...>        ...> 41\n42\nrestreamer> restreamer 0.1.0\n\
        restreamer>        ...> error: Function not found: foo (i64)";
    assert!(said.starts_with(expected), "{said:?}");
    // A script that ends within a block is not dropped without a word.
    assert!(said.contains("error: Syntax error: Expecting"), "{said:?}");
    service.wait_for_log("if true {", SOON).await;
}
