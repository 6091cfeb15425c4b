//! How the times follow from what a list shows.

use super::*;

#[test]
fn short_lists_are_polled_and_hedged_sooner() {
    let timing = Timing::default();
    let seconds = Duration::from_secs_f64;
    for (target, interval) in [
        (0.0, 2.0),
        (0.01, 0.2),
        (1.0, 0.5),
        (2.0, 1.0),
        (4.0, 2.0),
        (10.0, 2.0),
    ] {
        let got = timing.poll_interval(seconds(target)).as_secs_f64();
        assert!(
            (interval * 0.81..=interval * 1.0001).contains(&got),
            "{target}: {got}"
        );
    }
    for (window, soft, whole) in [
        (6.0, 1.0, 2.0),
        (12.0, 2.0, 4.0),
        (60.0, 5.0, 20.0),
        (600.0, 5.0, 30.0),
    ] {
        let hedge = timing.hedge_for(timing.poll_hedge, Some(seconds(window)));
        let expected = (seconds(soft), seconds(whole), seconds(90.0));
        assert_eq!((hedge.soft, hedge.whole, hedge.hard), expected);
    }
    let hedge = timing.hedge_for(timing.poll_hedge, None);
    assert_eq!((hedge.soft, hedge.whole), (seconds(1.0), seconds(6.0)));
    for (window, soft, retry) in [(0.0, 5.0, 2.0), (6.0, 2.0, 1.0), (60.0, 5.0, 2.0)] {
        let window = seconds(window);
        assert_eq!(timing.segment_soft(window), seconds(soft));
        let got = timing.segment_retry(window).as_secs_f64();
        assert!((retry * 0.89..=retry * 1.11).contains(&got), "{got}");
    }
    let fast = timing.scaled(0.1);
    let hedge = fast.hedge_for(fast.poll_hedge, Some(seconds(12.0)));
    assert_eq!(hedge.soft, seconds(0.2));
    assert!(fast.poll_interval(seconds(2.0)) <= seconds(0.1));
}

#[test]
fn a_server_is_left_alone_as_far_as_a_live_stream_can_wait() {
    let seconds = Duration::from_secs_f64;
    for scale in [1.0, 0.1] {
        let timing = Timing::default().scaled(scale);
        let window = |(shown, since)| Window {
            shown: seconds(shown),
            since: seconds(since * scale),
        };
        // What is asked for, what was listed and how long ago; the pause of a poll, of a look,
        // and of one for an important channel.
        for (asked, listed, pause, look, important) in [
            (2, Some((30.0, 0.0)), 2.0, 2.0, 2.0),
            (3600, Some((30.0, 0.0)), 10.0, 10.0, 5.0),
            (3600, Some((86_400.0, 0.0)), 60.0, 20.0, 5.0),
            (10, Some((0.0, 0.0)), 2.0, 2.0, 2.0),
            // Some of it is gone; or all, and then haste saves nothing.
            (3600, Some((8.0, 2.0)), 2.0, 2.0, 2.0),
            (3600, Some((8.0, 5.0)), 1.0, 1.0, 1.0),
            (3600, Some((8.0, 9.0)), 2.67, 2.67, 2.67),
            (3600, Some((86_400.0, 90_000.0)), 60.0, 20.0, 5.0),
            (1, Some((8.0, 9.0)), 1.0, 1.0, 1.0),
            // Nothing was listed lately.
            (2, None, 2.0, 2.0, 2.0),
            (10, None, 2.0, 10.0, 5.0),
            (3600, None, 2.0, 20.0, 5.0),
        ] {
            let asked = Duration::from_secs(asked);
            let listed = listed.map(window);
            for (got, expected) in [
                (timing.pause(asked, listed), pause),
                (timing.find_pause(false, asked, listed), look),
                (timing.find_pause(true, asked, listed), important),
            ] {
                let expected = expected * scale;
                let range = expected * 0.81..=expected * 1.23;
                let got = got.as_secs_f64();
                assert!(range.contains(&got), "{asked:?} {listed:?}: {got}");
            }
        }
    }
}

#[test]
fn patience_grows_with_each_look_in_vain() {
    let timing = Timing::default();
    let seconds = |target, looks| {
        timing
            .patience(Duration::from_secs(target), looks)
            .as_secs()
    };
    assert_eq!(
        [seconds(2, 0), seconds(2, 1), seconds(6, 0), seconds(2, 99)],
        [6, 12, 18, 192]
    );
}

#[test]
fn a_channel_is_looked_for_as_often_as_it_matters() {
    let timing = Timing::default();
    for (important, lately, failures, seconds) in [
        // SPEC §5.
        (false, None, 0, 20),
        (true, None, 0, 5),
        // What is listed now may be gone in seconds, unless another worker has it.
        (false, Some(true), 0, 1),
        (true, Some(true), 0, 1),
        (false, Some(false), 0, 5),
        (true, Some(false), 0, 5),
        // Failures: ever later, but no later than without them.
        (false, None, 1, 1),
        (false, None, 3, 4),
        (false, None, 6, 20),
        (true, None, 3, 4),
        (true, None, 99, 5),
        (false, Some(true), 5, 1),
    ] {
        let interval = timing.find_interval(important, lately, failures);
        let row = (important, lately, failures);
        assert_eq!(interval.as_secs(), seconds, "{row:?}");
    }
}

#[test]
fn all_times_are_scaled() {
    let timing = Timing::default().scaled(0.5);
    assert_eq!(timing.poll, Duration::from_secs(1));
    assert_eq!(timing.body_hard, Duration::from_secs(120));
    assert_eq!(timing.scaled(2.0), Timing::default());
}
