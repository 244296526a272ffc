//! TLS to Postgres: what is trusted is proven, what is wrong is said with its place and its remedy, and nothing goes in the clear instead.
//!
//! The server takes connections without TLS too, so that whoever fell back to one would get in; its log tells of it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::servers::{Postgres, amqp_url};

const PROGRAM: &str = env!("CARGO_BIN_EXE_updraft");

/// Who may come how: in `plain` everybody, in the others who has a certificate.
const HBA: &str = "
host    postgres all all trust
host    plain    all all trust
hostssl mutual   all all trust clientcert=verify-full
hostssl certs    all all cert
";

/// Two authorities; what `ca` signed for the server and its clients, and what `other` signed for somebody who is not known.
const CERTIFICATES: &str = r#"
set -e
for name in ca other; do
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$name authority" -keyout $name.key -out $name.pem
done
printf 'subjectAltName=DNS:localhost\n' >names
sign() { # name cn authority
    openssl req -newkey rsa:2048 -nodes -subj "/CN=$2" -keyout $1.key -out $1.csr
    openssl x509 -req -in $1.csr -CA $3.pem -CAkey $3.key -CAcreateserial -days 2 -extfile names -out $1.pem
}
sign server localhost ca
sign postgres postgres ca
sign stranger stranger ca
sign forged postgres other
echo 'not a certificate' >garbage.pem
printf -- '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' >broken.pem
# The server insists.
chmod 600 *.key
"#;

/// A Postgres that speaks TLS, and the files. Dropped: both are gone, in this order.
struct Server {
    postgres: Postgres,
    folder: TempDir,
}

impl Server {
    fn start() -> Self {
        let base = if rustix::process::geteuid().is_root() { PathBuf::from("/var/lib") } else { std::env::temp_dir() };
        let folder = tempfile::Builder::new().prefix("updraft-tls.").tempdir_in(base).unwrap();
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let own = folder.path().join("postgres");
        let files = own.join("files");
        fs::create_dir_all(&files).unwrap();
        let made = Command::new("sh").arg("-c").arg(CERTIFICATES).current_dir(&files).output().unwrap();
        assert!(made.status.success(), "the openssl command is needed: {}", String::from_utf8_lossy(&made.stderr));
        fs::write(files.join("hba"), HBA).unwrap();
        let at = files.display();
        let options = format!(
            "-c ssl=on -c ssl_ca_file={at}/ca.pem -c ssl_cert_file={at}/server.pem -c ssl_key_file={at}/server.key -c hba_file={at}/hba \
             -c log_connections=on"
        );
        let postgres = Postgres::start_with(own, &options);
        for database in ["plain", "mutual", "certs"] {
            postgres.query(&format!("create database {database}"));
        }
        Self { postgres, folder }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join("postgres/files").join(name).display().to_string()
    }

    fn url(&self, host: &str, database: &str) -> String {
        format!("postgres://postgres@{host}:{}/{database}", self.postgres.port())
    }

    /// Flags for the files with these names.
    fn flags(&self, ca: &str, cert_and_key: Option<(&str, &str)>) -> Vec<String> {
        let mut flags = vec!["--database-ca".to_owned(), self.file(ca)];
        if let Some((cert, key)) = cert_and_key {
            flags.extend(["--database-cert".to_owned(), self.file(cert), "--database-key".to_owned(), self.file(key)]);
        }
        flags
    }

    /// How our connections were let in, by the server's log. The tests' own questions are psql's.
    fn entries(&self) -> Vec<String> {
        let log = self.postgres.log();
        log.lines()
            .filter(|line| line.contains("connection authorized") && line.contains("application_name=updraft"))
            .map(str::to_owned)
            .collect()
    }
}

/// Exit code and what was said.
fn migrate(url: &str, flags: &[String]) -> (i32, String) {
    let output = Command::new(PROGRAM).args(["db", "migrate", "--database-url", url]).args(flags).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn who_proves_it_is_let_in_over_tls() {
    let server = Server::start();
    let own = Some(("postgres.pem", "postgres.key"));
    let url = |database| server.url("localhost", database);
    let good = [
        (url("plain"), server.flags("ca.pem", None)),
        // The flag is stronger than the URL.
        (format!("{}?sslmode=disable", url("plain")), server.flags("ca.pem", None)),
        (format!("{}?sslmode=verify-full&sslrootcert={}", url("plain"), server.file("ca.pem")), Vec::new()),
        (url("mutual"), server.flags("ca.pem", own)),
        (url("certs"), server.flags("ca.pem", own)),
    ];
    for (url, flags) in &good {
        let (code, said) = migrate(url, flags);
        assert_eq!(code, 0, "{url} {flags:?}: {said}");
    }
    // By the environment, as the chart has it.
    let files = [("CA", "ca.pem"), ("CERT", "postgres.pem"), ("KEY", "postgres.key")];
    let output = Command::new(PROGRAM)
        .args(["db", "check"])
        .env("UPDRAFT_DATABASE_URL", url("certs"))
        .envs(files.map(|(name, file)| (format!("UPDRAFT_DATABASE_{name}"), server.file(file))))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let entries = server.entries();
    assert!(entries.len() > good.len() && entries.iter().all(|line| line.contains("SSL enabled")), "{entries:?}");
}

#[test]
fn what_is_wrong_is_said_and_nothing_goes_in_the_clear() {
    let server = Server::start();
    let url = |database| server.url("localhost", database);
    let pair = |cert, key| server.flags("ca.pem", Some((cert, key)));
    let ca = |name| server.flags(name, None);
    // 2: the options are wrong, and nothing is tried. 6: no server that can be trusted is reached. 1: it says no.
    let bad = [
        (url("plain"), ca("other.pem"), 6, &["UnknownIssuer", "--database-ca"][..]),
        (server.url("127.0.0.1", "plain"), ca("ca.pem"), 6, &["127.0.0.1", "--database-url"]),
        (url("plain"), ca("broken.pem"), 6, &["BadEncoding", "openssl x509"]),
        (url("mutual"), ca("ca.pem"), 1, &["client certificate", "--database-cert"]),
        (url("certs"), ca("ca.pem"), 1, &["client certificate", "--database-cert"]),
        (url("certs"), pair("stranger.pem", "stranger.key"), 1, &["authentication failed", "--database-cert"]),
        (url("certs"), pair("postgres.pem", "stranger.key"), 6, &["KeyMismatch", "--database-key"]),
        (url("plain"), ca("none.pem"), 2, &["--database-ca", "none.pem", "No such file"]),
        (url("plain"), ca("."), 2, &["--database-ca", "directory"]),
        (url("plain"), ca("garbage.pem"), 2, &["--database-ca", "garbage.pem", "no certificate"]),
        (url("plain"), pair("garbage.pem", "postgres.key"), 2, &["--database-cert", "no certificate"]),
        (url("plain"), pair("postgres.pem", "garbage.pem"), 2, &["--database-key", "no private key"]),
    ];
    for (url, flags, code, words) in &bad {
        let (left_with, said) = migrate(url, flags);
        assert!(left_with == *code && words.iter().all(|word| said.contains(word)), "{url} {flags:?}: {left_with}: {said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    }
    // Signed by an authority that the server does not know: TLS 1.3 says it when the first answer is read.
    let (code, said) = migrate(&url("certs"), &pair("forged.pem", "forged.key"));
    assert!(code == 6 && said.contains("--database-cert"), "{code}: {said}");
    let entries = server.entries();
    assert!(entries.is_empty(), "{entries:?}");
}

/// Says that it speaks no TLS, and hears what comes then.
fn without_tls() -> (u16, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        client.read_exact(&mut [0; 8]).unwrap();
        client.write_all(b"N").unwrap();
        let mut more = Vec::new();
        let _ = client.read_to_end(&mut more);
        more
    });
    (port, heard)
}

#[test]
fn a_server_without_tls_hears_nothing() {
    let server = Server::start();
    let (port, heard) = without_tls();
    let url = format!("postgres://postgres:secret@localhost:{port}/plain");
    let (code, said) = migrate(&url, &server.flags("ca.pem", None));
    assert!(code == 6 && said.contains("does not support TLS") && said.contains("ssl = on") && !said.contains("secret"), "{code}: {said}");
    assert_eq!(String::from_utf8_lossy(&heard.join().unwrap()), "");
}

#[test]
fn a_role_waits_until_the_certificate_is_right() {
    let server = Server::start();
    let (ca, log) = (server.folder.path().join("ca.pem"), server.folder.path().join("api.log"));
    fs::copy(server.file("other.pem"), &ca).unwrap();
    let output = fs::File::create(&log).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let api = |ca: &Path| {
        let mut command = Command::new(PROGRAM);
        command.args(["api", "--port", &port, "--database-url", &server.url("localhost", "plain"), "--database-ca"]).arg(ca);
        command.args(["--broker-url", &amqp_url(), "--broker-prefix", "database-tls"]);
        command
    };
    let mut role = api(&ca).stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
    let until = |word: &str| {
        let begin = Instant::now();
        while !fs::read_to_string(&log).unwrap().contains(word) && begin.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(20));
        }
        fs::read_to_string(&log).unwrap().contains(word)
    };
    let told = until("UnknownIssuer") && until("--database-ca");
    // Files are read at each try: it is mended without a restart.
    let draft = server.folder.path().join("draft");
    fs::copy(server.file("ca.pem"), &draft).unwrap();
    fs::rename(&draft, &ca).unwrap();
    let came = until("its schema fits");
    let running = role.try_wait().unwrap().is_none();
    let _ = role.kill();
    let _ = role.wait();
    assert!(told && came && running, "told {told}, came {came}, running {running}: {}", fs::read_to_string(&log).unwrap());

    // What is not there at all is a mistake, as any other of the options.
    let missing = api(Path::new("/nowhere/ca.pem")).output().unwrap();
    let said = String::from_utf8_lossy(&missing.stderr);
    assert!(missing.status.code() == Some(2) && said.contains("--database-ca /nowhere/ca.pem"), "{:?}: {said}", missing.status);
    let entries = server.entries();
    assert!(!entries.is_empty() && entries.iter().all(|line| line.contains("SSL enabled")), "{entries:?}");
}
