//! Rough cuts: files one after the other, sent as any file is. The next one is opened while the
//! one before it is being sent.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::HttpBody;
use bytes::Bytes;
use common::serve::FileSender;
use hyper::body::Frame;
use tokio::task::JoinHandle;

use super::fmp4;
use super::stretch::Source;
use crate::error::ApiError;
use crate::mpegts::packet::{PACKET, SYNC};
use crate::routes::segments::content_type;
use crate::routes::segments::{Buffers, FileBody, OpenFiles, Part, SharedFile, Span, open};

/// What sending files takes.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) open: Arc<OpenFiles>,
    pub(crate) buffers: Arc<Buffers>,
    /// Where the connection can send files by itself.
    pub(crate) sender: Option<FileSender>,
}

/// A file of a cut, open, and what of it is to be sent.
#[derive(Debug)]
struct Opened {
    file: Arc<SharedFile>,
    span: Span,
    /// The init section that holds now, if it is MP4.
    init: Option<Arc<[u8]>>,
}

/// Files, one after the other.
#[derive(Debug)]
pub(crate) struct RoughBody {
    files: Files,
    /// Those that are not open yet.
    sources: VecDeque<Source>,
    current: Option<FileBody>,
    /// The next one, being opened.
    next: Option<JoinHandle<Result<Opened, ApiError>>>,
    init: Option<Arc<[u8]>>,
}

impl RoughBody {
    /// Opens the first file; gives the cut's content type, too.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub(crate) async fn open(
        files: Files,
        sources: Vec<Source>,
    ) -> Result<(RoughBody, &'static str), ApiError> {
        let mut body = RoughBody {
            files,
            sources: sources.into(),
            current: None,
            next: None,
            init: None,
        };
        body.open_next();
        let Some(opening) = body.next.take() else {
            return Ok((body, content_type::TS));
        };
        let opened = opening.await;
        let opened = opened.map_err(|error| ApiError::internal("open the file", &error))??;
        let content_type = content_type::of(".ts", &opened.file.first_bytes);
        body.begin(opened);
        Ok((body, content_type))
    }

    fn open_next(&mut self) {
        if let Some(source) = self.sources.pop_front() {
            let (files, init) = (Arc::clone(&self.files.open), self.init.clone());
            let opening = move || open_source(&files, &source, init);
            self.next = Some(tokio::task::spawn_blocking(opening));
        }
    }

    fn begin(&mut self, opened: Opened) {
        let Files {
            buffers, sender, ..
        } = &self.files;
        let parts = vec![Part::File(opened.span)];
        let body = FileBody::new(opened.file, parts, sender.clone(), Arc::clone(buffers));
        self.current = Some(body);
        self.init = opened.init;
        self.open_next();
    }
}

impl HttpBody for RoughBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        loop {
            if let Some(current) = &mut this.current {
                let frame = ready!(Pin::new(current).poll_frame(context));
                if frame.is_some() {
                    return Poll::Ready(frame);
                }
                this.current = None;
            }
            let Some(next) = &mut this.next else {
                return Poll::Ready(None);
            };
            let opened = ready!(Pin::new(next).poll(context));
            this.next = None;
            match opened.map_err(io::Error::other)? {
                Ok(opened) => this.begin(opened),
                Err(error) => return Poll::Ready(Some(Err(io::Error::other(error)))),
            }
        }
    }
}

/// Opens a file. Blocking.
fn open_source(
    files: &Arc<OpenFiles>,
    source: &Source,
    before: Option<Arc<[u8]>>,
) -> Result<Opened, ApiError> {
    let gone = || ApiError::internal("open a segment that was just there", &source.path.display());
    let file = open(files, &source.path)?.ok_or_else(gone)?;
    let mut span = Span {
        start: 0,
        end: file.length,
    };
    let mut init = None;
    if content_type::is_mp4(&file.first_bytes) {
        let failed = |error: io::Error| {
            let reason = format!("{}: {error}", source.path.display());
            ApiError::internal("read a segment", &reason)
        };
        let is_full = source.segment.is_full();
        let found = match read_init(file.file(), file.length) {
            // It ends within what would have to be known first.
            Err(error) if !is_full && error.kind() == io::ErrorKind::InvalidData => {
                span.end = 0;
                return Ok(Opened {
                    file,
                    span,
                    init: before,
                });
            }
            found => found.map_err(failed)?,
        };
        if !is_full {
            let read = |at, buffer: &mut [u8]| file.file().read_at(buffer, at);
            let whole = fmp4::whole_length(found.len() as u64, file.length, read);
            span.end = whole.map_err(failed)?;
        }
        let is_new = found.is_empty() || before.as_deref() != Some(&*found);
        span.start = if is_new { 0 } else { found.len() as u64 };
        init = if found.is_empty() {
            before
        } else {
            Some(found)
        };
    } else if file.first_bytes[0] == SYNC {
        // A packet that is cut short would spoil the one after it.
        span.end -= span.end % PACKET as u64;
    }
    Ok(Opened { file, span, init })
}

fn read_init(file: &File, length: u64) -> io::Result<Arc<[u8]>> {
    let read = |at, buffer: &mut [u8]| file.read_at(buffer, at);
    let length = fmp4::init_length(length, read)?;
    // At most `MAX_INIT`.
    let mut init = vec![0; length as usize];
    file.read_exact_at(&mut init, 0)?;
    Ok(init.into())
}
