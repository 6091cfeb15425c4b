//! An operator at a service's backdoor, with a telnet client of our own: negotiation to the byte,
//! what is typed is shown by the other side.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::eventually;

/// More than anything takes that is asked here, on a busy machine too.
const SOON: Duration = Duration::from_secs(30);

const IAC: u8 = 255;

/// What telnet clients answer to an offer of echo, character by character, and to the question
/// for the window's size: yes, yes, and 4000 columns, so that no line of a test wraps.
const ANSWERS: [u8; 18] = [
    IAC, 253, 1, IAC, 253, 3, IAC, 251, 31, IAC, 250, 31, 15, 160, 0, 50, IAC, 240,
];

/// An operator.
#[derive(Debug)]
pub struct Operator {
    stream: TcpStream,
    prompt: String,
    /// The functions that were called, with how many parameters.
    called: BTreeSet<(String, usize)>,
}

impl Operator {
    /// Connects to the backdoor of a service and waits for its prompt.
    ///
    /// # Panics
    /// If there is none.
    pub async fn connect(service: &str, port: u16) -> Operator {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = eventually(SOON, "a backdoor", async || {
            let stream = TcpStream::connect(address).await;
            stream.map_err(|error| error.to_string())
        })
        .await;
        let mut operator = Operator {
            stream,
            prompt: format!("{service}> "),
            called: BTreeSet::new(),
        };
        let greeting = operator.read_to(&operator.prompt.clone()).await;
        assert_eq!(
            greeting[..9],
            [IAC, 251, 1, IAC, 251, 3, IAC, 253, 31],
            "the offers of a telnet server"
        );
        operator.send(&ANSWERS).await;
        operator
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// If the connection is gone.
    pub async fn send(&mut self, bytes: &[u8]) {
        let sent = self.stream.write_all(bytes).await;
        sent.unwrap_or_else(|error| panic!("cannot type: {error}"));
    }

    /// Sends a byte as urgent data.
    ///
    /// # Panics
    /// If the connection is gone.
    pub fn send_urgent(&self, byte: u8) {
        let sent = socket2::SockRef::from(&self.stream).send_out_of_band(&[byte]);
        sent.unwrap_or_else(|error| panic!("cannot type: {error}"));
    }

    /// Types a line, and gives what the service says to it.
    ///
    /// # Panics
    /// If there is no prompt again in time.
    pub async fn run(&mut self, line: &str) -> String {
        self.note_calls(line);
        self.send(format!("{line}\r\0").as_bytes()).await;
        let said = self.until_prompt().await;
        let shown = said.split_once("\r\n");
        let (typed, said) = shown.unwrap_or_else(|| panic!("{line:?} is not shown: {said:?}"));
        assert_eq!(typed, line, "what is typed is shown");
        said.replace("\r\n", "\n").trim_end().to_owned()
    }

    /// Runs a line again and again until `is_it` says so of what the service says to it.
    ///
    /// # Panics
    /// If it never does.
    pub async fn run_until(&mut self, line: &str, is_it: impl Fn(&str) -> bool) -> String {
        eventually(SOON, line, async || {
            let said = self.run(line).await;
            is_it(&said).then_some(said.clone()).ok_or(said)
        })
        .await
    }

    /// What comes before the next prompt, negotiation left out.
    ///
    /// # Panics
    /// If there is none in time.
    pub async fn until_prompt(&mut self) -> String {
        let prompt = format!("\r\n{}", self.prompt);
        let mut bytes = self.read_to(&prompt).await;
        // The line end before the prompt belongs to what was said.
        bytes.truncate(bytes.len() - self.prompt.len());
        text(&bytes)
    }

    /// What comes until the service hangs up.
    ///
    /// # Panics
    /// If it does not in time.
    pub async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let read = timeout(SOON, self.stream.read_to_end(&mut bytes)).await;
        // A reset is an end as well.
        assert!(
            read.is_ok(),
            "it does not hang up; it said {:?}",
            text(&bytes)
        );
        text(&bytes)
    }

    /// The functions that `help()` lists and that were not called yet.
    ///
    /// # Panics
    /// If there is no list.
    pub async fn not_called(&mut self) -> Vec<String> {
        let help = self.run("help()").await;
        let signatures = help.lines().filter_map(|line| {
            let signature = line.strip_prefix("  ")?;
            let (signature, _) = signature.split_once(')')?;
            let (name, parameters) = signature.split_once('(')?;
            let is_name = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            let parameters = parameters.split(',').filter(|p| !p.trim().is_empty());
            is_name.then(|| (name.to_owned(), parameters.count()))
        });
        let signatures: BTreeSet<_> = signatures.collect();
        assert!(signatures.len() > 10, "{help}");
        let missing = signatures.difference(&self.called);
        missing
            .map(|(name, count)| format!("{name}/{count}"))
            .collect()
    }

    /// Notes the calls in a line: `f(a, b)`, and `a.f(b)`, which is the same.
    fn note_calls(&mut self, line: &str) {
        for (open, _) in line.match_indices('(') {
            let before = &line[..open];
            let start = before.rfind(|c: char| !(c.is_ascii_lowercase() || c == '_'));
            let start = start.map_or(0, |at| at + 1);
            let of_value = usize::from(before[..start].ends_with('.'));
            let (mut depth, mut commas, mut empty) = (0, 0, true);
            for character in line[open + 1..].chars() {
                match character {
                    '(' | '[' => depth += 1,
                    ')' if depth == 0 => break,
                    ')' | ']' => depth -= 1,
                    ',' if depth == 0 => commas += 1,
                    _ => {}
                }
                empty = false;
            }
            let parameters = if empty { 0 } else { commas + 1 };
            let name = before[start..].to_owned();
            self.called.insert((name, parameters + of_value));
        }
    }

    async fn read_to(&mut self, end: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(end.as_bytes()) {
            let mut buffer = [0; 4096];
            match timeout(SOON, self.stream.read(&mut buffer)).await {
                Ok(Ok(read)) if read > 0 => bytes.extend_from_slice(&buffer[..read]),
                other => panic!("{end:?} did not come ({other:?}), but {:?}", text(&bytes)),
            }
        }
        bytes
    }
}

/// Bytes as text.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
