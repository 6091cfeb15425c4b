//! An HTTP/1.1 client that sends a target to the byte: `/segments/../x` stays what it is, where
//! every proper client would tidy it up. One request, one connection, loopback.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Nothing that a test asks this way takes longer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in lower case, in the order in which they came.
    pub headers: Vec<(String, String)>,
    /// The body without its framing, as far as it came.
    pub body: Bytes,
    /// False if the connection ended before the body's declared end.
    pub complete: bool,
}

impl Answer {
    /// The value of the first header of that name (in lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text; bytes that are none are replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text()))
    }
}

/// GETs a target.
///
/// # Panics
/// If there is no answer.
pub async fn get(address: SocketAddr, target: &str) -> Answer {
    request(address, "GET", target, &[]).await
}

/// Sends a request without a body, with these headers beside `Host` and `Connection: close`.
///
/// # Panics
/// If there is no answer.
pub async fn request(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("Connection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut bytes = Vec::new();
        // A reset after the head is an early end like another.
        let end = stream.read_to_end(&mut bytes).await;
        if bytes.is_empty() {
            end?;
        }
        Ok::<_, std::io::Error>(bytes)
    };
    let what = format!("{method} {target} at {address}");
    let bytes = match timeout(TIMEOUT, exchange).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => panic!("no answer to {what}: {error}"),
        Err(_) => panic!("no answer to {what} in {TIMEOUT:?}"),
    };
    parse(&bytes, method == "HEAD").unwrap_or_else(|| {
        panic!(
            "no HTTP answer to {what}: {:?}",
            String::from_utf8_lossy(&bytes[..bytes.len().min(200)])
        )
    })
}

fn parse(bytes: &[u8], head_only: bool) -> Option<Answer> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines
        .map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect::<Option<_>>()?;
    let mut answer = Answer {
        status,
        headers,
        body: Bytes::new(),
        complete: true,
    };
    let rest = &bytes[end + 4..];
    if head_only || status == 204 || status == 304 {
        answer.complete = rest.is_empty();
    } else if answer.header("transfer-encoding") == Some("chunked") {
        let (body, complete) = unchunk(rest);
        answer.body = body.into();
        answer.complete = complete;
    } else {
        answer.body = Bytes::copy_from_slice(rest);
        let declared = answer.header("content-length");
        answer.complete = declared.is_none_or(|length| length.parse() == Ok(rest.len()));
    }
    Some(answer)
}

/// The data of a chunked body, and whether its end was there.
fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|w| w == b"\r\n") else {
            return (body, false);
        };
        let size = String::from_utf8_lossy(&rest[..end]);
        let size = size.split(';').next().unwrap_or_default().trim();
        let Ok(size) = usize::from_str_radix(size, 16) else {
            return (body, false);
        };
        rest = &rest[end + 2..];
        if size == 0 {
            return (body, true);
        }
        body.extend_from_slice(&rest[..size.min(rest.len())]);
        let Some(after) = rest.get(size + 2..) else {
            return (body, false);
        };
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_framings() {
        let table: [(&[u8], &[u8], bool); 6] = [
            (b"Content-Length: 3\r\n\r\nabc", b"abc", true),
            (b"Content-Length: 4\r\n\r\nabc", b"abc", false),
            (b"X: y\r\n\r\nabc", b"abc", true),
            (
                b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
                b"abcd",
                true,
            ),
            (
                b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n5\r\nd",
                b"abcd",
                false,
            ),
            (
                b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
                b"abc",
                false,
            ),
        ];
        for (rest, body, complete) in table {
            let bytes = [b"HTTP/1.1 200 OK\r\n", rest].concat();
            let answer = parse(&bytes, false).unwrap();
            assert_eq!((answer.body.as_ref(), answer.complete), (body, complete));
        }
        assert!(parse(b"HTTP/1.1 200 OK\r\nX", false).is_none());
    }
}
