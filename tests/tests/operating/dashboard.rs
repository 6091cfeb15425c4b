//! The dashboard: what Grafana needs to show it, and its expressions.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use super::{read, succeed};

const DASHBOARD: &str = "deploy/grafana/dashboards/node.json";

/// An expression of a panel.
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) expr: String,
}

fn dashboard() -> Value {
    serde_json::from_str(&read(DASHBOARD)).expect("JSON")
}

/// All expressions, with all channels and qualities chosen.
pub(super) fn panels() -> Vec<Panel> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets = panels.flat_map(|panel| {
        let title = panel["title"].as_str().expect("a title");
        let targets = panel["targets"].as_array().into_iter().flatten();
        targets.map(|target| Panel {
            title: title.to_owned(),
            expr: chosen(target["expr"].as_str().expect("an expression")),
        })
    });
    targets.collect()
}

fn chosen(expr: &str) -> String {
    expr.replace("$channel", ".*").replace("$quality", ".*")
}

#[test]
fn grafana_finds_the_dashboard_and_where_its_numbers_are() {
    let sources = read("deploy/grafana/provisioning/datasources/prometheus.yml");
    let provider = read("deploy/grafana/provisioning/dashboards/node.yml");
    let compose = read("docker-compose.yml");
    for line in [
        "- ./deploy/grafana:/etc/node:ro",
        "GF_PATHS_PROVISIONING: /etc/node/provisioning",
    ] {
        assert!(compose.contains(line), "{line}");
    }
    assert!(
        provider.contains("path: /etc/node/dashboards"),
        "{provider}"
    );
    assert!(sources.contains("url: http://prometheus:9090"), "{sources}");
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = &panel["title"];
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{title}");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{title} lies over another panel");
            }
        }
        let is_row = panel["type"] == "row";
        let targets = panel["targets"].as_array().map_or(0, Vec::len);
        assert_eq!(is_row, targets == 0, "{title}");
        for of in panel["targets"]
            .as_array()
            .into_iter()
            .flatten()
            .chain([panel])
        {
            let uid = of["datasource"]["uid"].as_str();
            let known = uid.is_some_and(|uid| sources.contains(&format!("uid: {uid}\n")));
            assert!(is_row || known, "{title}: {uid:?}");
        }
    }
}

#[test]
fn every_expression_parses() {
    let mut rules = "groups:\n- name: panels\n  rules:\n".to_owned();
    for (index, Panel { expr, .. }) in panels().iter().enumerate() {
        let expr = Value::from(expr.as_str());
        writeln!(rules, "  - {{record: \"panel:{index}\", expr: {expr}}}").unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("panels.yml");
    fs::write(&file, rules).unwrap();
    let said = succeed("promtool", &["check", "rules", file.to_str().unwrap()]);
    assert!(
        said.contains(&format!("{} rules found", panels().len())),
        "{said}"
    );
}
