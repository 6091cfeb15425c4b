//! `--download-concurrency`: the downloads from one peer, of which an extra is one.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

/// The downloads from one peer.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    /// Those of rounds, which may still wait for a slot.
    rounds: watch::Sender<usize>,
    /// The extras beside the rounds that are under way, or are to be.
    extras: AtomicUsize,
}

impl Lanes {
    /// How many of so many a round may have: at least one, since new footage is not to wait for an
    /// extra that takes hours.
    pub(super) fn of_round(&self, all: usize) -> usize {
        let left = all.saturating_sub(self.extras.load(Ordering::Relaxed));
        left.max(1)
    }

    /// One of a round.
    pub(super) fn enter(&self) -> Lane<'_> {
        self.rounds.send_modify(|count| *count += 1);
        Lane(self, false)
    }

    /// One beside the rounds, when they have fewer than so many: from now on they do not begin more.
    pub(super) async fn enter_beside(&self, all: impl Fn() -> usize) -> Lane<'_> {
        self.extras.fetch_add(1, Ordering::Relaxed);
        let lane = Lane(self, true);
        let mut rounds = self.rounds.subscribe();
        // Fails only when the sender is gone, which is here.
        let _ = rounds.wait_for(|count| *count < all()).await;
        lane
    }
}

/// A download, or one that is to be. Over when dropped.
#[derive(Debug)]
pub(super) struct Lane<'a>(&'a Lanes, bool);

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        match self.1 {
            true => {
                self.0.extras.fetch_sub(1, Ordering::Relaxed);
            }
            false => self.0.rounds.send_modify(|count| *count -= 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn an_extra_is_one_of_all_and_a_round_has_one_at_least() {
        let lanes = Lanes::default();
        assert_eq!(lanes.of_round(3), 3);
        let mut round: Vec<Lane> = (0..3).map(|_| lanes.enter()).collect();
        let mut extra = Box::pin(lanes.enter_beside(|| 3));
        assert!(extra.as_mut().now_or_never().is_none());
        // The round begins no third one when one of its own is over.
        assert_eq!((lanes.of_round(3), lanes.of_round(1)), (2, 1));
        round.pop();
        let extra = extra.now_or_never().unwrap();
        assert_eq!(lanes.of_round(3), 2);
        drop((round, extra));
        assert_eq!((lanes.of_round(3), *lanes.rounds.borrow()), (3, 0));
    }
}
