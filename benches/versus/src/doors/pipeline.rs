//! One connection on which many requests are under way: what waits leaves in one write, and each answer finds
//! who asked.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::Trouble;

/// What a node said about a request: acknowledged, or why not.
pub(crate) type Verdict = Result<(), String>;

/// Bytes to requests and answers, of one protocol.
pub(crate) trait Codec: Sized + 'static {
    /// Says hello, and waits until requests are welcome.
    async fn greet(stream: &mut TcpStream, address: SocketAddr) -> io::Result<Self>;

    /// Adds a request to what leaves next. Tickets are counted from 1 on each connection.
    fn request(&mut self, ticket: u32, client: usize, value: &str, out: &mut BytesMut);

    /// All that waits leaves now: whoever wraps many requests into one frame closes it here.
    fn seal(&mut self, _out: &mut BytesMut) {}

    /// Takes all answers that are whole, and hands each on with its ticket. `out` is for what the protocol
    /// wants back.
    ///
    /// # Errors
    /// When this is not the protocol.
    fn answers(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
        each: &mut dyn FnMut(u32, Verdict),
    ) -> io::Result<()>;
}

struct Shared<C> {
    codec: C,
    out: BytesMut,
    waiting: HashMap<u32, oneshot::Sender<Verdict>>,
    last_ticket: u32,
    ended: bool,
}

/// A connection; the two tasks that serve it end with it.
pub(crate) struct Pipeline<C> {
    shared: Rc<RefCell<Shared<C>>>,
    something: Rc<Notify>,
    tasks: [JoinHandle<()>; 2],
}

impl<C: Codec> Pipeline<C> {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let codec = C::greet(&mut stream, address).await?;
        let shared = Rc::new(RefCell::new(Shared {
            codec,
            out: BytesMut::new(),
            waiting: HashMap::new(),
            last_ticket: 0,
            ended: false,
        }));
        let something = Rc::new(Notify::new());
        let (from, to) = stream.into_split();
        let reader = {
            let (shared, something) = (shared.clone(), something.clone());
            tokio::task::spawn_local(async move {
                // Why it ended is of no weight to who waits: no answer comes.
                let _ = read(from, &shared, &something).await;
                end(&shared);
            })
        };
        let writer = {
            let (shared, something) = (shared.clone(), something.clone());
            tokio::task::spawn_local(async move {
                let _ = write(to, &shared, &something).await;
                end(&shared);
            })
        };
        Ok(Self { shared, something, tasks: [reader, writer] })
    }

    pub(crate) async fn write(&self, client: usize, value: &str) -> Result<(), Trouble> {
        let gone = || Trouble::Broken(io::ErrorKind::ConnectionReset.into());
        let verdict = {
            let shared = &mut *self.shared.borrow_mut();
            if shared.ended {
                return Err(gone());
            }
            shared.last_ticket += 1;
            let (sender, verdict) = oneshot::channel();
            shared.waiting.insert(shared.last_ticket, sender);
            shared.codec.request(shared.last_ticket, client, value, &mut shared.out);
            verdict
        };
        self.something.notify_one();
        verdict.await.map_err(|_| gone())?.map_err(Trouble::Refused)
    }
}

impl<C> Drop for Pipeline<C> {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Nobody waits any longer.
fn end<C>(shared: &RefCell<Shared<C>>) {
    let mut shared = shared.borrow_mut();
    shared.ended = true;
    shared.waiting.clear();
}

async fn read<C: Codec>(
    mut from: OwnedReadHalf,
    shared: &RefCell<Shared<C>>,
    something: &Notify,
) -> io::Result<()> {
    let mut input = BytesMut::with_capacity(1 << 16);
    loop {
        if from.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        let Shared { codec, out, waiting, .. } = &mut *shared.borrow_mut();
        codec.answers(&mut input, out, &mut |ticket, verdict| {
            // None waits for it when its client has given up.
            if let Some(sender) = waiting.remove(&ticket) {
                let _ = sender.send(verdict);
            }
        })?;
        if !out.is_empty() {
            something.notify_one();
        }
    }
}

async fn write<C: Codec>(
    mut to: OwnedWriteHalf,
    shared: &RefCell<Shared<C>>,
    something: &Notify,
) -> io::Result<()> {
    loop {
        something.notified().await;
        let mut ready = {
            let Shared { codec, out, .. } = &mut *shared.borrow_mut();
            codec.seal(out);
            out.split()
        };
        to.write_all_buf(&mut ready).await?;
    }
}
