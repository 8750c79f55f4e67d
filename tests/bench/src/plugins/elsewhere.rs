//! The same work outside of a sandbox: in a program that is started for each call, and in one beside the host that is sent all files, as the sidecars of
//! other engines are. Both are this program itself, started in a role.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::{FOLDER, load_many};

const ROLE: &str = "PLUMB_BENCH_ROLE";

/// A message of the sidecar is no longer.
const LONGEST: usize = 1 << 30;

/// Starts this program in a role, and returns what it writes.
pub(super) fn exec(role: &str, input: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut child = start(role, Stdio::piped())?;
    child.stdin.take().context("it has no standard input")?.write_all(input)?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{role} ended with {}", output.status);
    Ok(output.stdout)
}

fn start(role: &str, stdin: Stdio) -> anyhow::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    Ok(command.env(ROLE, role).stdin(stdin).stdout(Stdio::piped()).spawn()?)
}

/// Plays the role that this program was started in; `None` when it is to measure.
pub(crate) fn play() -> Option<anyhow::Result<()>> {
    let role = std::env::var(ROLE).ok()?;
    Some(match role.as_str() {
        "labels" => filter(labels),
        "render" => filter(|input| render(Path::new(std::str::from_utf8(input)?))),
        "load-many" => {
            filter(|input| Ok(load_many(&serde_json::from_slice(input)?)?.to_string().into_bytes()))
        }
        "sidecar" => serve(),
        other => Err(anyhow::anyhow!("there is no role {other}")),
    })
}

fn filter(work: impl FnOnce(&[u8]) -> anyhow::Result<Vec<u8>>) -> anyhow::Result<()> {
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input)?;
    Ok(std::io::stdout().write_all(&work(&input)?)?)
}

fn labels(input: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut objects: Vec<Value> = serde_json::from_slice(input)?;
    for object in &mut objects {
        object["metadata"]["labels"]["tier"] = json!("web");
    }
    Ok(serde_json::to_vec(&objects)?)
}

fn render(root: &Path) -> anyhow::Result<Vec<u8>> {
    let mut files: Vec<_> = std::fs::read_dir(root.join(FOLDER))?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    files.sort();
    let read = |file| -> anyhow::Result<Value> { Ok(serde_yaml::from_slice(&std::fs::read(file)?)?) };
    Ok(serde_json::to_vec(&files.into_iter().map(read).collect::<anyhow::Result<Vec<_>>>()?)?)
}

/// A program that runs beside the host, and is sent an archive of all files for each call, over a connection that stays.
pub(super) struct Sidecar {
    child: Child,
    connection: TcpStream,
}

impl Sidecar {
    pub(super) fn start() -> anyhow::Result<Self> {
        let mut child = start("sidecar", Stdio::null())?;
        let mut port = [0; 2];
        child.stdout.as_mut().context("it has no standard output")?.read_exact(&mut port)?;
        let connection = TcpStream::connect(("127.0.0.1", u16::from_be_bytes(port)))?;
        connection.set_nodelay(true)?;
        Ok(Self { child, connection })
    }

    pub(super) fn render(&mut self, root: &Path) -> anyhow::Result<Vec<u8>> {
        let mut archive = tar::Builder::new(Vec::new());
        archive.append_dir_all(".", root)?;
        send(&mut self.connection, &archive.into_inner()?)?;
        receive(&mut self.connection)
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // It has nothing to lose.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let mut stdout = std::io::stdout();
    stdout.write_all(&listener.local_addr()?.port().to_be_bytes())?;
    stdout.flush()?;
    let (mut connection, _) = listener.accept()?;
    connection.set_nodelay(true)?;
    loop {
        let archive = receive(&mut connection)?;
        let folder = tempfile::tempdir()?;
        tar::Archive::new(archive.as_slice()).unpack(folder.path())?;
        send(&mut connection, &render(folder.path())?)?;
    }
}

/// As gRPC does it: the length, then the message.
fn send(connection: &mut TcpStream, message: &[u8]) -> anyhow::Result<()> {
    connection.write_all(&(message.len() as u64).to_be_bytes())?;
    Ok(connection.write_all(message)?)
}

fn receive(connection: &mut TcpStream) -> anyhow::Result<Vec<u8>> {
    let mut length = [0; 8];
    connection.read_exact(&mut length)?;
    let length = usize::try_from(u64::from_be_bytes(length))?;
    if length > LONGEST {
        bail!("a message of {length} bytes");
    }
    let mut message = vec![0; length];
    connection.read_exact(&mut message)?;
    Ok(message)
}
