//! Three nodes of ZooKeeper, as Debian packages it.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{NODES, PORTS, Place, Product, ask, name, present};
use crate::doors::{Protocol, zookeeper};

/// Where the packages put what is needed.
const JAVA: &str = "/usr/bin/java";
const CONFIGURATION: &str = "/etc/zookeeper/conf";
const JAR: &str = "/usr/share/java/zookeeper.jar";

pub(super) struct ZooKeeper;

/// A line of what a node says of itself.
fn said(place: &Place, at: usize, before: &str) -> Option<String> {
    let all = ask::words(place.client(at), "srvr")?;
    all.lines().find_map(|line| line.strip_prefix(before)).map(|rest| rest.trim().to_owned())
}

/// The file that tells a node who it is: the values that ZooKeeper's own example names, else defaults.
fn settings(place: &Place, at: usize) -> String {
    let home = place.home(at);
    let mut text = format!(
        "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir={}\n\
         clientPortAddress=127.0.0.1\nclientPort={}\nadmin.enableServer=false\n",
        home.display(),
        place.client(at).port()
    );
    for other in 0..NODES {
        let (peer, election) = (place.peer(other).port(), place.port(other, PORTS - 1));
        text.push_str(&format!("server.{}=127.0.0.1:{peer}:{election}\n", other + 1));
    }
    text
}

impl Product for ZooKeeper {
    fn name(&self) -> &'static str {
        "zookeeper"
    }

    fn settings(&self) -> &'static str {
        "as Debian starts it, with the ticks of its example; forceSync by default; setData, a znode per client"
    }

    fn protocols(&self) -> &'static [(&'static str, Protocol)] {
        &[("zookeeper", Protocol::ZooKeeper)]
    }

    fn command(&self, place: &Place, at: usize) -> Result<Command, String> {
        let cure = "./install brings it, from Debian";
        let java = present(Path::new(JAVA), cure)?;
        let jar = present(Path::new(JAR), cure)?;
        let home = place.home(at);
        let file = place.directory.join(format!("{}.cfg", name(at)));
        let write = || {
            fs::create_dir_all(&home)?;
            fs::write(home.join("myid"), (at + 1).to_string())?;
            fs::write(&file, settings(place, at))
        };
        write().map_err(|error| format!("{}: {error}", file.display()))?;
        let mut command = Command::new(java);
        command
            .args(["-cp", &format!("{CONFIGURATION}:{}", jar.display())])
            .arg(format!("-Dzookeeper.log.dir={}", home.display()))
            .arg("-Dzookeeper.root.logger=INFO,ROLLINGFILE")
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(file);
        Ok(command)
    }

    fn set_up(&self, place: &Place, clients: usize) -> Option<()> {
        self.leader(place)?;
        let mut packets = vec![zookeeper::hello()];
        packets.extend((0..clients).map(|client| zookeeper::create(client as u32 + 1, client)));
        let mut answers = 0;
        let all = ask::packets(place.client(0), &packets, |input| {
            let Some(packet) = zookeeper::packet(input)? else { return Ok(false) };
            // The first one opens the session.
            let made = answers == 0 || zookeeper::answer(&packet)?.1.is_ok();
            answers += 1;
            if made { Ok(true) } else { Err(crate::doors::garbled("a znode is refused")) }
        });
        all.ok()
    }

    fn leader(&self, place: &Place) -> Option<usize> {
        let modes: Vec<_> = (0..NODES).map(|at| said(place, at, "Mode:")).collect::<Option<_>>()?;
        let followers = modes.iter().filter(|mode| *mode == "follower").count();
        let leader = modes.iter().position(|mode| mode == "leader");
        leader.filter(|_| followers == NODES - 1)
    }

    fn written(&self, place: &Place, leader: usize) -> Option<u64> {
        // Every transaction has a number; the upper half of it is the leader's.
        let transaction = said(place, leader, "Zxid: 0x")?;
        Some(u64::from_str_radix(&transaction, 16).ok()? & 0xffff_ffff)
    }

    fn version(&self, place: &Place) -> Option<String> {
        let all = said(place, 0, "Zookeeper version:")?;
        Some(all.split(['-', ',']).next()?.to_owned())
    }
}
