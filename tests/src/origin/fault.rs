//! What can go wrong with an answer. A [`Fault`] has independent parts (what happens before the
//! first byte, what is answered, how the body is framed and paced, where and how it breaks), so
//! that they combine: `Fault::cut_after(1000).delayed(…).dripping(…)`.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::resource::Resource;

/// Holds answers back until a test lets them go on. Clones are the same gate.
#[derive(Debug, Clone, Default)]
pub struct Gate(CancellationToken);

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn new() -> Gate {
        Gate::default()
    }

    /// Opens it, for good: everything held at it goes on.
    pub fn open(&self) {
        self.0.cancel();
    }

    pub(super) async fn opened(&self) {
        self.0.cancelled().await;
    }
}

/// How long an answer is held back.
#[derive(Debug, Clone)]
pub enum Hold {
    /// Until the client goes away or the origin stops.
    Forever,
    /// For this long; then the answer goes on.
    For(Duration),
    /// Until the gate is opened; then the answer goes on.
    Until(Gate),
}

/// How the body's end is told to the client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Framing {
    /// A true `Content-Length`.
    #[default]
    Length,
    /// A `Content-Length` that need not be true; the connection is closed after the body.
    Declared(u64),
    /// Chunked transfer coding.
    Chunked,
    /// No length: the body ends where the connection ends.
    UntilClose,
}

/// What is answered.
#[derive(Debug, Clone, Default)]
pub(super) enum Answer {
    /// What lies at the path.
    #[default]
    Honest,
    /// This instead.
    Instead(Resource),
    /// Nothing: the connection is reset (RST).
    Reset,
    /// Nothing: the connection is closed (FIN).
    HangUp,
}

/// How a body breaks off.
#[derive(Debug, Clone)]
pub(super) enum Break {
    /// The connection is closed (FIN): with a length, the client can tell.
    Close,
    /// The connection is reset (RST).
    Reset,
    /// Nothing more comes for a time; then the rest.
    Stall(Hold),
    /// The body ends there, properly: the client cannot tell that there was more.
    Quiet,
}

/// One way in which an answer goes wrong.
#[derive(Debug, Clone, Default)]
pub struct Fault {
    /// What the log calls it.
    pub(super) label: String,
    pub(super) before: Option<Hold>,
    pub(super) answer: Answer,
    pub(super) framing: Framing,
    /// So many bytes, then such a pause.
    pub(super) pace: Option<(usize, Duration)>,
    /// Where in the body it breaks: after so many bytes of it.
    pub(super) break_after: Option<(u64, Break)>,
    /// The body is repeated up to so many bytes.
    pub(super) repeat_to: Option<u64>,
}

impl Fault {
    fn named(label: String) -> Fault {
        Fault {
            label,
            ..Fault::default()
        }
    }

    /// No fault: an honest answer, to be combined with the methods below, or to except a
    /// request from the rules that follow.
    #[must_use]
    pub fn none() -> Fault {
        Fault::named("none".to_owned())
    }

    /// This status with one line of text.
    #[must_use]
    pub fn status(status: u16) -> Fault {
        let text = format!("fault: status {status}\n");
        Fault::answer(Resource::text(text).status(status)).labelled(&format!("status {status}"))
    }

    /// A URL whose time is over: 403, as video CDNs answer.
    #[must_use]
    pub fn expired() -> Fault {
        Fault::answer(Resource::text("the URL has expired\n").status(403)).labelled("expired")
    }

    /// A redirect with this status (301, 302, 307 …) to a path or URL.
    #[must_use]
    pub fn redirect(status: u16, location: &str) -> Fault {
        Fault::answer(
            Resource::text("")
                .status(status)
                .header("Location", location),
        )
        .labelled(&format!("redirect {status} to {location}"))
    }

    /// This instead of what lies at the path.
    #[must_use]
    pub fn answer(resource: Resource) -> Fault {
        Fault {
            answer: Answer::Instead(resource),
            ..Fault::named("another answer".to_owned())
        }
    }

    /// Honest, but late: the head comes after `delay`.
    #[must_use]
    pub fn delay(delay: Duration) -> Fault {
        Fault::named(String::new()).delayed(delay)
    }

    /// Not a byte of the head until the hold is over; then honest.
    #[must_use]
    pub fn stall_head(hold: Hold) -> Fault {
        Fault {
            label: format!("head stalls ({})", describe(&hold)),
            before: Some(hold),
            ..Fault::default()
        }
    }

    /// The connection is reset instead of an answer.
    #[must_use]
    pub fn reset() -> Fault {
        Fault {
            answer: Answer::Reset,
            ..Fault::named("reset".to_owned())
        }
    }

    /// The connection is closed in good order instead of an answer.
    #[must_use]
    pub fn hang_up() -> Fault {
        Fault {
            answer: Answer::HangUp,
            ..Fault::named("hang up".to_owned())
        }
    }

    /// The true length is declared, but the connection is closed after `bytes` of the body.
    #[must_use]
    pub fn cut_after(bytes: u64) -> Fault {
        Fault::breaking(format!("cut after {bytes}"), bytes, Break::Close)
    }

    /// The connection is reset after `bytes` of the body. (What the client has not read by
    /// then may be lost with it: that is what a reset does.)
    #[must_use]
    pub fn reset_after(bytes: u64) -> Fault {
        Fault::breaking(format!("reset after {bytes}"), bytes, Break::Reset)
    }

    /// Nothing comes after `bytes` of the body until the hold is over; then the rest.
    #[must_use]
    pub fn stall_after(bytes: u64, hold: Hold) -> Fault {
        let label = format!("stalls after {bytes} ({})", describe(&hold));
        Fault::breaking(label, bytes, Break::Stall(hold))
    }

    /// The body ends after `bytes` and nothing tells the client that there was more. `framing`
    /// is [`Framing::Chunked`] or [`Framing::UntilClose`], or [`Framing::Length`] for a
    /// `Content-Length` of the shortened body.
    #[must_use]
    pub fn silent_end_after(bytes: u64, framing: Framing) -> Fault {
        Fault {
            framing,
            ..Fault::breaking(format!("silent end after {bytes}"), bytes, Break::Quiet)
        }
    }

    /// The whole body, but another `Content-Length`; then the connection is closed.
    #[must_use]
    pub fn declare_length(length: u64) -> Fault {
        Fault::named(format!("declares {length}")).framed(Framing::Declared(length))
    }

    /// The body over and over, chunked, until the client has enough, or for `limit` bytes
    /// (every fault here is bounded); then the connection is closed without an end.
    #[must_use]
    pub fn endless(limit: u64) -> Fault {
        Fault {
            repeat_to: Some(limit),
            framing: Framing::Chunked,
            ..Fault::breaking("endless".to_owned(), limit, Break::Close)
        }
    }

    fn breaking(label: String, bytes: u64, with: Break) -> Fault {
        Fault {
            label,
            break_after: Some((bytes, with)),
            ..Fault::default()
        }
    }

    /// The same, and the head comes only after `delay`.
    #[must_use]
    pub fn delayed(mut self, delay: Duration) -> Fault {
        self.before = Some(Hold::For(delay));
        self.also(&format!("delayed {delay:?}"))
    }

    /// The same, and the body comes `bytes` at a time with a pause of `tick` after each.
    #[must_use]
    pub fn dripping(mut self, bytes: usize, tick: Duration) -> Fault {
        self.pace = Some((bytes.max(1), tick));
        self.also(&format!("{bytes} bytes per {tick:?}"))
    }

    /// The same with another framing of the body.
    #[must_use]
    pub fn framed(mut self, framing: Framing) -> Fault {
        self.framing = framing;
        self
    }

    /// The same under another name in the log.
    #[must_use]
    pub fn labelled(mut self, label: &str) -> Fault {
        label.clone_into(&mut self.label);
        self
    }

    fn also(mut self, what: &str) -> Fault {
        if !self.label.is_empty() {
            self.label.push_str(", ");
        }
        self.label.push_str(what);
        self
    }
}

fn describe(hold: &Hold) -> String {
    match hold {
        Hold::Forever => "forever".to_owned(),
        Hold::For(time) => format!("{time:?}"),
        Hold::Until(_) => "until released".to_owned(),
    }
}
