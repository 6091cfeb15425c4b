//! A restreamer over a temporary base directory, and what it answers.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use clap::Parser as _;
use flate2::read::GzDecoder;
use restreamer::{Options, Routes};
use tempfile::TempDir;
use tower::ServiceExt as _;

/// The SHA-256 of nothing.
pub(crate) const HASH: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

/// The name of a segment with that hash, from `START-DURATION-TYPE`.
pub(crate) fn name(segment: &str) -> String {
    format!("{segment}-{HASH}.ts")
}

/// A restreamer and its base directory.
pub(crate) struct Api {
    base: TempDir,
    routes: Routes,
}

/// What it answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body, unpacked if it came compressed.
    pub(crate) fn content(&self) -> Vec<u8> {
        let mut content = Vec::new();
        match self.header("content-encoding") {
            None => content.extend_from_slice(&self.body),
            Some("gzip") => {
                let mut decoder = GzDecoder::new(&*self.body);
                decoder.read_to_end(&mut content).unwrap();
                assert!(decoder.into_inner().is_empty(), "more than one member");
            }
            Some(other) => panic!("{other}"),
        }
        content
    }

    pub(crate) fn names(&self) -> Vec<String> {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_slice(&self.content()).unwrap()
    }
}

impl Api {
    /// With these files, each with its own path as content; a path with a slash at its end is
    /// a directory.
    pub(crate) fn new(files: &[&str]) -> Api {
        let base = TempDir::new().unwrap();
        let directory = base.path().to_str().unwrap();
        let options = Options::parse_from(["restreamer", "--base-dir", directory]);
        let api = Api {
            routes: restreamer::router(&options),
            base,
        };
        for file in files {
            api.write(file, file.as_bytes());
        }
        api
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.base.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, content: &[u8]) {
        let file = self.path(path);
        if path.ends_with('/') {
            fs::create_dir_all(file).unwrap();
        } else {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
    }

    pub(crate) async fn request(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = self.routes.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        Answer {
            status: head.status,
            headers: head.headers,
            body: to_bytes(body, usize::MAX).await.unwrap(),
        }
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.request("GET", target, &[]).await
    }
}
