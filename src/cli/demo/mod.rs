//! `node demo`: three real processes agree, lose their proposer, agree again, and heal.

mod member;
mod screen;
mod story;

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;

use crate::cli::failure::{Code, Failure};
use crate::cli::signals::Signals;
use member::Member;
use screen::Screen;

/// The whole demo takes a few seconds; what takes longer does not come.
const DEMO_TIMEOUT: Duration = Duration::from_secs(60);

/// How often the start is repeated when another process takes a port between its choice and its use.
const STARTS: usize = 5;

/// Runs it, and cleans up after it, however it ends.
pub(super) async fn demo() -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(surroundings)?;
    let screen = Screen::new();
    tokio::select! {
        told = timeout(DEMO_TIMEOUT, tell(&screen)) => {
            told.unwrap_or_else(|_| Err(Failure::new(Code::CheckFailed, "the demo did not end in a minute")))
        }
        // Dropping the story kills its processes and removes its directory.
        () = signals.next() => Err(Failure::new(Code::CheckFailed, "interrupted; everything is cleaned up")),
    }
}

async fn tell(screen: &Screen) -> Result<(), Failure> {
    for attempt in 1.. {
        let stage = Stage::new().map_err(surroundings)?;
        screen.title(&stage.directory.0);
        let mut members = stage.start()?;
        match story::tell(screen, &stage, &mut members).await {
            Ok(()) => return Ok(()),
            Err(_) if attempt < STARTS && lost_a_port(&mut members) => {
                screen.aside("another process took one of the ports: once more, with others");
            }
            Err(what) => {
                let tails: Vec<_> = members.iter_mut().map(Member::tail).collect();
                screen.tails(&tails);
                return Err(Failure::new(Code::CheckFailed, what)
                    .at(format!("after {:.1} s", screen.seconds()))
                    .hint("the last lines of every node stand above"));
            }
        }
    }
    unreachable!("the attempts are bounded")
}

fn lost_a_port(members: &mut [Member]) -> bool {
    members.iter_mut().any(|member| member.exit_code() == Some(9))
}

fn surroundings(error: io::Error) -> Failure {
    Failure::new(Code::CheckFailed, format!("the demo cannot start: {error}"))
        .hint("it needs a writable temporary directory and free ports on 127.0.0.1")
}

/// Where the story plays: three ports and a directory that goes with it.
struct Stage {
    ports: [u16; 3],
    directory: Directory,
}

impl Stage {
    fn new() -> io::Result<Self> {
        // All three are held until the last is chosen, so that they differ.
        let free = || TcpListener::bind(("127.0.0.1", 0));
        let held = [free()?, free()?, free()?];
        let mut ports = [0; 3];
        for (port, listener) in ports.iter_mut().zip(&held) {
            *port = listener.local_addr()?.port();
        }
        Ok(Self { ports, directory: Directory::new()? })
    }

    fn start(&self) -> Result<Vec<Member>, Failure> {
        (0..self.ports.len()).map(|index| self.start_one(index).map_err(surroundings)).collect()
    }

    fn start_one(&self, index: usize) -> io::Result<Member> {
        let peers: Vec<_> = self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let name = format!("n{}", index + 1);
        Member::start(&name, self.ports[index], &peers.join(","), &self.directory.0.join(&name))
    }
}

/// A directory that is removed with its owner.
struct Directory(PathBuf);

impl Directory {
    fn new() -> io::Result<Self> {
        let name = format!("quorate-demo-{}", uuid::Uuid::new_v4().simple());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).map(|()| Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed is left to the system: it lies among temporary files.
        let _ = fs::remove_dir_all(Path::new(&self.0));
    }
}
