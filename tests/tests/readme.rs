//! The README tells the truth: every option of each service stands in its table, and no other.

use std::collections::BTreeSet;
use std::time::Duration;

use tests::node::Node;

const SOON: Duration = Duration::from_secs(30);

/// All `--words` of a text.
fn options(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("--") {
        let rest = &text[at + 2..];
        let end = rest.find(|c: char| !(c.is_ascii_lowercase() || c == '-'));
        let name = &rest[..end.unwrap_or(rest.len())];
        if name.starts_with(|c: char| c.is_ascii_lowercase()) {
            found.insert(format!("--{name}"));
        }
    }
    found
}

#[tokio::test]
async fn the_readme_has_every_option_and_no_other() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = std::fs::read_to_string(path).expect("the README");
    let node = Node::new("a");
    for service in ["downloader", "backfiller", "restreamer"] {
        let heading = format!("### {service}");
        let start = readme.find(&heading).expect("a section for each service");
        let section = &readme[start + heading.len()..];
        let end = section.find("\n#").unwrap_or(section.len());
        let table: String = section[..end]
            .lines()
            .filter(|line| line.starts_with("| `--"))
            .collect();
        let mut process = node.start(service, &["--help".to_owned()], &[]).await;
        assert_eq!(process.wait(SOON).await.code(), Some(0));
        let help = process.log();
        let is_option = |line: &&String| line.trim_start().starts_with('-');
        let lines: Vec<&str> = help.iter().filter(is_option).map(String::as_str).collect();
        let mut offered: BTreeSet<String> = lines
            .iter()
            .filter_map(|line| options(line).into_iter().next())
            .collect();
        offered.remove("--help");
        offered.remove("--version");
        assert_eq!(options(&table), offered, "{service}");
    }
}
