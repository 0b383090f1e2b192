//! Three nodes of this program.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::{NODES, Place, Product, ask, name, present};
use crate::doors::Protocol;

pub(super) struct Quorate {
    pub(super) program: PathBuf,
}

fn status(place: &Place, at: usize) -> Option<Value> {
    ask::http(place.client(at), "/v1/status", None)
}

impl Product for Quorate {
    fn name(&self) -> &'static str {
        "quorate"
    }

    fn settings(&self) -> &'static str {
        "defaults (every entry is synced at a majority before it is acknowledged); frames, and HTTP besides"
    }

    fn protocols(&self) -> &'static [(&'static str, Protocol)] {
        &[("quorate", Protocol::Frames), ("quorate-http", Protocol::Http)]
    }

    fn command(&self, place: &Place, at: usize) -> Result<Command, String> {
        let cure = "`cargo build --release` in the main package builds it, --node names another";
        let mut command = Command::new(present(&self.program, cure)?);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("QUORATE_") {
                command.env_remove(name);
            }
        }
        let peers: Vec<_> = (0..NODES).map(|at| place.peer(at).to_string()).collect();
        command
            .args(["--name", &name(at), "--bind", "127.0.0.1", "--peers", &peers.join(",")])
            .args(["--port", &place.peer(at).port().to_string()])
            .args(["--admin-port", &place.client(at).port().to_string()])
            .arg("--data-dir")
            .arg(place.home(at));
        Ok(command)
    }

    fn set_up(&self, place: &Place, _clients: usize) -> Option<()> {
        self.leader(place).map(|_| ())
    }

    fn leader(&self, place: &Place) -> Option<usize> {
        let all: Vec<_> = (0..NODES).map(|at| status(place, at)).collect::<Option<_>>()?;
        let same = all.iter().all(|status| {
            status["ready"] == true
                && status["led"] == true
                && status["heard"] == NODES
                && status["round"] == all[0]["round"]
        });
        same.then(|| all.iter().position(|status| status["id"] == status["proposer"]))?
    }

    fn written(&self, place: &Place, leader: usize) -> Option<u64> {
        status(place, leader)?["committed"]["slot"].as_u64()
    }

    fn version(&self, place: &Place) -> Option<String> {
        Some(status(place, 0)?["version"].as_str()?.to_owned())
    }
}
