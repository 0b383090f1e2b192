//! `node watch`: what happens at a node, as it happens.

use std::fmt::Write as _;

use clap::ValueEnum as _;
use serde_json::Value as Json;

use crate::admin::api::{
    CommitEvent, LogContent, MessageEvent, MissedEvent, PeerEvent, QuorumEvent, RoundEvent, SCHEMA,
};
use crate::admin::{Client, Happening};
use crate::cli::args::{WatchArgs, Watched};
use crate::cli::ask::{client, ended, told};
use crate::cli::failure::Failure;
use crate::cli::output::{note, print_on};
use crate::cli::show::{Names, quoted};
use crate::consensus::EpochConfig;
use crate::types::Slot;

pub(super) async fn watch(args: &WatchArgs) -> Result<(), Failure> {
    let client = client(&args.asked)?;
    let mut events = client.events(args.from.map(Slot)).await.map_err(told(&client))?;
    let mut names = if args.json { Names::default() } else { known_here(&client).await };
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut next = args.from.map(Slot);
    while left > 0 {
        let event = match events.next().await {
            Ok(Some(event)) => event,
            Ok(None) => return Err(ended(&client, None, next)),
            Err(error) => return Err(ended(&client, Some(error), next)),
        };
        match event.name.as_str() {
            "start" => next = event.data["from"].as_u64().map(Slot),
            "commit" => next = event.data["slot"].as_u64().map(|slot| Slot(slot).next()),
            _ => {}
        }
        let is_wanted = args.only.is_empty() || args.only.iter().any(|only| only.is(&event.name));
        // The first event says where the stream begins; it is no news.
        if event.name == "start" {
            note(&format!(
                "watching {}, commits from slot {}",
                client.address(),
                event.data["from"]
            ));
            continue;
        }
        if !is_wanted {
            continue;
        }
        let line = if args.json { in_json(event) } else { text(&event, &mut names) };
        if !print_on(&line)? {
            return Ok(());
        }
        left -= 1;
    }
    Ok(())
}

/// Who is called what, as far as the node says; else nodes are shown by the start of their ids.
async fn known_here(client: &Client) -> Names {
    let peers = client.peers().await.map_or_else(|_| Vec::new(), |answer| answer.peers);
    let names = Names::new(&peers);
    match client.status().await {
        Ok(status) => names.with(status.id, &status.name),
        Err(_) => names,
    }
}

impl Watched {
    /// Whether an event of this name is of this kind. Who is too slow is always told.
    fn is(self, event: &str) -> bool {
        let name = self.to_possible_value();
        event == "missed" || name.is_some_and(|name| name.get_name().trim_end_matches('s') == event)
    }
}

/// One line of JSON: the event's own fields, its name, and the number of the shapes.
fn in_json(event: Happening) -> String {
    let mut line = serde_json::json!({ "schema": SCHEMA, "event": event.name });
    if let (Json::Object(line), Json::Object(fields)) = (&mut line, event.data) {
        line.extend(fields);
    }
    format!("{line}\n")
}

/// One line for people; what this version does not know is shown as it came.
fn text(event: &Happening, names: &mut Names) -> String {
    let known = match event.name.as_str() {
        "commit" => read(event).map(|event| commit(&event)),
        "peer" => read(event).map(|PeerEvent { id, name, address, port, status }| {
            names.learn(id, &name);
            let at =
                if address.is_empty() { String::new() } else { format!(", at {address}:{port}") };
            format!("peer {} is {status:?}{at}", quoted(&names.of(id)))
        }),
        "quorum" => read(event).map(|QuorumEvent { heard, needed, is_heard }| match is_heard {
            true => format!("quorum: {heard} members are heard, {needed} are needed"),
            false => format!(
                "no quorum: {heard} members are heard, {needed} are needed; nothing commits here"
            ),
        }),
        "round" => read(event).map(|RoundEvent { round, proposer, led }| {
            let leads = if led { "leads" } else { "does not lead yet" };
            format!("round {round}: {} {leads}", names.of(proposer))
        }),
        "message" => read(event).map(|MessageEvent { from, text, .. }| {
            format!("message from {}: {}", names.of(from), quoted(&text))
        }),
        "epoch" => read(event).map(|EpochConfig { epoch, members, .. }| {
            let members: Vec<_> = members.into_iter().map(|id| names.of(id)).collect();
            format!("epoch {epoch} begins: {}", members.join(", "))
        }),
        "missed" => read(event).map(|MissedEvent { notices }| {
            format!("missed {notices} events: this reader is too slow; commits follow from the log")
        }),
        _ => None,
    };
    known.unwrap_or_else(|| format!("{} {}", event.name, event.data)) + "\n"
}

fn read<T: serde::de::DeserializeOwned>(event: &Happening) -> Option<T> {
    T::deserialize(&event.data).ok()
}

fn commit(commit: &CommitEvent) -> String {
    let slot = commit.entry.slot;
    let mut line = match &commit.entry.content {
        LogContent::Value { value, .. } => format!("committed slot={slot} value={}", quoted(value)),
        LogContent::Config { config } => format!("committed slot={slot} epoch={}", config.epoch),
        LogContent::Noop => format!("committed slot={slot} (nothing)"),
    };
    if let Some(votes) = commit.votes {
        let _ = write!(line, " votes={}/{}", votes.counted, votes.members);
    }
    if let Some(round) = commit.round {
        let _ = write!(line, " round={round}");
    }
    if let Some(first) = commit.duplicate_of {
        let _ = write!(line, " (again, as in slot {first}: without effect)");
    }
    if commit.void {
        line += " (too late: without effect)";
    }
    line
}
