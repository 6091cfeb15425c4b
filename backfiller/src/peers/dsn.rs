//! Where a database is: a connection string as `libpq` takes it, URL or `key=value` words, with
//! all of its `sslmode`s. Nothing here ever shows a password.

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use rand::seq::SliceRandom;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode};

/// Why a text is not a connection string. The text itself is not repeated: it may hold a
/// password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DsnError {
    /// Neither a URL nor `key=value` words.
    #[error("it is neither postgresql://USER@HOST/DATABASE nor words such as host=HOST user=USER")]
    Syntax,
    /// A parameter that we do not know, or a bad value of one.
    #[error("{0}")]
    Parameter(String),
    /// An `sslmode` that does not exist.
    #[error("sslmode is one of disable, allow, prefer, require, verify-ca, verify-full")]
    SslMode,
    /// A host with a `@` in it: what is before that is a part of the password.
    #[error("a host has no @ in it: the @ of a user or a password in a URL is written %40")]
    At,
    /// Nobody says where the database is.
    #[error("it names no host")]
    Host,
}

/// Parameters of `libpq` that have no meaning here, so that they may be named. Any other word may be
/// a part of a password with a blank or a `&` in it.
const UNSUPPORTED: [&str; 16] = [
    "channel_binding",
    "client_encoding",
    "fallback_application_name",
    "gssencmode",
    "krbsrvname",
    "passfile",
    "replication",
    "require_auth",
    "requirepeer",
    "service",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcrl",
    "sslkey",
    "sslpassword",
];

/// How much of the server's certificate has to be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verify {
    /// Nothing, as `libpq` has it for `require` and less: the traffic is encrypted, no more.
    Nothing,
    /// Who has signed it.
    Authority,
    /// Who has signed it, and that it is the host's.
    Full,
}

/// Where a database is and how to get there.
#[derive(Clone)]
pub struct Dsn {
    pub(super) config: Config,
    pub(super) verify: Verify,
    /// The authorities to trust (PEM); `None`: those of the system.
    pub(super) root: Option<PathBuf>,
}

impl FromStr for Dsn {
    type Err = DsnError;

    fn from_str(text: &str) -> Result<Dsn, DsnError> {
        let mut kept = String::new();
        let (mut mode, mut root) = (None, None);
        let is_url = ["postgresql://", "postgres://"]
            .iter()
            .any(|scheme| text.starts_with(scheme));
        // Keeps what `tokio_postgres` does not know or knows in part.
        let mut special = |key: &str, value: String| {
            let place = match key {
                "sslmode" => &mut mode,
                "sslrootcert" => &mut root,
                _ => return false,
            };
            *place = Some(value);
            true
        };
        if is_url {
            let (begin, query) = text.split_once('?').unwrap_or((text, ""));
            kept.push_str(begin);
            let mut glue = '?';
            for pair in query.split('&').filter(|pair| !pair.is_empty()) {
                let (key, value) = pair.split_once('=').ok_or(DsnError::Syntax)?;
                if !special(key, decoded(value)?) {
                    kept.push(glue);
                    kept.push_str(pair);
                    glue = '&';
                }
            }
        } else {
            for (key, value, raw) in words(text)? {
                if !special(key, value) {
                    kept.push_str(raw);
                    kept.push(' ');
                }
            }
        }
        let mut config: Config = kept.parse().map_err(|error| parameter(&error))?;
        if config.get_hosts().is_empty() {
            return Err(DsnError::Host);
        }
        let has_at = |host: &Host| matches!(host, Host::Tcp(name) if name.contains('@'));
        if config.get_hosts().iter().any(has_at) {
            return Err(DsnError::At);
        }
        let (ssl_mode, mut verify) = match mode.as_deref() {
            Some("disable") => (SslMode::Disable, Verify::Nothing),
            Some("allow" | "prefer") | None => (SslMode::Prefer, Verify::Nothing),
            Some("require") => (SslMode::Require, Verify::Nothing),
            Some("verify-ca") => (SslMode::Require, Verify::Authority),
            Some("verify-full") => (SslMode::Require, Verify::Full),
            Some(_) => return Err(DsnError::SslMode),
        };
        let root = root.filter(|root| root != "system").map(PathBuf::from);
        if ssl_mode == SslMode::Require && verify == Verify::Nothing && root.is_some() {
            // So does `libpq`: whoever names authorities wants them looked at.
            verify = Verify::Authority;
        }
        config.ssl_mode(ssl_mode);
        config.application_name("backfiller");
        Ok(Dsn {
            config,
            verify,
            root,
        })
    }
}

impl Dsn {
    /// The same for each of its hosts alone, in the order in which they are to be tried.
    pub(super) fn hosts(&self) -> Vec<(String, Config)> {
        let all = &self.config;
        let (hosts, addresses, ports) = (all.get_hosts(), all.get_hostaddrs(), all.get_ports());
        let is_odd = (!addresses.is_empty() && addresses.len() != hosts.len())
            || (ports.len() > 1 && ports.len() != hosts.len());
        if hosts.len() == 1 || is_odd {
            // What is odd about it, the attempt tells.
            return vec![(String::new(), all.clone())];
        }
        let each = hosts.iter().enumerate().map(|(n, host)| {
            let mut one = without_hosts(all);
            match host {
                Host::Tcp(name) => one.host(name),
                Host::Unix(path) => one.host_path(path),
            };
            if let Some(address) = addresses.get(n) {
                one.hostaddr(*address);
            }
            if let Some(port) = ports.get(n).or(ports.first()) {
                one.port(*port);
            }
            (shown(host), one)
        });
        let mut each: Vec<(String, Config)> = each.collect();
        if all.get_load_balance_hosts() == LoadBalanceHosts::Random {
            each.shuffle(&mut rand::rng());
        }
        each
    }
}

/// All that does not say where the database is.
fn without_hosts(all: &Config) -> Config {
    let mut config = Config::new();
    config
        .ssl_mode(all.get_ssl_mode())
        .ssl_negotiation(all.get_ssl_negotiation())
        .channel_binding(all.get_channel_binding())
        .target_session_attrs(all.get_target_session_attrs())
        .load_balance_hosts(all.get_load_balance_hosts())
        .keepalives(all.get_keepalives())
        .keepalives_idle(all.get_keepalives_idle());
    if let Some(user) = all.get_user() {
        config.user(user);
    }
    if let Some(password) = all.get_password() {
        config.password(password);
    }
    if let Some(name) = all.get_dbname() {
        config.dbname(name);
    }
    if let Some(options) = all.get_options() {
        config.options(options);
    }
    if let Some(name) = all.get_application_name() {
        config.application_name(name);
    }
    if let Some(time) = all.get_connect_timeout() {
        config.connect_timeout(*time);
    }
    if let Some(time) = all.get_tcp_user_timeout() {
        config.tcp_user_timeout(*time);
    }
    if let Some(time) = all.get_keepalives_interval() {
        config.keepalives_interval(time);
    }
    if let Some(retries) = all.get_keepalives_retries() {
        config.keepalives_retries(retries);
    }
    config
}

fn shown(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    }
}

/// Where it leads, and no more.
impl fmt::Display for Dsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = self.config.get_hosts().iter().map(shown);
        f.write_str(&hosts.collect::<Vec<_>>().join(","))?;
        if let Some(name) = self.config.get_dbname() {
            write!(f, " ({name})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Dsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dsn({self})")
    }
}

/// What `tokio_postgres` says of a bad parameter: names, no values.
fn parameter(error: &tokio_postgres::Error) -> DsnError {
    match std::error::Error::source(error) {
        Some(cause) => {
            let cause = cause.to_string();
            // A syntax error quotes what it found, which may be a part of the password.
            let is_named = |key: &&str| cause.split('`').nth(1) == Some(key);
            if cause.starts_with("invalid value for") || UNSUPPORTED.iter().any(is_named) {
                DsnError::Parameter(cause)
            } else if cause.starts_with("unknown option") {
                let why =
                    "unknown option; its name is not repeated, it may be a part of the password";
                DsnError::Parameter(why.to_owned())
            } else {
                DsnError::Syntax
            }
        }
        None => DsnError::Syntax,
    }
}

fn decoded(value: &str) -> Result<String, DsnError> {
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next()), digit(rest.next()));
        match (high, low) {
            (Some(high), Some(low)) => bytes.push((high * 16 + low) as u8),
            _ => return Err(DsnError::Syntax),
        }
    }
    String::from_utf8(bytes).map_err(|_| DsnError::Syntax)
}

/// The `key=value` words of a text: key, value without its quotes, and the word as it stands.
fn words(text: &str) -> Result<Vec<(&str, String, &str)>, DsnError> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let word = rest;
        let (key, after) = rest.split_once('=').ok_or(DsnError::Syntax)?;
        let after = after.trim_start();
        let mut value = String::new();
        let mut characters = after.char_indices();
        let quoted = after.starts_with('\'');
        if quoted {
            characters.next();
        }
        let mut closed = !quoted;
        let mut end = after.len();
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
                '\'' if quoted => {
                    closed = true;
                    end = at + 1;
                    break;
                }
                blank if blank.is_whitespace() && !quoted => {
                    end = at;
                    break;
                }
                other => value.push(other),
            }
        }
        if !closed {
            return Err(DsnError::Syntax);
        }
        rest = &after[end..];
        let length = word.len() - rest.len();
        found.push((key.trim(), value, &word[..length]));
        rest = rest.trim_start();
    }
    Ok(found)
}
