//! The rules of SPEC §6, a row each.

use super::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

const HASH: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
const OTHER: &str = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";
const UUID: &str = "1b4e28ba-2fa1-41d2-883f-0016d3cca427";

fn at(text: &str) -> DateTime<Utc> {
    common::dateutil::parse(text).unwrap()
}

fn the_hour() -> Hour {
    "2026-01-02T03".parse().unwrap()
}

/// Nothing is recent and every hour is wanted.
const ALL: Rules = Rules {
    first_hour: None,
    recent_after: None,
    order: Order::Newest,
};

fn names(files: &[&str]) -> HourNames {
    let strings = |names: &[&str]| {
        let mut names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        names.sort_unstable();
        names
    };
    let (tombstones, files): (Vec<&str>, Vec<&str>) =
        files.iter().partition(|name| name.ends_with(TOMBSTONE));
    HourNames {
        files: strings(&files),
        tombstones: strings(&tombstones),
    }
}

/// What is done about each name that is not here: `get`, `bury`, or why it is left.
fn decisions(here: &[&str], there: &[&str], rules: &Rules) -> Vec<String> {
    decisions_in(Kind::Video, here, there, rules)
}

fn decisions_in(kind: Kind, here: &[&str], there: &[&str], rules: &Rules) -> Vec<String> {
    let plan = hour(the_hour(), kind, &names(here), there, rules);
    let said = plan.actions.iter().map(|(name, action)| match action {
        Action::Download(segment) => {
            assert_eq!(segment.to_string(), *name);
            "get".to_owned()
        }
        Action::DownloadBatch(batch) => {
            assert_eq!(batch.to_string(), *name);
            "get".to_owned()
        }
        Action::Bury(tombstone) => {
            assert_eq!(tombstone.as_str(), *name);
            "bury".to_owned()
        }
        Action::Skip(Skip::BadName(error)) => format!("bad name: {error}"),
        Action::Skip(skip) => format!("{skip:?}"),
    });
    said.collect()
}

#[test]
fn every_rule_about_one_name() {
    let full = format!("00:10.000000-2.0-full-{HASH}.ts");
    let name = |rest: &str| format!("{rest}.ts");
    let buried = format!("00:10.000000-2.0-full-{HASH}.tombstone");
    let hash = |rest: &str| format!("{rest}-{HASH}.ts");
    // (here, there, decision; none: it is here)
    let table: Vec<(Vec<String>, String, Option<&str>)> = vec![
        // Missing, and fetched whatever its type and its spelling.
        (vec![], full.clone(), Some("get")),
        (vec![], hash("00:10.000000-2.0-suspect"), Some("get")),
        (vec![], hash("00:10.000000-2.0-partial"), Some("get")),
        (vec![], hash("00:10-2-full"), Some("get")),
        // Here.
        (vec![full.clone()], full.clone(), None),
        // Another type, duration, hash or time is another segment.
        (
            vec![hash("00:10.000000-2.0-suspect")],
            full.clone(),
            Some("get"),
        ),
        (
            vec![hash("00:10.000000-2.1-full")],
            full.clone(),
            Some("get"),
        ),
        (
            vec![name(&format!("00:10.000000-2.0-full-{OTHER}"))],
            full.clone(),
            Some("get"),
        ),
        (
            vec![hash("00:12.000000-2.0-full")],
            full.clone(),
            Some("get"),
        ),
        // Twins: within 1 ms on both sides, at any spelling.
        (
            vec![hash("00:10.001000-2.0-full")],
            full.clone(),
            Some("Twin"),
        ),
        (
            vec![hash("00:10.001001-2.0-full")],
            full.clone(),
            Some("get"),
        ),
        (
            vec![hash("00:09.999000-2.0-full")],
            full.clone(),
            Some("Twin"),
        ),
        (
            vec![hash("00:09.998999-2.0-full")],
            full.clone(),
            Some("get"),
        ),
        (vec![hash("00:10-2.00-full")], full.clone(), Some("Twin")),
        // Temporary segments, here and there.
        (
            vec![],
            name(&format!("00:10.000000-2.0-temp-{UUID}")),
            Some("Temp"),
        ),
        (
            vec![name(&format!("00:10.000000-2.0-temp-{UUID}"))],
            full.clone(),
            Some("get"),
        ),
        // Tombstones.
        (vec![buried.clone()], full.clone(), Some("BuriedHere")),
        (vec![], buried.clone(), Some("bury")),
        (vec![full.clone()], buried.clone(), Some("bury")),
        (vec![buried.clone()], buried.clone(), None),
        (
            vec![],
            format!("00:10.000000-2.0-temp-{UUID}.tombstone"),
            Some("Temp"),
        ),
        // Files of others here do not matter.
        (
            vec!["notes.ts".to_owned(), "a.json".to_owned()],
            full.clone(),
            Some("get"),
        ),
    ];
    for (here, there, decision) in table {
        let here: Vec<&str> = here.iter().map(String::as_str).collect();
        let decided = decisions(&here, &[&there], &ALL);
        let expected: Vec<&str> = decision.into_iter().collect();
        assert_eq!(decided, expected, "here {here:?}, there {there}");
    }
}

#[test]
fn no_bad_name_is_fetched_and_the_good_one_beside_it_is() {
    let good = format!("00:10.000000-2.0-full-{HASH}.ts");
    let long = format!("00:10.000000-2.{}-full-{HASH}.ts", "0".repeat(250));
    let table = [
        ("../../etc/passwd", "a name may not begin with a dot"),
        ("/etc/passwd", "a name may not hold a slash"),
        (&format!("../{good}"), "a name may not begin with a dot"),
        (&format!("x/{good}"), "a name may not hold a slash"),
        (&format!("{good}/../x"), "a name may not hold a slash"),
        ("../x.tombstone", "a name may not begin with a dot"),
        (&format!(".{good}"), "a name may not begin with a dot"),
        ("..", "a name may not begin with a dot"),
        ("", "a name may not be empty"),
        ("a\0b.ts", "a control character"),
        (&long, "longer than 255"),
        (&good.replace(".ts", ".mp4"), "it does not end in .ts"),
        (&good.replace("full", "good"), "its type is none of"),
        (&good.replace("2.0", "inf"), "its duration"),
        (&good.replace("2.0", "-2.0"), "its duration"),
        (&good.replace("00:10", "60:10"), "its time"),
        (&good.replace(HASH, &HASH[1..]), "its hash"),
        (&good.replace("full", "temp"), "its hash"),
        ("chat.json", "it does not end in .ts"),
        (
            &format!("00:10.000000-{HASH}.json"),
            "it does not end in .ts",
        ),
        ("x.tombstone", "it is not TIME-"),
        (&format!("00:10.000000-{HASH}.tombstone"), "its duration"),
    ];
    for (bad, reason) in table {
        let decided = decisions(&[], &[bad, &good], &ALL);
        assert!(decided[0].contains(reason), "{bad:?}: {}", decided[0]);
        assert_eq!(decided[1..], ["get"], "{bad:?}");
    }
}

#[test]
fn chat_batches_go_by_their_names_alone() {
    let batch = |time: &str| format!("{time}-{HASH}.json");
    let buried = batch("00:10.000000").replace(".json", ".tombstone");
    let table: Vec<(Vec<String>, String, &[&str])> = vec![
        (vec![], batch("00:10.000000"), &["get"]),
        (vec![batch("00:10.000000")], batch("00:10.000000"), &[]),
        // They have no twins and are never too young.
        (vec![batch("00:10.000001")], batch("00:10.000000"), &["get"]),
        (vec![], batch("59:59.000000"), &["get"]),
        (vec![], buried.clone(), &["bury"]),
        (vec![buried.clone()], buried.clone(), &[]),
        (vec![buried], batch("00:10.000000"), &["BuriedHere"]),
        (
            vec![],
            format!("00:10.000000-2.0-full-{HASH}.ts"),
            &["bad name: it is not TIME-HASH.json"],
        ),
        (
            vec![],
            format!("{}.{UUID}.temp", batch("00:10.000000")),
            &["bad name: it is not TIME-HASH.json"],
        ),
        (
            vec![],
            format!("../{}", batch("00:10.000000")),
            &["bad name: a name may not begin with a dot"],
        ),
    ];
    let rules = Rules {
        recent_after: Some(at("2026-01-02T03:20:00Z")),
        ..ALL
    };
    for (here, there, decided) in table {
        let here: Vec<&str> = here.iter().map(String::as_str).collect();
        let said = decisions_in(Kind::Chat, &here, &[&there], &rules);
        assert_eq!(said, decided, "here {here:?}, there {there}");
    }
}

#[test]
fn the_peers_own_contradictions() {
    let full = format!("00:10.000000-2.0-full-{HASH}.ts");
    let buried = format!("00:10.000000-2.0-full-{HASH}.tombstone");
    assert_eq!(decisions(&[], &[&full, &full], &ALL), ["get", "Repeated"]);
    let twice = decisions(&[], &[&buried, &buried], &ALL);
    assert_eq!(twice, ["bury", "Repeated"]);
    assert_eq!(
        decisions(&[], &[&full, &buried], &ALL),
        ["BuriedThere", "bury"]
    );
}

#[test]
fn recent_is_what_began_less_than_the_cutoff_ago() {
    let name = |time: &str| format!("{time}-2.0-full-{HASH}.ts");
    let rules = Rules {
        recent_after: Some(at("2026-01-02T03:20:00Z")),
        ..ALL
    };
    let table = [
        ("19:59.999999", "get"),
        ("20:00.000000", "get"),
        ("20:00.000001", "Recent"),
        ("59:59.000000", "Recent"),
    ];
    for (time, decision) in table {
        assert_eq!(decisions(&[], &[&name(time)], &rules), [decision], "{time}");
    }
    let options = |cutoff: &str| {
        let arguments = ["backfiller", "c", "--recent-cutoff", cutoff];
        <Options as clap::Parser>::try_parse_from(arguments).unwrap()
    };
    let now = at("2026-01-02T03:22:00Z");
    assert_eq!(Rules::new(&options("120"), now), rules);
    assert_eq!(Rules::new(&options("0"), now), ALL);
}

#[test]
fn lists_are_compared_whatever_their_order_and_not_changed() {
    let name = |second: u32| format!("00:{second:02}.000000-2.0-full-{HASH}.ts");
    let all: Vec<String> = (0..60).map(name).collect();
    let mut reversed = all.clone();
    reversed.reverse();
    let mut third: Vec<&str> = all.iter().map(String::as_str).collect();
    third.retain(|name| !name.starts_with("00:3"));
    let here = names(&third);
    for there in [&all, &reversed] {
        let before = (here.clone(), there.clone());
        let plan = hour(the_hour(), Kind::Video, &here, there, &ALL);
        assert_eq!(plan.here, 50);
        let got: Vec<&str> = plan.actions.iter().map(|(name, _)| *name).collect();
        let missing = there.iter().filter(|name| name.starts_with("00:3"));
        assert_eq!(got, missing.collect::<Vec<_>>());
        assert_eq!(before, (here.clone(), there.clone()));
    }
}

#[test]
fn a_twin_may_lie_beyond_the_edge_of_the_hour() {
    let name = |time: &str| format!("{time}-2.0-full-{HASH}.ts");
    let (previous, next) = (the_hour().previous(), the_hour().next());
    // (there, hours to look at, the file there, left)
    let table = [
        ("00:00.000400", Some(previous), "59:59.999400", true),
        ("00:00.000400", Some(previous), "59:59.999399", false),
        ("59:59.999500", Some(next), "00:00.000500", true),
        ("59:59.999500", Some(next), "00:00.000501", false),
        ("00:00.001001", None, "", false),
        ("30:00.000000", None, "", false),
    ];
    for (there, beside, file, left) in table {
        let there = [name(there)];
        let mut plan = hour(the_hour(), Kind::Video, &HourNames::default(), &there, &ALL);
        assert_eq!(plan.hours_beside(), beside.into_iter().collect());
        if let Some(beside) = beside {
            plan.leave_twins(beside, &[name(file)]);
        }
        let is_left = plan.actions[0].1 == Action::Skip(Skip::Twin);
        assert_eq!(is_left, left, "{there:?} {file}");
    }
}

#[test]
fn hours_are_a_union_in_the_order_wanted() {
    let set = |hours: &[&str]| -> BTreeSet<Hour> {
        let full = hours.iter().map(|hour| format!("2026-01-{hour}"));
        full.map(|hour| hour.parse().unwrap()).collect()
    };
    let listed = [
        set(&["02T03", "01T00"]),
        set(&[]),
        set(&["02T03", "02T05", "02T04"]),
    ];
    let before = listed.clone();
    let order = |rules: &Rules| -> Vec<String> {
        let hours = hours(&listed, rules, &mut StdRng::seed_from_u64(1));
        hours
            .iter()
            .map(|hour| hour.to_string()[8..].to_owned())
            .collect()
    };
    assert_eq!(order(&ALL), ["02T05", "02T04", "02T03", "01T00"]);
    let oldest = Rules {
        order: Order::Oldest,
        ..ALL
    };
    assert_eq!(order(&oldest), ["01T00", "02T03", "02T04", "02T05"]);
    let random = Rules {
        order: Order::Random,
        ..ALL
    };
    let mut shuffled = order(&random);
    shuffled.sort_unstable();
    assert_eq!(shuffled, order(&oldest));
    let late = Rules {
        first_hour: Some("2026-01-02T04".parse().unwrap()),
        ..ALL
    };
    assert_eq!(order(&late), ["02T05", "02T04"]);
    // An hour that begins within the cutoff has nothing to fetch.
    let cut = Rules {
        recent_after: Some(at("2026-01-02T04:00:00Z")),
        ..ALL
    };
    assert_eq!(order(&cut), ["02T04", "02T03", "01T00"]);
    assert_eq!(listed, before);
}

#[test]
fn a_random_order_is_a_different_one_with_another_seed() {
    let start: Hour = "2026-01-01T00".parse().unwrap();
    let listed: BTreeSet<Hour> = std::iter::successors(Some(start), |hour| Some(hour.next()))
        .take(100)
        .collect();
    let random = Rules {
        order: Order::Random,
        ..ALL
    };
    let order = |seed| hours([&listed], &random, &mut StdRng::seed_from_u64(seed));
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
}

#[test]
fn the_newest_hours_come_before_what_is_left_unless_the_order_is_another() {
    let hour = |n: u32| -> Hour { format!("2026-01-02T{n:02}").parse().unwrap() };
    let hours = |all: &[u32]| -> Vec<Hour> { all.iter().map(|&n| hour(n)).collect() };
    type Hours = &'static [u32];
    use Order::{Newest, Oldest, Random};
    // (order, left, wanted, live edge before, left now)
    let table: [(Order, Hours, Hours, Option<u32>, Hours); 10] = [
        (Newest, &[3, 2], &[5, 4, 3, 2], Some(5), &[5, 3, 2]),
        (Newest, &[3, 2], &[7, 6, 5, 3, 2], Some(5), &[7, 6, 5, 3, 2]),
        (Newest, &[2, 3, 5], &[2, 3, 5, 6], Some(5), &[6, 5, 2, 3]),
        (Newest, &[3], &[3], Some(5), &[3]),
        (Newest, &[], &[3, 2], None, &[3, 2]),
        (Oldest, &[2, 3], &[2, 3, 4, 5, 6], Some(5), &[2, 3, 5, 6]),
        (Oldest, &[2, 5], &[2, 4, 5, 6], Some(4), &[2, 5, 4, 6]),
        (Oldest, &[], &[2, 3], None, &[2, 3]),
        (
            Random,
            &[3, 5, 2],
            &[6, 5, 2, 3, 7],
            Some(5),
            &[3, 5, 2, 6, 7],
        ),
        (Random, &[3, 2], &[2, 3], Some(5), &[3, 2]),
    ];
    for (order, left, wanted, edge, expected) in table {
        let mut queue: VecDeque<Hour> = hours(left).into();
        look_anew(&mut queue, &hours(wanted), edge.map(hour), order);
        assert_eq!(queue, hours(expected), "{order:?} {left:?} {wanted:?}");
    }
}

#[test]
fn the_live_edge_holds_all_that_may_have_got_more() {
    let set = |hours: &[&str]| -> BTreeSet<Hour> {
        let full = hours.iter().map(|hour| format!("2026-01-{hour}"));
        full.map(|hour| hour.parse().unwrap()).collect()
    };
    // (listed, cutoff in seconds, edge), all at the same time.
    let now = at("2026-01-02T04:01:00Z");
    let table: [(&[&str], i64, Option<&str>); 7] = [
        (&[], 120, None),
        // What was recorded last in the hour before is recent yet.
        (&["02T02", "02T03"], 120, Some("02T02")),
        (&["02T03", "02T04"], 120, Some("02T03")),
        (&["02T03", "02T04"], 0, Some("02T03")),
        (&["02T01", "02T04"], 7200, Some("02T02")),
        // The stream ended long ago.
        (&["01T00", "01T07"], 120, Some("01T06")),
        // Somebody's clock is wrong.
        (&["02T04", "09T00"], 120, Some("02T03")),
    ];
    for (listed, cutoff, edge) in table {
        let rules = Rules {
            recent_after: (cutoff > 0).then(|| now - TimeDelta::seconds(cutoff)),
            ..ALL
        };
        let expected = edge.map(|edge| format!("2026-01-{edge}").parse().unwrap());
        let listed = [set(listed), BTreeSet::new()];
        assert_eq!(live_edge(&listed, &rules, now), expected, "{listed:?}");
    }
}

#[test]
fn as_many_hours_as_a_listing_may_hold_are_sorted_in_no_time() {
    let start: Hour = "1990-01-01T00".parse().unwrap();
    let all: Vec<Hour> = std::iter::successors(Some(start), |hour| Some(hour.next()))
        .take(250_000)
        .collect();
    let mut queue: VecDeque<Hour> = all.iter().copied().collect();
    let begun = std::time::Instant::now();
    look_anew(&mut queue, &all, None, Order::Newest);
    // Minutes, were each looked for in the whole of the list.
    assert!(begun.elapsed() < std::time::Duration::from_secs(10));
    assert!(queue.iter().eq(all.iter().rev()));
}
