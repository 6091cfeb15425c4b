//! Which content coding a client takes (RFC 9110 §12.5.3). Pure.

use axum::http::{HeaderMap, HeaderValue, header};

/// How an answer's content is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Encoding {
    /// As it is.
    Identity,
    /// `gzip`.
    Gzip,
}

impl Encoding {
    /// The best that a request allows: gzip wherever it is acceptable, since all that is coded
    /// here was compressed before or is compressed in no time.
    pub(super) fn of(request: &HeaderMap) -> Encoding {
        let values = request.get_all(header::ACCEPT_ENCODING).into_iter();
        let lists = values.filter_map(|value| value.to_str().ok());
        let mut any = false;
        for item in lists.flat_map(|list| list.split(',')) {
            let (coding, parameters) = item.split_once(';').unwrap_or((item, ""));
            let acceptable = is_acceptable(parameters);
            let coding = coding.trim();
            let is = |name| coding.eq_ignore_ascii_case(name);
            if is("gzip") || is("x-gzip") {
                return match acceptable {
                    true => Encoding::Gzip,
                    // Named and refused: `*` does not mean it any more.
                    false => Encoding::Identity,
                };
            }
            if coding == "*" {
                any = acceptable;
            }
        }
        if any {
            Encoding::Gzip
        } else {
            Encoding::Identity
        }
    }

    /// Tells the client, and caches, what it got.
    pub(super) fn tell(self, head: &mut HeaderMap) {
        head.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if self == Encoding::Gzip {
            head.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
    }
}

/// False iff the weight is zero, in any of its forms: `q=0`, `q=0.000`.
fn is_acceptable(parameters: &str) -> bool {
    parameters.split(';').all(|parameter| {
        let Some((name, value)) = parameter.split_once('=') else {
            return true;
        };
        let is_weight = name.trim().eq_ignore_ascii_case("q");
        !is_weight || value.trim().parse::<f32>().is_ok_and(|q| q > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_say() {
        use Encoding::{Gzip, Identity};
        let table = [
            ("gzip", Gzip),
            ("GZip", Gzip),
            ("gzip, deflate, br, zstd", Gzip),
            ("br;q=1.0, gzip;q=0.2", Gzip),
            ("*", Gzip),
            ("*;q=0", Identity),
            ("gzip;q=0, *", Identity),
            ("*, gzip;q=0", Identity),
            ("gzip;q=0.000", Identity),
            ("gzip; Q=nonsense", Identity),
            ("identity", Identity),
            ("br, zstd", Identity),
            ("", Identity),
        ];
        for (text, expected) in table {
            let value = HeaderValue::from_static(text);
            let request = HeaderMap::from_iter([(header::ACCEPT_ENCODING, value)]);
            assert_eq!(Encoding::of(&request), expected, "{text}");
        }
        assert_eq!(Encoding::of(&HeaderMap::new()), Identity);
    }
}
