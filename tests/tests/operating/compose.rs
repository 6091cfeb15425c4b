//! `docker-compose.yml` and `.env.example`: both versions of Compose would start a node from them.

use std::collections::BTreeSet;
use std::fs;
use std::process::Output;

use super::{read, root, run, succeed};

/// The names of `${NAME…}` in a text.
fn variables(text: &str) -> BTreeSet<String> {
    let names = text.split("${").skip(1);
    let is_of_name = |c: char| c.is_ascii_uppercase() || c == '_';
    names
        .map(|rest| rest.chars().take_while(|&c| is_of_name(c)).collect())
        .collect()
}

/// What `docker-compose config` makes of these settings.
fn config(settings: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("settings");
    fs::write(&file, settings).unwrap();
    let file = file.display().to_string();
    run(
        "docker-compose",
        &["-f", "docker-compose.yml", "--env-file", &file, "config"],
    )
}

#[test]
fn the_example_has_every_setting_once_each_with_a_comment_and_no_other() {
    let compose = read("docker-compose.yml");
    let used: String = compose
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect();
    let example = read(".env.example");
    let mut offered = BTreeSet::new();
    let mut has_comment = false;
    for line in example.lines() {
        match line.split_once('=').filter(|_| !line.starts_with('#')) {
            Some((name, _)) => {
                assert!(has_comment, "{name} has no comment");
                assert!(offered.insert(name.to_owned()), "{name} is there twice");
            }
            // A comment is for all that follow it up to an empty line.
            None => has_comment = !line.is_empty() && (has_comment || !line.starts_with("# ---")),
        }
    }
    assert_eq!(offered, variables(&used));
}

#[test]
fn the_example_works_and_what_has_to_be_set_is_named() {
    let example = read(".env.example");
    let output = config(&example);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    let made = String::from_utf8_lossy(&output.stdout);
    for line in [
        "BACKFILLER_NODE_DATABASE: postgresql://node:change-me@postgres/node",
        "YT_DLP: yt-dlp[default]",
        "DOWNLOADER_CHANNELS: desertbus!",
    ] {
        assert!(made.contains(line), "{line}\n{made}");
    }
    for name in [
        "CHANNELS",
        "BACKFILL_CHANNELS",
        "NODE_NAME",
        "POSTGRES_PASSWORD",
        "GRAFANA_PASSWORD",
    ] {
        let without = example.replace(&format!("\n{name}="), &format!("\n{name}_X="));
        let output = config(&without);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{name} may be left out");
        assert!(said.contains("in .env"), "{name}: {said}");
    }
}

/// Every option that the compose file sets is one of the service's.
#[test]
fn every_option_that_is_set_is_one_of_the_service() {
    for service in ["downloader", "backfiller", "restreamer"] {
        let program = tests::node::Binaries::get().path(service);
        let help = succeed(program.to_str().unwrap(), &["--help"]);
        let prefix = format!("{}_", service.to_uppercase());
        let files = [
            read("docker-compose.yml"),
            read("Dockerfile"),
            read("deploy/systemd/livestream-node.env"),
        ];
        let mut count = 0;
        for (at, _) in files.iter().flat_map(|text| {
            let found = text.match_indices(&prefix).collect::<Vec<_>>();
            found.into_iter().map(move |(at, _)| (&text[at..], at))
        }) {
            let is_of_name = |c: char| c.is_ascii_uppercase() || c == '_';
            let name: String = at.chars().take_while(|&c| is_of_name(c)).collect();
            // How much memory its container may take is Compose's affair.
            if name.ends_with("_MEMORY") && name == format!("{prefix}MEMORY") {
                continue;
            }
            // A value that is empty is left out, as is one that may be a password.
            let is_there = ["=", "]"].map(|end| help.contains(&format!("[env: {name}{end}")));
            assert!(is_there.contains(&true), "{name}");
            count += 1;
        }
        assert!(count > 5, "{service}: {count}");
    }
}

/// What the file of one service of Compose says.
fn service<'a>(compose: &'a str, name: &str) -> &'a str {
    let start = compose
        .find(&format!("\n  {name}:\n"))
        .expect("the service");
    let rest = &compose[start + 1..];
    let end = rest.find("\n\n").unwrap_or(rest.len());
    &rest[..end]
}

#[test]
fn every_container_is_closed_bounded_and_watched() {
    let output = config(&read(".env.example"));
    let text = String::from_utf8_lossy(&output.stdout);
    // Each service begins at two blanks in what Compose writes.
    let start = text.find("services:\n").unwrap() + "services:\n".len();
    let end = text[start..]
        .find("\nv")
        .map_or(text.len(), |at| start + at + 1);
    let mut services: Vec<(String, String)> = Vec::new();
    for line in text[start..end].lines() {
        match line
            .strip_prefix("  ")
            .filter(|rest| !rest.starts_with([' ', '-']))
        {
            Some(name) => services.push((name.trim_end_matches(':').to_owned(), String::new())),
            None => {
                let (_, body) = services.last_mut().expect("a service");
                body.push_str(line);
                body.push('\n');
            }
        }
    }
    let names: BTreeSet<&str> = services.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "backfiller",
        "downloader",
        "grafana",
        "nginx",
        "postgres",
        "prometheus",
        "restreamer",
    ];
    assert_eq!(names, BTreeSet::from(expected));
    for (name, body) in &services {
        for line in [
            "    read_only: true\n",
            "    restart: unless-stopped\n",
            "    mem_limit: ",
            "    pids_limit: ",
            "    - no-new-privileges:true\n",
            "    cap_drop:\n    - ALL\n",
            "        max-size: ",
            "        max-file: ",
            "    healthcheck:\n",
            "    user: ",
        ] {
            assert!(body.contains(line), "{name} has no {line:?}\n{body}");
        }
        assert!(
            !body.contains("user: 0") && !body.contains("user: root"),
            "{name}"
        );
        let open = body.contains("0.0.0.0:");
        assert_eq!(open, name == "nginx", "{name} is reached from outside");
    }
}

#[test]
fn a_target_of_the_dockerfile_for_each_service() {
    let (compose, dockerfile) = (read("docker-compose.yml"), read("Dockerfile"));
    for name in ["downloader", "backfiller", "restreamer"] {
        assert!(
            service(&compose, name).contains(&format!("target: {name}\n")),
            "{name}"
        );
        let start = dockerfile.find(&format!(" AS {name}\n")).expect("a stage");
        let stage = &dockerfile[start..];
        let stage = &stage[..stage.find("\n\n").unwrap_or(stage.len())];
        assert!(stage.contains("USER 1000:1000"), "{name}");
        assert!(
            stage.contains(&format!("ENTRYPOINT [\"{name}\"]")),
            "{name}"
        );
    }
    // What the build copies has to be let through.
    let ignored = read(".dockerignore");
    for line in dockerfile
        .lines()
        .filter(|line| line.starts_with("COPY ") && !line.contains("--from"))
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        for &file in &words[1..words.len() - 1] {
            let top = file.split('/').next().unwrap();
            let is_let_through = ignored.lines().any(|line| {
                line.strip_prefix('!')
                    .is_some_and(|name| name == file || name == top)
            });
            assert!(is_let_through && root().join(file).exists(), "{file}");
        }
    }
}
