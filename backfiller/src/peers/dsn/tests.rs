//! What is understood, and that no password is ever shown.

use super::*;

#[test]
fn both_forms_and_all_modes_of_encryption() {
    use SslMode::{Disable, Prefer, Require};
    let url = |query: &str| format!("postgresql://u:secret@h:5433/d{query}");
    let table = [
        (url(""), Prefer, Verify::Nothing, None),
        (url("?sslmode=disable"), Disable, Verify::Nothing, None),
        (
            url("?sslmode=require&connect_timeout=3"),
            Require,
            Verify::Nothing,
            None,
        ),
        (url("?sslmode=verify-ca"), Require, Verify::Authority, None),
        (
            url("?connect_timeout=3&sslmode=verify-full&sslrootcert=%2Fa%20b"),
            Require,
            Verify::Full,
            Some("/a b"),
        ),
        (
            url("?sslmode=require&sslrootcert=/x"),
            Require,
            Verify::Authority,
            Some("/x"),
        ),
        (
            "host=h port = 5433 user=u password='se\\'c ret' dbname=d sslmode='verify-full'"
                .to_owned(),
            Require,
            Verify::Full,
            None,
        ),
        (
            "host=h dbname=d sslmode=allow".to_owned(),
            Prefer,
            Verify::Nothing,
            None,
        ),
    ];
    for (text, mode, verify, root) in table {
        let dsn: Dsn = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(dsn.config.get_ssl_mode(), mode, "{text}");
        assert_eq!(dsn.verify, verify, "{text}");
        assert_eq!(dsn.root, root.map(PathBuf::from), "{text}");
        assert_eq!(dsn.to_string(), "h (d)");
        assert_eq!(format!("{dsn:?}"), "Dsn(h (d))");
    }
    let quoted: Dsn = r"host=h password='se\'c ret'".parse().unwrap();
    assert_eq!(quoted.config.get_password(), Some(&b"se'c ret"[..]));
}

#[test]
fn each_host_is_tried_alone_with_all_else_as_it_is() {
    let all = "user=u password=p dbname=d options=o connect_timeout=3 tcp_user_timeout=4 keepalives=0 \
               keepalives_idle=5 keepalives_interval=6 keepalives_retries=7 sslnegotiation=direct \
               target_session_attrs=read-write channel_binding=require sslmode=require";
    // (hosts, each of them)
    let table: [(&str, &[&str]); 5] = [
        ("host=a", &["host=a"]),
        ("host=a,b", &["host=a", "host=b"]),
        (
            "host=a,/run port=1,2",
            &["host=a port=1", "host=/run port=2"],
        ),
        (
            "host=a,b hostaddr=127.0.0.1,127.0.0.2 port=9",
            &[
                "host=a hostaddr=127.0.0.1 port=9",
                "host=b hostaddr=127.0.0.2 port=9",
            ],
        ),
        // The attempt tells what is wrong.
        ("host=a,b port=1,2,3", &["host=a,b port=1,2,3"]),
    ];
    for (hosts, each) in table {
        let dsn = |hosts: &str| format!("{hosts} {all}").parse::<Dsn>().unwrap();
        let expected: Vec<Config> = each.iter().map(|hosts| dsn(hosts).config).collect();
        let found: Vec<Config> = dsn(hosts).hosts().into_iter().map(|it| it.1).collect();
        assert!(found == expected, "{hosts}: {found:?}");
    }
    let random: Dsn = "host=a,b,c load_balance_hosts=random".parse().unwrap();
    let mut names: Vec<String> = random.hosts().into_iter().map(|it| it.0).collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "b", "c"]);
}

#[test]
fn errors_do_not_repeat_the_text() {
    let table = [
        ("", "no host"),
        ("nonsense-secret", "neither"),
        ("postgresql://u:secret@", "no host"),
        ("postgresql://u:secret@h:port-secret/d", "invalid value"),
        ("host=h password='secret", "neither"),
        ("host=h password=secret sslmode=secret", "sslmode is one of"),
        ("host=h connect_timeout=secret", "invalid value"),
        ("host=h unknown=secret", "unknown option"),
        ("postgresql://u:secret@h?sslmode=%zz", "neither"),
        ("postgresql://u:p@secret@h/d", "written %40"),
        ("host=h password=my secret=ret", "its name is not repeated"),
        (
            "postgresql://u:p@h?x=y&secret=1",
            "its name is not repeated",
        ),
        ("host=h service=secret", "unknown option `service`"),
    ];
    for (text, reason) in table {
        let error = text.parse::<Dsn>().unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
        assert!(!error.contains("secret"), "{text}: {error}");
    }
}
