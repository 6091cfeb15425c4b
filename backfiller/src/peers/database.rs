//! The peers of `--node-database`: the rows of a Postgres table `nodes` with `backfill_from`
//! (SPEC §6).

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use rustls_platform_verifier::Verifier;
use tokio::time::{Instant, timeout};
use tokio_postgres::{Config, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::dsn::Verify;
use super::{Dsn, Peer, Source, SourceError, TIMEOUT, Unreadable, told_apart};

/// A row more than there are nodes in any fleet is a mistake, and memory is finite.
const MAX_ROWS: usize = 10_000;

const QUERY: &str = "SELECT name, url FROM nodes WHERE backfill_from ORDER BY name LIMIT 10001";

/// A table of peers.
#[derive(Debug)]
pub struct DatabaseSource(Dsn);

impl DatabaseSource {
    /// The peers in the database there.
    #[must_use]
    pub fn new(dsn: Dsn) -> DatabaseSource {
        DatabaseSource(dsn)
    }

    /// The rows of the first host that gives them. Each has an equal share of the time that is left, so
    /// that a silent one does not take that of the others.
    async fn rows(&self) -> Result<Vec<Row>, String> {
        let hosts = self.0.hosts();
        let end = Instant::now() + TIMEOUT;
        let mut reasons = Vec::new();
        for (left, (host, config)) in (1..=hosts.len() as u32).rev().zip(&hosts) {
            let share = end.saturating_duration_since(Instant::now()) / left;
            let reason = match timeout(share, self.rows_at(config)).await {
                Ok(Ok(rows)) => return Ok(rows),
                Ok(Err(reason)) => reason,
                Err(_) => format!("no answer in {:?}", rounded(share)),
            };
            reasons.push(match host.is_empty() {
                true => reason,
                false => format!("{host}: {reason}"),
            });
        }
        Err(reasons.join("; "))
    }

    async fn rows_at(&self, config: &Config) -> Result<Vec<Row>, String> {
        let (client, connection) = config.connect(tls(&self.0)?).await.map_err(|e| chain(&e))?;
        tokio::select! {
            rows = client.query_typed(QUERY, &[]) => rows.map_err(|error| chain(&error)),
            ended = connection => match ended {
                Ok(()) => Err("the connection ended early".to_owned()),
                Err(error) => Err(chain(&error)),
            },
        }
    }

    /// A reason without the password, should a server or a library repeat it.
    fn without_password(&self, reason: String) -> String {
        let password = self.0.config.get_password().unwrap_or_default();
        match std::str::from_utf8(password) {
            Ok(password) if !password.is_empty() => reason.replace(password, "***"),
            _ => reason,
        }
    }
}

impl Source for DatabaseSource {
    fn name(&self) -> &'static str {
        "--node-database"
    }

    fn read(&self) -> BoxFuture<'_, Result<Vec<Peer>, SourceError>> {
        async {
            let answer = self.rows().await;
            let failed = |reason| {
                let reason = self.without_password(reason);
                SourceError::new(format!("the database at {}: {reason}", self.0))
            };
            peers(answer.map_err(failed)?)
        }
        .boxed()
    }
}

/// To a tenth of a second: a reason that is another one each time is told each time.
fn rounded(time: Duration) -> Duration {
    Duration::from_millis((time.as_secs_f64() * 10.0).round() as u64 * 100)
}

/// The peers of rows; a bad one does not hide the others.
fn peers(rows: Vec<Row>) -> Result<Vec<Peer>, SourceError> {
    let mut readable = Vec::new();
    let mut bad = None;
    let mut unreadable = Unreadable::default();
    if rows.len() > MAX_ROWS {
        bad = Some(format!("more than {MAX_ROWS} rows"));
        unreadable.note(None);
    }
    for row in rows.iter().take(MAX_ROWS) {
        let name = row.try_get::<_, &str>(0);
        match peer(&name, row.try_get(1)) {
            Ok(peer) => readable.push(peer),
            Err(reason) => {
                unreadable.note(name.ok());
                bad.get_or_insert(reason);
            }
        }
    }
    let readable = told_apart(readable);
    match bad {
        None => Ok(readable),
        Some(reason) => Err(SourceError::in_part(reason, readable, unreadable)),
    }
}

type Field<'a> = Result<&'a str, tokio_postgres::Error>;

fn peer(name: &Field<'_>, url: Field<'_>) -> Result<Peer, String> {
    let bad = |error: &_| format!("a row of nodes: {}", chain(error));
    let name = name.as_ref().map_err(bad)?;
    let url = url.map_err(|error| bad(&error))?;
    Peer::named(name, url).map_err(|error| format!("the row of {name:?} in nodes: {error}"))
}

/// An error and its causes, in one line: the outermost says little.
fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.contains(&reason) {
            text = format!("{text}: {reason}");
        }
        cause = error.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// TLS as the connection string asks.
fn tls(dsn: &Dsn) -> Result<MakeRustlsConnect, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let inner: Option<Arc<dyn ServerCertVerifier>> = match (dsn.verify, &dsn.root) {
        (Verify::Nothing, _) => None,
        (_, None) => {
            let verifier = Verifier::new(Arc::clone(&provider)).map_err(|e| e.to_string())?;
            Some(Arc::new(verifier))
        }
        (_, Some(path)) => {
            let error = |error: String| format!("{}: {error}", path.display());
            let roots = roots(path).map_err(|e| error(e.to_string()))?;
            let verifier =
                WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
            Some(verifier.build().map_err(|e| error(e.to_string()))?)
        }
    };
    let verifier = Checked {
        inner,
        any_name: dsn.verify != Verify::Full,
        provider: Arc::clone(&provider),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// The authorities of a PEM file.
fn roots(path: &std::path::Path) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(io::Error::other)?;
    for certificate in certificates {
        let certificate = certificate.map_err(io::Error::other)?;
        roots.add(certificate).map_err(io::Error::other)?;
    }
    Ok(roots)
}

/// Looks at a certificate as closely as the `sslmode` asks, and no closer: certificates of
/// databases are often signed by nobody, and `require` means encryption alone.
#[derive(Debug)]
struct Checked {
    /// `None`: any certificate will do.
    inner: Option<Arc<dyn ServerCertVerifier>>,
    /// True iff it need not be the host's.
    any_name: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Checked {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use rustls::Error::InvalidCertificate;
        let Some(inner) = &self.inner else {
            return Ok(ServerCertVerified::assertion());
        };
        match inner.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            // The name is looked at last: all else was right.
            Err(InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.any_name => Ok(ServerCertVerified::assertion()),
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
