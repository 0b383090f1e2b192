//! Three nodes of etcd.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::{NODES, Place, Product, ask, name, present};
use crate::doors::Protocol;

pub(super) struct Etcd {
    pub(super) program: PathBuf,
}

fn status(place: &Place, at: usize) -> Option<Value> {
    ask::http(place.client(at), "/v3/maintenance/status", Some("{}"))
}

impl Product for Etcd {
    fn name(&self) -> &'static str {
        "etcd"
    }

    fn settings(&self) -> &'static str {
        "defaults but for room (--quota-backend-bytes 8 GiB): every entry is synced before it is acknowledged; Put over gRPC, a key per client"
    }

    fn protocols(&self) -> &'static [(&'static str, Protocol)] {
        &[("etcd", Protocol::Etcd)]
    }

    fn command(&self, place: &Place, at: usize) -> Result<Command, String> {
        let members = (0..NODES).map(|at| format!("{}=http://{}", name(at), place.peer(at)));
        let (client, peer) = (format!("http://{}", place.client(at)), place.peer(at));
        let peer = format!("http://{peer}");
        let mut command = Command::new(present(&self.program, "./install brings it")?);
        command
            .args(["--name", &name(at), "--initial-cluster-state", "new"])
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &members.collect::<Vec<_>>().join(",")])
            .args(["--quota-backend-bytes", "8589934592"])
            .arg("--data-dir")
            .arg(place.home(at));
        Ok(command)
    }

    fn set_up(&self, place: &Place, _clients: usize) -> Option<()> {
        self.leader(place).map(|_| ())
    }

    fn leader(&self, place: &Place) -> Option<usize> {
        let all: Vec<_> = (0..NODES).map(|at| status(place, at)).collect::<Option<_>>()?;
        let leader = all[0]["leader"].as_str()?;
        let same = all.iter().all(|status| status["leader"] == leader);
        same.then(|| all.iter().position(|status| status["header"]["member_id"] == leader))?
    }

    fn written(&self, place: &Place, leader: usize) -> Option<u64> {
        // Every put is a revision.
        status(place, leader)?["header"]["revision"].as_str()?.parse().ok()
    }

    fn version(&self, place: &Place) -> Option<String> {
        Some(status(place, 0)?["version"].as_str()?.to_owned())
    }
}
