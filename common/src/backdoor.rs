//! The backdoor (SPEC §7): a shell inside the running process, for the weird state that nobody can
//! reproduce. `telnet 127.0.0.1 PORT` gives a prompt; what is typed there is Rhai, a real language,
//! over the functions and live values that the service has put into its [`Registry`].
//!
//! bytes → `telnet` → `keys` → `editor` → `session` → `engine` → a service's functions; the first
//! three are pure. Lines run on the operator's own thread (`worker`), and their `control` ends them:
//! at Ctrl-C, when the client goes, when the process stops, and when its steps, time or memory are used up. Every
//! line is logged with who typed it.

mod arguments;
mod builtin;
mod control;
mod editor;
mod engine;
mod help;
mod keys;
mod registry;
mod session;
mod show;
mod telnet;
mod worker;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::registry::Catalogue;
use crate::serve::{self, BindError};
use crate::tasks;

pub use self::arguments::hour_of;
pub use self::builtin::{count, list, maybe, seconds, time};
pub use self::control::Caller;
pub use self::registry::{KindOf, Outcome, Registry, failure};
pub use rhai::{Array, Dynamic, EvalAltResult, Map, NativeCallContext};

/// Whoever is on this machine may do what the process may: nobody else gets near.
const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// So many operators at once; each may keep a thread busy.
const MOST_SESSIONS: usize = 8;

/// One for whom there is no place has so long to hear it.
const REFUSAL: Duration = Duration::from_secs(1);

/// When no file descriptor is left, accepting more has to wait for others to close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens the backdoor of a service on a port of 127.0.0.1 until `shutdown`; with port 0 there is
/// none. `shutdown` is what `shutdown()` sets off.
///
/// # Errors
/// If the port is taken.
pub async fn open(
    port: u16,
    mut registry: Registry,
    shutdown: &CancellationToken,
) -> Result<Option<JoinHandle<()>>, BindError> {
    if port == 0 {
        return Ok(None);
    }
    let listener = serve::listen(HOST, port).await?;
    tasks::keep();
    builtin::register(&mut registry, shutdown);
    let catalogue = registry.finish();
    tracing::info!(backdoor = %std::net::SocketAddr::new(HOST, port), "listening");
    Ok(Some(tokio::spawn(serve_all(
        listener,
        catalogue,
        shutdown.clone(),
    ))))
}

async fn serve_all(listener: TcpListener, catalogue: Catalogue, shutdown: CancellationToken) {
    let places = Arc::new(Semaphore::new(MOST_SESSIONS));
    let mut sessions = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
            Some(_) = sessions.join_next() => continue,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "cannot accept an operator");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let peer = peer.to_string();
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!(peer, "too many operators: one was turned away");
            refuse(stream).await;
            continue;
        };
        let (catalogue, shutdown) = (catalogue.clone(), shutdown.clone());
        sessions.spawn(async move {
            tracing::info!(peer, "an operator has come");
            // What is typed is shown at once, and what is urgent keeps its place: telnet clients
            // may send the last byte of an interruption so, and the rest makes no sense without.
            let _ = stream.set_nodelay(true);
            let _ = SockRef::from(&stream).set_out_of_band_inline(true);
            let ended = session::serve(stream, peer.clone(), catalogue, shutdown).await;
            // Whoever reads that one has left finds the place free.
            drop(place);
            match ended {
                Ok(()) => tracing::info!(peer, "an operator has left"),
                Err(error) => tracing::info!(peer, %error, "an operator is gone"),
            }
        });
    }
    while sessions.join_next().await.is_some() {}
}

/// Tells an operator that there is no place.
async fn refuse(mut stream: TcpStream) {
    let line = format!("there are {MOST_SESSIONS} operators here already\r\n");
    let told = async {
        stream.write_all(line.as_bytes()).await?;
        stream.shutdown().await
    };
    // Whatever becomes of it, it is over.
    let _ = timeout(REFUSAL, told).await;
}
