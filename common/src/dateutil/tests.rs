//! What we promise of timestamps: the rows of `python.tsv`, minus the differences below.

mod properties;

use std::collections::HashMap;

use super::*;

/// What `dateutil` makes of many inputs, see `oracle.py`.
const FIXTURE: &str = include_str!("python.tsv");

fn fixed_today() -> NaiveDate {
    NaiveDate::from_ymd_opt(2024, 5, 17).unwrap()
}

/// `parse` and `parse_utc_only` on the fixture's day, as the fixture writes them.
fn both(input: &str) -> [String; 2] {
    let show = |outcome: Result<DateTime<Utc>, Reason>| match outcome {
        Ok(instant) if instant.timestamp_subsec_micros() == 0 => {
            instant.format("%FT%T").to_string()
        }
        Ok(instant) => instant.format("%FT%T%.6f").to_string(),
        Err(_) => "-".to_owned(),
    };
    let utc_only = read(input, fixed_today).and_then(|reading| within_years(reading.local));
    [
        show(read(input, fixed_today).and_then(Reading::convert)),
        show(utc_only),
    ]
}

fn unescaped(text: &str) -> String {
    let mut parts = text.split("\\u{");
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        let (code, rest) = part.split_once('}').unwrap();
        out.push(char::from_u32(u32::from_str_radix(code, 16).unwrap()).unwrap());
        out.push_str(rest);
    }
    out.replace("\\t", "\t")
        .replace("\\n", "\n")
        .replace("\\\\", "\\")
}

fn fixture() -> impl Iterator<Item = (String, [&'static str; 2])> {
    let rows = FIXTURE.lines().filter(|line| !line.starts_with('#'));
    rows.map(|line| {
        let mut columns = line.split('\t');
        let input = unescaped(columns.next().unwrap());
        let utc = columns.next().unwrap();
        let ignored = columns.next().unwrap();
        (input, [utc, if ignored == "=" { utc } else { ignored }])
    })
}

/// Input, instant in UTC, instant with the zone ignored.
type Row = (&'static str, &'static str, &'static str);

/// Where we differ on purpose: the reason, and rows as in the fixture.
#[rustfmt::skip] // One row a line.
const DIFFERENCES: &[(&str, &[Row])] = &[
    ("Below a given year or month, all is the first.", &[
        ("2019", "2019-01-01T00:00:00", "="),
        ("2019-06", "2019-06-01T00:00:00", "="),
        ("2019-1", "2019-01-01T00:00:00", "="),
        ("2019 June", "2019-06-01T00:00:00", "="),
        ("June 2019", "2019-06-01T00:00:00", "="),
        ("Jun-2019", "2019-06-01T00:00:00", "="),
        ("2019/06", "2019-06-01T00:00:00", "="),
        ("06/2019", "2019-06-01T00:00:00", "="),
        ("June of 2019", "2019-06-01T00:00:00", "="),
        ("June of 19", "2019-06-01T00:00:00", "="),
        ("June", "2024-06-01T00:00:00", "="),
        ("32", "2032-01-01T00:00:00", "="),
        ("99", "1999-01-01T00:00:00", "="),
        ("100", "0100-01-01T00:00:00", "="),
        ("1999", "1999-01-01T00:00:00", "="),
        ("9999", "9999-01-01T00:00:00", "="),
        ("2019T10:30", "2019-01-01T10:30:00", "="),
        ("2019-06T10:30", "2019-06-01T10:30:00", "="),
        ("Sat Jun 2019", "2019-06-01T00:00:00", "="),
        ("2019-", "2019-01-01T00:00:00", "="),
        ("2019--06", "2019-06-01T00:00:00", "="),
        ("1,234,567", "0234-01-01T00:00:00", "="),
    ]),
    ("ISO 8601: four digits in front are a year, whatever its value.", &[
        ("0012", "0012-01-01T00:00:00", "="),
        ("0099", "0099-01-01T00:00:00", "="),
        ("0012-06", "0012-06-01T00:00:00", "="),
    ]),
    ("ISO 8601: `T` starts a time.", &[
        ("T10", "2024-05-17T10:00:00", "="),
        ("T1030", "2024-05-17T10:30:00", "="),
        ("T103015", "2024-05-17T10:30:15", "="),
        ("T1030Z", "2024-05-17T10:30:00", "="),
        ("T10.5", "2024-05-17T10:30:00", "="),
    ]),
    ("ISO 8601: weeks.", &[
        ("2019-W24-6", "2019-06-15T00:00:00", "="),
        ("2019W246", "2019-06-15T00:00:00", "="),
        ("2019-W24", "2019-06-10T00:00:00", "="),
        ("2019W24", "2019-06-10T00:00:00", "="),
        ("2019-w24-6", "2019-06-15T00:00:00", "="),
        ("2019-W24-6T15:17:38Z", "2019-06-15T15:17:38", "="),
        ("2019W246T151738Z", "2019-06-15T15:17:38", "="),
        ("2020-W53-5", "2021-01-01T00:00:00", "="),
        ("0001-W01-1", "0001-01-01T00:00:00", "="),
    ]),
    ("ISO 8601: days of the year.", &[
        ("2019-166", "2019-06-15T00:00:00", "="),
        ("2019166", "2019-06-15T00:00:00", "="),
        ("2019-166T15:17:38Z", "2019-06-15T15:17:38", "="),
        ("2019166T151738Z", "2019-06-15T15:17:38", "="),
        ("2019-365", "2019-12-31T00:00:00", "="),
        ("2020-366", "2020-12-31T00:00:00", "="),
        ("2019-001", "2019-01-01T00:00:00", "="),
    ]),
    ("ISO 8601: the end of a day.", &[
        ("2019-06-15T24:00", "2019-06-16T00:00:00", "="),
        ("2019-06-15T24:00:00Z", "2019-06-16T00:00:00", "="),
        ("20190615T2400", "2019-06-16T00:00:00", "="),
        ("2019-12-31 24:00:00", "2020-01-01T00:00:00", "="),
    ]),
    ("ISO 8601: decimal hours, and decimal minutes without a colon.", &[
        ("2019-06-15T15.5", "2019-06-15T15:30:00", "="),
        ("2019-06-15T15,25Z", "2019-06-15T15:15:00", "="),
        ("20190615T1517.5", "2019-06-15T15:17:30", "="),
    ]),
    ("RFC 2822: zones that dateutil takes for no zone.", &[
        ("2019-06-15 15:17:38 EST", "2019-06-15T20:17:38", "2019-06-15T15:17:38"),
        ("2019-06-15 15:17:38 EDT", "2019-06-15T19:17:38", "2019-06-15T15:17:38"),
        ("2019-06-15 15:17:38 CST", "2019-06-15T21:17:38", "2019-06-15T15:17:38"),
        ("2019-06-15 15:17:38 CDT", "2019-06-15T20:17:38", "2019-06-15T15:17:38"),
        ("2019-06-15 15:17:38 MST", "2019-06-15T22:17:38", "2019-06-15T15:17:38"),
        ("2019-06-15 15:17:38 MDT", "2019-06-15T21:17:38", "2019-06-15T15:17:38"),
        ("2019-06-15 15:17:38 PST", "2019-06-15T23:17:38", "2019-06-15T15:17:38"),
        ("2019-06-15 15:17:38 PDT", "2019-06-15T22:17:38", "2019-06-15T15:17:38"),
    ]),
    ("Unknown zones, which dateutil takes for no zone.", &[
        ("2019-06-15 15:17:38 J", "-", "2019-06-15T15:17:38"),
        ("2019-06-15 15:17:38 BRST", "-", "2019-06-15T15:17:38"),
        ("2019-06-15 15:17:38 XYZ", "-", "2019-06-15T15:17:38"),
        ("2019-06-15 15:17:38 CET", "-", "2019-06-15T15:17:38"),
    ]),
    ("Text that dateutil skips.", &[
        ("June of foo", "-", "="),
        ("10h36m28s5", "-", "="),
    ]),
    ("Digits that are not ASCII.", &[
        ("\u{665}:\u{663}\u{660}", "-", "="),
        ("2019-06-1\u{665}", "-", "="),
        ("2019-06-15 \u{661}\u{660}:30", "-", "="),
    ]),
    ("A dot and a single letter at the very end, over which dateutil trips.", &[
        ("2019-06-15T15:17:38.Z", "2019-06-15T15:17:38", "="),
        ("2019-06-15 10:30:15.Z", "2019-06-15T10:30:15", "="),
    ]),
];

#[test]
fn reads_what_python_reads() {
    let header = format!("# dateutil 2.9.0.post0, today {}", fixed_today());
    assert!(
        FIXTURE.starts_with(&header),
        "the fixture is of another day"
    );
    let mut wrong = Vec::new();
    let mut rows = 0;
    let mut differences: HashMap<_, _> = DIFFERENCES
        .iter()
        .flat_map(|(_, rows)| *rows)
        .map(|&(input, utc, ignored)| (input, [utc, if ignored == "=" { utc } else { ignored }]))
        .collect();
    for (input, python) in fixture() {
        rows += 1;
        let ours = both(&input);
        let expected = match differences.remove(input.as_str()) {
            Some(ours) if ours == python => {
                wrong.push(format!("{input:?} is no difference"));
                ours
            }
            Some(ours) => ours,
            None => python,
        };
        if ours != expected {
            wrong.push(format!("{input:?}: {ours:?}, not {expected:?}"));
        }
    }
    assert!(rows > 1000, "only {rows} rows");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(differences.is_empty(), "no such rows: {differences:?}");
}

fn message(input: &str) -> String {
    parse(input).unwrap_err().to_string()
}

#[test]
fn errors_name_the_input_and_what_is_wrong() {
    let cases = [
        ("", "it is empty"),
        (" \t\u{a0}", "it is empty"),
        ("at, on", "it holds neither a date nor a time"),
        ("2019-02-30", "2019-02 has no day 30"),
        ("30 Feb 2019", "2019-02 has no day 30"),
        ("2019-13-01", "month 13 is out of range"),
        ("2019-06-15T25:00", "hour 25 is out of range"),
        ("2019-06-15T24:00:00.5", "hour 24 is out of range"),
        ("15 June 2019 25:00", "hour 25 is out of range"),
        ("2019-06-15T15:60", "minute 60 is out of range"),
        ("2019-06-15T15:17:60", "second 60 is out of range"),
        ("2019-W53-1", "week 53 is out of range"),
        ("2019-W24-8", "day of the week 8 is out of range"),
        ("2019-366", "day of the year 366 is out of range"),
        ("0000-01-01", "year 0 is out of range"),
        ("10000", "year 10000 is out of range"),
        ("2019-06-15T15:17:38Zjunk", "`Zjunk` has no place in it"),
        ("2019-06-15 foo", "`foo` has no place in it"),
        ("2019-06-15 #1", "`#` has no place in it"),
        ("NaN", "`NaN` has no place in it"),
        ("2019-06-1\u{665}", "`\\u{665}` has no place in it"),
        ("13 pm 15 June pm", "`pm` has no place in it"),
        ("June-", "something is missing at its end"),
        ("June July 2019", "it names two months"),
        ("2019 2020", "it has two numbers that only a year can be"),
        (
            "1 2 3 4",
            "it has more numbers than a date and a time can have",
        ),
        (
            "2019-06-15T15:17+99:00",
            "its offset from UTC is 24 hours or more",
        ),
        (
            "0001-01-01T00:00+00:01",
            "in UTC it is outside of the years 1 to 9999",
        ),
        (
            "9999-12-31T24:00",
            "in UTC it is outside of the years 1 to 9999",
        ),
        (
            "2019-06-15 15:17 XYZ",
            "its zone `XYZ` is not known, write an offset such as -07:00 or Z",
        ),
    ];
    for (input, wrong) in cases {
        let expected = format!("cannot read the timestamp \"{}\": {wrong}", quoted(input));
        assert_eq!(message(input), expected);
    }
}

#[test]
fn errors_stay_one_short_line() {
    assert_eq!(
        message("a\n\"b\"\\\u{1f600}"),
        "cannot read the timestamp \"a\\n\\\"b\\\"\\\\\\u{1f600}\": `\\\"` has no place in it"
    );
    let long = format!("{}x", "9".repeat(255));
    assert!(message(&long).contains(&format!("\"{}...\"", "9".repeat(100))));
    assert_eq!(
        parse("\u{1f600}").unwrap_err().reason(),
        &Reason::Unexpected("\\u{1f600}".into())
    );
}

#[test]
fn length_is_bounded() {
    let padded = |blanks: usize| format!("2019-06-15{}", " ".repeat(blanks));
    assert!(parse(&padded(MAX_BYTES - 10)).is_ok());
    assert_eq!(
        parse(&padded(MAX_BYTES - 9)).unwrap_err().reason(),
        &Reason::TooLong
    );
}

#[test]
fn what_the_zone_cannot_do_matters_only_to_parse() {
    for zone in ["+99:00", " XYZ", "-2400"] {
        let input = format!("2019-06-15T15:17:38{zone}");
        assert!(parse(&input).is_err(), "{input}");
        assert_eq!(parse_utc_only(&input), parse("2019-06-15T15:17:38"));
    }
}

#[test]
fn a_time_alone_is_today() {
    let before = today();
    let instant = parse("10:30").unwrap();
    // The test itself may run across midnight.
    assert!([before, today()].contains(&instant.date_naive()));
    assert_eq!(instant.time().to_string(), "10:30:00");
}
