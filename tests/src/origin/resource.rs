//! What an origin has at a path: a status, headers and a body.

use bytes::Bytes;

/// An answer: what lies at a path, what a handler makes, or what a fault puts in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

impl Resource {
    /// A 200 with this body.
    #[must_use]
    pub fn new(content_type: &str, body: impl Into<Bytes>) -> Resource {
        Resource {
            status: 200,
            content_type: content_type.to_owned(),
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// A 200 of plain text.
    #[must_use]
    pub fn text(body: impl Into<String>) -> Resource {
        Resource::new("text/plain", body.into())
    }

    /// A 200 of an HLS playlist.
    #[must_use]
    pub fn playlist(body: impl Into<Bytes>) -> Resource {
        Resource::new("application/vnd.apple.mpegurl", body)
    }

    /// A 200 of JSON.
    #[must_use]
    pub fn json(value: &serde_json::Value) -> Resource {
        Resource::new("application/json", value.to_string())
    }

    /// The same with another status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Resource {
        self.status = status;
        self
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Resource {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The content type that goes with a file's name.
    pub(super) fn content_type_of(name: &str) -> &'static str {
        match name.rsplit('.').next() {
            Some("m3u8") => "application/vnd.apple.mpegurl",
            Some("ts") => "video/mp2t",
            Some("mp4" | "m4s") => "video/mp4",
            Some("json") => "application/json",
            _ => "application/octet-stream",
        }
    }
}

/// The words that go with a status; clients ignore them, people who read a dump do not.
pub(super) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}
