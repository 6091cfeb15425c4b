//! When another attempt starts, and which one wins.

use std::cell::Cell;

use super::*;
use tokio::time::sleep;

const HEDGE: Hedge = Hedge {
    soft: Duration::from_secs(5),
    whole: Duration::from_secs(30),
    hard: Duration::from_secs(60),
    most: 3,
};

/// After how many seconds an attempt answers, and whether well.
type Answer = (u64, bool);

/// Runs attempts that answer after so many seconds; gives the outcome, the second at which
/// it came, and how many attempts were started.
async fn run(answers: &[Answer]) -> (Result<usize, HedgeError<usize>>, u64, usize) {
    let start = Instant::now();
    let mut started = 0;
    let outcome = HEDGE
        .run(|n, _| {
            started += 1;
            let (seconds, good) = answers.get(n).copied().unwrap_or((9999, false));
            async move {
                sleep(Duration::from_secs(seconds)).await;
                if good { Ok(n) } else { Err(n) }
            }
        })
        .await;
    (outcome, start.elapsed().as_secs(), started)
}

#[tokio::test(start_paused = true)]
async fn what_comes_in_is_not_late_unless_it_drips() {
    let hedge = Hedge {
        hard: Duration::from_secs(200),
        ..HEDGE
    };
    // (seconds between pieces, pieces, bytes of each, whether later ones are silent, attempts)
    for (pause, pieces, bytes, silent, attempts) in [
        (4, 3, 100, false, 1),
        (4, 9, 100, false, 2),
        (6, 2, 100, false, 3),
        (4, 30, 100, false, 3),
        // What moves is large, or the link slow: more of it would only make it slower.
        (4, 30, 50_000, false, 2),
        (4, 30, 50_000, true, 2),
        (1, 120, 50_000, false, 2),
        // It moves, and then no more.
        (40, 2, 500_000, false, 3),
    ] {
        let mut started = 0;
        let outcome: Result<(), HedgeError<()>> = hedge
            .run(|n, progress| {
                started += 1;
                async move {
                    for _ in 0..pieces {
                        sleep(Duration::from_secs(pause)).await;
                        if n > 0 && silent {
                            std::future::pending::<()>().await;
                        }
                        progress.note(bytes);
                    }
                    Ok(())
                }
            })
            .await;
        let row = (pause, pieces, bytes, silent);
        assert_eq!((outcome, started), (Ok(()), attempts), "{row:?}");
    }
}

/// What an attempt does.
#[derive(Debug, Clone, Copy)]
enum Does {
    /// So many bytes at once, then so many every second; so many are announced.
    Brings(usize, usize, u64),
    /// Its part of so many every second; so many are announced.
    Shares(usize, u64),
    Nothing,
    Fails,
}

#[tokio::test(start_paused = true)]
async fn what_only_seems_to_flow_is_joined_by_more_than_one() {
    use Does::{Brings, Fails, Nothing, Shares};
    let hedge = Hedge {
        hard: Duration::from_secs(240),
        whole: Duration::from_secs(15),
        ..HEDGE
    };
    // What the first two do (all others fail), and when the third begins.
    for (does, third) in [
        // It brought much at once, and drops since.
        ([Brings(2_500_000, 1, 0), Nothing], Some(20)),
        ([Brings(2_500_000, 1, 3_000_000), Nothing], Some(20)),
        // At this rate it does not come to its end in time; or does.
        ([Brings(0, 10_000, 3_000_000), Nothing], Some(20)),
        ([Nothing, Brings(0, 10_000, 3_000_000)], Some(20)),
        ([Brings(0, 10_000, 1_500_000), Nothing], None),
        ([Brings(0, 10_000, 0), Nothing], None),
        // The other one has failed.
        ([Brings(0, 10_000, 1_500_000), Fails], Some(20)),
        // Alone on the link each would be in time.
        ([Shares(20_000, 2_560_000); 2], None),
        // Together they would not be, either.
        ([Shares(10_000, 2_560_000); 2], Some(30)),
    ] {
        let sharing = Cell::new(0);
        let sharing = &sharing;
        let start = Instant::now();
        let mut begun_at = Vec::new();
        let outcome: Result<(), HedgeError<()>> = hedge
            .run(|n, progress| {
                begun_at.push(start.elapsed().as_secs());
                let does = does.get(n).copied().unwrap_or(Fails);
                async move {
                    match does {
                        Fails => return Err(()),
                        Nothing => std::future::pending::<()>().await,
                        Shares(all, announced) => {
                            sharing.set(sharing.get() + 1);
                            progress.announce(announced);
                            loop {
                                sleep(Duration::from_secs(1)).await;
                                progress.note(all / sharing.get());
                            }
                        }
                        Brings(first, next, announced) => {
                            progress.announce(announced);
                            progress.note(first);
                            loop {
                                sleep(Duration::from_secs(1)).await;
                                progress.note(next);
                            }
                        }
                    }
                    Ok(())
                }
            })
            .await;
        assert!(outcome.is_err());
        assert_eq!(begun_at.get(2).copied(), third, "{does:?}");
        // Whoever refuses would refuse the next as well.
        let is_refused = matches!(does[1], Fails);
        assert!(!is_refused || begun_at.len() == 3, "{begun_at:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_good_answer_wins() {
    let timed_out = Err(HedgeError::TimedOut(HEDGE.hard));
    let table: [(&[Answer], _, u64, usize); 7] = [
        (&[(1, true)], Ok(0), 1, 1),
        (&[(1, false)], Err(HedgeError::Failed(0)), 1, 1),
        // Late, and it goes on while the second one tries.
        (&[(7, true)], Ok(0), 7, 2),
        (&[(99, true), (1, true)], Ok(1), 6, 2),
        // A failure beside one that is still running is no end.
        (&[(20, true), (1, false)], Ok(0), 20, 4),
        (&[(6, false), (2, false)], Err(HedgeError::Failed(1)), 7, 2),
        (&[], timed_out, 60, 3),
    ];
    for (answers, outcome, seconds, started) in table {
        assert_eq!(
            run(answers).await,
            (outcome, seconds, started),
            "{answers:?}"
        );
    }
}
