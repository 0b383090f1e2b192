//! Three nodes inside one program: each proposes a value, and each prints the log that all agree on.

use std::error::Error;
use std::net::TcpListener;

use quorate::config::Address;
use quorate::types::Slot;
use quorate::{Node, NodeConfig, Outcome, Value};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::temp_dir().join(format!("quorate-embed-{}", std::process::id()));
    let result = run(&directory).await;
    std::fs::remove_dir_all(&directory)?;
    result
}

async fn run(directory: &std::path::Path) -> Result<(), Box<dyn Error>> {
    // The system chooses the ports; every node is given the same list.
    let mut listeners = Vec::new();
    for _ in 0..3 {
        listeners.push(TcpListener::bind("127.0.0.1:0")?);
    }
    let mut peers = Vec::new();
    for listener in &listeners {
        peers.push(listener.local_addr()?.to_string().parse::<Address>()?);
    }

    let mut nodes = Vec::new();
    for (number, listener) in (1..).zip(listeners) {
        let name = format!("n{number}");
        let config = NodeConfig { peers: peers.clone(), ..NodeConfig::new(directory.join(&name)) };
        nodes.push(Node::start_on(NodeConfig { name, ..config }, listener).await?);
    }

    let mut last = Slot(0);
    for (node, color) in nodes.iter().zip(["red", "green", "blue"]) {
        let handle = node.handle();
        handle.wait_ready().await?;
        match handle.propose(Value::new(color)?).await {
            Outcome::Committed(committed) => {
                println!("{} proposed {color}: slot {}", handle.name(), committed.slot);
                last = last.max(committed.slot);
            }
            outcome => return Err(format!("{color} was not committed: {outcome:?}").into()),
        }
    }

    for node in &nodes {
        let handle = node.handle();
        handle.wait_committed(last).await?;
        for entry in handle.committed(Slot(1), 100).await? {
            if let Some(proposal) = entry.proposal() {
                let hash = entry.position().hash.short();
                println!(
                    "{} holds slot {}: {} {hash}",
                    handle.name(),
                    entry.slot(),
                    proposal.value
                );
            }
        }
    }

    for node in nodes {
        node.stop().await?;
    }
    Ok(())
}
