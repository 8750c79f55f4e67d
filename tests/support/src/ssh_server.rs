use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

/// A real `sshd` on loopback, run by who runs the test, that lets one key in and does nothing but `git-upload-pack`.
#[derive(Debug)]
pub struct SshServer {
    dir: TempDir,
    sshd: Child,
    port: u16,
    user: String,
}

impl SshServer {
    /// Starts it on a free port. The key that it lets in has no password.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with_password("")
    }

    /// As [`start`](Self::start), with a key that has a password.
    pub fn start_with_password(password: &str) -> anyhow::Result<Self> {
        let dir = TempDir::new()?;
        keygen(&dir.path().join("host"), "")?;
        keygen(&dir.path().join("client"), password)?;
        keygen(&dir.path().join("stranger"), "")?;
        fs::copy(dir.path().join("client.pub"), dir.path().join("authorized_keys"))?;
        let user = output(Command::new("id").arg("-un"))?;
        // OpenSSH wants it there when it is started by root, as in containers.
        if user == "root" {
            fs::create_dir_all("/run/sshd")?;
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        fs::write(dir.path().join("sshd_config"), config(dir.path(), port))?;
        let mut sshd = Command::new(program()?)
            .args(["-D", "-e", "-f"])
            .arg(dir.path().join("sshd_config"))
            .stderr(fs::File::create(dir.path().join("log"))?)
            .spawn()?;
        if let Err(error) = wait_until_open(port) {
            let _ = sshd.kill();
            bail!("{error}; sshd says: {}", fs::read_to_string(dir.path().join("log"))?);
        }
        Ok(Self { dir, sshd, port, user })
    }

    /// The address of a bare repository of the disk.
    pub fn url(&self, bare: &Path) -> String {
        format!("ssh://{}@127.0.0.1:{}{}", self.user, self.port, bare.display())
    }

    /// The private key that is let in.
    pub fn identity(&self) -> anyhow::Result<Vec<u8>> {
        Ok(fs::read(self.dir.path().join("client"))?)
    }

    /// A private key that is not let in.
    pub fn strange_identity(&self) -> anyhow::Result<Vec<u8>> {
        Ok(fs::read(self.dir.path().join("stranger"))?)
    }

    /// The line of `known_hosts` for this server.
    pub fn known_hosts(&self) -> anyhow::Result<Vec<u8>> {
        self.known_host("host.pub")
    }

    /// A line for this server with a key that it does not have.
    pub fn wrong_known_hosts(&self) -> anyhow::Result<Vec<u8>> {
        self.known_host("stranger.pub")
    }

    fn known_host(&self, public_key: &str) -> anyhow::Result<Vec<u8>> {
        let key = fs::read_to_string(self.dir.path().join(public_key))?;
        Ok(format!("[127.0.0.1]:{} {key}", self.port).into_bytes())
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        // One that is gone already is as good.
        let _ = self.sshd.kill();
        let _ = self.sshd.wait();
    }
}

fn config(dir: &Path, port: u16) -> String {
    let dir = dir.display();
    format!(
        "Port {port}\n\
         ListenAddress 127.0.0.1\n\
         HostKey {dir}/host\n\
         AuthorizedKeysFile {dir}/authorized_keys\n\
         PidFile none\n\
         StrictModes no\n\
         UsePAM no\n\
         PermitRootLogin yes\n\
         PasswordAuthentication no\n\
         KbdInteractiveAuthentication no\n\
         AcceptEnv GIT_PROTOCOL\n\
         ForceCommand git shell -c \"$SSH_ORIGINAL_COMMAND\"\n"
    )
}

/// `sshd` is where users seldom look, and wants to be called by its full path.
fn program() -> anyhow::Result<PathBuf> {
    let directories = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let usual = ["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from);
    directories
        .unwrap_or_default()
        .into_iter()
        .chain(usual)
        .map(|directory| directory.join("sshd"))
        .find(|program| program.is_file())
        .context("`sshd` is not installed; run: apt-get install openssh-server")
}

fn keygen(file: &Path, password: &str) -> anyhow::Result<()> {
    output(
        Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-C", "test", "-N", password, "-f"])
            .arg(file),
    )
    .map(drop)
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("{command:?} cannot be started"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn wait_until_open(port: u16) -> anyhow::Result<()> {
    for _ in 0..200 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("sshd did not open port {port}")
}
