//! One process takes over from another without a lost request: the listening sockets themselves are
//! handed on (SCM_RIGHTS, unix(7)), so that at no moment nobody listens.
//!
//! The new process waits at `upgrade.sock` in the data folder; the old one comes there when it is told
//! to (SIGQUIT), hands over what it listens on, and goes on serving until the new one says that it
//! serves too. If the new one can't, it ends without having said so, and nothing has changed.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, UnixListener};
use tokio::time::{Instant, sleep, timeout};

use super::Sockets;
use crate::config::settings::Listen;

/// How long the two look for each other.
const MEETING: Duration = Duration::from_secs(60);
/// How long the new one may take to open its stores and begin.
const BEGINNING: Duration = Duration::from_secs(120);
/// Sockets in one handover; the kernel takes no more than 253.
const MOST: usize = 64;
const LONGEST: usize = 16 * 1024;
const READY: &[u8] = b"ready\n";

#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    #[error("{path}: {source}")]
    Socket { path: PathBuf, source: io::Error },
    #[error("nobody came to {0} within {MEETING:?}")]
    Nobody(PathBuf),
    #[error("the other process broke off: {0}")]
    BrokenOff(io::Error),
    #[error("the other process speaks another language: {0}")]
    Language(String),
}

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Https,
    Http,
    Admin,
}

/// A socket that listens already, as another process had it.
#[derive(Debug)]
pub struct Handed {
    pub role: Role,
    /// As it stood in the configuration; `None` when a service manager made it.
    pub configured: Option<SocketAddr>,
    pub socket: StdListener,
}

#[derive(Serialize, Deserialize)]
struct Label {
    role: Role,
    configured: SocketAddr,
}

/// Copies of the sockets that this process listens on, kept for the day of the handover. They have to
/// be dropped before the doors close: a copy keeps a socket open.
pub struct Copies(Vec<(Label, OwnedFd)>);

impl Copies {
    pub fn of(sockets: &Sockets, listen: &Listen) -> io::Result<Copies> {
        let admin = sockets.admin.iter().zip(&listen.admin);
        let all = sockets
            .https
            .iter()
            .zip(&listen.https)
            .map(|pair| (Role::Https, pair))
            .chain(
                sockets
                    .http
                    .iter()
                    .zip(&listen.http)
                    .map(|pair| (Role::Http, pair)),
            )
            .chain(admin.map(|pair| (Role::Admin, pair)));
        let copied = all.map(|(role, (socket, configured))| {
            let configured = *configured;
            let label = Label { role, configured };
            Ok((label, socket.as_fd().try_clone_to_owned()?))
        });
        Ok(Copies(copied.collect::<io::Result<_>>()?))
    }

    /// Hands them to the process that waits in `folder`, and returns when it serves.
    ///
    /// # Errors
    /// When nobody is there, or whoever is there does not begin to serve. Nothing has changed then.
    pub async fn hand_over(&self, folder: &Path) -> Result<(), HandoverError> {
        let path = meeting_place(folder);
        let stream = find(&path).await?;
        let labels: Vec<&Label> = self.0.iter().map(|(label, _)| label).collect();
        let labels = serde_json::to_vec(&labels)
            .map_err(|error| HandoverError::Language(error.to_string()))?;
        let copies = self.0.iter().map(|(_, copy)| copy.try_clone());
        let copies: Vec<OwnedFd> = copies
            .collect::<io::Result<_>>()
            .map_err(HandoverError::BrokenOff)?;
        let done = tokio::task::spawn_blocking(move || give(&stream, &labels, &copies)).await;
        done.map_err(|error| HandoverError::BrokenOff(io::Error::other(error)))?
            .map_err(HandoverError::BrokenOff)
    }
}

fn meeting_place(folder: &Path) -> PathBuf {
    folder.join("upgrade.sock")
}

/// The new one may need a moment to get there.
async fn find(path: &Path) -> Result<StdStream, HandoverError> {
    let until = Instant::now() + MEETING;
    loop {
        match StdStream::connect(path) {
            Ok(stream) => return Ok(stream),
            Err(_) if Instant::now() < until => sleep(Duration::from_millis(100)).await,
            Err(_) => return Err(HandoverError::Nobody(path.to_owned())),
        }
    }
}

fn give(stream: &StdStream, labels: &[u8], copies: &[OwnedFd]) -> io::Result<()> {
    stream.set_read_timeout(Some(BEGINNING))?;
    stream.set_write_timeout(Some(MEETING))?;
    let fds: Vec<_> = copies.iter().map(|copy| copy.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other("too many sockets"));
    }
    sendmsg(
        stream,
        &[IoSlice::new(labels)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    let mut answer = [0; READY.len()];
    (&*stream).read_exact(&mut answer)?;
    if answer == *READY {
        Ok(())
    } else {
        Err(io::Error::other("it did not say that it is ready"))
    }
}

/// The sockets of the process before, and the line on which it waits.
pub struct Inheritance {
    sockets: Vec<Handed>,
    stream: StdStream,
}

impl Inheritance {
    /// Waits in `folder` for the process that serves now.
    ///
    /// # Errors
    /// When it does not come in time.
    pub async fn await_in(folder: &Path) -> Result<Inheritance, HandoverError> {
        let path = meeting_place(folder);
        let blame = |source| HandoverError::Socket {
            path: path.clone(),
            source,
        };
        // Left over from one that was killed.
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path).map_err(blame)?;
        tracing::info!("waiting for the process that serves now: send it SIGQUIT");
        let came = timeout(MEETING, listener.accept()).await;
        let _ = fs::remove_file(&path);
        let (stream, _) = came
            .map_err(|_| HandoverError::Nobody(path.clone()))?
            .map_err(blame)?;
        let stream = stream.into_std().map_err(blame)?;
        stream.set_nonblocking(false).map_err(blame)?;
        let taken = tokio::task::spawn_blocking(move || take(stream)).await;
        taken.map_err(|error| HandoverError::BrokenOff(io::Error::other(error)))?
    }

    pub fn apart(self) -> (Vec<Handed>, Line) {
        (self.sockets, Line(self.stream))
    }
}

/// On which the process before waits. Dropped in silence, it goes on.
pub struct Line(StdStream);

impl Line {
    /// Tells the process before that this one serves: it lets go.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn ready(mut self) -> io::Result<()> {
        self.0.write_all(READY)
    }
}

fn take(stream: StdStream) -> Result<Inheritance, HandoverError> {
    let broken = HandoverError::BrokenOff;
    stream.set_read_timeout(Some(MEETING)).map_err(broken)?;
    let mut text = vec![0; LONGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        &stream,
        &mut [IoSliceMut::new(&mut text)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )
    .map_err(|error| HandoverError::BrokenOff(error.into()))?;
    let mut fds: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    text.truncate(received.bytes);
    let labels: Vec<Label> = serde_json::from_slice(&text)
        .map_err(|error| HandoverError::Language(error.to_string()))?;
    if labels.len() != fds.len() {
        return Err(HandoverError::Language(String::from(
            "not every socket came",
        )));
    }
    let sockets = labels.into_iter().zip(fds).map(|(label, fd)| Handed {
        role: label.role,
        configured: Some(label.configured),
        socket: StdListener::from(fd),
    });
    Ok(Inheritance {
        sockets: sockets.collect(),
        stream,
    })
}

/// The sockets that a service manager opened for this process (`LISTEN_FDS`, sd_listen_fds(3)). They
/// are told apart by their names in `LISTEN_FDNAMES` (`https`, `http`, `admin`), or else by where they
/// listen.
///
/// # Errors
/// One that is no listening TCP socket, or that nothing in the configuration wants.
pub fn activated(listen: &Listen) -> io::Result<Vec<Handed>> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let names: Vec<&str> = names.split(':').collect();
    let mut fds = listenfd::ListenFd::from_env();
    let mut handed = Vec::new();
    for index in 0..fds.len() {
        let Some(socket) = fds.take_tcp_listener(index)? else {
            continue;
        };
        let address = socket.local_addr()?;
        let role = role(names.get(index).copied(), address, listen).ok_or_else(|| {
            io::Error::other(format!(
                "a socket for {address} was handed in, and listen names no such address; call it https, http or admin (FileDescriptorName=)"
            ))
        })?;
        handed.push(Handed {
            role,
            configured: None,
            socket,
        });
    }
    Ok(handed)
}

fn role(name: Option<&str>, address: SocketAddr, listen: &Listen) -> Option<Role> {
    match name {
        Some("https") => return Some(Role::Https),
        Some("http") => return Some(Role::Http),
        Some("admin") => return Some(Role::Admin),
        _ => {}
    }
    let here = |configured: &SocketAddr| configured.port() == address.port();
    if listen.https.iter().any(here) {
        Some(Role::Https)
    } else if listen.http.iter().any(here) {
        Some(Role::Http)
    } else {
        listen
            .admin
            .as_ref()
            .filter(|admin| here(admin))
            .map(|_| Role::Admin)
    }
}

/// Sockets in this process's hands, by what they are for.
pub struct Hands(Vec<Handed>);

impl Hands {
    pub fn new(handed: Vec<Handed>) -> Hands {
        Hands(handed)
    }

    /// The one that was configured with this address; of a service manager's, the next.
    pub fn take(&mut self, role: Role, wanted: SocketAddr) -> Option<io::Result<TcpListener>> {
        let fits = |handed: &Handed| {
            handed.role == role
                && handed
                    .configured
                    .is_none_or(|configured| configured == wanted)
        };
        let at = self.0.iter().position(fits)?;
        let socket = self.0.remove(at).socket;
        Some(
            socket
                .set_nonblocking(true)
                .and_then(|()| TcpListener::from_std(socket)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen() -> Listen {
        Listen {
            https: vec!["127.0.0.1:0".parse().unwrap()],
            http: vec!["127.0.0.1:0".parse().unwrap()],
            admin: Some("127.0.0.1:0".parse().unwrap()),
            trusted_proxies: Vec::new(),
        }
    }

    #[tokio::test]
    async fn the_same_sockets_arrive_and_the_old_one_waits_until_the_new_one_serves() {
        let folder = tempfile::tempdir().unwrap();
        let before = Sockets::bind(&listen()).await.unwrap();
        let addresses = |sockets: &Sockets| {
            [
                &sockets.https[0],
                &sockets.http[0],
                sockets.admin.as_ref().unwrap(),
            ]
            .map(|socket| socket.local_addr().unwrap())
        };
        let copies = Copies::of(&before, &listen()).unwrap();
        let new = async {
            let inherited = Inheritance::await_in(folder.path()).await.unwrap();
            let (sockets, line) = inherited.apart();
            let after = Sockets::gather(&listen(), sockets).await.unwrap();
            assert_eq!(addresses(&after), addresses(&before));
            line.ready().unwrap();
        };
        let (old, ()) = tokio::join!(copies.hand_over(folder.path()), new);
        old.unwrap();
        assert!(!meeting_place(folder.path()).exists());
    }

    #[tokio::test]
    async fn a_new_one_that_can_not_begin_leaves_the_old_one_serving() {
        let folder = tempfile::tempdir().unwrap();
        let before = Sockets::bind(&listen()).await.unwrap();
        let copies = Copies::of(&before, &listen()).unwrap();
        let new = async {
            drop(Inheritance::await_in(folder.path()).await.unwrap());
        };
        let (old, ()) = tokio::join!(copies.hand_over(folder.path()), new);
        assert!(matches!(old, Err(HandoverError::BrokenOff(_))), "{old:?}");
    }

    #[test]
    fn sockets_are_told_apart_by_name_and_else_by_port() {
        let mut listen = listen();
        listen.https = vec!["[::]:8443".parse().unwrap()];
        listen.admin = Some("127.0.0.1:9901".parse().unwrap());
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(role(Some("admin"), at(8443), &listen), Some(Role::Admin));
        assert_eq!(role(None, at(8443), &listen), Some(Role::Https));
        assert_eq!(
            role(Some("vestibule.socket"), at(9901), &listen),
            Some(Role::Admin)
        );
        assert_eq!(role(None, at(1), &listen), None);
    }
}
