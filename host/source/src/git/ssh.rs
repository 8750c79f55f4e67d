//! The `ssh` program as a transport.
//!
//! OpenSSH knows every cipher and key type that a Git host may ask for, and its host key checks have been read by more eyes than ours would be. It is
//! given nothing but what the Secret holds: no configuration file, no agent, no key or known host of the user. The private key is in a directory of its own
//! under the system's temporary directory, readable by this user only, for as long as the connection lasts.
//! It does not open the connection: it is given a port of this machine, behind which is the server, or the proxy that leads there. So names are resolved by us, and
//! addresses that must not be reached are not. The host is still known by its own name and key.
//! A key with a password needs `/bin/sh`, which hands the password over; and the user that this process runs as needs a name
//! in `/etc/passwd`, which OpenSSH asks for.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tempfile::TempDir;

use crate::deadline::Deadline;
use crate::git::credentials::SshKey;
use crate::git::error::{GitError, printable};
use crate::git::url::GitUrl;
use crate::transport::{Transport, Tunnel, TunnelError};

const MAX_STDERR_BYTES: u64 = 16 * 1024;

/// A running `ssh`. It is killed when this is dropped.
pub(crate) struct Ssh {
    child: Arc<Mutex<Child>>,
    stderr: Option<JoinHandle<String>>,
    tunnel: Tunnel,
    /// Deleted after the program is gone.
    _keys: TempDir,
}

/// The two ends of the connection.
pub(crate) struct Pipes {
    pub(crate) from_server: ChildStdout,
    pub(crate) to_server: ChildStdin,
}

impl Ssh {
    /// Starts `git-upload-pack` on the host. The connection is made here, as the transport asks for, and handed to the program.
    pub(crate) fn start(
        url: &GitUrl,
        key: &SshKey,
        transport: &Transport,
        deadline: &Deadline,
    ) -> Result<(Self, Pipes), GitError> {
        let tunnel = Tunnel::open(transport, plain_host(url), port(url), deadline)
            .map_err(|error| of_tunnel(error, url, transport))?;
        let host = |reason: String| GitError::Host { url: url.to_string(), reason };
        let keys =
            write_keys(key).map_err(|error| host(format!("the key for ssh cannot be put aside: {error}")))?;
        let mut child =
            command(url, key, keys.path(), tunnel.port()).spawn().map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => {
                    host("the program `ssh` is not installed; install the OpenSSH client".to_owned())
                }
                _ => host(format!("the program `ssh` cannot be started: {error}")),
            })?;
        let (Some(from_server), Some(to_server), Some(stderr)) =
            (child.stdout.take(), child.stdin.take(), child.stderr.take())
        else {
            return Err(host("the program `ssh` was started without pipes".to_owned()));
        };
        let stderr =
            std::thread::Builder::new().name("ssh-stderr".to_owned()).spawn(move || read_some(stderr)).ok();
        let child = Arc::new(Mutex::new(child));
        Ok((Self { child, stderr, tunnel, _keys: keys }, Pipes { from_server, to_server }))
    }

    /// Something that kills the program.
    pub(crate) fn killer(&self) -> impl FnOnce() + Send + 'static {
        let child = Arc::clone(&self.child);
        move || kill(&child)
    }

    /// Ends the program and says what it complained about, if it did.
    pub(crate) fn complaint(&mut self, url: &GitUrl) -> Option<GitError> {
        kill(&self.child);
        let said = self.stderr.take()?.join().ok()?;
        // The program knows of our end of the connection only.
        let said = said.replace(&format!("127.0.0.1 port {}", self.tunnel.port()), plain_host(url));
        (!said.trim().is_empty()).then(|| explain(&said, url))
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        kill(&self.child);
    }
}

/// A program that is gone already is as good.
fn kill(child: &Mutex<Child>) {
    let mut child = child.lock();
    let _ = child.kill();
    let _ = child.wait();
}

/// The first bytes; the rest is read and dropped, so that the program never waits for us.
fn read_some(mut from: impl io::Read) -> String {
    let mut said = Vec::new();
    let _ = from.by_ref().take(MAX_STDERR_BYTES).read_to_end(&mut said);
    let _ = io::copy(&mut from, &mut io::sink());
    String::from_utf8_lossy(&said).into_owned()
}

/// The host without the brackets that IPv6 has in a URL.
fn plain_host(url: &GitUrl) -> &str {
    url.host().trim_matches(['[', ']'])
}

fn port(url: &GitUrl) -> u16 {
    url.port().unwrap_or(22)
}

/// The host as `known_hosts` has it. Source: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT.
fn known_as(url: &GitUrl) -> String {
    let host = plain_host(url).to_lowercase();
    if port(url) == 22 { host } else { format!("[{host}]:{}", port(url)) }
}

fn of_tunnel(error: TunnelError, url: &GitUrl, transport: &Transport) -> GitError {
    let proxy = transport.proxy.as_ref().map_or_else(String::new, |proxy| proxy.url().to_string());
    let url = url.to_string();
    match error {
        TunnelError::Refused(refused) => GitError::AddressRefused { url, refused },
        TunnelError::Proxy(reason) => GitError::Proxy { url, proxy, reason },
        TunnelError::Unreachable(reason) => GitError::Unreachable { url, reason },
        TunnelError::Host(error) => GitError::Host { url, reason: error.to_string() },
        // Who fails asks the deadline first.
        TunnelError::Stopped => GitError::Unreachable { url, reason: error.to_string() },
    }
}

fn explain(said: &str, url: &GitUrl) -> GitError {
    let (url, reason) = (url.to_string(), printable(said));
    if said.contains("Host key verification failed") || said.contains("HOST IDENTIFICATION HAS CHANGED") {
        GitError::UnknownHost { url, reason }
    } else if said.contains("Permission denied") || said.contains("Load key") {
        GitError::AuthenticationFailed { url, reason }
    } else if said.contains("not appear to be a git repository") || said.contains("not found") {
        GitError::RepositoryNotFound { url }
    } else {
        GitError::Unreachable { url, reason }
    }
}

fn write_keys(key: &SshKey) -> io::Result<TempDir> {
    let keys = tempfile::Builder::new()
        .prefix("plumb-ssh-")
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir()?;
    // Without a line break at its end, which Secrets often lack, OpenSSH does not read a key.
    write_private(&keys.path().join("identity"), 0o600, &[key.identity.expose(), b"\n"])?;
    write_private(&keys.path().join("known_hosts"), 0o600, &[&key.known_hosts, b"\n"])?;
    if let Some(password) = &key.password {
        write_private(&keys.path().join("password"), 0o600, &[password.expose().as_bytes(), b"\n"])?;
        let script: &[u8] = b"#!/bin/sh\nexec cat \"$(dirname \"$0\")/password\"\n";
        write_private(&keys.path().join("askpass"), 0o700, &[script])?;
    }
    Ok(keys)
}

fn write_private(path: &Path, mode: u32, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))
}

fn command(url: &GitUrl, key: &SshKey, keys: &Path, port: u16) -> Command {
    let mut command = Command::new("ssh");
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.env("LC_ALL", "C").env("GIT_PROTOCOL", "version=2");
    let known_hosts = format!("UserKnownHostsFile=\"{}\"", keys.join("known_hosts").display());
    let known_as = format!("HostKeyAlias={}", known_as(url));
    // Only a password of the key is ever asked for, and only by the script.
    let batch = if key.password.is_some() { "BatchMode=no" } else { "BatchMode=yes" };
    if key.password.is_some() {
        command.env("SSH_ASKPASS", keys.join("askpass")).env("SSH_ASKPASS_REQUIRE", "force");
    }
    let options = [
        batch,
        known_hosts.as_str(),
        known_as.as_str(),
        "CheckHostIP=no",
        "StrictHostKeyChecking=yes",
        "GlobalKnownHostsFile=/dev/null",
        "UpdateHostKeys=no",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "PreferredAuthentications=publickey",
        "PasswordAuthentication=no",
        "KbdInteractiveAuthentication=no",
        "NumberOfPasswordPrompts=1",
        "ClearAllForwardings=yes",
        "ForwardAgent=no",
        "ControlPath=none",
        "PermitLocalCommand=no",
        "SendEnv=GIT_PROTOCOL",
        "LogLevel=ERROR",
    ];
    command.args(["-F", "none", "-T"]).args(options.iter().flat_map(|option| ["-o", option]));
    command.arg("-i").arg(keys.join("identity"));
    command.args(["-p", &port.to_string(), "-l", url.user().unwrap_or("git"), "--", "127.0.0.1"]);
    // The URL has no quote in its path.
    command.arg(format!("git-upload-pack '{}'", url.ssh_path()));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
