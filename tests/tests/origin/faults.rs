//! Each fault, as a client meets it.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tests::content::ts_bytes;
use tests::origin::{Fault, Framing, Gate, Hold, Log, Matching, Outcome, Resource, Rule};
use tests::raw;
use tokio::time::{Instant, timeout};

use super::{DELAY, SIZE, SOON, bare, drain, get, origin, outcome};

#[tokio::test]
async fn status_expiry_redirect_and_another_answer() {
    let (origin, _) = origin().await;
    origin.next(1, "/a.ts", Fault::status(503));
    origin.next(1, "/a.ts", Fault::expired());
    origin.next(1, "/a.ts", Fault::redirect(302, "/b.ts"));
    origin.next(1, "/a.ts", Fault::answer(Resource::text("other")));
    origin.next(1, "/a.ts", Fault::none());
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(get(&origin, "/a.ts").await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [503, 403, 302, 200, 200, 200]);
    let log = origin.log();
    let faults: Vec<_> = log.iter().map(|e| e.fault.as_deref()).collect();
    assert_eq!(
        faults,
        [
            Some("status 503"),
            Some("expired"),
            Some("redirect 302 to /b.ts"),
            Some("another answer"),
            Some("none"),
            None
        ]
    );
}

#[tokio::test]
async fn rules_are_removed_and_count_their_uses() {
    let (origin, _) = origin().await;
    let status = async || get(&origin, "/a.ts").await.unwrap().status().as_u16();
    let ts = origin.always(Matching::suffix(".ts"), Fault::status(500));
    let late = origin.add_rule(Rule::new("/a.ts", Fault::status(502)).after(1));
    assert_eq!(status().await, 500);
    origin.remove_rule(ts);
    assert_eq!(status().await, 200);
    assert_eq!(status().await, 502);
    assert_eq!(origin.uses(late), 1);
    origin.clear_rules();
    assert_eq!(status().await, 200);
}

#[tokio::test]
async fn the_head_is_late_or_held_until_released() {
    let (origin, content) = origin().await;
    origin.next(1, "/a.ts", Fault::delay(DELAY));
    let started = Instant::now();
    let response = get(&origin, "/a.ts").await.unwrap();
    assert!(started.elapsed() >= DELAY);
    assert_eq!(response.bytes().await.unwrap(), content);

    let gate = Gate::new();
    origin.next(1, "/a.ts", Fault::stall_head(Hold::Until(gate.clone())));
    let mut held = Box::pin(get(&origin, "/a.ts"));
    assert!(timeout(DELAY, &mut held).await.is_err());
    assert_eq!(origin.log().open(), 1);
    gate.open();
    assert_eq!(held.await.unwrap().bytes().await.unwrap(), content);
}

#[tokio::test]
async fn a_client_that_gives_up_is_seen() {
    let (origin, _) = origin().await;
    origin.next(1, "/a.ts", Fault::stall_head(Hold::Forever));
    assert!(timeout(DELAY, get(&origin, "/a.ts")).await.is_err());
    outcome(&origin, "/a.ts", Outcome::CutByClient).await;
    assert_eq!(origin.log().last("/a.ts").unwrap().status, None);

    origin.next(1, "/a.ts", Fault::stall_after(1000, Hold::Forever));
    let response = get(&origin, "/a.ts").await.unwrap();
    let sent = |log: &Log| log.last("/a.ts").is_some_and(|e| e.sent == 1000);
    origin.wait_for(SOON, sent).await.unwrap();
    drop(response);
    outcome(&origin, "/a.ts", Outcome::CutByClient).await;
}

#[tokio::test]
async fn a_body_is_cut_reset_or_stalled() {
    let (origin, content) = origin().await;
    origin.next(1, "/a.ts", Fault::cut_after(100_000));
    let response = get(&origin, "/a.ts").await.unwrap();
    assert_eq!(response.content_length(), Some(SIZE as u64));
    let (body, complete) = drain(response).await;
    assert_eq!((body.as_slice(), complete), (&content[..100_000], false));
    outcome(&origin, "/a.ts", Outcome::CutByOrigin).await;
    assert_eq!(origin.log().last("/a.ts").unwrap().sent, 100_000);

    origin.next(1, "/a.ts", Fault::reset_after(1000));
    let (body, complete) = match get(&origin, "/a.ts").await {
        Ok(response) => drain(response).await,
        // A reset may overtake the head.
        Err(_) => (Vec::new(), false),
    };
    assert!(!complete && content.starts_with(&body) && body.len() <= 1000);

    let stall = Hold::For(DELAY);
    origin.next(1, "/a.ts", Fault::stall_after(1000, stall));
    let started = Instant::now();
    let mut response = get(&origin, "/a.ts").await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), content[..1000]);
    let (body, complete) = drain(response).await;
    assert!(started.elapsed() >= DELAY);
    assert_eq!((body.as_slice(), complete), (&content[1000..], true));
}

#[tokio::test]
async fn an_early_end_that_nobody_can_tell() {
    let (origin, content) = origin().await;
    for framing in [Framing::Chunked, Framing::UntilClose, Framing::Length] {
        let fault = Fault::silent_end_after(70_000, framing);
        origin.next(1, "/a.ts", fault);
        let (body, complete) = drain(get(&origin, "/a.ts").await.unwrap()).await;
        assert_eq!(
            (body.as_slice(), complete),
            (&content[..70_000], true),
            "{framing:?}"
        );
        outcome(&origin, "/a.ts", Outcome::CutByOrigin).await;
    }
    origin.next(1, "/a.ts", Fault::none().framed(Framing::Chunked));
    let answer = raw::get(origin.address(), "/a.ts").await;
    assert!(answer.complete && answer.body == content);
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    outcome(&origin, "/a.ts", Outcome::Finished).await;
}

#[tokio::test]
async fn a_wrong_length() {
    let (origin, content) = origin().await;
    origin.next(1, "/a.ts", Fault::declare_length(SIZE as u64 + 1));
    let (body, complete) = drain(get(&origin, "/a.ts").await.unwrap()).await;
    assert_eq!((body.as_slice(), complete), (&content[..], false));
    origin.next(1, "/a.ts", Fault::declare_length(1000));
    let (body, complete) = drain(get(&origin, "/a.ts").await.unwrap()).await;
    assert_eq!((body.as_slice(), complete), (&content[..1000], true));
}

#[tokio::test]
async fn a_slow_drip() {
    let (origin, _) = origin().await;
    let content = ts_bytes(2, 1000);
    origin.put("/b.ts", content.clone(), "video/mp2t");
    let tick = Duration::from_millis(20);
    origin.next(1, "/b.ts", Fault::none().dripping(100, tick));
    let started = Instant::now();
    let mut response = get(&origin, "/b.ts").await.unwrap();
    let first = response.chunk().await.unwrap().unwrap();
    assert!(content.starts_with(&first) && first.len() < 1000);
    let (rest, complete) = drain(response).await;
    assert!(complete && [first.to_vec(), rest].concat() == content);
    assert!(started.elapsed() >= tick * 9);
}

#[tokio::test]
async fn an_endless_body_ends_with_the_client_or_the_limit() {
    let (origin, content) = origin().await;
    origin.next(1, "/a.ts", Fault::endless(u64::MAX));
    let mut response = get(&origin, "/a.ts").await.unwrap();
    let mut body = Vec::new();
    while body.len() < SIZE + 1000 {
        body.extend_from_slice(&response.chunk().await.unwrap().unwrap());
    }
    assert_eq!(body[..SIZE], content);
    assert_eq!(body[SIZE..SIZE + 1000], content[..1000]);
    drop(response);
    outcome(&origin, "/a.ts", Outcome::CutByClient).await;

    origin.next(1, "/a.ts", Fault::endless(1_000_000));
    let (body, complete) = drain(get(&origin, "/a.ts").await.unwrap()).await;
    assert_eq!((body.len(), complete), (1_000_000, false));
}

#[tokio::test]
async fn a_reset_is_a_reset_and_a_close_is_a_close() {
    let (origin, _) = origin().await;
    origin.next(1, "/a.ts", Fault::reset());
    let (bytes, end) = bare(origin.address(), "/a.ts").await;
    assert!(bytes.is_empty());
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);

    origin.next(1, "/a.ts", Fault::reset_after(1000));
    let (_, end) = bare(origin.address(), "/a.ts").await;
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);

    origin.next(1, "/a.ts", Fault::hang_up().delayed(DELAY));
    let (bytes, end) = bare(origin.address(), "/a.ts").await;
    assert!(bytes.is_empty() && end.is_ok());

    origin.next(1, "/a.ts", Fault::cut_after(10));
    let (bytes, end) = bare(origin.address(), "/a.ts").await;
    assert!(!bytes.is_empty() && end.is_ok());
    let faults: Vec<_> = origin
        .log()
        .iter()
        .filter_map(|e| e.fault.clone())
        .collect();
    assert_eq!(
        faults,
        [
            "reset",
            "reset after 1000",
            "hang up, delayed 150ms",
            "cut after 10"
        ]
    );
}

#[tokio::test]
async fn faults_chosen_by_a_seed_are_the_same_again() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let (origin, _) = origin().await;
        let mut random = StdRng::seed_from_u64(7);
        origin.add_rule(Rule::choosing(Matching::Any, move |_| {
            random.random_bool(0.3).then(|| Fault::status(500))
        }));
        let mut statuses = Vec::new();
        for _ in 0..30 {
            statuses.push(raw::get(origin.address(), "/a.ts").await.status);
        }
        runs.push(statuses);
    }
    assert!(runs[0].contains(&500) && runs[0].contains(&200));
    assert_eq!(runs[0], runs[1]);
}
