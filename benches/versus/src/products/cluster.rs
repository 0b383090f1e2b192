//! Three running processes of one product. They end with this program, however it ends.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{NODES, PORTS, Place, Product, name};

/// How long the nodes may take to find each other, and to be whole again after a kill.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long to wait between two looks at a state.
const LOOK: Duration = Duration::from_millis(20);

/// Ends a process with the thread that started it, even when that is killed.
const LEASH: &str = "/usr/bin/setpriv";

/// Three nodes of a product.
pub(crate) struct Cluster {
    pub(crate) product: Box<dyn Product>,
    pub(crate) version: String,
    pub(crate) place: Place,
    children: Vec<Child>,
}

impl Cluster {
    /// Starts three nodes, and waits until clients can write. The thread that calls this must live as long as
    /// they shall.
    ///
    /// # Errors
    /// Says why there are none, and where their last words are.
    pub(crate) fn start(
        product: Box<dyn Product>,
        below: &Path,
        ports: &[u16],
        clients: usize,
    ) -> Result<Self, String> {
        let directory = below.join(product.name());
        let directory = fs::create_dir_all(&directory)
            .and_then(|()| directory.canonicalize())
            .map_err(|error| format!("{}: {error}", directory.display()))?;
        let place = Place { directory, ports: ports[..NODES * PORTS].to_vec() };
        let mut cluster =
            Self { product, version: "?".to_owned(), place, children: Vec::with_capacity(NODES) };
        for at in 0..NODES {
            let child = cluster.spawn(at)?;
            cluster.children.push(child);
        }
        cluster.eventually("clients can write", |cluster| {
            cluster.product.set_up(&cluster.place, clients)
        })?;
        cluster.settled()?;
        let version = cluster.product.version(&cluster.place);
        cluster.version = version.unwrap_or(cluster.version.clone());
        Ok(cluster)
    }

    fn spawn(&self, at: usize) -> Result<Child, String> {
        let command = self.product.command(&self.place, at)?;
        let words = self.words_file(at);
        let mut leashed = if Path::new(LEASH).exists() {
            let mut leashed = Command::new(LEASH);
            leashed.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program());
            leashed.args(command.get_args());
            for (name, value) in command.get_envs() {
                match value {
                    Some(value) => leashed.env(name, value),
                    None => leashed.env_remove(name),
                };
            }
            leashed
        } else {
            command
        };
        File::options()
            .create(true)
            .append(true)
            .open(&words)
            .and_then(|file| {
                leashed
                    .stdin(Stdio::null())
                    .stdout(file.try_clone()?)
                    .stderr(file)
                    .current_dir(&self.place.directory)
                    .spawn()
            })
            .map_err(|error| format!("{}: {error}", self.product.name()))
    }

    /// Where what a node prints goes.
    fn words_file(&self, at: usize) -> PathBuf {
        self.place.directory.join(format!("{}.log", name(at)))
    }

    fn eventually<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut(&Self) -> Option<T>,
    ) -> Result<T, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look(self) {
                return Ok(found);
            }
            let ended =
                self.children.iter_mut().position(|child| !matches!(child.try_wait(), Ok(None)));
            if ended.is_some() || Instant::now() > deadline {
                let at = ended.unwrap_or(0);
                let words = fs::read_to_string(self.words_file(at)).unwrap_or_default();
                let words: Vec<_> = words.lines().rev().take(3).collect();
                let how = if ended.is_some() { "a node ended" } else { "the time is over" };
                return Err(format!(
                    "{how} before {what}; last words of {}:\n    {}",
                    name(at),
                    words.into_iter().rev().collect::<Vec<_>>().join("\n    ")
                ));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Who leads, once all three nodes are there and agree.
    ///
    /// # Errors
    /// When they do not, for long.
    pub(crate) fn settled(&mut self) -> Result<usize, String> {
        self.eventually("all nodes follow one leader", |cluster| {
            cluster.product.leader(&cluster.place)
        })
    }

    /// How many writes a leader has counted so far, by the product's own account.
    pub(crate) fn written(&self, leader: usize) -> Option<u64> {
        self.product.written(&self.place, leader)
    }

    /// The processes.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }

    /// SIGKILL; returns when nothing is left of the process.
    ///
    /// # Errors
    /// When it had ended before.
    pub(crate) fn kill(&mut self, at: usize) -> Result<(), String> {
        let child = &mut self.children[at];
        let killed = child.kill().and_then(|()| child.wait());
        killed.map(|_| ()).map_err(|error| format!("kill of {}: {error}", name(at)))
    }

    /// Starts a killed node again, where it was.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn restart(&mut self, at: usize) -> Result<(), String> {
        self.children[at] = self.spawn(at)?;
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
        }
        for child in &mut self.children {
            let _ = child.wait();
        }
    }
}

/// Free ports for so many clusters, below those that the system gives to outgoing connections: a killed node
/// finds its own again.
///
/// # Errors
/// When there are not enough.
pub(crate) fn ports(clusters: usize) -> Result<Vec<Vec<u16>>, String> {
    let count = clusters * NODES * PORTS;
    let first = 10_000 + u16::try_from(std::process::id() % 8_000).expect("below 8,000");
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let ports: Vec<_> = (first..32_000).filter(free).take(count).collect();
    if ports.len() < count {
        return Err(format!("{count} free ports from {first} on are not to be had"));
    }
    Ok(ports.chunks(NODES * PORTS).map(<[u16]>::to_vec).collect())
}
