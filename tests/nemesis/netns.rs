//! A network namespace for every node, wired through a bridge in one more: the kernel's own network,
//! with real refusals, lost packets and retransmissions.
//!
//! A way is cut by a neighbour entry that leads to a machine which does not exist: packets leave and
//! reach nobody, in that direction alone.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::wires::Cuts;

/// What every name of these tests begins with, so that leftovers are known.
const PREFIX: &str = "quorate-";

/// The namespaces of one cluster. They go with their owner.
pub(crate) struct Spaces {
    name: String,
    nodes: usize,
}

impl Spaces {
    /// Makes them.
    ///
    /// # Errors
    /// Why they cannot be had here.
    pub(crate) fn make(nodes: usize) -> Result<Self, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            return Err("network namespaces need root".to_owned());
        }
        sweep();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let spaces = Self { name: format!("{PREFIX}{}-{number}", std::process::id()), nodes };
        spaces.wire()?;
        Ok(spaces)
    }

    fn wire(&self) -> Result<(), String> {
        let switch = self.switch();
        ip(&["netns", "add", &switch])?;
        batch(&switch, ["link add hub type bridge", "link set hub up"].map(str::to_owned))?;
        for node in 0..self.nodes {
            let space = self.space(node);
            ip(&["netns", "add", &space])?;
            batch(
                &space,
                [
                    "link set lo up".to_owned(),
                    format!(
                        "link add wire address {} type veth peer name w{node} netns {switch}",
                        mac(node)
                    ),
                    format!("address add {}/24 dev wire", self.address(node)),
                    "link set wire up".to_owned(),
                ],
            )?;
            batch(
                &switch,
                [format!("link set w{node} master hub"), format!("link set w{node} up")],
            )?;
        }
        self.cut_ways(&Cuts::none(self.nodes))
    }

    fn switch(&self) -> String {
        format!("{}-hub", self.name)
    }

    fn space(&self, node: usize) -> String {
        format!("{}-n{}", self.name, node + 1)
    }

    /// The file that names the namespace of a node.
    pub(crate) fn path(&self, node: usize) -> PathBuf {
        Path::new("/var/run/netns").join(self.space(node))
    }

    pub(crate) fn address(&self, node: usize) -> String {
        format!("10.77.0.{}", node + 1)
    }

    /// A command that runs `program` beside the node.
    pub(crate) fn command(&self, node: usize, program: &Command) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.space(node)]).arg(program.get_program());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.args(program.get_args());
        command
    }

    /// In force when this returns.
    pub(crate) fn cut(&self, cuts: &Cuts) {
        self.cut_ways(cuts).expect("root changes neighbours");
    }

    fn cut_ways(&self, cuts: &Cuts) -> Result<(), String> {
        for from in 0..self.nodes {
            let others = (0..self.nodes).filter(|to| *to != from).map(|to| {
                let machine =
                    if cuts.cuts(from, to) { "02:51:ff:ff:ff:ff".to_owned() } else { mac(to) };
                let address = self.address(to);
                format!("neigh replace {address} lladdr {machine} dev wire nud permanent")
            });
            batch(&self.space(from), others)?;
        }
        Ok(())
    }

    /// Pulls the plug of a node, or puts it back.
    pub(crate) fn plug(&self, node: usize, is_in: bool) {
        let order = format!("link set w{node} {}", if is_in { "up" } else { "down" });
        batch(&self.switch(), [order]).expect("root changes links");
    }
}

impl Drop for Spaces {
    fn drop(&mut self) {
        for node in 0..self.nodes {
            let _ = ip(&["netns", "del", &self.space(node)]);
        }
        let _ = ip(&["netns", "del", &self.switch()]);
    }
}

fn mac(node: usize) -> String {
    format!("02:51:00:00:00:{:02x}", node + 1)
}

/// Removes what tests left that were killed.
fn sweep() {
    let Ok(list) = Command::new("ip").args(["netns", "list"]).output() else { return };
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    for name in list.lines().filter_map(|line| line.split_whitespace().next()) {
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = ip(&["netns", "del", name]);
        }
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let done =
        Command::new("ip").args(arguments).output().map_err(|error| format!("ip: {error}"))?;
    match done.status.success() {
        true => Ok(()),
        false => {
            Err(format!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&done.stderr)))
        }
    }
}

/// Orders for one namespace, in one go.
fn batch(space: &str, orders: impl IntoIterator<Item = String>) -> Result<(), String> {
    let mut child = Command::new("ip")
        .args(["-n", space, "-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("ip: {error}"))?;
    let mut stdin = child.stdin.take().expect("it was asked for");
    for order in orders {
        writeln!(stdin, "{order}").map_err(|error| format!("ip: {error}"))?;
    }
    drop(stdin);
    let done = child.wait_with_output().map_err(|error| format!("ip: {error}"))?;
    match done.status.success() {
        true => Ok(()),
        false => Err(format!("ip -n {space}: {}", String::from_utf8_lossy(&done.stderr))),
    }
}
