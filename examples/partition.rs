//! A network splits, and what five machines do about it: the minority refuses, the majority goes on,
//! and after the heal there is one log.
//!
//! Everything here happens in one thread and in pretended time: `cargo run --example partition`.

use quorate::sim::{ScriptError, Stage};
use quorate::topology::{NetworkTopology, TopologyError};

const NAMES: [&str; 5] = ["ada", "ben", "cleo", "dan", "eve"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut network = build()?;
    println!("Five machines, every one connected to every other.");
    show(&network);
    let mut cluster = Stage::default();
    tell(&mut cluster, &["nodes 5", "settle"])?;

    println!("\nThe network splits: ada and ben here, cleo, dan and eve there.");
    network.simulate_network_partition([vec!["ada", "ben"], vec!["cleo", "dan", "eve"]])?;
    show(&network);
    let split = format!("partition {}", groups(&network));
    tell(&mut cluster, &[&split, "propose 1 tea", "propose 4 coffee"])?;

    println!(
        "\nA second later. Two of five are no majority: `tea` waits. Three of five are: `coffee` stands."
    );
    tell(&mut cluster, &["run 1000ms", "expect commit 1 coffee on 3,4,5", "expect no commit 2"])?;

    println!(
        "\nThe network heals. The minority learns what it missed, and `tea` gets the next slot."
    );
    network.heal();
    show(&network);
    tell(&mut cluster, &["heal", "run until commit 2", "run 300ms"])?;
    tell(&mut cluster, &["expect commit 1 coffee", "expect commit 2 tea", "expect equal logs"])?;
    println!("\nFive equal logs: 1 coffee, 2 tea. Nobody had to decide who was right.");
    Ok(())
}

fn build() -> Result<NetworkTopology<&'static str>, TopologyError<&'static str>> {
    let mut network = NetworkTopology::new();
    for name in NAMES {
        network.add_node(name);
    }
    for (index, one) in NAMES.iter().enumerate() {
        for other in &NAMES[index + 1..] {
            network.connect_nodes(one, other)?;
        }
    }
    Ok(network)
}

/// Who can reach whom, as the topology sees it.
fn show(network: &NetworkTopology<&'static str>) {
    for group in network.components() {
        println!("    can talk to each other: {}", group.join(", "));
    }
}

/// The groups of the topology, as the simulator's commands name them: 1,2 | 3,4,5.
fn groups(network: &NetworkTopology<&'static str>) -> String {
    let number = |name: &&str| {
        let index = NAMES.iter().position(|other| other == name).expect("one of the five");
        (index + 1).to_string()
    };
    let group = |group: Vec<&'static str>| group.iter().map(number).collect::<Vec<_>>().join(",");
    network.components().into_iter().map(group).collect::<Vec<_>>().join(" | ")
}

/// Gives the cluster its commands and prints what a spectator wants to see of what follows.
fn tell(cluster: &mut Stage, commands: &[&str]) -> Result<(), ScriptError> {
    for command in commands {
        for line in cluster.command(command)? {
            let is_news = ["client", "COMMITS", "lead round", "suspects n", "leads round"];
            if is_news.iter().any(|news| line.contains(news)) {
                println!("  {}", by_name(line));
            }
        }
    }
    Ok(())
}

fn by_name(line: String) -> String {
    (1..).zip(NAMES).fold(line, |line, (number, name)| line.replace(&format!("n{number}"), name))
}
