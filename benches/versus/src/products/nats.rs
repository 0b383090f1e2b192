//! Three nodes of NATS with JetStream, and one stream that all three of them hold.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::{NODES, Place, Product, ask, name, present};
use crate::doors::Protocol;
use crate::doors::nats::STREAM;

pub(super) struct Nats {
    pub(super) program: PathBuf,
}

fn settings(place: &Place, at: usize) -> String {
    let routes: Vec<_> =
        (0..NODES).map(|at| format!("\"nats-route://{}\"", place.peer(at))).collect();
    format!(
        "server_name: {}\nlisten: \"{}\"\n\
         cluster {{ name: versus, listen: \"{}\", routes: [{}] }}\n\
         jetstream {{ store_dir: \"{}\", sync_interval: always }}\n",
        name(at),
        place.client(at),
        place.peer(at),
        routes.join(", "),
        place.home(at).display()
    )
}

/// What JetStream answers at the first node that does.
fn asked(place: &Place, what: &str, payload: &str) -> Option<Value> {
    let subject = format!("$JS.API.STREAM.{what}.{STREAM}");
    (0..NODES).find_map(|at| ask::nats(place.client(at), &subject, payload))
}

impl Product for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn settings(&self) -> &'static str {
        "sync_interval: always (its default acknowledges before the disk has it); a stream in files, 3 replicas"
    }

    fn protocols(&self) -> &'static [(&'static str, Protocol)] {
        &[("nats", Protocol::Nats)]
    }

    fn command(&self, place: &Place, at: usize) -> Result<Command, String> {
        let program = present(&self.program, "./install brings it")?;
        let file = place.directory.join(format!("{}.conf", name(at)));
        fs::write(&file, settings(place, at))
            .map_err(|error| format!("{}: {error}", file.display()))?;
        let mut command = Command::new(program);
        command.arg("--config").arg(file);
        Ok(command)
    }

    fn set_up(&self, place: &Place, _clients: usize) -> Option<()> {
        let stream = serde_json::json!({
            "name": STREAM,
            "subjects": [format!("{STREAM}.>")],
            "num_replicas": NODES,
            "storage": "file",
            "retention": "limits",
        });
        let answer = asked(place, "CREATE", &stream.to_string())?;
        (answer["config"]["num_replicas"] == NODES).then_some(())
    }

    fn leader(&self, place: &Place) -> Option<usize> {
        let cluster = asked(place, "INFO", "")?["cluster"].take();
        let others = cluster["replicas"].as_array()?;
        let all_there = others.len() == NODES - 1
            && others.iter().all(|other| other["current"] == true && other["offline"] != true);
        let leader = cluster["leader"].as_str()?;
        (0..NODES).find(|at| all_there && name(*at) == leader)
    }

    fn written(&self, place: &Place, _leader: usize) -> Option<u64> {
        asked(place, "INFO", "")?["state"]["messages"].as_u64()
    }

    fn version(&self, place: &Place) -> Option<String> {
        let info = ask::greeting(place.client(0))?;
        let info: Value = serde_json::from_str(info.strip_prefix("INFO ")?).ok()?;
        Some(info["version"].as_str()?.to_owned())
    }
}
