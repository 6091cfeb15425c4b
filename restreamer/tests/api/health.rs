//! `/health` and `/openapi.json`.

use axum::http::StatusCode;

use crate::support::{Api, name};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_node_says_what_it_has() {
    let hour = "2026-01-02T03";
    let api = Api::new(&[
        &format!("c/source/{hour}/{}", name("00:00.000000-2.0-full")),
        &format!("c/source/{hour}/{}", name("00:02.500000-2.0-suspect")),
        &format!(
            "c/source/{hour}/{}",
            "00:04.000000-2.0-temp-0c5d81c6-79a5-4d6b-8df4-3a8a8e5b5e0f.ts"
        ),
        // Just begun.
        "c/source/2026-01-02T04/",
        &format!("c/480p/{hour}/{}", name("00:01.000000-2.0-partial")),
        &format!("b/source/{hour}/{}", name("00:06.000000-2.0-full")),
        // Nothing in the last hour.
        &format!("b/480p/2026-01-01T00/{}", name("00:06.000000-2.0-full")),
        "b/480p/2026-01-01T01/",
        "c/empty/",
        "c/chat/2026-01-02T03/00:00.000000-abc.json",
    ]);
    let answer = api.get("/health").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let health: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(health["base_directory_readable"], true);
    assert!(health["free_disk_bytes"].as_u64().unwrap() > 0);
    let newest = serde_json::json!([
        {"channel": "b", "quality": "480p", "start": "2026-01-01T00:00:06.000000Z"},
        {"channel": "b", "quality": "source", "start": "2026-01-02T03:00:06.000000Z"},
        {"channel": "c", "quality": "480p", "start": "2026-01-02T03:00:01.000000Z"},
        {"channel": "c", "quality": "source", "start": "2026-01-02T03:00:02.500000Z"},
    ]);
    assert_eq!(health["newest_segments"], newest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_its_base_directory_is_not_healthy_until_it_is_back() {
    let api = Api::new(&[]);
    assert_eq!(api.get("/health").await.status, StatusCode::OK);
    std::fs::remove_dir(api.path("")).unwrap();
    let answer = api.get("/health").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let health: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(health["base_directory_readable"], false);
    std::fs::create_dir(api.path("")).unwrap();
    assert_eq!(api.get("/health").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_description_gives_as_examples_is_answered() {
    let api = Api::new(&[&format!(
        "desertbus/source/2026-11-14T18/{}",
        name("00:00.000000-2.0-full")
    )]);
    let description: serde_json::Value =
        serde_json::from_slice(&api.get("/openapi.json").await.body).unwrap();
    let paths = description["paths"].as_object().unwrap();
    for path in paths.keys() {
        let path = path
            .replace(
                "/playlist/{channel}/{quality}",
                "/playlist/{channel}/source.m3u8",
            )
            .replace("{path}", "{channel}/source/{hour}/{name}")
            .replace("{directory}", "{channel}")
            .replace("/playlist/{channel}/", "/playlist/desertbus/")
            .replace("/playlist/{channel}", "/playlist/desertbus.m3u8")
            .replace("{channel}", "desertbus")
            .replace("{quality}", "source")
            .replace("{hour}", "2026-11-14T18")
            .replace("{name}", &name("00:00.000000-2.0-full"));
        // These need video, and say what they lack.
        if ["/cut/", "/frame/", "/waveform/"]
            .iter()
            .any(|media| path.starts_with(media))
        {
            assert_eq!(api.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
            continue;
        }
        for method in ["GET", "HEAD"] {
            let answer = api.request(method, &path, &[]).await;
            assert_eq!(answer.status, StatusCode::OK, "{method} {path}");
            assert_eq!(answer.body.is_empty(), method == "HEAD");
        }
    }
}
