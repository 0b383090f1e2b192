//! The way to every peer, and from them to here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::lookup_host;

use crate::cli::doctor::{Book, Patient};
use crate::cli::failure::Failure;
use crate::cli::settings::is_here;
use crate::config::Address;
use crate::limits;
use crate::peers::NodeStatus;
use crate::transport::{Ear, Identity, Met, ProbeError, probe};
use crate::types::NodeId;

/// How far clocks may differ before people are misled, in seconds. No decision depends on them.
const SKEW_MAX: u64 = 2;

pub(super) async fn check(
    patient: &Patient,
    wait: Duration,
    book: &mut Book,
) -> Result<(), Failure> {
    let config = &patient.config;
    advertised(patient, book).await?;
    if config.peers.is_empty() {
        return book.skipped("peers", "none are listed: a cluster of one");
    }
    let me = own_id(patient);
    let mut met: BTreeMap<NodeId, (Address, String)> = BTreeMap::new();
    for address in &config.peers {
        if let Some(found) = peer(patient, me, address, &met, book).await? {
            met.insert(found.node, (address.clone(), found.name));
        }
    }
    dialled(patient, &met, wait, book).await
}

/// Who this node is, as it says itself or as its directory does.
fn own_id(patient: &Patient) -> Option<NodeId> {
    match &patient.running {
        Some((_, status)) => Some(status.id),
        None => Identity::who_lives_in(&patient.config.data_dir).ok().flatten(),
    }
}

async fn advertised(patient: &Patient, book: &mut Book) -> Result<(), Failure> {
    let name = "advertised address";
    let config = &patient.config;
    let Some(address) = &config.advertise else {
        return book.skipped(name, "none: peers dial what stands in their lists");
    };
    let hint = "--advertise must be the host:port at which the other machines reach this one";
    let found = match resolve(address).await {
        Ok(found) => found,
        Err(what) => return book.failed(name, what, hint),
    };
    let Some((_, status)) = &patient.running else {
        return book
            .good(name, format!("{address} is {}; run beside the node to try it", found[0]));
    };
    match probe(found[0], &config.cluster, &config.name).await {
        Ok(met) if met.node == status.id => book.good(name, format!("{address} leads here")),
        Ok(met) => book.failed(name, format!("{address} leads to {}, not here", met.name), hint),
        Err(error) => book.warning(
            name,
            format!("{address} does not lead here from this machine: {error}"),
            "some networks allow it only from outside; see whether the peers' doctors reach it",
        ),
    }
}

async fn resolve(address: &Address) -> Result<Vec<SocketAddr>, String> {
    let lookup = lookup_host((address.host.as_str(), address.port));
    match tokio::time::timeout(limits::CONNECT_DEADLINE, lookup).await {
        Ok(Ok(found)) => {
            let found: Vec<_> = found.collect();
            match found.is_empty() {
                true => Err(format!("the name {} has no address", address.host)),
                false => Ok(found),
            }
        }
        Ok(Err(error)) => Err(format!("the name {} has no address: {error}", address.host)),
        Err(_) => Err("the DNS does not answer in time".to_owned()),
    }
}

/// Checks the way to one listed address; gives who was met there, if it is a peer.
async fn peer(
    patient: &Patient,
    me: Option<NodeId>,
    address: &Address,
    met: &BTreeMap<NodeId, (Address, String)>,
    book: &mut Book,
) -> Result<Option<Met>, Failure> {
    let config = &patient.config;
    let name = format!("peer {address}");
    let found = match resolve(address).await {
        Ok(found) => found,
        Err(what) => {
            book.failed(&name, what, "check the name and the DNS, or write the IP address")?;
            return Ok(None);
        }
    };
    let is_own = address.port == config.port && found.iter().all(|found| is_here(found.ip()));
    let mut outcome = Err(ProbeError::Refused);
    for remote in &found {
        outcome = probe(*remote, &config.cluster, &config.name).await;
        if outcome.is_ok() {
            break;
        }
    }
    match outcome {
        Ok(found) if is_own && Some(found.node) == me => {
            book.good(&name, "this node's own address")?;
        }
        Err(ProbeError::Refused) if is_own => {
            book.good(&name, "this node's own address; it does not run")?;
        }
        Ok(found) if Some(found.node) == me => {
            let what = format!("there {} runs under this node's identity", found.name);
            let hint = "a copied data directory must not run beside its original: give this machine an empty one";
            book.failed(&name, what, hint)?;
        }
        Ok(found) if met.contains_key(&found.node) => {
            let (first, _) = &met[&found.node];
            let what = format!("leads to {}, as {first} does", found.name);
            book.failed(&name, what, "list every node once, by one address")?;
        }
        Ok(found) => {
            let ms = found.took.as_secs_f64() * 1e3;
            let what = format!("{} ({}) says hello in {ms:.1} ms", found.name, found.node);
            let skew = skew(found.clock);
            if skew > SKEW_MAX {
                let what = format!("{what}; its clock is {skew} s off");
                let hint =
                    "no decision depends on clocks, but the times in log lines do: use NTP on both";
                book.warning(&name, what, hint)?;
            } else {
                book.good(&name, what)?;
            }
            return Ok(Some(found));
        }
        Err(error @ ProbeError::Refused) => {
            book.warning(
                &name,
                error.to_string(),
                "start the node there, or correct the list of peers",
            )?;
        }
        Err(error @ ProbeError::Unreachable(_)) => {
            let hint = "check the network, the firewall and whether the machine is on";
            book.failed(&name, error.to_string(), hint)?;
        }
        Err(error @ ProbeError::Stranger(_)) => {
            let hint =
                "this address is no node of this cluster: correct --cluster or the list of peers";
            book.failed(&name, error.to_string(), hint)?;
        }
    }
    Ok(None)
}

/// How far a clock is from this machine's, in seconds.
fn skew(theirs: u64) -> u64 {
    let ours = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    ours.abs_diff(theirs)
}

/// Whether the peers that run reach this machine.
async fn dialled(
    patient: &Patient,
    met: &BTreeMap<NodeId, (Address, String)>,
    wait: Duration,
    book: &mut Book,
) -> Result<(), Failure> {
    let name = "dialled by peers";
    let names = |ids: &mut dyn Iterator<Item = &NodeId>| {
        let names: Vec<_> = ids.map(|id| met[id].1.as_str()).collect();
        names.join(", ")
    };
    if met.is_empty() {
        return book.skipped(name, "no peer runs that could dial");
    }
    if let Some((client, _)) = &patient.running {
        let Ok(peers) = client.peers().await else {
            return book.skipped(name, "the running node does not answer any more");
        };
        let linked = |id: &&NodeId| {
            peers.peers.iter().any(|peer| peer.id == **id && peer.status == NodeStatus::Online)
        };
        let missing = names(&mut met.keys().filter(|id| !linked(id)));
        return match missing.is_empty() {
            true => book.good(name, "the running node has a link to every peer that was met"),
            false => book.failed(
                name,
                format!("the running node has no link to {missing}, which answer"),
                "its log lines say why: dial.failed and connection.refused",
            ),
        };
    }
    if wait.is_zero() || patient.config.port == 0 {
        return book.skipped(name, "not waited for");
    }
    let Ok(ear) = Ear::listen(patient.config.bind, patient.config.port) else {
        return book.skipped(name, "the port is in use");
    };
    let mut heard = BTreeMap::new();
    let listening = async {
        while !met.keys().all(|id| heard.contains_key(id)) {
            let (node, name) = ear.hear().await;
            heard.insert(node, name);
        }
    };
    let _ = tokio::time::timeout(wait, listening).await;
    let came = names(&mut met.keys().filter(|id| heard.contains_key(id)));
    let missing = names(&mut met.keys().filter(|id| !heard.contains_key(id)));
    let hint = "check the firewall of this machine, and that their lists name this one; they dial at \
                least every redial_max";
    match (came.is_empty(), missing.is_empty()) {
        (_, true) => book.good(name, format!("{came} reached this machine")),
        (true, false) => {
            book.failed(name, format!("nobody came within {wait:?}, not {missing}"), hint)
        }
        (false, false) => {
            let what = format!("{came} reached this machine, not {missing} within {wait:?}");
            book.warning(name, what, hint)
        }
    }
}
