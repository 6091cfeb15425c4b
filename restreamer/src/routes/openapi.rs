//! `/openapi.json`: the description of every route, for people and programs (OpenAPI 3.1).

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// The description; what it says is tested against a running server.
const DESCRIPTION: &str = include_str!("openapi.json");

/// Sends the description.
pub(super) async fn description() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, DESCRIPTION).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_described_and_no_other() {
        let description: serde_json::Value = serde_json::from_str(DESCRIPTION).unwrap();
        assert_eq!(description["info"]["version"], env!("CARGO_PKG_VERSION"));
        let described = description["paths"].as_object().unwrap().keys().cloned();
        let described: BTreeSet<String> = described.collect();
        let routes = super::super::routes();
        let routes = routes.iter().map(|(path, _)| path.replace("{*", "{"));
        // Another way to write the same path.
        let routes: BTreeSet<String> = routes.filter(|path| path != "/files/").collect();
        assert_eq!(described, routes);
    }
}
