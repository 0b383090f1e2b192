//! `node ping`: how long a message takes through a node to its peers and back.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::admin::Client;
use crate::admin::api::{MessageRequest, Peer, SCHEMA};
use crate::cli::args::PingArgs;
use crate::cli::ask::{client, json, told};
use crate::cli::failure::{Code, Failure};
use crate::cli::output::print;
use crate::cli::{settings, show};
use crate::peers::NodeStatus;

/// Between two questions to one peer: a peer that is busy with the last one is not measured.
const PAUSE: Duration = Duration::from_millis(10);

/// What the message says.
const TEXT: &str = "ping";

/// What was measured of one peer.
#[derive(Serialize)]
struct Measured {
    name: String,
    id: String,
    sent: u32,
    answered: u32,
    /// From the first byte sent by this command to the acknowledgement, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    ms: Option<Spread>,
}

/// The spread of some spans, in milliseconds.
#[derive(Clone, Copy, Serialize)]
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    fn of(mut spans: Vec<Duration>) -> Option<Self> {
        spans.sort_unstable();
        let ms = |span: &Duration| span.as_secs_f64() * 1e3;
        Some(Self {
            min: ms(spans.first()?),
            median: ms(spans.get(spans.len() / 2)?),
            max: ms(spans.last()?),
        })
    }
}

/// What was measured in all.
#[derive(Serialize)]
struct Report {
    schema: u32,
    /// The node through which it went.
    through: String,
    /// The way from this command to that node and back alone, in milliseconds.
    to_node_ms: Option<Spread>,
    peers: Vec<Measured>,
}

pub(super) async fn ping(args: &PingArgs) -> Result<(), Failure> {
    let timeout = settings::duration("--timeout", &args.timeout)?;
    let client = client(&args.asked)?;
    let status = client.status().await.map_err(told(&client))?;
    let peers = client.peers().await.map_err(told(&client))?.peers;
    let peers = wanted(args, &client, peers)?;
    let mut own = Vec::new();
    for _ in 0..args.count {
        let started = Instant::now();
        client.live().await.map_err(told(&client))?;
        own.push(started.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    let mut report = Report {
        schema: SCHEMA,
        through: status.name,
        to_node_ms: Spread::of(own),
        peers: Vec::new(),
    };
    for peer in peers {
        report.peers.push(measure(args, timeout, &client, &peer).await?);
    }
    print(&if args.json { json(&report)? } else { text(&report) })?;
    let lost: u32 = report.peers.iter().map(|peer| peer.sent - peer.answered).sum();
    if lost == 0 {
        return Ok(());
    }
    Err(Failure::new(Code::Unknown, format!("{lost} pings were not answered in time"))
        .at(client.address())
        .hint("see `node peers` for who is heard, and `node doctor` on that machine"))
}

fn wanted(args: &PingArgs, client: &Client, peers: Vec<Peer>) -> Result<Vec<Peer>, Failure> {
    let Some(to) = &args.to else {
        return Ok(peers.into_iter().filter(|peer| peer.status == NodeStatus::Online).collect());
    };
    let found: Vec<_> =
        peers.into_iter().filter(|peer| peer.name == *to || peer.id.to_string() == *to).collect();
    match found.len() {
        1 => Ok(found),
        0 => Err(Failure::new(Code::Rejected, format!("no peer is called {to:?}"))
            .at(client.address())
            .hint("see `node peers` for ids and names")),
        _ => Err(Failure::new(Code::Rejected, format!("more than one peer is called {to:?}"))
            .at(client.address())
            .hint("give its id instead; `node peers --json` tells it")),
    }
}

async fn measure(
    args: &PingArgs,
    timeout: Duration,
    client: &Client,
    peer: &Peer,
) -> Result<Measured, Failure> {
    let request = MessageRequest { to: Some(peer.id.to_string()), text: TEXT.to_owned() };
    let mut spans = Vec::new();
    for _ in 0..args.count {
        let started = Instant::now();
        // The node itself waits longer, for the sake of those who send what matters.
        if let Ok(delivery) = tokio::time::timeout(timeout, client.send(&request)).await
            && delivery.map_err(told(client))?.by.contains(&peer.id)
        {
            spans.push(started.elapsed());
        }
        tokio::time::sleep(PAUSE).await;
    }
    let answered = u32::try_from(spans.len()).unwrap_or(u32::MAX);
    Ok(Measured {
        name: show::called(peer.id, &peer.name),
        id: peer.id.to_string(),
        sent: args.count,
        answered,
        ms: Spread::of(spans),
    })
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    let spread = |spread: Option<Spread>| match spread {
        None => "no answer".to_owned(),
        Some(Spread { min, median, max }) => {
            format!("min {min:.2} ms, median {median:.2} ms, max {max:.2} ms")
        }
    };
    let _ = writeln!(text, "to {} and back: {}", report.through, spread(report.to_node_ms));
    for Measured { name, sent, answered, ms, .. } in &report.peers {
        let _ = writeln!(
            text,
            "through it to {name} and back: {} ({answered} of {sent} answered)",
            spread(*ms)
        );
    }
    if report.peers.is_empty() {
        text += "nobody is online\n";
    }
    text
}
