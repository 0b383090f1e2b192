//! `node status`: where nodes stand, and whether their logs agree.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;

use crate::admin::api::{Peer, SCHEMA, StatusResponse};
use crate::admin::{Client, ClientError};
use crate::cli::args::StatusArgs;
use crate::cli::ask::{NAME_ANOTHER, json, told};
use crate::cli::failure::{Code, Failure};
use crate::cli::output::{Paint, note, print_on};
use crate::cli::signals::Signals;
use crate::cli::{settings, show};
use crate::config::admin_port;
use crate::types::{Digest, NodeId, Position, Slot};

/// How often `--watch` asks.
const EVERY: Duration = Duration::from_secs(1);

/// Moves to the top left of a terminal and clears it.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

pub(super) async fn status(args: &StatusArgs) -> Result<(), Failure> {
    let clients = settings::clients(&args.asked)?;
    if !args.watch {
        let seen = look(args, &clients).await?;
        print_on(&seen.text)?;
        return seen.verdict;
    }
    let mut signals = Signals::listen()
        .map_err(|error| Failure::new(Code::Configuration, format!("no signals: {error}")))?;
    let clear = if io::stdout().is_terminal() { CLEAR } else { "" };
    loop {
        let seen = tokio::select! {
            seen = look(args, &clients) => seen,
            () = signals.next() => return Ok(()),
        };
        let (text, verdict) = match seen {
            Ok(Seen { text, verdict }) => (text, verdict),
            Err(failure) => (String::new(), Err(failure)),
        };
        if !print_on(&format!("{clear}{text}"))? {
            return Ok(());
        }
        if let Err(failure) = verdict {
            note(failure.to_string().trim_end());
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = signals.next() => return Ok(()),
        }
    }
}

/// What is printed, and how it ends.
struct Seen {
    text: String,
    verdict: Result<(), Failure>,
}

async fn look(args: &StatusArgs, clients: &[Client]) -> Result<Seen, Failure> {
    if args.all || clients.len() > 1 {
        let view = View::of(clients, args.all).await;
        let text = if args.json { json(&view)? } else { view.text(Paint::of_stdout()) };
        return Ok(Seen { text, verdict: view.verdict() });
    }
    let client = &clients[0];
    let status = client.status().await.map_err(told(client))?;
    let text = if args.json {
        json(&status)?
    } else {
        let peers = client.peers().await.map_err(told(client))?;
        show::status(&status, &peers.peers, Paint::of_stdout())
    };
    Ok(Seen { text, verdict: Ok(()) })
}

/// Several nodes, side by side.
#[derive(Serialize)]
struct View {
    schema: u32,
    nodes: Vec<Row>,
    /// Up to where all that answered hold the same log.
    #[serde(skip_serializing_if = "Option::is_none")]
    agree_through: Option<Position>,
    /// What cannot be, in words; empty if they agree.
    disagreements: Vec<String>,
}

/// One node of a view.
#[derive(Serialize)]
struct Row {
    /// Where it was asked; none if nobody knows where to.
    #[serde(skip_serializing_if = "Option::is_none")]
    admin: Option<SocketAddr>,
    /// Whether the command line named it.
    given: bool,
    /// What it is called, as it says or as others say.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<StatusResponse>,
    /// Why there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The same of one that the command line named, as it is told where no other was asked.
    #[serde(skip)]
    failure: Option<Failure>,
}

impl View {
    async fn of(clients: &[Client], all: bool) -> Self {
        let mut asked = BTreeSet::new();
        let unique = clients.iter().filter(|client| asked.insert(client.address())).cloned();
        let given = side_by_side(unique.collect(), |client| async move {
            let status = client.status().await;
            let peers = if all { client.peers().await.ok() } else { None };
            (status, peers)
        });
        let mut nodes = Vec::new();
        let mut known: Vec<Peer> = Vec::new();
        for (client, (status, peers)) in given.await {
            known.extend(peers.into_iter().flat_map(|peers| peers.peers));
            let mut row = Row {
                admin: Some(client.address()),
                given: true,
                name: None,
                status: None,
                error: None,
                failure: None,
            };
            match status {
                Ok(status) => {
                    row.name = Some(status.name.clone());
                    row.status = Some(status);
                }
                Err(error) => {
                    row.error = Some(match &error {
                        ClientError::Refused { error, .. } => {
                            format!("{} refuses: {}", client.address(), error.message)
                        }
                        _ => error.to_string(),
                    });
                    row.failure = Some(told(&client)(error));
                }
            }
            nodes.push(row);
        }
        // Of a member that one of them has not met another may know more.
        known.sort_by_key(|peer| peer.address.is_empty());
        let mut met: BTreeSet<NodeId> =
            nodes.iter().filter_map(|row| row.status.as_ref()).map(|status| status.id).collect();
        for peer in known {
            if met.insert(peer.id) {
                nodes.push(find(peer, &clients[0]).await);
            }
        }
        let mut view =
            Self { schema: SCHEMA, nodes, agree_through: None, disagreements: Vec::new() };
        view.compare(&clients[0]).await;
        view
    }

    /// Fills in where they agree, and where they cannot both be right.
    async fn compare(&mut self, like: &Client) {
        let answered: Vec<(SocketAddr, &StatusResponse)> =
            self.nodes.iter().filter_map(|row| Some((row.admin?, row.status.as_ref()?))).collect();
        let Some(((_, first), others)) = answered.split_first() else { return };
        let mut disagreements = Vec::new();
        for (_, other) in others {
            if other.cluster != first.cluster {
                disagreements.push(format!(
                    "{} belongs to the cluster {:?}, {} to {:?}",
                    first.name, first.cluster, other.name, other.cluster
                ));
            }
            if let (Some(ours), Some(theirs)) = (&first.config, &other.config)
                && ours.epoch == theirs.epoch
                && ours != theirs
            {
                disagreements.push(format!(
                    "{} and {} have other members in epoch {}",
                    first.name, other.name, ours.epoch
                ));
            }
        }
        let ids: BTreeSet<_> = answered.iter().map(|(_, status)| status.id).collect();
        if ids.len() < answered.len() {
            disagreements.push("two of the addresses lead to nodes of one identity".to_owned());
        }
        // The hash of an entry names the whole log up to it: one slot that all have is enough.
        let shortest = answered.iter().map(|(_, status)| status.committed.slot).min();
        let slot = shortest.unwrap_or_default();
        if slot > Slot(0) {
            let clients = answered.iter().map(|(address, _)| like.at(*address)).collect();
            let found = side_by_side(clients, |client| async move {
                let page = client.log(slot, 1, false).await.ok()?;
                page.entries.first().filter(|entry| entry.slot == slot).map(|entry| entry.hash)
            });
            let hashes: Vec<(String, Digest)> = found
                .await
                .into_iter()
                .zip(&answered)
                .filter_map(|((_, hash), (_, status))| Some((status.name.clone(), hash?)))
                .collect();
            if let Some(((name, hash), others)) = hashes.split_first() {
                for (other, theirs) in others.iter().filter(|(_, theirs)| theirs != hash) {
                    disagreements.push(format!(
                        "slot {slot} is {} at {name} and {} at {other}: their logs differ",
                        hash.short(),
                        theirs.short()
                    ));
                }
                if disagreements.is_empty() {
                    self.agree_through = Some(Position { slot, hash: *hash });
                }
            }
        }
        self.disagreements = disagreements;
    }

    fn text(&self, paint: Paint) -> String {
        let name_of = |id: NodeId| {
            let statuses = self.nodes.iter().filter_map(|row| row.status.as_ref());
            let found = statuses.filter(|status| status.id == id).map(|it| it.name.clone()).next();
            found.unwrap_or_else(|| id.short())
        };
        let head = ["NAME", "ASKED AT", "READY", "ROUND", "PROPOSER", "COMMITTED", "HASH", "TIP"];
        let mut rows = Vec::new();
        let mut silent = String::new();
        for Row { admin, name, status, error, .. } in &self.nodes {
            let admin = admin.map_or("-".to_owned(), |admin| admin.to_string());
            let name = name.as_deref();
            if let Some(status) = status {
                let ready = if status.ready { "yes" } else { "no" };
                rows.push([
                    name.unwrap_or_default().to_owned(),
                    admin,
                    ready.to_owned(),
                    status.round.to_string(),
                    status.proposer.map_or("-".to_owned(), name_of),
                    status.committed.slot.to_string(),
                    status.committed.hash.short(),
                    status.last.slot.to_string(),
                ]);
            } else if let Some(error) = error {
                // Who was not asked by name is told by address.
                let line = match name {
                    Some(name) => format!("no answer of {name}: {error}"),
                    None => error.clone(),
                };
                let _ = writeln!(silent, "{}", paint.odd(&line));
            }
        }
        if rows.is_empty() {
            return silent;
        }
        let mut text = show::table(&head.map(str::to_owned), &rows);
        text += &silent;
        match (self.agree_through, self.disagreements.is_empty()) {
            (Some(position), true) => {
                let Position { slot, hash } = position;
                let same = format!("they hold the same log through slot {slot} ({})", hash.short());
                let _ = writeln!(text, "{}", paint.good(&same));
            }
            (None, true) => text += "there is nothing to compare yet\n",
            (_, false) => {
                for what in &self.disagreements {
                    let _ = writeln!(text, "{}", paint.bad(what));
                }
            }
        }
        text
    }

    fn verdict(&self) -> Result<(), Failure> {
        if !self.disagreements.is_empty() {
            return Err(Failure::new(Code::CheckFailed, self.disagreements.join("; "))
                .at("the nodes asked")
                .hint("find out which directory is foreign, copied or damaged; `node log --verify` at each helps"));
        }
        let silent: Vec<_> = self.nodes.iter().filter(|row| row.failure.is_some()).collect();
        if silent.is_empty() {
            return Ok(());
        }
        // One that refuses to say where it stands is there.
        let mut failures = silent.iter().filter_map(|row| row.failure.as_ref());
        if let Some(refused) = failures.find(|failure| failure.code != Code::Unreachable) {
            return Err(refused.clone());
        }
        let places = silent.iter().filter_map(|row| row.admin).map(|admin| admin.to_string());
        let places: Vec<_> = places.collect();
        let what = format!("{} of {} nodes do not answer", silent.len(), self.nodes.len());
        Err(Failure::new(Code::Unreachable, what).at(places.join(", ")).hint(NAME_ANOTHER))
    }
}

/// Asks several nodes at once; the answers come in their order.
async fn side_by_side<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    clients: Vec<Client>,
    ask: impl Fn(Client) -> F,
) -> Vec<(Client, T)> {
    let mut asking = JoinSet::new();
    for (index, client) in clients.into_iter().enumerate() {
        let answer = ask(client.clone());
        asking.spawn(async move { (index, client, answer.await) });
    }
    let mut answers = asking.join_all().await;
    answers.sort_by_key(|(index, ..)| *index);
    answers.into_iter().map(|(_, client, answer)| (client, answer)).collect()
}

/// Looks for the HTTP interface of a peer on this machine, where it would be by default. Only who says
/// to be that peer counts.
async fn find(peer: Peer, like: &Client) -> Row {
    let mut row = Row {
        admin: None,
        given: false,
        name: Some(peer.name).filter(|name| !name.is_empty()),
        status: None,
        error: None,
        failure: None,
    };
    if peer.address.is_empty() {
        row.error = Some(format!(
            "the member {} was not met since the start of the node that was asked, so nobody says where it runs; \
             name it by --admin",
            peer.id.short()
        ));
        return row;
    }
    let here = peer.address.parse::<IpAddr>().is_ok_and(settings::is_here);
    let guess = admin_port(peer.port).filter(|_| here);
    let Some(port) = guess else {
        row.error = Some(format!(
            "it runs on another machine ({}:{}), and peers do not say where they serve HTTP: by default on \
             that machine's loopback; name it by --admin, through a tunnel if need be",
            peer.address, peer.port
        ));
        return row;
    };
    let client = like.at(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    match client.status().await {
        Ok(status) if status.id == peer.id => {
            row.admin = Some(client.address());
            row.status = Some(status);
        }
        Ok(status) => {
            row.error = Some(format!(
                "{} is where {} answers, not this node; name its HTTP interface by --admin",
                client.address(),
                status.name
            ));
        }
        Err(_) => {
            row.error = Some(format!(
                "nobody answers at {}, where its HTTP interface is by default; name it by --admin",
                client.address()
            ));
        }
    }
    row
}
