//! Bad options: one line, exit 2.

use tests::node::Node;

use super::SOON;

#[tokio::test]
async fn a_bad_value_is_one_line_that_names_it() {
    let node = Node::new("b");
    let table: &[(&[&str], &str)] = &[
        (&[], "<CHANNEL>"),
        (&["a/b"], "'a/b'"),
        (&["c", "--qualities", ""], "--qualities"),
        (&["c", "--qualities", "source,"], "--qualities"),
        (&["c", "--qualities", "a/b"], "'a/b'"),
        (&["c", "--static-nodes", "nonsense"], "'nonsense'"),
        (&["c", "--static-nodes", "ftp://x"], "'ftp://x'"),
        (&["c", "--static-nodes", "http://x?y"], "--static-nodes"),
        (
            &["c", "--static-nodes", "http://a,http://u:secret@h?x"],
            "'http://***@h?…'",
        ),
        (&["c", "--static-nodes", "u:secret@h"], "'***@h'"),
        (
            &["c", "--static-nodes", "http://a http://u:secret@h"],
            "'http://***@h'",
        ),
        (
            &["c", "--static-nodes", "http://u:secret,x@h,http://a"],
            "'http://***@h,http://a'",
        ),
        // A blank where a comma belongs, without quotes around the list.
        (
            &["c", "--static-nodes", "http://a", "http://u:secret@h"],
            "'http://***@h'",
        ),
        (&["c", "--node-file", ""], "--node-file"),
        (&["c", "--extras", "../x"], "--extras"),
        (&["c", "--extras", "a,/b"], "--extras"),
        (&["c", "--extras", "x,c/source"], "'c/source'"),
        (&["c", "--extras", ""], "--extras"),
        (&["c", "--node-database", "nonsense"], "--node-database"),
        (
            &["c", "--node-database", "postgresql://u:secret@h?sslmode=x"],
            "sslmode is one of",
        ),
        (&["c", "--start", "nonsense"], "'nonsense'"),
        (&["c", "--start=-3"], "--start"),
        (
            &["c", "--download-concurrency", "0"],
            "--download-concurrency",
        ),
        (&["c", "--max-downloads", "0"], "--max-downloads"),
        (&["c", "--max-rate", "fast"], "'fast'"),
        (&["c", "--max-rate", "9K"], "at least 10000"),
        (&["c", "--delete-old"], "--start"),
        (
            &["c", "--delete-old", "--start", "2999-01-02"],
            "2999-01-02T00:00:00Z",
        ),
        (&["c", "--recent-cutoff", "soon"], "'soon'"),
        (&["c", "--order", "backwards"], "'backwards'"),
        (&["c", "--stall-timeout", "0"], "--stall-timeout"),
        (&["c", "--interval", "0"], "--interval"),
        (&["c", "--interval", "never"], "'never'"),
        (&["c", "--metrics-port", "-1"], "-1"),
    ];
    for &(arguments, named) in table {
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        let mut service = node.start("backfiller", &arguments, &[]).await;
        assert_eq!(service.wait(SOON).await.code(), Some(2), "{arguments:?}");
        let line = service.wait_for_log(named, SOON).await;
        assert!(!line.contains("secret"), "{line}");
        assert_eq!(service.log(), [line], "{arguments:?}");
    }
}

#[tokio::test]
async fn options_come_from_the_environment_too() {
    let node = Node::new("b");
    let base = node.base_dir().display().to_string();
    let variables = [
        ("BACKFILLER_CHANNELS", "a b"),
        ("BACKFILLER_BASE_DIR", &base),
        ("BACKFILLER_STATIC_NODES", ""),
        ("BACKFILLER_RUN_ONCE", "1"),
        ("BACKFILLER_METRICS_PORT", "0"),
    ];
    let mut service = node.start("backfiller", &[], &variables).await;
    assert_eq!(service.wait(SOON).await.code(), Some(0));
}
