//! A frame-aware proxy for every directed pair of nodes: nodes list the proxies as their peers and dial
//! nothing else, so all traffic passes here.
//!
//! Node `a` dials `b` through the proxy (a, b); the rule of a direction holds on whichever connection
//! the bytes travel. A cut way is silent: what was read is held and delivered when it heals, as TCP would.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::dice::Dice;
use crate::door::Room;
use crate::wires::Cuts;

/// Frames on their way through one direction of one connection.
const FRAMES: usize = 1_024;

/// No frame of a node is longer.
const FRAME_BYTES_MAX: usize = 8 << 20;

/// Frames of a handshake in one direction, at most; only resets hit these.
const HANDSHAKE_FRAMES: u64 = 2;

/// What happens to frames that are not cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noise {
    /// Each is late, by up to this: each direction of a connection by as much of it as chance gives it.
    Late(Duration),
    /// Each comes a byte at a time.
    Trickle,
    /// Some come twice, the second time at once or behind later ones.
    Twice,
    /// Some are overtaken.
    Overtaken,
    /// Some never come.
    Lost,
    /// Some end in the middle, with a reset of the connection.
    Broken,
}

/// What all directions obey.
#[derive(Clone, Debug)]
struct Rules {
    cuts: Cuts,
    noise: Option<Noise>,
    /// Nodes that do not run: nobody answers at their addresses.
    down: Vec<bool>,
}

/// How much went through, and what was done to it.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) frames: AtomicU64,
    pub(crate) harmed: AtomicU64,
}

/// All of them.
pub(crate) struct Proxies {
    loopback: Ipv4Addr,
    /// By `from * nodes + to`.
    ports: Vec<u16>,
    rules: watch::Sender<Rules>,
    pub(crate) meter: Arc<Meter>,
    /// Last: it ends all tasks.
    _room: Room,
}

impl Proxies {
    /// Starts them in front of nodes that listen, or will, on these ports of a loopback address.
    pub(crate) fn start(loopback: Ipv4Addr, nodes: &[u16], seed: u64) -> Self {
        let room = Room::open(None);
        let count = nodes.len();
        let rules = Rules { cuts: Cuts::none(count), noise: None, down: vec![false; count] };
        let (rules, watched) = watch::channel(rules);
        let meter = Arc::new(Meter::default());
        let mut ports = vec![0; count * count];
        for (from, to) in watched.borrow().cuts.ways() {
            let listener = std::net::TcpListener::bind((loopback, 0)).expect("a port");
            listener.set_nonblocking(true).expect("a socket");
            let way = from * count + to;
            ports[way] = listener.local_addr().expect("it is bound").port();
            let proxy = Proxy {
                from,
                to,
                target: SocketAddr::from((loopback, nodes[to])),
                rules: watched.clone(),
                meter: meter.clone(),
                dice: Dice::of(seed, way as u64),
            };
            room.handle().spawn(proxy.run(listener));
        }
        Self { loopback, ports, rules, meter, _room: room }
    }

    /// The address of all nodes and proxies.
    pub(crate) fn loopback(&self) -> Ipv4Addr {
        self.loopback
    }

    /// Where `from` finds `to`.
    pub(crate) fn port(&self, from: usize, to: usize) -> u16 {
        let count = self.rules.borrow().down.len();
        self.ports[from * count + to]
    }

    /// In force when this returns: nothing that is read later passes a cut way.
    pub(crate) fn cut(&self, cuts: &Cuts) {
        self.rules.send_modify(|rules| rules.cuts = cuts.clone());
    }

    pub(crate) fn noise(&self, noise: Option<Noise>) {
        self.rules.send_modify(|rules| rules.noise = noise);
    }

    /// Whether dials of this node are refused.
    pub(crate) fn down(&self, node: usize, down: bool) {
        self.rules.send_modify(|rules| rules.down[node] = down);
    }
}

/// The proxy of one directed pair.
struct Proxy {
    from: usize,
    to: usize,
    target: SocketAddr,
    rules: watch::Receiver<Rules>,
    meter: Arc<Meter>,
    dice: Dice,
}

impl Proxy {
    async fn run(mut self, listener: std::net::TcpListener) {
        let address = listener.local_addr().expect("it is bound");
        let mut listener = TcpListener::from_std(listener).ok();
        loop {
            let to = self.to;
            if self.rules.wait_for(|rules| !rules.down[to]).await.is_err() {
                return;
            }
            let Some(open) = listener.take() else {
                // Another process may have drawn the port for a moment.
                listener = TcpListener::bind(address).await.ok();
                if listener.is_none() {
                    sleep(Duration::from_millis(5)).await;
                }
                continue;
            };
            let mut rules = self.rules.clone();
            loop {
                tokio::select! {
                    // Closing the listener refuses further dials.
                    _ = rules.wait_for(|rules| rules.down[to]) => break,
                    accepted = open.accept() => if let Ok((stream, _)) = accepted {
                        self.connect(stream);
                    },
                }
            }
        }
    }

    fn connect(&mut self, dialer: TcpStream) {
        let target = self.target;
        let pump = |from, to, dice| Pump {
            from,
            to,
            rules: self.rules.clone(),
            meter: self.meter.clone(),
            dice: Dice::new(dice),
        };
        let there = pump(self.from, self.to, self.dice.bits());
        let back = pump(self.to, self.from, self.dice.bits());
        tokio::spawn(async move {
            let Ok(listener) = TcpStream::connect(target).await else {
                reset(&dialer);
                return;
            };
            for stream in [&dialer, &listener] {
                let _ = stream.set_nodelay(true);
            }
            let broken = CancellationToken::new();
            let ((from_dialer, to_dialer), (from_listener, to_listener)) =
                (dialer.into_split(), listener.into_split());
            let through = async {
                tokio::join!(
                    there.run(from_dialer, to_listener, &broken),
                    back.run(from_listener, to_dialer, &broken),
                );
            };
            tokio::select! {
                () = through => {}
                () = broken.cancelled() => {}
            }
        });
    }
}

/// Has the connection end with a reset instead of a good-bye.
fn reset(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// One direction of one connection.
struct Pump {
    from: usize,
    to: usize,
    rules: watch::Receiver<Rules>,
    meter: Arc<Meter>,
    dice: Dice,
}

impl Pump {
    async fn run(
        mut self,
        reader: OwnedReadHalf,
        writer: OwnedWriteHalf,
        broken: &CancellationToken,
    ) {
        let (frames, taken) = mpsc::channel(FRAMES);
        tokio::join!(read(reader, frames), self.write(writer, taken, broken));
    }

    async fn write(
        &mut self,
        mut writer: OwnedWriteHalf,
        mut frames: mpsc::Receiver<(Instant, Vec<u8>)>,
        broken: &CancellationToken,
    ) {
        // A frame that comes behind so many later ones.
        let mut kept: Vec<(usize, Vec<u8>)> = Vec::new();
        let mut number = 0;
        let share = self.dice.below(101) as f64 / 100.0;
        while let Some((read_at, frame)) = frames.recv().await {
            number += 1;
            let noise = match self.open().await {
                None => return,
                Some(Some(Noise::Late(by))) => {
                    sleep_until(read_at + by.mul_f64(share)).await;
                    // It may have been cut meanwhile.
                    if self.open().await.is_none() {
                        return;
                    }
                    Some(Noise::Late(by))
                }
                Some(Some(Noise::Broken)) => Some(Noise::Broken),
                Some(noise) if number > HANDSHAKE_FRAMES => noise,
                Some(_) => None,
            };
            self.meter.frames.fetch_add(1, Ordering::Relaxed);
            let harmed = match noise {
                Some(Noise::Late(_) | Noise::Trickle) => true,
                Some(Noise::Broken) => self.dice.chance(3),
                Some(Noise::Twice | Noise::Overtaken) => self.dice.chance(30),
                Some(Noise::Lost) => self.dice.chance(20),
                None => false,
            };
            self.meter.harmed.fetch_add(u64::from(harmed), Ordering::Relaxed);
            let behind = self.dice.below(4);
            let written = match noise.filter(|_| harmed) {
                None | Some(Noise::Late(_)) => writer.write_all(&frame).await,
                Some(Noise::Trickle) => trickle(&mut writer, &frame).await,
                Some(Noise::Twice) => {
                    kept.push((behind, frame.clone()));
                    writer.write_all(&frame).await
                }
                Some(Noise::Overtaken) => {
                    kept.push((behind + 1, frame));
                    Ok(())
                }
                Some(Noise::Lost) => Ok(()),
                Some(Noise::Broken) => {
                    let _ = writer.write_all(&frame[..self.dice.below(frame.len())]).await;
                    reset(writer.as_ref());
                    broken.cancel();
                    return;
                }
            };
            if written.is_err() {
                return;
            }
            for (_, frame) in kept.extract_if(.., |(behind, _)| *behind == 0) {
                if writer.write_all(&frame).await.is_err() {
                    return;
                }
            }
            for (behind, _) in &mut kept {
                *behind -= 1;
            }
        }
        // The end of the stream is news, too.
        if self.open().await.is_some() {
            let _ = writer.shutdown().await;
        }
    }

    /// Waits until this way is not cut; what else is wrong with it then. None if all ends.
    async fn open(&mut self) -> Option<Option<Noise>> {
        let (from, to) = (self.from, self.to);
        let rules = self.rules.wait_for(|rules| !rules.cuts.cuts(from, to)).await.ok()?;
        Some(rules.noise)
    }
}

/// Reads whole frames: four bytes that say how many follow.
async fn read(mut reader: OwnedReadHalf, frames: mpsc::Sender<(Instant, Vec<u8>)>) {
    loop {
        let mut frame = vec![0; 4];
        if reader.read_exact(&mut frame).await.is_err() {
            return;
        }
        let length = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
        assert!((1..=FRAME_BYTES_MAX).contains(&length), "a node announces {length} bytes");
        frame.resize(4 + length, 0);
        if reader.read_exact(&mut frame[4..]).await.is_err() {
            return;
        }
        if frames.send((Instant::now(), frame)).await.is_err() {
            return;
        }
    }
}

/// A byte at a time, and what is long in small pieces behind the first hundred bytes.
async fn trickle(writer: &mut OwnedWriteHalf, frame: &[u8]) -> std::io::Result<()> {
    let (slow, rest) = frame.split_at(frame.len().min(100));
    for piece in slow.chunks(1).chain(rest.chunks(501)) {
        writer.write_all(piece).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}
