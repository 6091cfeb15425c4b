//! What is understood, and what is refused.

use std::num::NonZeroU64;

use super::*;
use common::dateutil;

fn parse(arguments: &[&str]) -> Result<Options, clap::Error> {
    Options::try_parse_from(["backfiller"].iter().chain(arguments))
}

#[test]
fn the_defaults_are_those_of_the_specification() {
    let options = parse(&["a b", "c"]).unwrap();
    let channels: Vec<_> = options.channels.iter().map(Channel::as_str).collect();
    assert_eq!(channels, ["a", "b", "c"]);
    let qualities: Vec<_> = options.qualities.iter().map(Quality::as_str).collect();
    assert_eq!(qualities, ["source"]);
    assert_eq!(options.localhost, host_name());
    assert!(!options.localhost.is_empty() && !options.run_once);
    assert_eq!((options.start, options.order), (None, Order::Newest));
    assert_eq!(
        (options.download_concurrency, options.recent_cutoff),
        (5, 120)
    );
    assert_eq!(options.metrics_port, 8002);
    assert!(options.static_nodes().is_empty());
}

#[test]
fn nodes_may_be_given_in_any_number_of_lists() {
    let options = parse(&[
        "c",
        "--static-nodes",
        "http://a, https://b/x,",
        "--static-nodes",
        "",
        "--static-nodes=http://c",
    ])
    .unwrap();
    let names: Vec<_> = options.static_nodes();
    let names: Vec<_> = names.iter().map(Peer::name).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

#[test]
fn a_start_is_a_number_of_hours_or_a_time() {
    let now = dateutil::parse("2026-01-02T03:30:00Z").unwrap();
    let table = [
        ("0", "2026-01-02T03"),
        ("0.5", "2026-01-02T03"),
        ("0.6", "2026-01-02T02"),
        ("48", "2025-12-31T03"),
        ("1000000", "1911-12-05T11"),
        ("20190615", "2019-06-15T00"),
        ("2019-06-15T15:17-07:00", "2019-06-15T22"),
        ("2019-06-15 15:17", "2019-06-15T15"),
    ];
    for (text, hour) in table {
        let options = parse(&["c", "--start", text]).unwrap();
        assert_eq!(options.first_hour(now).unwrap().to_string(), hour, "{text}");
    }
}

#[test]
fn a_rate_has_units_and_bounds_the_downloads_at_once() {
    // (--max-rate, bytes a second, at once of 5)
    let table = [
        ("0", None, 5),
        ("10000", Some(10_000), 1),
        ("199K", Some(199_000), 1),
        ("300k", Some(300_000), 3),
        ("20M", Some(20_000_000), 5),
        ("1G", Some(1_000_000_000), 5),
    ];
    for (text, rate, at_once) in table {
        let options = parse(&["c", "--max-rate", text]).unwrap();
        assert_eq!(options.max_rate.0.map(NonZeroU64::get), rate, "{text}");
        assert_eq!(options.at_once(), at_once, "{text}");
    }
    for text in ["", "9999", "9K", "1.5M", "-1", "M", "20MB", "99999999999G"] {
        let argument = format!("--max-rate={text}");
        assert!(parse(&["c", &argument]).is_err(), "{text}");
    }
}

#[test]
fn nothing_is_deleted_without_a_start() {
    let now = dateutil::parse("2026-01-02T03:30:00Z").unwrap();
    let check = |arguments: &[&str]| parse(arguments).unwrap().check(now);
    assert!(
        check(&["c", "--delete-old"])
            .unwrap_err()
            .contains("--start")
    );
    assert_eq!(check(&["c", "--delete-old", "--start", "48"]), Ok(()));
    assert_eq!(check(&["c"]), Ok(()));
    // A start that is yet to come is one for a show that is yet to come; it deletes nothing.
    let deleting = |start| check(&["c", "--delete-old", "--start", start]);
    for start in ["0", "2026-01-02T03:30Z", "2026-01-02T04:00+01:00"] {
        assert_eq!(deleting(start), Ok(()), "{start}");
        assert_eq!(check(&["c", "--start", start]), Ok(()), "{start}");
    }
    for start in ["2027-01-01", "2026-01-02T03:30:01Z"] {
        let error = deleting(start).unwrap_err();
        assert!(error.contains("yet to come"), "{error}");
        assert_eq!(check(&["c", "--start", start]), Ok(()), "{start}");
    }
}

#[test]
fn bad_values_are_refused() {
    let table: &[&[&str]] = &[
        &[],
        &[""],
        &["a/b"],
        &["..", "a"],
        &["c", "--qualities", ""],
        &["c", "--qualities", "source,"],
        &["c", "--qualities", "a/b"],
        &["c", "--qualities", ".."],
        &["c", "--static-nodes", "nonsense"],
        &["c", "--static-nodes", "http://a,ftp://b"],
        &["c", "--static-nodes", "http://a?b=c"],
        &["c", "--start", "nonsense"],
        &["c", "--start=-5"],
        &["c", "--start", "inf"],
        &["c", "--start", "1e3"],
        &["c", "--download-concurrency", "0"],
        &["c", "--recent-cutoff=-1"],
        &["c", "--order", "backwards"],
        &["c", "--stall-timeout", "0"],
        &["c", "--metrics-port", "65536"],
    ];
    for &arguments in table {
        let error = parse(arguments).unwrap_err();
        assert!(error.use_stderr(), "{arguments:?}");
    }
}
