use super::*;

fn parse(query: &str) -> Result<CutRequest, String> {
    let known = Transitions::of(&["fade", "wipeleft"]);
    CutRequest::parse(&Params::parse(Some(query)), Some(&known)).map_err(|error| {
        assert_eq!(error.status(), 400, "{query}");
        error.to_string()
    })
}

fn time(text: &str) -> DateTime<Utc> {
    common::dateutil::parse_utc_only(text).unwrap()
}

#[test]
fn everything_that_can_be_asked_for() {
    let request = parse("start=2026-01-02T03:00&end=2026-01-02T03:01").unwrap();
    let range = |start, end| TimeRange {
        start: time(start),
        end: time(end),
    };
    assert_eq!(
        request,
        CutRequest {
            kind: CutType::Fast,
            ranges: vec![range("2026-01-02T03:00", "2026-01-02T03:01")],
            fades: vec![],
            allow_holes: false,
        }
    );
    let request = parse(
        "range=2026-01-02T03:00:01.5Z,2026-01-02T03:01&range=2026-01-02T02:00%2B01:00,2026-01-02T02:30\
         &range=2026-01-02T05,2026-01-02T06&transition=&transition=fade,1.25&allow_holes=true&type=smart",
    );
    let fade = Fade {
        transition: Transition::of("fade"),
        length: TimeDelta::milliseconds(1250),
    };
    assert_eq!(
        request.unwrap(),
        CutRequest {
            kind: CutType::Smart,
            ranges: vec![
                range("2026-01-02T03:00:01.5", "2026-01-02T03:01"),
                range("2026-01-02T02:00", "2026-01-02T02:30"),
                range("2026-01-02T05:00", "2026-01-02T06:00"),
            ],
            fades: vec![None, Some(fade)],
            allow_holes: true,
        }
    );
    // Those that are left out are hard.
    let request = parse("range=2026-01-02T03,2026-01-02T04&range=2026-01-02T03,2026-01-02T04");
    assert_eq!(request.unwrap().fades, [None]);
    for name in ["rough", "fast", "smart", "mpegts", "webm"] {
        let request = parse(&format!(
            "start=2026-01-02T03&end=2026-01-02T04&type={name}"
        ));
        assert_eq!(request.unwrap().kind.as_str(), name);
    }
}

#[test]
fn what_makes_no_sense_is_named() {
    let two = "range=2026-01-02T03,2026-01-02T04&range=2026-01-02T03,2026-01-02T04";
    let many = "&range=2026-01-02T03:00:00,2026-01-02T03:00:01".repeat(MAX_RANGES + 1);
    let table: [(String, &[&str]); 26] = [
        (String::new(), &["start", "missing"]),
        ("start=2026-01-02T03".into(), &["end", "missing"]),
        ("end=2026-01-02T03".into(), &["start", "missing"]),
        ("start=x&end=2026-01-02T03".into(), &["start", "x"]),
        (
            "start=2026-01-02T03&end=2026-01-02T03".into(),
            &["end", "not after"],
        ),
        ("range=2026-01-02T03".into(), &["range", "START,END"]),
        ("range=".into(), &["range", "START,END"]),
        ("range=,".into(), &["range", "empty"]),
        ("range=2026-01-02T03,x".into(), &["range", "x"]),
        (
            "range=2026-01-02T03,2026-01-02T04,2026-01-02T05".into(),
            &["range"],
        ),
        (
            "range=2026-01-02T04,2026-01-02T03".into(),
            &["range", "not after"],
        ),
        (format!("{two}&start=2026-01-02T03"), &["range", "either"]),
        (many, &["range", "201", "at most 200"]),
        (format!("{two}&type=mp4"), &["type", "mp4", "rough, fast"]),
        (format!("{two}&type=Fast"), &["type", "Fast", "rough, fast"]),
        (format!("{two}&type="), &["type"]),
        (format!("{two}&type=fast&type=fast"), &["type", "twice"]),
        (format!("{two}&allow_holes=1"), &["allow_holes"]),
        (
            format!("{two}&transition=fade,1&transition="),
            &["transition", "2 are given", "2 ranges"],
        ),
        (
            format!("{two}&transition=fade"),
            &["transition", "TYPE,SECONDS"],
        ),
        (
            format!("{two}&transition=nonsense,1"),
            &["nonsense", "fade, wipeleft"],
        ),
        (
            format!("{two}&transition=fade:expr=1,1"),
            &["transition", "fade:expr=1"],
        ),
        (
            format!("{two}&transition=fade,1,2"),
            &["transition", "seconds"],
        ),
        (
            format!("{two}&transition=fade,0"),
            &["transition", "seconds", "0.001 to 60"],
        ),
        (
            format!("{two}&transition=fade,nan"),
            &["transition", "seconds"],
        ),
        (
            format!("{two}&transition=fade,1&type=rough"),
            &["transition", "rough"],
        ),
    ];
    for (query, parts) in table {
        let message = parse(&query).unwrap_err();
        assert!(!message.contains('\n') && message.len() < 400, "{message}");
        for part in parts {
            assert!(message.contains(part), "{query}: {message}");
        }
    }
}

#[test]
fn cuts_have_a_longest_length() {
    let of = |hours: u32, kind: &str| {
        let range = "range=2026-01-02T03,2026-01-02T04&".repeat(hours as usize);
        parse(&format!("{range}type={kind}"))
    };
    for (kind, hours) in [("rough", 48), ("smart", 48), ("webm", 12), ("mpegts", 12)] {
        assert!(of(hours, kind).is_ok());
        let message = of(hours + 1, kind).unwrap_err();
        assert!(
            message.contains(&format!("{hours} hours")) && message.contains(kind),
            "{message}"
        );
    }
}
