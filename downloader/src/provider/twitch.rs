//! Twitch, as its web player asks (SPEC §5): a token by GraphQL, then the master playlist from
//! the usher service. All public facts about the service are in this file.

use common::hedge::{Hedge, HedgeError, Progress};
use common::http::{self, HttpClient, HttpError};
use common::names::{Channel, Quality};
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue, ORIGIN, REFERER};
use serde_json::{Value, json};
use url::Url;

use super::url::with_audio;
use super::{Found, ProviderError, SOURCE, TokenFile};
use crate::fetch::{self, FetchError};
use crate::playlist::{MasterPlaylist, Playlist, Variant};

const GQL: &str = "https://gql.twitch.tv/gql";
const USHER: &str = "https://usher.ttvnw.net/";
const CLIENT_ID: &str = "kimne78kx3ncx6brgo4mv6wki5h1ko";
const ACCESS_TOKEN_QUERY: &str = "ed230aa1e33e07eebb8928504583da78a5173989fadfb1ac94be06a04f3cdbe9";
const PLAYER: &str = "https://player.twitch.tv";

/// The source's name ends so; it is recorded as `source`.
const SOURCE_MARK: &str = "(source)";

/// An answer with a token has some kilobytes.
const MAX_ANSWER: u64 = 1024 * 1024;

/// The length of a random number that tells players apart.
const MAX_P: u32 = 9_999_999;

/// Where Twitch is: tests stand in for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwitchHosts {
    /// The GraphQL endpoint.
    pub gql: Url,
    /// The usher service, with a slash at the end.
    pub usher: Url,
}

impl Default for TwitchHosts {
    fn default() -> TwitchHosts {
        #[expect(clippy::expect_used, reason = "constants that a test reads")]
        TwitchHosts {
            gql: GQL.parse().expect("a URL"),
            usher: USHER.parse().expect("a URL"),
        }
    }
}

/// A channel of Twitch's.
#[derive(Debug, Clone)]
pub struct TwitchProvider {
    /// Its name there, too.
    pub channel: Channel,
    /// Where Twitch is.
    pub hosts: TwitchHosts,
    /// A file with an OAuth token: subscribers see no advertisements.
    pub token_file: TokenFile,
}

/// What the usher service wants to see.
struct Token {
    value: String,
    signature: String,
}

impl TwitchProvider {
    pub(super) async fn find(
        &self,
        client: &HttpClient,
        qualities: &[Quality],
        hedge: Hedge,
    ) -> Result<Found, ProviderError> {
        let token = self.token(client, hedge).await?;
        let url = self.usher_url(&token)?;
        let headers = [(REFERER, PLAYER), (ORIGIN, PLAYER)];
        let playlist = fetch::playlist_with(client, "twitch_usher", &url, hedge, &headers).await;
        match playlist {
            Ok(Playlist::Master(master)) => choose(&master, qualities),
            Ok(Playlist::Media(_)) => Err(ProviderError::Answer {
                what: "Twitch's usher",
                problem: "it sent a media playlist".to_owned(),
            }),
            Err(error) if is_404(&error) => Err(ProviderError::Offline),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks for the token that goes with a playlist; once more without the OAuth token if that
    /// is not accepted any more.
    async fn token(&self, client: &HttpClient, hedge: Hedge) -> Result<Token, ProviderError> {
        let authorization = self.token_file.header(&self.channel).await;
        let problem = match self.ask(client, hedge, authorization.as_ref()).await {
            Err(problem) if authorization.is_some() && is_refusal(&problem) => problem,
            answer => {
                if authorization.is_some() && answer.is_ok() {
                    self.token_file.is_good();
                }
                return answer;
            }
        };
        let token = self.ask(client, hedge, None).await?;
        self.token_file.complain(&self.channel, problem.to_string());
        Ok(token)
    }

    async fn ask(
        &self,
        client: &HttpClient,
        hedge: Hedge,
        authorization: Option<&HeaderValue>,
    ) -> Result<Token, ProviderError> {
        let body = json!({
            "operationName": "PlaybackAccessToken",
            "extensions": {"persistedQuery": {"version": 1, "sha256Hash": ACCESS_TOKEN_QUERY}},
            "variables": {
                "isLive": true,
                "login": self.channel.as_str(),
                "isVod": false,
                "vodID": "",
                "playerType": "embed",
                "platform": "site",
            },
        })
        .to_string();
        let attempt = async |_: usize, progress: Progress| {
            let mut request = client
                .post(&self.hosts.gql)
                .header(CONTENT_TYPE, "application/json")
                .header(HeaderName::from_static("client-id"), CLIENT_ID)
                .body(body.clone());
            if let Some(authorization) = authorization {
                request = request.header("Authorization", authorization.clone());
            }
            let response = client.send_ok("twitch_token", request).await?;
            http::read_all_noting(response, "token", MAX_ANSWER, &progress).await
        };
        let answer = hedge.run(attempt).await.map_err(|error| match error {
            HedgeError::Failed(error) => error,
            HedgeError::TimedOut(time) => HttpError::NoResponse {
                url: http::shown(&self.hosts.gql),
                reason: format!("no answer in {time:?}"),
            },
        })?;
        read_token(&answer)
    }

    fn usher_url(&self, token: &Token) -> Result<Url, ProviderError> {
        let path = format!("api/channel/hls/{}.m3u8", self.channel);
        let url = self.hosts.usher.join(&path);
        let mut url = url.map_err(|error| ProviderError::Answer {
            what: "Twitch's usher",
            problem: format!("its URL cannot be made: {error}"),
        })?;
        let p = rand::random_range(0..=MAX_P).to_string();
        url.query_pairs_mut()
            .append_pair("sig", &token.signature)
            .append_pair("token", &token.value)
            .append_pair("p", &p)
            .append_pair("player", "twitchweb")
            .append_pair("type", "any")
            .append_pair("allow_source", "true")
            .append_pair("allow_audio_only", "true")
            .append_pair("allow_spectre", "false")
            .append_pair("fast_bread", "true")
            .append_pair("supported_codecs", "av1,h265,h264");
        Ok(url)
    }
}

fn is_404(error: &FetchError) -> bool {
    error.status().is_some_and(|status| status.as_u16() == 404)
}

/// True iff another answer may come without an OAuth token: this one was no, not nothing.
fn is_refusal(error: &ProviderError) -> bool {
    match error {
        ProviderError::Http(error) => error
            .status()
            .is_some_and(|status| status.is_client_error()),
        ProviderError::Answer { .. } => true,
        _ => false,
    }
}

/// Reads `data.streamPlaybackAccessToken`; null means that there is no such channel.
fn read_token(answer: &[u8]) -> Result<Token, ProviderError> {
    let problem = |problem: String| ProviderError::Answer {
        what: "Twitch's answer about a token",
        problem,
    };
    let answer: Value =
        serde_json::from_slice(answer).map_err(|error| problem(format!("no JSON: {error}")))?;
    let data = &answer["data"];
    let token = &data["streamPlaybackAccessToken"];
    if data.is_object() && token.is_null() && answer["errors"].is_null() {
        return Err(ProviderError::NoChannel);
    }
    match (token["value"].as_str(), token["signature"].as_str()) {
        (Some(value), Some(signature)) => Ok(Token {
            value: value.to_owned(),
            signature: signature.to_owned(),
        }),
        _ => {
            let message = &answer["errors"][0]["message"];
            let message = message.as_str().or(answer["message"].as_str());
            let message = message.unwrap_or("it has no token").to_owned();
            Err(problem(message))
        }
    }
}

/// The wanted qualities: `source` is the one variant that is marked so, all others go by name.
/// The same name twice is fail-over, the first one first.
fn choose(master: &MasterPlaylist, qualities: &[Quality]) -> Result<Found, ProviderError> {
    let named = |variant: &Variant| variant.name.clone().unwrap_or_default();
    let mut there: Vec<String> = Vec::new();
    for variant in &master.variants {
        let name = named(variant);
        if !there.contains(&name) {
            there.push(name);
        }
    }
    let mut found = Found {
        there: there.clone(),
        ..Found::default()
    };
    for quality in qualities {
        let wanted = if quality.as_str() == SOURCE {
            let sources: Vec<String> = there
                .iter()
                .filter(|name| name.contains(SOURCE_MARK))
                .cloned()
                .collect();
            match sources.as_slice() {
                [] => None,
                [one] => Some(one.clone()),
                _ => return Err(ProviderError::Sources(sources)),
            }
        } else {
            there.iter().find(|name| *name == quality.as_str()).cloned()
        };
        let Some(wanted) = wanted else {
            found.missing.push(quality.clone());
            continue;
        };
        let variants = master
            .variants
            .iter()
            .filter(|variant| named(variant) == wanted);
        let variants: Vec<&Variant> = variants.collect();
        found.sources.extend(with_audio(quality.clone(), &variants));
    }
    if found.sources.is_empty() {
        return Err(ProviderError::Qualities(there));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playlist::read;
    use crate::provider::Source;

    fn master(text: &str) -> MasterPlaylist {
        match read(text.as_bytes(), &"https://usher/".parse().unwrap()).unwrap() {
            Playlist::Master(master) => master,
            Playlist::Media(_) => panic!("a media playlist"),
        }
    }

    fn sample() -> String {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/playlist/samples");
        std::fs::read_to_string(format!("{directory}/twitch-master.m3u8")).unwrap()
    }

    fn chosen(text: &str, qualities: &[&str]) -> Result<Vec<(String, usize)>, String> {
        let qualities: Vec<_> = qualities.iter().map(|q| Quality::new(q).unwrap()).collect();
        let found = choose(&master(text), &qualities).map_err(|error| error.to_string())?;
        let shown = |source: &Source| (source.quality.to_string(), source.urls.len());
        Ok(found.sources.iter().map(shown).collect())
    }

    #[test]
    fn the_hosts_are_urls() {
        assert_eq!(TwitchHosts::default().usher.as_str(), USHER);
    }

    #[test]
    fn the_source_is_marked_and_others_go_by_name() {
        let wanted = ["source", "720p60", "audio_only", "1440p"];
        let got = chosen(&sample(), &wanted).unwrap();
        let expected = [("source", 1), ("720p60", 1), ("audio_only", 1)];
        assert_eq!(got, expected.map(|(name, n)| (name.to_owned(), n)));
        let error = chosen(&sample(), &["1440p"]).unwrap_err();
        assert!(
            error.contains("1080p60 (source), 720p60, 480p, audio_only"),
            "{error}"
        );
        let twice = sample().replace("NAME=\"720p60\"", "NAME=\"720p60 (source)\"");
        let error = chosen(&twice, &["source"]).unwrap_err();
        assert!(
            error.contains("1080p60 (source), 720p60 (source)"),
            "{error}"
        );
        let none = sample().replace(" (source)", "");
        assert!(chosen(&none, &["source"]).unwrap_err().contains("1080p60"));
    }

    #[test]
    fn the_same_name_twice_is_fail_over() {
        let twice = sample().replace("NAME=\"480p\"", "NAME=\"720p60\"");
        assert_eq!(
            chosen(&twice, &["720p60"]),
            Ok(vec![("720p60".to_owned(), 2)])
        );
    }

    #[test]
    fn answers_about_a_token() {
        let read = |text: &str| read_token(text.as_bytes()).map(|token| token.signature);
        let good = r#"{"data":{"streamPlaybackAccessToken":{"value":"{}","signature":"abc"}}}"#;
        assert_eq!(read(good).unwrap(), "abc");
        let null = r#"{"data":{"streamPlaybackAccessToken":null}}"#;
        assert!(matches!(read(null), Err(ProviderError::NoChannel)));
        for (text, part) in [
            (
                r#"{"errors":[{"message":"PersistedQueryNotFound"}]}"#,
                "PersistedQueryNotFound",
            ),
            (
                r#"{"error":"Unauthorized","status":401,"message":"bad token"}"#,
                "bad token",
            ),
            ("<html>", "no JSON"),
            ("[]", "no token"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
