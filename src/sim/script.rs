//! Scenarios as a person writes them: commands, and below each what it led to.
//!
//! A line that begins with `> ` is a command, one that begins with `#` a remark; every other line is what
//! the command above it printed when it was recorded. [`play`] plays the commands and gives back the
//! whole text with what they print now: equal to the file if nothing has changed.
//!
//! | command | does |
//! |---|---|
//! | `nodes 5` | starts five nodes that have formed epoch 1 before; `nodes 5 new`: with empty disks |
//! | `settle` | runs, silently, until one leads and all have adopted its round |
//! | `run 300ms` | lets that much time pass |
//! | `run until commit 2 on 1,3` | until these nodes (all that run, if none is named) deliver slot 2 |
//! | `run until leader 2` | until node 2 leads; `run until leader`: until anyone does |
//! | `partition 1,2 \| 3,4,5` | the groups hear only themselves; `partition bridge`: a shape, over all nodes in order |
//! | `cut 1 > 2` | nothing that 1 says is heard by 2 |
//! | `drop propose 3 > 5` | messages of this kind are lost on this way; kinds as on the wire, and `beat` |
//! | `slow 2 > 1 40` | what 2 says takes 40 times as long to 1 |
//! | `heal` | ends partitions, cuts, drops and slowness |
//! | `propose 1 blue` | a client proposes at node 1; `propose 1 blue as 7`: under this id |
//! | `read 2` | a client reads at node 2 |
//! | `kill 2`, `restart 2`, `pause 2`, `resume 2` | of its process; `kill 1,2,3` |
//! | `suspend 2` | stops it, and its clock with it; `resume 2` |
//! | `leave 2` | its process says good-bye and ends |
//! | `wipe 2` | its data directory is lost; what is started there next is another node |
//! | `copy 2`, `restore 2` | copies its data directory; starts it on the copy |
//! | `send 1 hello`, `send 1 > 2 hello` | the application sends a text to all, to one |
//! | `expect commit 1 blue on 1,2` | they have delivered slot 1 with this value |
//! | `expect no commit 2` | nobody has delivered slot 2 |
//! | `expect leader 2`, `expect equal logs` | what they say |

use std::fmt::Write as _;
use std::time::Duration;

use crate::consensus::{self, Proposal};
use crate::engine::Settings;
use crate::sim::checker::Violation;
use crate::sim::cluster::{Cluster, Setup};
use crate::sim::fault::Shape;
use crate::sim::network::Weather;
use crate::sim::transcript::{Transcript, name};
use crate::storage;
use crate::types::{NodeId, ProposalId, Slot, Value};

/// How long a scenario waits for what it waits for.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long after the last adoption nothing is left to be said but heartbeats.
const SETTLE: Duration = Duration::from_millis(110);

/// Why a scenario fails, with the line of the command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// The command is none.
    #[error("line {line}: {what}; the commands stand at the head of src/sim/script.rs")]
    Unreadable {
        /// Of the command.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// What was expected is not so.
    #[error("line {line}: {what}")]
    Unexpected {
        /// Of the command.
        line: usize,
        /// What is so instead.
        what: String,
    },
    /// An invariant broke.
    #[error("line {line}: {violation}")]
    Violated {
        /// Of the command.
        line: usize,
        /// Which, and how.
        violation: Violation,
    },
}

/// Plays the commands of `text` and gives the text with what they print now.
///
/// # Errors
/// [`ScriptError`] at the first command that cannot be read, is disappointed, or breaks an invariant.
pub fn play(text: &str) -> Result<String, ScriptError> {
    let mut stage = Stage::default();
    let mut played = String::new();
    for line in text.lines() {
        stage.line += 1;
        if let Some(command) = line.strip_prefix("> ") {
            writeln!(played, "> {command}").expect("a string takes all");
            for said in stage.play(command)? {
                writeln!(played, "{said}").expect("a string takes all");
            }
        } else if line.starts_with('#') || line.is_empty() {
            // Remarks stay; what was printed when it was recorded goes.
            writeln!(played, "{line}").expect("a string takes all");
        }
    }
    Ok(played)
}

/// A cluster that takes commands, one at a time.
#[derive(Default)]
pub struct Stage {
    cluster: Option<Cluster>,
    /// Of the last command, for errors.
    line: usize,
    proposals: u128,
    reads: u64,
}

impl Stage {
    /// Does what the next line says; gives what that led to, line by line.
    ///
    /// # Errors
    /// [`ScriptError`] as [`play`]; lines count from 1.
    pub fn command(&mut self, command: &str) -> Result<Vec<String>, ScriptError> {
        self.line += 1;
        self.play(command)
    }

    fn play(&mut self, command: &str) -> Result<Vec<String>, ScriptError> {
        let line = self.line;
        let said = self.act(command).map_err(|fault| match fault {
            Fault::Unreadable(what) => ScriptError::Unreadable { line, what },
            Fault::Unexpected(what) => ScriptError::Unexpected { line, what },
        })?;
        match self.cluster.as_ref().and_then(|cluster| cluster.violation.clone()) {
            Some(violation) => Err(ScriptError::Violated { line, violation }),
            None => Ok(said),
        }
    }
}

enum Fault {
    Unreadable(String),
    Unexpected(String),
}

type Said = Result<Vec<String>, Fault>;

impl Stage {
    fn act(&mut self, command: &str) -> Said {
        let words: Vec<&str> = command.split_whitespace().collect();
        if let ["nodes", count, ref rest @ ..] = words[..] {
            let count = number(count)?;
            self.cluster = Some(Cluster::new(setup(count, rest == ["new"]), Transcript::on()));
            return Ok(Vec::new());
        }
        let Some(cluster) = self.cluster.as_mut() else {
            return Err(Fault::Unreadable("a scenario begins with `nodes`".into()));
        };
        match words[..] {
            ["settle"] => {
                wait(cluster, "one leads and all have adopted its round", is_settled)?;
                let end = cluster.now + SETTLE;
                cluster.run_until(end);
                let _ = cluster.transcript.take();
                let leader = cluster.leaders()[0];
                let round = cluster.checker.head(leader).accepted.unwrap_or_default();
                return Ok(vec![format!("{} leads round {round}", name(leader))]);
            }
            ["run", "until", "commit", slot, ref rest @ ..] => {
                let slot = Slot(number(slot)? as u64);
                let nodes = on(cluster, rest)?;
                wait(cluster, "the commit is delivered", |cluster| {
                    nodes.iter().all(|node| cluster.checker.delivered_to(*node) >= slot)
                })?;
            }
            ["run", "until", "leader"] => {
                wait(cluster, "one leads", |cluster| !cluster.leaders().is_empty())?
            }
            ["run", "until", "leader", node] => {
                let node = one(cluster, node)?;
                wait(cluster, "it leads", |cluster| cluster.leaders().contains(&node))?;
            }
            ["run", span] => {
                let span = millis(span)?;
                let end = cluster.now + span;
                cluster.run_until(end);
            }
            ["partition", word] if Shape::ALL.iter().any(|shape| shape.name() == word) => {
                let nodes: Vec<_> = (0..cluster.nodes.len()).collect();
                let shape: Shape = word.parse().expect("looked for above");
                shape.lay(&mut cluster.network, &nodes);
            }
            ["partition", ref groups @ ..] => {
                let groups: Result<Vec<_>, _> =
                    groups.split(|word| *word == "|").map(|group| on(cluster, group)).collect();
                cluster.network.split(&groups?);
            }
            ["cut", from, ">", to] => {
                let (from, to) = (one(cluster, from)?, one(cluster, to)?);
                cluster.network.cut(from, to);
            }
            ["drop", kind, from, ">", to] => {
                let (from, to) = (one(cluster, from)?, one(cluster, to)?);
                cluster.drops.push((kind.to_owned(), from, to));
            }
            ["slow", from, ">", to, factor] => {
                let (from, to) = (one(cluster, from)?, one(cluster, to)?);
                let factor = u32::try_from(number(factor)?);
                let factor = factor.map_err(|error| Fault::Unreadable(error.to_string()))?;
                cluster.network.slow(from, to, factor);
            }
            ["heal"] => {
                cluster.network.heal();
                cluster.network.quicken();
                cluster.drops.clear();
            }
            ["propose", node, value, ref rest @ ..] => {
                let node = one(cluster, node)?;
                self.proposals += 1;
                let id = match rest {
                    [] => self.proposals,
                    ["as", id] => number(id)? as u128,
                    _ => {
                        return Err(Fault::Unreadable(
                            "after the value stands nothing, or `as` and an id".into(),
                        ));
                    }
                };
                let value =
                    Value::new(value).map_err(|error| Fault::Unreadable(error.to_string()))?;
                let id = ProposalId::from_u128(id);
                cluster.submit(node, Proposal { id, value, until: None });
            }
            ["read", node] => {
                let node = one(cluster, node)?;
                self.reads += 1;
                cluster.read(node, self.reads);
            }
            ["kill", nodes] => {
                on(cluster, &[nodes])?.into_iter().for_each(|node| cluster.kill(node))
            }
            ["restart", nodes] => {
                on(cluster, &[nodes])?.into_iter().for_each(|node| cluster.start(node))
            }
            ["pause", nodes] => {
                on(cluster, &[nodes])?.into_iter().for_each(|node| cluster.pause(node, false))
            }
            ["suspend", nodes] => {
                on(cluster, &[nodes])?.into_iter().for_each(|node| cluster.pause(node, true))
            }
            ["leave", node] => {
                let node = one(cluster, node)?;
                cluster.leave(node);
            }
            ["wipe", node] => {
                let node = one(cluster, node)?;
                cluster.wipe(node);
            }
            ["copy", node] => {
                let node = one(cluster, node)?;
                cluster.copy = Some(cluster.copy(node));
            }
            ["restore", node] => {
                let node = one(cluster, node)?;
                let copy = cluster.copy.clone();
                let copy = copy.ok_or_else(|| Fault::Unreadable("nothing was copied".into()))?;
                cluster.restore(node, copy);
            }
            ["send", from, ref rest @ ..] => {
                let from = one(cluster, from)?;
                let (to, text) = match rest {
                    [">", to, text] => (Some(one(cluster, to)?), *text),
                    [text] => (None, *text),
                    _ => {
                        let what = "a text is one word, to one node or to all".into();
                        return Err(Fault::Unreadable(what));
                    }
                };
                cluster.texts += 1;
                cluster.send_text(from, to, cluster.texts, text);
            }
            ["resume", nodes] => {
                on(cluster, &[nodes])?.into_iter().for_each(|node| cluster.resume(node))
            }
            ["expect", ref rest @ ..] => expect(cluster, rest)?,
            _ => return Err(Fault::Unreadable(format!("`{command}` is no command"))),
        }
        Ok(cluster.transcript.take())
    }
}

fn expect(cluster: &mut Cluster, words: &[&str]) -> Result<(), Fault> {
    match words {
        ["commit", slot, value, rest @ ..] => {
            let slot = Slot(number(slot)? as u64);
            for node in on(cluster, rest)? {
                let found = cluster.checker.delivered_value(node, slot);
                if found.as_ref().map(Value::as_str) != Some(value) {
                    let what = format!("{} has delivered {found:?} in slot {slot}", name(node));
                    return Err(Fault::Unexpected(what));
                }
            }
            Ok(())
        }
        ["no", "commit", slot] => {
            let slot = Slot(number(slot)? as u64);
            let found =
                (0..cluster.nodes.len()).find(|node| cluster.checker.delivered_to(*node) >= slot);
            found.map_or(Ok(()), |node| {
                Err(Fault::Unexpected(format!("{} has delivered slot {slot}", name(node))))
            })
        }
        ["leader", node] => {
            let node = one(cluster, node)?;
            let leaders: Vec<_> = cluster.leaders().into_iter().map(name).collect();
            if leaders == [name(node)] {
                Ok(())
            } else {
                Err(Fault::Unexpected(format!("{leaders:?} lead")))
            }
        }
        ["equal", "logs"] => cluster.checker.at_rest().map_err(|(_, what)| Fault::Unexpected(what)),
        _ => Err(Fault::Unreadable(format!("`expect {}` is no command", words.join(" ")))),
    }
}

fn is_settled(cluster: &Cluster) -> bool {
    let [leader] = cluster.leaders()[..] else { return false };
    let round = cluster.checker.head(leader).accepted;
    cluster.running().all(|node| cluster.checker.head(node).accepted == round)
}

fn wait(cluster: &mut Cluster, what: &str, is_so: impl Fn(&Cluster) -> bool) -> Result<(), Fault> {
    let deadline = cluster.now + PATIENCE;
    while !is_so(cluster) {
        if cluster.violation.is_some() {
            return Ok(());
        }
        let has_stepped = cluster.now < deadline && cluster.step();
        if !has_stepped && cluster.violation.is_none() {
            return Err(Fault::Unexpected(format!("waited {PATIENCE:?} until {what}")));
        }
    }
    Ok(())
}

fn setup(size: usize, must_form: bool) -> Setup {
    let millis = Duration::from_millis;
    let calm = millis(1)..=millis(1);
    Setup {
        seed: 1,
        size,
        engine: Settings {
            heartbeat_interval: millis(50),
            listed: size,
            consensus: consensus::Settings { suspect_after: millis(200), ..Default::default() },
        },
        storage: storage::Settings {
            journal_bytes: 65_536,
            ..storage::Settings::new(NodeId::from_u128(0))
        },
        weather: Weather { latency: calm.clone(), loss: 0, duplication: 0, reordering: 0 },
        sync: calm,
        redial: millis(20)..=millis(20),
        downtime: None,
        drift_ppm: 0,
        must_form,
    }
}

/// The nodes named by `on 1,2` or `1,2`; all that run if nothing is said.
fn on(cluster: &Cluster, words: &[&str]) -> Result<Vec<usize>, Fault> {
    match words {
        [] => Ok(cluster.running().collect()),
        ["on", nodes] | [nodes] => nodes.split(',').map(|node| one(cluster, node)).collect(),
        _ => Err(Fault::Unreadable(format!("`{}` names no nodes", words.join(" ")))),
    }
}

fn one(cluster: &Cluster, word: &str) -> Result<usize, Fault> {
    let node = number(word)?;
    if (1..=cluster.nodes.len()).contains(&node) {
        return Ok(node - 1);
    }
    Err(Fault::Unreadable(format!("there is no node {node}")))
}

fn number(word: &str) -> Result<usize, Fault> {
    word.parse().map_err(|_| Fault::Unreadable(format!("`{word}` is no number")))
}

fn millis(word: &str) -> Result<Duration, Fault> {
    let number = word.strip_suffix("ms").and_then(|number| number.parse().ok());
    number
        .map(Duration::from_millis)
        .ok_or_else(|| Fault::Unreadable(format!("`{word}` is no time like 300ms")))
}
