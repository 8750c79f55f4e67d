use std::time::Duration;

use gix::ObjectId;
use gix::odb::pack::Bundle;
use gix::progress::Discard;
use gix::protocol::fetch::negotiate::{Action, Round, one_round};
use gix::protocol::fetch::{Arguments, Context, Negotiate, Options, Response, Shallow, Tags};
use gix::protocol::handshake::Ref;
use gix::protocol::ls_refs::RefPrefixes;
use gix::protocol::transport::client::blocking_io::Transport;
use gix::protocol::transport::client::blocking_io::http::Transport as HttpTransport;
use gix::protocol::transport::client::git::ConnectMode;
use gix::protocol::transport::client::git::blocking_io::Connection;
use gix::protocol::transport::{Protocol, Service};
use gix::protocol::{Handshake, LsRefsCommand};

use crate::deadline::{Cancel, Deadline, Stopped, Watchdog};
use crate::git::credentials::{Credentials, Login};
use crate::git::error::{GitError, said};
use crate::git::generation::{Generation, MAX_OBJECT_BYTES};
use crate::git::http::HttpClient;
use crate::git::meter::{Meter, Metered};
use crate::git::ssh::Ssh;
use crate::git::store::Limits;
use crate::git::url::{GitUrl, Scheme};

/// How many of our commits the server is told about. One is enough for a branch; more help when several branches are followed.
const MOST_HAVES: usize = 16;
const AGENT: &str = concat!("git/plumbline-", env!("CARGO_PKG_VERSION"));

/// How long a fetch may take, and who may end it.
#[derive(Clone)]
pub(crate) struct Patience {
    pub(crate) timeout: Duration,
    pub(crate) deadline: Deadline,
}

impl Patience {
    pub(crate) fn new(timeout: Duration, cancel: &Cancel) -> Self {
        Self { timeout, deadline: Deadline::new(timeout, cancel) }
    }

    pub(crate) fn check(&self, url: &GitUrl) -> Result<(), GitError> {
        let url = url.to_string();
        self.deadline.check().map_err(|stopped| match stopped {
            Stopped::TimedOut => GitError::TimedOut { url, seconds: self.timeout.as_secs() },
            Stopped::Cancelled => GitError::Cancelled { url },
        })
    }
}

/// A server that has let us in.
pub(crate) struct Remote {
    // Dropped before the program that it talks to.
    transport: Box<dyn Transport>,
    ssh: Option<Ssh>,
    handshake: Handshake,
    watchdog: Watchdog,
    meter: Meter,
    patience: Patience,
    limits: Limits,
    url: GitUrl,
}

impl Remote {
    pub(crate) fn connect(
        url: &GitUrl,
        credentials: &Credentials,
        patience: &Patience,
        limits: Limits,
    ) -> Result<Self, GitError> {
        patience.check(url)?;
        let meter = Meter::new(url.to_string());
        meter.expect("references", limits.reference_bytes);
        let (transport, ssh) = open(url, credentials, &patience.deadline, &meter)?;
        let killer = ssh.as_ref().map(Ssh::killer);
        let watchdog =
            Watchdog::start(patience.deadline.clone(), move || killer.into_iter().for_each(|kill| kill()))
                .map_err(|error| GitError::Host { url: url.to_string(), reason: error.to_string() })?;
        let mut remote = Self {
            transport,
            ssh,
            handshake: Handshake::default(),
            watchdog,
            meter,
            patience: patience.clone(),
            limits,
            url: url.clone(),
        };
        // Credentials go with the first request; nobody is asked for any.
        let handshake = gix::protocol::handshake(
            &mut remote.transport,
            Service::UploadPack,
            |_| Ok(None),
            Vec::new(),
            &mut Discard,
        );
        match handshake {
            Ok(handshake) => remote.handshake = handshake,
            Err(error) => return Err(remote.explain(&error)),
        }
        Ok(remote)
    }

    /// The references of the server whose names start with a prefix, and perhaps more.
    pub(crate) fn refs(&mut self, prefix: &str) -> Result<Vec<Ref>, GitError> {
        // Before version 2 of the protocol, all of them came with the handshake.
        if let Some(refs) = self.handshake.refs.take() {
            return Ok(refs);
        }
        let mut prefixes = RefPrefixes::new();
        prefixes.extend([prefix.into()]);
        let agent = ("agent", Some(AGENT.into()));
        let command = LsRefsCommand::new(Some(prefixes), &self.handshake.capabilities, agent);
        let refs = command.invoke_blocking(&mut self.transport, &mut Discard, false);
        refs.map_err(|error| self.explain(&error))
    }

    /// Receives a commit without its history into a generation, as one pack of what is not there yet.
    pub(crate) fn receive(&mut self, commit: ObjectId, into: &Generation) -> Result<(), GitError> {
        let want = Want { commits: vec![commit], haves: into.newest(MOST_HAVES), filter: None };
        let depth = Shallow::DepthAtRemote(std::num::NonZeroU32::MIN);
        self.fetch(want, &depth, into).map_err(|error| match error {
            GitError::Server { url, reason } if is_refusal(&reason) => {
                GitError::CommitNotFound { url, commit: commit.to_string(), reason }
            }
            other => other,
        })
    }

    /// Receives commits with their whole history into an empty generation.
    pub(crate) fn receive_history(
        &mut self,
        tips: &[ObjectId],
        history: History,
        into: &Generation,
    ) -> Result<(), GitError> {
        // Servers that cannot leave trees and files out send them.
        let filter = match history {
            History::Commits => Some("tree:0"),
            History::Everything => None,
        };
        let want = Want { commits: tips.to_vec(), haves: Vec::new(), filter };
        self.fetch(want, &Shallow::NoChange, into)
    }

    fn fetch(&mut self, mut want: Want, shallow: &Shallow, into: &Generation) -> Result<(), GitError> {
        self.meter.expect("objects", self.limits.pack_bytes);
        let options = Options {
            shallow_file: into.shallow_file(),
            shallow,
            tags: Tags::None,
            reject_shallow_remote: false,
        };
        let context = Context {
            handshake: &mut self.handshake,
            transport: &mut self.transport,
            user_agent: ("agent", Some(AGENT.into())),
            trace_packetlines: false,
        };
        let received = gix::protocol::fetch(
            &mut want,
            |pack, progress, stop| {
                let options = gix::odb::pack::bundle::write::Options {
                    thread_limit: Some(1),
                    alloc_limit_bytes: Some(MAX_OBJECT_BYTES),
                    ..Default::default()
                };
                let bases = Some(into.handle());
                let written = Bundle::write_to_directory(
                    pack,
                    Some(&into.pack_dir()),
                    progress,
                    stop,
                    bases,
                    gix::hash::Kind::Sha1,
                    options,
                )?;
                // It would keep `git gc` from a pack whose objects nothing refers to yet; nobody collects here.
                if let Some(keep) = written.keep_path {
                    let _ = std::fs::remove_file(keep);
                }
                Ok(true)
            },
            Discard,
            self.watchdog.flag(),
            context,
            options,
        );
        match received {
            Ok(_) => self.patience.check(&self.url),
            Err(error) => Err(self.explain(&error)),
        }
    }

    /// What went wrong, told by who knows best.
    fn explain(&mut self, error: &gix::Error) -> GitError {
        if let Some(failure) = self.meter.failure() {
            return failure;
        }
        if let Err(stopped) = self.patience.check(&self.url) {
            return stopped;
        }
        if let Some(complaint) = self.ssh.as_mut().and_then(|ssh| ssh.complaint(&self.url)) {
            return complaint;
        }
        GitError::Server { url: self.url.to_string(), reason: said(error.iter_errors()) }
    }
}

fn is_refusal(reason: &str) -> bool {
    // Before version 2 of the protocol, gix takes the line `ERR …` for a part of the pack: the number is that of its first letter.
    let misread = "non-side channel line or input was malformed: 69";
    ["not our ref", "unadvertised object", "no such remote ref", misread]
        .iter()
        .any(|words| reason.contains(words))
}

fn open(
    url: &GitUrl,
    credentials: &Credentials,
    deadline: &Deadline,
    meter: &Meter,
) -> Result<(Box<dyn Transport>, Option<Ssh>), GitError> {
    match (url.scheme(), &credentials.login) {
        (Scheme::Http, _) => {
            let client = HttpClient::new(url, credentials, deadline, meter)?;
            let address = gix::url::parse(url.to_string().as_str())
                .map_err(|error| GitError::Host { url: url.to_string(), reason: error.to_string() })?;
            Ok((Box::new(HttpTransport::new_http(client, address, Protocol::V2, false)), None))
        }
        (Scheme::Ssh, Login::Ssh(key)) => {
            let (ssh, pipes) = Ssh::start(url, key, &credentials.transport, deadline)?;
            let reader = Metered { reader: pipes.from_server, meter: meter.clone() };
            let connection = Connection::new(
                reader,
                pipes.to_server,
                Protocol::V2,
                url.ssh_path(),
                None::<(String, Option<u16>)>,
                ConnectMode::Process,
                false,
            );
            Ok((Box::new(connection), Some(ssh)))
        }
        (Scheme::Ssh, _) => {
            let reason = "ssh needs a secret with the keys identity and known_hosts".to_owned();
            Err(GitError::AuthenticationFailed { url: url.to_string(), reason })
        }
    }
}

/// What of a history is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum History {
    /// The commits.
    Commits,
    /// The commits and all their files.
    Everything,
}

/// Wants commits and says at once which ones are here: one round trip, no negotiation.
struct Want {
    commits: Vec<ObjectId>,
    haves: Vec<ObjectId>,
    /// What the server is to leave out, if it can.
    filter: Option<&'static str>,
}

impl Negotiate for Want {
    fn mark_complete_and_common_ref(&mut self) -> gix::Result<Action> {
        Ok(Action::MustNegotiate { remote_ref_target_known: Vec::new() })
    }

    fn add_wants(&mut self, arguments: &mut Arguments, _remote_ref_target_known: &[bool]) -> bool {
        for commit in &self.commits {
            arguments.want(commit);
        }
        if let Some(filter) = self.filter.filter(|_| arguments.can_use_filter()) {
            arguments.filter(filter);
        }
        true
    }

    fn one_round(
        &mut self,
        _state: &mut one_round::State,
        arguments: &mut Arguments,
        _previous_response: Option<&Response>,
    ) -> gix::Result<(Round, bool)> {
        for have in &self.haves {
            arguments.have(have);
        }
        let round = Round {
            haves_sent: self.haves.len(),
            in_vain: 0,
            haves_to_send: 0,
            previous_response_had_at_least_one_in_common: false,
        };
        Ok((round, true))
    }
}
