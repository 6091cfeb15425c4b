//! How connections are made, and when they are given up.

use std::time::Duration;

/// A peer that does not take a connection by then is as good as down; it is tried again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Dead connections of idle peers are found out in time.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// When an HTTP/2 connection is asked whether it is alive.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeepAlive {
    /// After so long without a word from the other side …
    pub(super) interval: Duration,
    /// … and after so long without an answer it is dead.
    pub(super) timeout: Duration,
}

/// One connection carries all requests to an origin: one that is dead without a word (a router
/// that forgot it) would hold up the first attempt at everything until the kernel gives it up, in
/// a quarter of an hour. The pauses are longer than any that a link that works makes.
pub(super) const HTTP2_KEEP_ALIVE: KeepAlive = KeepAlive {
    interval: Duration::from_secs(10),
    timeout: Duration::from_secs(10),
};

/// Who we are, for the other side's logs.
const USER_AGENT: &str = concat!("livestream-node/", env!("CARGO_PKG_VERSION"));

/// What all clients have in common.
pub(super) fn builder(keep_alive: KeepAlive) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_keepalive(KEEPALIVE)
        .http2_keep_alive_interval(keep_alive.interval)
        .http2_keep_alive_timeout(keep_alive.timeout)
        // The next request must not be the one to find out.
        .http2_keep_alive_while_idle(true)
}

#[cfg(test)]
mod tests {
    //! A server that speaks HTTP/2 until it does not speak any more: written by hand, since a
    //! proper one answers every ping.

    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinSet;
    use tokio::time::{Instant, timeout};

    use reqwest::StatusCode;

    use super::*;

    /// What a client says first: the preface, then frames.
    const PREFACE: usize = 24;

    /// Length 0, type SETTINGS, no flags, stream 0; the same as an acknowledgement.
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const SETTINGS_ACK: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];

    /// Length 1, type HEADERS, both ends, stream 1: `:status: 200`.
    const ANSWER: [u8; 10] = [0, 0, 1, 1, 5, 0, 0, 0, 1, 0x88];

    /// Answers the first request, and is silent from then on, until the client hangs up.
    async fn serve(mut stream: TcpStream) {
        let mut preface = [0; PREFACE];
        stream.read_exact(&mut preface).await.unwrap();
        stream.write_all(&SETTINGS).await.unwrap();
        stream.write_all(&SETTINGS_ACK).await.unwrap();
        let mut head = [0; 9];
        let mut answered = false;
        while stream.read_exact(&mut head).await.is_ok() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            stream.read_exact(&mut payload).await.unwrap();
            if head[3] == 1 && !std::mem::replace(&mut answered, true) {
                stream.write_all(&ANSWER).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_connection_that_is_dead_without_a_word_leaves_the_pool() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let short = KeepAlive {
            interval: Duration::from_millis(50),
            timeout: Duration::from_millis(50),
        };
        let builder = builder(short).http2_prior_knowledge().no_proxy();
        let client = builder.build().unwrap();
        let url = format!("http://{address}/");
        let begun = Instant::now();
        let ask = async || client.get(&url).send().await.unwrap().status();
        let accept = async |serving: &mut JoinSet<()>| {
            let (stream, _) = listener.accept().await.unwrap();
            serving.spawn(serve(stream));
        };
        let mut serving = JoinSet::new();
        let ((), status) = tokio::join!(accept(&mut serving), ask());
        assert_eq!(status, StatusCode::OK);
        // Nobody uses the connection, and the other side is gone: the client hangs up by itself.
        let soon = Duration::from_secs(20);
        let ended = timeout(soon, serving.join_next()).await;
        ended.expect("it hangs up").unwrap().unwrap();
        assert!(begun.elapsed() >= short.interval);
        let ((), status) = tokio::join!(accept(&mut serving), ask());
        assert_eq!(status, StatusCode::OK);
    }
}
