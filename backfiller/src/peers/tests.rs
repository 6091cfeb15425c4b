//! What is merged, and what stands when a source fails.

use super::*;
use futures::future::{BoxFuture, FutureExt};
use std::sync::Mutex;

fn names_and_urls(peers: &BTreeMap<String, Peer>) -> Vec<String> {
    let shown = peers.iter().map(|(name, peer)| {
        assert_eq!(name, peer.name());
        format!("{name} {}", peer.url())
    });
    shown.collect()
}

/// Gives these answers, last one first.
#[derive(Debug)]
struct Scripted(Mutex<Vec<Result<Vec<Peer>, SourceError>>>);

impl Source for Scripted {
    fn name(&self) -> &'static str {
        "a script"
    }

    fn read(&self) -> BoxFuture<'_, Result<Vec<Peer>, SourceError>> {
        let answer = self.0.lock().unwrap().pop().unwrap();
        futures::future::ready(answer).boxed()
    }
}

fn fixed(peers: &[Peer]) -> Box<dyn Source> {
    Box::new(StaticSource::new(peers.to_vec()))
}

#[tokio::test]
async fn later_sources_win_and_this_node_is_left_out() {
    let unnamed = |url| Peer::unnamed(url).unwrap();
    let named = |name, url| Peer::named(name, url).unwrap();
    let first = fixed(&[
        unnamed("http://a:1/x"),
        unnamed("https://user:pass@B"),
        unnamed("http://me:8000"),
    ]);
    let second = fixed(&[named("a", "http://elsewhere"), named("c", "http://me")]);
    // A host is the same in any letters.
    let mut peers = Peers::new(vec![first, second], "Me".to_owned());
    assert_eq!(
        names_and_urls(&peers.read().await),
        [
            "a http://elsewhere/",
            "b https://user:pass@b/",
            "c http://me/"
        ]
    );
}

#[tokio::test]
async fn several_nodes_on_one_host_are_told_apart_by_their_ports() {
    let urls = [
        "http://h:1",
        "http://h:2",
        "http://g",
        "http://h:2",
        "http://i",
        "http://i",
    ];
    let source = || fixed(&urls.map(|url| Peer::unnamed(url).unwrap()));
    let mut peers = Peers::new(vec![source()], "me".to_owned());
    assert_eq!(
        names_and_urls(&peers.read().await),
        [
            "g http://g/",
            "h:1 http://h:1/",
            "h:2 http://h:2/",
            "i http://i/"
        ]
    );
    for me in ["h", "H"] {
        let mut peers = Peers::new(vec![source()], me.to_owned());
        let names = names_and_urls(&peers.read().await);
        assert_eq!(names, ["g http://g/", "i http://i/"], "{me}");
    }
}

#[tokio::test]
async fn of_a_source_that_fails_the_last_answer_stands() {
    let peers = |names: &[&str]| -> Vec<Peer> {
        let peers = names
            .iter()
            .map(|name| Peer::named(name, "http://h").unwrap());
        peers.collect()
    };
    let in_part = |readable: &[&str], unreadable: Option<&[&str]>| {
        let mut bad = Unreadable::default();
        match unreadable {
            Some(names) => names.iter().for_each(|name| bad.note(Some(name))),
            None => bad.note(None),
        }
        Err(SourceError::in_part("bad".to_owned(), peers(readable), bad))
    };
    // (what the source says, the peers then)
    let story = [
        (Ok(peers(&["a", "b"])), "a b"),
        (Err(SourceError::new("away")), "a b"),
        // `b` can be read no more, `a` is gone, `c` is new.
        (in_part(&["c"], Some(&["b", "x"])), "b c"),
        (in_part(&["d"], Some(&["b"])), "b d"),
        // A line without a name may be anybody's.
        (in_part(&["e"], None), "b d e"),
        (in_part(&["b"], Some(&["e"])), "b e"),
        (Ok(Vec::new()), ""),
    ];
    let (mut answers, expected): (Vec<_>, Vec<_>) = story.into_iter().unzip();
    let failing: Vec<usize> = answers.iter().map(|it| it.is_err().into()).collect();
    answers.reverse();
    let source = Box::new(Scripted(Mutex::new(answers)));
    let mut peers = Peers::new(vec![source], "me".to_owned());
    for (expected, failing) in expected.into_iter().zip(failing) {
        let known: Vec<String> = peers.read().await.into_keys().collect();
        assert_eq!(known.join(" "), expected);
        assert_eq!(peers.failing().len(), failing);
    }
}
