//! Where clients stand: a thread with a runtime, in the network of the node that they ask.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorate::admin::Client;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// A thread that runs tasks; they end with it. Its sockets belong to one network.
pub(crate) struct Room {
    handle: Handle,
    end: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Room {
    /// Opens one in the network namespace of this file, or in that of the tests.
    pub(crate) fn open(space: Option<&Path>) -> Self {
        let space = space.map(|path| File::open(path).expect("the namespace is there"));
        let end = CancellationToken::new();
        let ended = end.clone();
        let (sender, handle) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || {
            if let Some(space) = space {
                enter(&space);
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime");
            sender.send(runtime.handle().clone()).expect("the opener waits");
            runtime.block_on(ended.cancelled());
        });
        Self { handle: handle.recv().expect("the thread lives"), end, thread: Some(thread) }
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.end.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(target_os = "linux")]
fn enter(space: &File) {
    use std::os::fd::AsFd;

    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

    move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))
        .expect("root enters a namespace");
}

#[cfg(not(target_os = "linux"))]
fn enter(_: &File) {
    unreachable!("namespaces are Linux's");
}

/// Why a question brought no answer; what was asked may have been heard.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// The node does not run.
    Down,
    /// None in time, or the caller hung up.
    Late,
}

/// The way to one node.
pub(crate) struct Door {
    room: Arc<Room>,
    /// Where it serves HTTP, and in which of its lives, while it runs.
    address: Mutex<Option<(SocketAddr, u32)>>,
}

impl Door {
    pub(crate) fn new(room: Arc<Room>) -> Self {
        Self { room, address: Mutex::new(None) }
    }

    pub(crate) fn move_to(&self, address: Option<(SocketAddr, u32)>) {
        *self.address.lock().expect("no holder panics") = address;
    }

    pub(crate) fn address(&self) -> Option<(SocketAddr, u32)> {
        *self.address.lock().expect("no holder panics")
    }

    /// Asks, and hangs up after `patience`. Also says which life of the node was asked.
    pub(crate) async fn ask<T, F>(
        &self,
        patience: Duration,
        question: impl FnOnce(Client) -> F,
    ) -> Result<(T, u32), NoAnswer>
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let (address, life) = self.address().ok_or(NoAnswer::Down)?;
        // Dropping the future of the answer is not enough: the task must end where its socket lives.
        let mut asked = self.room.handle.spawn(question(Client::new(address)));
        match timeout(patience, &mut asked).await {
            Ok(Ok(answer)) => Ok((answer, life)),
            Ok(Err(_)) => Err(NoAnswer::Late),
            Err(_) => {
                asked.abort();
                Err(NoAnswer::Late)
            }
        }
    }

    /// The same, from a thread that may wait.
    pub(crate) fn ask_now<T, F>(
        &self,
        patience: Duration,
        question: impl FnOnce(Client) -> F,
    ) -> Result<T, NoAnswer>
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let (address, _) = self.address().ok_or(NoAnswer::Down)?;
        let (sender, answer) = std::sync::mpsc::sync_channel(1);
        let question = question(Client::new(address));
        self.room.handle.spawn(async move {
            let _ = sender.send(timeout(patience, question).await.ok());
        });
        // A room that has ended answers nothing.
        answer.recv().ok().flatten().ok_or(NoAnswer::Late)
    }
}
