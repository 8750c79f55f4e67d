use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use axum::http::Method;
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsAuthorizer, AwsCredential};
use object_store::client::{Certificate, ClientOptions, HttpClient, HttpRequest, HttpRequestBody};
use tempfile::TempDir;

use crate::Authority;

/// A real OCI registry on loopback, empty: `github.com/distribution/distribution`. It ends when it is dropped.
#[derive(Debug)]
pub struct Registry(Program);

/// A real S3-compatible store on loopback, empty: `github.com/versity/versitygw`. It ends when it is dropped.
#[derive(Debug)]
pub struct S3 {
    program: Program,
    ca: Option<String>,
}

/// Starts a registry that lets everybody in, or only who has this user name and password; over TLS with a certificate of an authority, if one is given.
pub fn registry(login: Option<(&str, &str)>, tls: Option<&Authority>) -> anyhow::Result<Registry> {
    let mut arguments = Vec::new();
    if let Some((username, password)) = login {
        arguments.extend(["--username", username, "--password", password]);
    }
    Program::start("registry", &arguments, tls).map(Registry)
}

/// Starts a store whose one account has [`S3::ACCESS_KEY`] and [`S3::SECRET_KEY`]; over TLS with a certificate of an authority, if one is given.
pub fn s3(tls: Option<&Authority>) -> anyhow::Result<S3> {
    let arguments = ["--access-key", S3::ACCESS_KEY, "--secret-key", S3::SECRET_KEY];
    let program = Program::start("s3", &arguments, tls)?;
    Ok(S3 { program, ca: tls.map(|authority| authority.ca_pem().to_owned()) })
}

impl Registry {
    /// `http://HOST:PORT`, or with `https`.
    pub fn origin(&self) -> &str {
        &self.0.origin
    }

    /// `HOST:PORT`, as it stands in the name of an image.
    pub fn host(&self) -> &str {
        self.0.host()
    }
}

impl S3 {
    /// The access key of the account that may do everything.
    pub const ACCESS_KEY: &str = "test-access-key";
    /// The secret key of that account.
    pub const SECRET_KEY: &str = "test-secret-key";
    /// The region of the store.
    pub const REGION: &str = "us-east-1";

    /// `http://HOST:PORT`, or with `https`.
    pub fn origin(&self) -> &str {
        &self.program.origin
    }

    /// `HOST:PORT`, as `spec.endpoint` of a Bucket has it.
    pub fn host(&self) -> &str {
        self.program.host()
    }

    /// Makes a bucket.
    pub async fn create_bucket(&self, name: &str) -> anyhow::Result<()> {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = Method::PUT;
        *request.uri_mut() = format!("{}/{name}", self.origin()).parse()?;
        let key_id = Self::ACCESS_KEY.to_owned();
        let credential = AwsCredential { key_id, secret_key: Self::SECRET_KEY.to_owned(), token: None };
        AwsAuthorizer::new(&credential, "s3", Self::REGION).try_authorize(&mut request, None)?;
        let mut client = reqwest::Client::builder();
        if let Some(ca) = &self.ca {
            client = client.tls_certs_only([reqwest::Certificate::from_pem(ca.as_bytes())?]);
        }
        let response = HttpClient::new(client.build()?).execute(request).await?;
        anyhow::ensure!(response.status().is_success(), "the bucket was not made: {}", response.status());
        Ok(())
    }

    /// A bucket, for those who put objects into it.
    pub fn bucket(&self, name: &str) -> anyhow::Result<AmazonS3> {
        let mut options = ClientOptions::new().with_allow_http(true);
        if let Some(ca) = &self.ca {
            options = options.with_root_certificate(Certificate::from_pem(ca.as_bytes())?);
        }
        let builder = AmazonS3Builder::new().with_endpoint(self.origin()).with_bucket_name(name);
        let builder = builder.with_access_key_id(Self::ACCESS_KEY).with_secret_access_key(Self::SECRET_KEY);
        Ok(builder.with_region(Self::REGION).with_client_options(options).build()?)
    }
}

/// A command of `tests/servers`, which ends when we close its standard input: however we end, it does too.
#[derive(Debug)]
struct Program {
    child: Child,
    origin: String,
    _certificate: Option<TempDir>,
}

impl Program {
    fn start(name: &str, arguments: &[&str], tls: Option<&Authority>) -> anyhow::Result<Self> {
        let program = path();
        let mut command = Command::new(&program);
        command.arg(name).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let certificate = tls.map(|authority| written(authority, &mut command)).transpose()?;
        let mut child = command.spawn().with_context(|| {
            format!("{} cannot be started; build it by `cargo xtask servers`", program.display())
        })?;
        let mut output = BufReader::new(child.stdout.take().context("it was started with a pipe")?);
        let mut origin = String::new();
        output.read_line(&mut origin)?;
        anyhow::ensure!(!origin.is_empty(), "the {name} of {} did not start", program.display());
        // It would be ended by writing to a pipe that nobody reads.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Ok(Self { child, origin: origin.trim_end().to_owned(), _certificate: certificate })
    }

    fn host(&self) -> &str {
        self.origin.split_once("://").map_or(self.origin.as_str(), |(_, host)| host)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // When it has failed already, so has the test.
        let _ = self.child.wait();
    }
}

/// `$PLUMB_TEST_SERVERS`, which `cargo xtask test` sets, or where `cargo xtask servers` puts it.
fn path() -> PathBuf {
    match std::env::var_os("PLUMB_TEST_SERVERS") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/servers")),
    }
}

/// Writes a server's certificate for the program, which reads it when it starts.
fn written(authority: &Authority, command: &mut Command) -> anyhow::Result<TempDir> {
    let dir = TempDir::new()?;
    let (cert, key) = authority.server();
    for (flag, name, pem) in [("--cert", "tls.crt", cert), ("--key", "tls.key", key.as_str())] {
        let path = dir.path().join(name);
        std::fs::File::create(&path)?.write_all(pem.as_bytes())?;
        command.arg(flag).arg(path);
    }
    Ok(dir)
}
