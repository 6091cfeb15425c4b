//! What holds for any input, and for any instant however it is written.

use chrono::{FixedOffset, TimeDelta};
use proptest::prelude::*;

use super::super::*;
use super::fixed_today;

/// Any instant that a year of four digits can name, to the microsecond, some days from the edges
/// so that offsets and week years stay inside.
fn any_instant(first_year: i32) -> impl Strategy<Value = DateTime<Utc>> {
    let first = NaiveDate::from_ymd_opt(first_year, 1, 5).unwrap();
    let last = NaiveDate::from_ymd_opt(9999, 12, 25).unwrap();
    let micros = |date: NaiveDate| {
        date.and_time(chrono::NaiveTime::MIN)
            .and_utc()
            .timestamp_micros()
    };
    (micros(first)..micros(last))
        .prop_map(|micros| DateTime::from_timestamp_micros(micros).unwrap())
}

fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[0-9]{1,14}",
        "[-+:./, TZ()']{1,2}",
        "[0-9]{1,2}[.,][0-9]{1,9}",
        prop::sample::select(vec![
            "2019", "06", "15", "June", "jan", "Sat", "am", "PM", "h", "m", "s", "of", "UTC",
            "EST", "XYZ", "th", "W24", "\u{a0}", "\0", "\u{665}", "24", "60", "99", "0000",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// What must hold of any text: above all, no panic.
fn check(text: &str) -> Result<(), TestCaseError> {
    for outcome in [parse(text), parse_utc_only(text)] {
        match outcome {
            Ok(instant) => prop_assert!((1..=9999).contains(&instant.year())),
            Err(error) => {
                let message = error.to_string();
                prop_assert!(message.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
                prop_assert!(message.len() < 600, "{}", message);
            }
        }
    }
    if parse(text).is_ok() {
        prop_assert!(parse_utc_only(text).is_ok());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        check(&text)?;
    }

    #[test]
    fn any_text_like_a_timestamp_is_read_or_refused(text in pieces()) {
        check(&text)?;
    }

    #[test]
    fn iso_forms_read_back(instant in any_instant(1)) {
        for format in [
            "%Y-%m-%dT%H:%M:%S%.6fZ",
            "%Y-%m-%d %H:%M:%S%.6f",
            "%Y%m%dT%H%M%S%.6fZ",
            "%Y-%jT%H:%M:%S%.6f+00:00",
            "%Y%jT%H%M%S%.6f",
            "%G-W%V-%uT%H:%M:%S%.6f-0000",
            "%GW%V%uT%H%M%S%.6f+00",
            "  %Y-%m-%dT%H:%M:%S%.9fZ\n",
        ] {
            let text = instant.format(format).to_string();
            prop_assert_eq!(parse(&text), Ok(instant), "{}", text);
        }
    }

    #[test]
    fn written_forms_read_back(instant in any_instant(1000)) {
        for format in [
            "%a, %d %b %Y %H:%M:%S%.6f +0000",
            "%a %b %e %H:%M:%S%.6f %Y",
            "%A, %B %e, %Y at %I:%M:%S%.6f %p",
            "%I:%M:%S%.6f%P on %d %B %Y",
            "%m/%d/%Y %H:%M:%S%.6f GMT",
            "%d-%b-%Y %Hh%Mm%S%.6fs",
            "%Y%m%d%H%M%S",
            "%Y%m%d%H%M",
            "%Y/%m/%d %H:%M",
            "%Y.%m.%d",
        ] {
            let text = instant.format(format).to_string();
            let unit = match format {
                _ if format.contains("%.6f") => 1,
                _ if format.contains("%S") => MICROS_PER_SECOND,
                _ if format.contains("%M") => MICROS_PER_MINUTE,
                _ => 24 * MICROS_PER_HOUR,
            };
            let micros = instant.timestamp_micros();
            let expected = DateTime::from_timestamp_micros(micros - micros.rem_euclid(unit));
            prop_assert_eq!(parse(&text).ok(), expected, "{}", text);
        }
    }

    #[test]
    fn offsets_are_converted_or_ignored(
        instant in any_instant(1),
        minutes in -1439..=1439_i32,
        format in prop::sample::select(vec!["%:z", "%z", " %:z", " %z"]),
    ) {
        let zone = FixedOffset::east_opt(minutes * 60).unwrap();
        let format = format!("%Y-%m-%dT%H:%M:%S%.6f{format}");
        let text = instant.with_timezone(&zone).format(&format).to_string();
        prop_assert_eq!(parse(&text), Ok(instant));
        let shown = instant + TimeDelta::minutes(minutes.into());
        prop_assert_eq!(parse_utc_only(&text), Ok(shown));
    }

    /// The strict reader is the general one, only faster.
    #[test]
    fn both_readers_agree(instant in any_instant(1000), format in prop::sample::select(vec![
        "%Y-%m-%dT%H:%M:%S%.6fZ",
        "%Y-%m-%dT%H:%M:%S,%6f-0730",
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%dt%H%M%S+02",
        "%Y-%m-%dT%H:%M.%6f",
        "%Y%m%dT%H%M%S%.3fz",
        "%Y%m%d %H%M-07:00",
        "%Y-%m-%dT%H",
        "%Y-%m-%d",
        "%Y%m%d",
        "%Y-%m",
    ])) {
        let text = instant.format(format).to_string();
        let strict = iso::read(&text, fixed_today);
        prop_assert!(strict.is_some(), "{}", text);
        prop_assert_eq!(strict, Some(general::read(&text, fixed_today())), "{}", text);
    }
}
