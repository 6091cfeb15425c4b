//! One connection of an origin: reads requests and answers them, going wrong as told.
//!
//! Every wait here ends when the origin stops, and the waits of faults end when the client
//! goes away as well, so that a test can see that it did.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::fault::{Answer, Break, Fault, Framing, Hold};
use super::log::Outcome;
use super::request::{self, ByteRange, Request};
use super::resource::{Resource, reason};

/// A body goes out in pieces of at most this size, and the log follows piece by piece.
const PIECE: usize = 64 * 1024;

/// Answers the requests of one connection until one side has enough.
pub(super) async fn serve(
    shared: &Shared,
    mut stream: TcpStream,
    number: u64,
    stop: &CancellationToken,
) {
    let mut buffer = BytesMut::new();
    loop {
        let read = tokio::select! {
            biased;
            () = stop.cancelled() => Ok(None),
            read = request::read(&mut stream, &mut buffer) => read,
        };
        let mut request = match read {
            Ok(Some(request)) => request,
            Ok(None) => break,
            Err(error) => {
                refuse(&stream, &error).await;
                break;
            }
        };
        request.connection = number;
        let (request, fault) = shared.begin(request);
        let mut exchange = Exchange {
            shared,
            stream: &stream,
            stop,
            request: &request,
            fault: fault.unwrap_or_default(),
            sent: 0,
        };
        let end = exchange.answer().await;
        let (outcome, keep) = match end {
            Ok(end) => (end.outcome, end.keep),
            Err(Broken::Client) => (Outcome::CutByClient, false),
            Err(Broken::Stopped) => {
                reset(&stream);
                (Outcome::Stopped, false)
            }
            Err(Broken::Reset) => {
                reset(&stream);
                (Outcome::CutByOrigin, false)
            }
        };
        if !keep {
            // Closed before it is logged: who waits for the log entry finds it so.
            drop(stream);
            shared.end(request.id, outcome);
            return;
        }
        shared.end(request.id, outcome);
    }
    if stop.is_cancelled() {
        reset(&stream);
    }
}

/// Makes the coming close of the socket a reset.
fn reset(stream: &TcpStream) {
    // Fails only if the socket is gone already, which is what is wanted.
    let _ = stream.set_zero_linger();
}

async fn refuse(stream: &TcpStream, error: &io::Error) {
    if error.kind() == io::ErrorKind::InvalidData {
        let text = format!(
            "HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{error}\n",
            error.to_string().len() + 1
        );
        if stream.writable().await.is_ok() {
            let _ = stream.try_write(text.as_bytes());
        }
    }
}

/// Why an answer did not come to its end.
enum Broken {
    Client,
    Stopped,
    Reset,
}

/// How an answer ended, and whether the connection can go on.
struct End {
    outcome: Outcome,
    keep: bool,
}

struct Exchange<'a> {
    shared: &'a Shared,
    stream: &'a TcpStream,
    stop: &'a CancellationToken,
    request: &'a Request,
    fault: Fault,
    /// Bytes of the body, without its framing.
    sent: u64,
}

impl Exchange<'_> {
    async fn answer(&mut self) -> Result<End, Broken> {
        if let Some(hold) = self.fault.before.take() {
            self.hold(&hold).await?;
        }
        let resource = match std::mem::take(&mut self.fault.answer) {
            Answer::Honest => self.shared.resource(self.request).await,
            Answer::Instead(resource) => resource,
            Answer::Reset => return Err(Broken::Reset),
            Answer::HangUp => {
                return Ok(End {
                    outcome: Outcome::CutByOrigin,
                    keep: false,
                });
            }
        };
        let (resource, body) = self.ranged(resource);
        let broken = self.fault.break_after.take();
        let whole = match self.fault.repeat_to {
            Some(limit) => limit,
            None => body.len() as u64,
        };
        let quiet_end = match &broken {
            Some((at, Break::Quiet)) => whole.min(*at),
            _ => whole,
        };
        let keep = self.send_head(&resource, quiet_end).await?;
        if self.request.method == "HEAD" {
            return Ok(End {
                outcome: Outcome::Finished,
                keep,
            });
        }
        let Some((at, kind)) = broken else {
            self.send_body(&body, 0, whole).await?;
            self.finish().await?;
            return Ok(End {
                outcome: Outcome::Finished,
                keep,
            });
        };
        let at = at.min(whole);
        self.send_body(&body, 0, at).await?;
        let outcome = if at < whole || self.fault.repeat_to.is_some() {
            Outcome::CutByOrigin
        } else {
            Outcome::Finished
        };
        match kind {
            Break::Close => Ok(End {
                outcome,
                keep: false,
            }),
            Break::Reset => Err(Broken::Reset),
            Break::Quiet => {
                self.finish().await?;
                Ok(End { outcome, keep })
            }
            Break::Stall(hold) => {
                self.hold(&hold).await?;
                self.send_body(&body, at, whole).await?;
                self.finish().await?;
                Ok(End {
                    outcome: Outcome::Finished,
                    keep,
                })
            }
        }
    }

    /// The part that a `Range` asks for, if it asks and the resource is an honest 200.
    fn ranged(&self, resource: Resource) -> (Resource, Bytes) {
        let body = resource.body.clone();
        if resource.status != 200 {
            return (resource, body);
        }
        let length = body.len() as u64;
        match self.request.byte_range(length) {
            ByteRange::Whole => (resource, body),
            ByteRange::Part(start, end) => {
                let range = format!("bytes {start}-{}/{length}", end - 1);
                // The range lies within a body that is in memory, so it fits.
                let body = body.slice(start as usize..end as usize);
                (resource.status(206).header("Content-Range", &range), body)
            }
            ByteRange::Unsatisfiable => {
                let range = format!("bytes */{length}");
                let resource = resource.status(416).header("Content-Range", &range);
                (resource, Bytes::new())
            }
        }
    }

    /// Sends the head; true if the connection can be used again after the body.
    async fn send_head(&mut self, resource: &Resource, length: u64) -> Result<bool, Broken> {
        let status = resource.status;
        let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
        head.push_str(&format!("Content-Type: {}\r\n", resource.content_type));
        for (name, value) in &resource.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if status == 200 {
            head.push_str("Accept-Ranges: bytes\r\n");
        }
        let mut keep = !self.request.wants_close();
        match self.fault.framing {
            Framing::Length => head.push_str(&format!("Content-Length: {length}\r\n")),
            Framing::Declared(length) => {
                head.push_str(&format!("Content-Length: {length}\r\n"));
                keep = false;
            }
            Framing::Chunked => head.push_str("Transfer-Encoding: chunked\r\n"),
            Framing::UntilClose => keep = false,
        }
        if !keep {
            head.push_str("Connection: close\r\n");
        }
        head.push_str("\r\n");
        self.shared
            .change(self.request.id, |exchange| exchange.status = Some(status));
        self.write_all(head.as_bytes()).await?;
        Ok(keep)
    }

    /// Sends the bytes `from..to` of the body repeated without end.
    async fn send_body(&mut self, body: &Bytes, from: u64, to: u64) -> Result<(), Broken> {
        let mut at = from;
        while at < to && !body.is_empty() {
            let offset = (at % body.len() as u64) as usize;
            let most = self.fault.pace.map_or(PIECE, |(bytes, _)| bytes.min(PIECE));
            let left = usize::try_from(to - at).unwrap_or(usize::MAX);
            let piece = &body[offset..body.len().min(offset.saturating_add(most.min(left)))];
            self.send_piece(piece).await?;
            at += piece.len() as u64;
            if let Some((_, tick)) = self.fault.pace.filter(|_| at < to) {
                self.pause(tick).await?;
            }
        }
        Ok(())
    }

    async fn send_piece(&mut self, piece: &[u8]) -> Result<(), Broken> {
        if self.fault.framing == Framing::Chunked {
            let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
            chunk.extend_from_slice(piece);
            chunk.extend_from_slice(b"\r\n");
            self.write_all(&chunk).await?;
        } else {
            self.write_all(piece).await?;
        }
        self.sent += piece.len() as u64;
        let sent = self.sent;
        self.shared
            .change(self.request.id, |exchange| exchange.sent = sent);
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Broken> {
        if self.fault.framing == Framing::Chunked {
            self.write_all(b"0\r\n\r\n").await?;
        }
        Ok(())
    }

    async fn write_all(&self, mut bytes: &[u8]) -> Result<(), Broken> {
        while !bytes.is_empty() {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Broken::Stopped),
                ready = self.stream.writable() => ready.map_err(|_| Broken::Client)?,
            }
            match self.stream.try_write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Err(Broken::Client),
            }
        }
        Ok(())
    }

    async fn hold(&self, hold: &Hold) -> Result<(), Broken> {
        match hold {
            Hold::Forever => self.until(std::future::pending()).await,
            Hold::For(time) => self.pause(*time).await,
            Hold::Until(gate) => self.until(gate.opened()).await,
        }
    }

    async fn pause(&self, time: Duration) -> Result<(), Broken> {
        self.until(sleep(time)).await
    }

    /// Waits for the event, unless the client goes away or the origin stops before.
    async fn until(&self, event: impl Future<Output = ()>) -> Result<(), Broken> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Broken::Stopped),
            () = gone(self.stream) => Err(Broken::Client),
            () = event => Ok(()),
        }
    }
}

/// Ends when the client has closed the connection.
async fn gone(stream: &TcpStream) {
    if let Ok(1..) = stream.peek(&mut [0]).await {
        // It has sent the next request already; while that lies unread, its leaving cannot be
        // seen. No client of ours does that.
        std::future::pending().await
    }
}
