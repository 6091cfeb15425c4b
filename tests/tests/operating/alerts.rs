//! The alert rules: what they are, and when they fire.

use std::collections::BTreeSet;

use super::{read, succeed};

const RULES: &str = "deploy/prometheus/alerts.yml";

/// An alert.
pub(super) struct Alert {
    pub(super) name: String,
    pub(super) expr: String,
    text: String,
}

/// All alerts, as the file writes them.
pub(super) fn all() -> Vec<Alert> {
    let text = read(RULES);
    let alerts = text.split("- alert: ").skip(1);
    let alerts = alerts.map(|text| {
        let name = text.lines().next().unwrap().trim().to_owned();
        let expr = text.split("expr:").nth(1).expect("an expression");
        // Up to the next key, which stands by itself.
        let end = ["\n        for:", "\n        labels:"];
        let end = end.iter().filter_map(|key| expr.find(key)).min().unwrap();
        let expr = expr[..end].trim().trim_start_matches(">-");
        let words: Vec<&str> = expr.split_whitespace().collect();
        Alert {
            name,
            expr: words.join(" "),
            text: text.to_owned(),
        }
    });
    alerts.collect()
}

#[test]
fn prometheus_takes_the_rules_and_its_configuration() {
    let said = succeed(
        "promtool",
        &["check", "config", "deploy/prometheus/prometheus.yml"],
    );
    assert!(
        said.contains(&format!("{} rules found", all().len())),
        "{said}"
    );
}

#[test]
fn each_alert_fires_when_it_should_and_no_other_does() {
    succeed("promtool", &["test", "rules", "tests/alerts.yml"]);
    let tested = read("tests/alerts.yml");
    for Alert { name, .. } in all() {
        assert!(
            tested.contains(&format!("alertname=\"{name}\"")),
            "{name} is not tested"
        );
    }
}

#[test]
fn each_alert_says_what_to_do_and_stands_in_the_guide() {
    let guide = read("docs/OPERATING.md");
    let alerts = all();
    for Alert { name, text, .. } in &alerts {
        for key in ["severity:", "summary:", "description: >-"] {
            assert!(text.contains(key), "{name} has no {key}");
        }
        assert!(
            guide.contains(&format!("| `{name}` |")),
            "the guide has no {name}"
        );
    }
    let names: BTreeSet<&str> = alerts.iter().map(|alert| alert.name.as_str()).collect();
    assert_eq!(names.len(), alerts.len(), "a name is there twice");
}
