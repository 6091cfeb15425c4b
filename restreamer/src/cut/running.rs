//! A cut on its way to its client: counted, timed, and never taken for whole if it is not.
//!
//! Operators see it, and can end it, as the request that it is (`requests()` of the backdoor).

use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use chrono::TimeDelta;
use common::metrics;
use hyper::body::Frame;
use prometheus::{CounterVec, HistogramVec};
use tokio::sync::OwnedSemaphorePermit;

use super::request::CutType;

/// From a frame's worth to a day of video over a slow line, in seconds.
const BUCKETS: [f64; 15] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 240.0, 900.0, 3600.0, 14_400.0,
];

static LATENCY: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "How long cuts took, from the request to the last byte";
    metrics::histogram("cut_latency", help, &["cut_type", "error"], &BUCKETS)
});

static SECONDS: LazyLock<CounterVec> = LazyLock::new(|| {
    let help = "Seconds of video in cuts that were sent to their end";
    metrics::float_counter("cut_video_seconds", help, &["cut_type"])
});

/// A cut that is being made or sent.
#[derive(Debug)]
pub(crate) struct Running {
    /// What was asked for.
    what: String,
    kind: CutType,
    /// How much video it is.
    length: TimeDelta,
    begun: Instant,
    /// How much was handed to the connection.
    bytes: u64,
    /// True iff all of it was.
    is_whole: bool,
    /// Held as long as it runs.
    _turn: OwnedSemaphorePermit,
}

impl Running {
    /// A cut begins.
    pub(crate) fn begin(
        what: String,
        kind: CutType,
        length: TimeDelta,
        turn: OwnedSemaphorePermit,
    ) -> Running {
        Running {
            what,
            kind,
            length,
            begun: Instant::now(),
            bytes: 0,
            is_whole: false,
            _turn: turn,
        }
    }

    /// Sends a body as this cut's.
    pub(crate) fn body(self, body: Body) -> CutBody {
        CutBody {
            running: self,
            body,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let (took, kind) = (self.begun.elapsed(), self.kind.as_str());
        let error = if self.is_whole { "false" } else { "true" };
        LATENCY
            .with_label_values(&[kind, error])
            .observe(took.as_secs_f64());
        if self.is_whole {
            let seconds = self.length.as_seconds_f64();
            SECONDS.with_label_values(&[kind]).inc_by(seconds);
        }
        let Running {
            what,
            bytes,
            is_whole,
            ..
        } = &*self;
        tracing::info!(what, kind, bytes, ?took, whole = is_whole, "cut ended");
    }
}

/// A cut's body. An error of it ends the connection uncleanly: no client takes half a cut for a
/// whole one.
#[derive(Debug)]
pub(crate) struct CutBody {
    // What makes it ends before `running` says so.
    body: Body,
    running: Running,
}

impl HttpBody for CutBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                this.running.bytes += bytes;
            }
            Some(Err(error)) => {
                let what = &this.running.what;
                tracing::warn!(what, %error, "a cut breaks off");
            }
            None => this.running.is_whole = true,
        }
        Poll::Ready(frame)
    }
}
