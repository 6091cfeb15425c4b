//! A real Postgres of a test's own: data and socket in a directory that goes with it, on a free
//! port of 127.0.0.1, as another user when the test is run by root.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::eventually;
use crate::node::free_port;
use crate::process::Process;

/// Debian keeps the programs of each version here, and not on the `PATH`.
const DEBIAN: &str = "/usr/lib/postgresql";

/// A server that is not up by then will not come up.
const START: Duration = Duration::from_secs(30);

/// A running server. The superuser is `node`; connections by TCP need its password.
#[derive(Debug)]
pub struct Postgres {
    // Dropped in this order: the server before its data.
    server: Process,
    directory: TempDir,
    programs: PathBuf,
    port: u16,
    password: String,
}

impl Postgres {
    /// Starts a server in which `node` has this password.
    ///
    /// # Panics
    /// If Postgres is not installed, or does not start.
    pub async fn start(password: &str) -> Postgres {
        let programs = programs();
        let directory = TempDir::with_prefix("postgres-").expect("a temporary directory");
        let root = directory.path();
        fs::set_permissions(root, fs::Permissions::from_mode(0o777)).expect("open to the user");
        fs::write(root.join("password"), password).expect("a file for the password");
        let data = root.join("data");
        let mut initdb = as_user(&programs.join("initdb"));
        initdb.args([
            "--username=node",
            "--auth-host=scram-sha-256",
            "--auth-local=trust",
        ]);
        initdb
            .args(["--no-sync", "--pwfile"])
            .arg(root.join("password"));
        initdb.arg("--pgdata").arg(&data);
        succeed(initdb);
        let port = free_port();
        let server = serve(&programs, root, port);
        let postgres = Postgres {
            server,
            directory,
            programs,
            port,
            password: password.to_owned(),
        };
        postgres.wait().await;
        postgres
    }

    async fn wait(&self) {
        eventually(START, "Postgres to answer", async || {
            let output = self.psql("SELECT 1").output().expect("psql");
            match output.status.success() {
                true => Ok(()),
                false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            }
        })
        .await;
    }

    /// Ends the server at once and waits for that.
    pub async fn stop(&mut self) {
        self.server.terminate();
        self.server.signal(rustix::process::Signal::INT);
        self.server.wait(START).await;
    }

    /// Starts it again after [`Postgres::stop`], on the same port.
    pub async fn start_again(&mut self) {
        self.server = serve(&self.programs, self.directory.path(), self.port);
        self.wait().await;
    }

    /// Offers TLS from the next start on, with a certificate for 127.0.0.1 that it signed
    /// itself; gives the certificate's file.
    ///
    /// # Panics
    /// If there is no `openssl`.
    pub fn make_certificate(&self) -> PathBuf {
        let data = self.directory.path().join("data");
        let mut openssl = as_user(Path::new("openssl"));
        openssl.args("req -new -x509 -days 2 -nodes -newkey rsa:2048 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE".split(' '));
        openssl.arg("-keyout").arg(data.join("server.key"));
        openssl.arg("-out").arg(data.join("server.crt"));
        succeed(openssl);
        let settings = data.join("postgresql.conf");
        let text = fs::read_to_string(&settings).expect("its settings");
        fs::write(&settings, text + "\nssl = on\n").expect("its settings");
        let file = self.directory.path().join("certificate.pem");
        fs::copy(data.join("server.crt"), &file).expect("the certificate");
        file
    }

    /// Refuses, from the next start on, connections by TCP without TLS.
    ///
    /// # Panics
    /// If its settings cannot be written.
    pub fn require_tls(&self) {
        let file = self.directory.path().join("data/pg_hba.conf");
        let rules = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
        fs::write(file, rules).expect("its rules");
    }

    /// Executes SQL through the socket.
    ///
    /// # Panics
    /// If the server refuses it.
    pub fn execute(&self, sql: &str) {
        succeed(self.psql(sql));
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// A connection string with the password, and with these parameters (`sslmode=…`).
    #[must_use]
    pub fn dsn(&self, parameters: &str) -> String {
        let (address, password) = (self.address(), &self.password);
        format!("postgresql://node:{password}@{address}/postgres?{parameters}")
    }

    fn psql(&self, sql: &str) -> Command {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args([
            "--no-psqlrc",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "node",
            "-d",
            "postgres",
        ]);
        psql.arg("-h").arg(self.directory.path());
        psql.args(["-p", &self.port.to_string(), "-c", sql]);
        psql
    }
}

fn serve(programs: &Path, root: &Path, port: u16) -> Process {
    let mut command = as_user(&programs.join("postgres"));
    command.arg("-D").arg(root.join("data"));
    command.arg("-k").arg(root);
    command.args(["-p", &port.to_string(), "-h", "127.0.0.1", "-F"]);
    Process::spawn("postgres", command.into())
}

/// The programs of the newest version there is.
fn programs() -> PathBuf {
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.map(|version| version.path()).max_by_key(number);
    let newest = newest.expect("Postgres: apt-get install postgresql (scripts/need does it)");
    newest.join("bin")
}

/// A command as somebody other than root: Postgres refuses to be run by root.
fn as_user(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    command.arg(program).current_dir("/");
    command
}

fn succeed(mut command: Command) {
    let output: Output = command
        .stdin(Stdio::null())
        .output()
        .expect("to be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
