//! A request as it came over the wire: read by hand, bounded, nothing normalised.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// No client of ours sends a head as large as this.
const MAX_HEAD: usize = 64 * 1024;
/// The bodies that come here are small JSON questions.
const MAX_BODY: usize = 1024 * 1024;

/// One request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Numbers the requests of an origin from 0, in the order in which their heads arrived.
    pub id: u64,
    /// Numbers the connections of an origin from 0: equal for requests that shared one.
    pub connection: u64,
    /// `GET`, `HEAD`, `POST` …
    pub method: String,
    /// The target to the byte: path and query.
    pub target: String,
    /// The part of the target before the first `?`, not decoded.
    pub path: String,
    /// Names in lower case, in the order in which they came.
    pub headers: Vec<(String, String)>,
    /// What came after the head, if there was a `Content-Length`.
    pub body: Bytes,
}

impl Request {
    /// The value of the first header of that name (in lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The `Range` header.
    #[must_use]
    pub fn range(&self) -> Option<&str> {
        self.header("range")
    }

    /// The part of the target after the first `?`, not decoded.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// The decoded value of the first parameter of that name.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query()?.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// True if the client wants the connection closed after the answer.
    pub(super) fn wants_close(&self) -> bool {
        self.header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// The bytes `first..end` that a single range names, of a body of `length` bytes.
    pub(super) fn byte_range(&self, length: u64) -> ByteRange {
        let Some(text) = self.range().and_then(|r| r.strip_prefix("bytes=")) else {
            return ByteRange::Whole;
        };
        let Some((first, last)) = text.split_once('-') else {
            return ByteRange::Whole;
        };
        // RFC 9110 §14.2: a range that is not understood (several, say) is ignored.
        let (start, end) = match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) if first <= last => (first, last.saturating_add(1).min(length)),
            (Ok(first), Err(_)) if last.is_empty() => (first, length),
            (Err(_), Ok(count)) if first.is_empty() => (length.saturating_sub(count), length),
            _ => return ByteRange::Whole,
        };
        if start < end {
            ByteRange::Part(start, end)
        } else {
            ByteRange::Unsatisfiable
        }
    }
}

/// What a `Range` header asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteRange {
    Whole,
    Part(u64, u64),
    Unsatisfiable,
}

/// Reads the next request of a connection; `buffer` keeps what came after it. `None`: the
/// client closed the connection between two requests.
pub(super) async fn read(
    stream: &mut TcpStream,
    buffer: &mut BytesMut,
) -> io::Result<Option<Request>> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        if buffer.len() > MAX_HEAD {
            return Err(invalid("the request's head is too large"));
        }
        if stream.read_buf(buffer).await? == 0 {
            return if buffer.is_empty() {
                Ok(None)
            } else {
                Err(invalid("the request ended inside its head"))
            };
        }
    };
    let head = buffer.split_to(head_end + 4);
    let mut request = parse_head(&head[..head_end])?;
    if request.header("transfer-encoding").is_some() {
        return Err(invalid("a chunked request is not supported here"));
    }
    let length = match request.header("content-length") {
        None => 0,
        Some(text) => text
            .parse::<usize>()
            .map_err(|_| invalid("bad Content-Length"))?,
    };
    if length > MAX_BODY {
        return Err(invalid("the request's body is too large"));
    }
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Err(invalid("the request ended inside its body"));
        }
    }
    request.body = buffer.split_to(length).freeze();
    Ok(Some(request))
}

fn parse_head(head: &[u8]) -> io::Result<Request> {
    let head = std::str::from_utf8(head).map_err(|_| invalid("the head is not UTF-8"))?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1" | "HTTP/1.0"), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(invalid("not an HTTP/1 request line"));
    };
    let headers = lines
        .map(|line| {
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| invalid("a header without a colon"))?;
            Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect::<io::Result<_>>()?;
    Ok(Request {
        method: method.to_owned(),
        path: target.split('?').next().unwrap_or_default().to_owned(),
        target: target.to_owned(),
        headers,
        ..Request::default()
    })
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_ten_bytes() {
        let table = [
            ("bytes=0-3", ByteRange::Part(0, 4)),
            ("bytes=4-", ByteRange::Part(4, 10)),
            ("bytes=-3", ByteRange::Part(7, 10)),
            ("bytes=-30", ByteRange::Part(0, 10)),
            ("bytes=8-99", ByteRange::Part(8, 10)),
            ("bytes=10-", ByteRange::Unsatisfiable),
            ("bytes=-0", ByteRange::Unsatisfiable),
            ("bytes=3-1", ByteRange::Whole),
            ("bytes=0-1,3-4", ByteRange::Whole),
            ("items=0-1", ByteRange::Whole),
        ];
        for (text, expected) in table {
            let request = Request {
                headers: vec![("range".to_owned(), text.to_owned())],
                ..Request::default()
            };
            assert_eq!(request.byte_range(10), expected, "{text}");
        }
        assert_eq!(Request::default().byte_range(10), ByteRange::Whole);
    }

    #[test]
    fn a_head_is_kept_to_the_byte() {
        let request =
            parse_head(b"GET /a/..%2f?x=%20y&z HTTP/1.1\r\nHost: h\r\nRANGE:  bytes=0-1 ").unwrap();
        assert_eq!(request.path, "/a/..%2f");
        assert_eq!(request.query(), Some("x=%20y&z"));
        assert_eq!(request.parameter("x").as_deref(), Some(" y"));
        assert_eq!(request.range(), Some("bytes=0-1"));
        for bad in [
            "GET /",
            "GET / HTTP/2",
            "GET / x HTTP/1.1",
            "GET / HTTP/1.1\r\nno colon",
        ] {
            assert!(parse_head(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
