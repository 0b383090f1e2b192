//! After the load: whether every node holds the same log, and in it all that was acknowledged, where it was.

use quorate::admin::api::{LogContent, LogResponse};
use quorate::types::Slot;

use crate::http::Connection;
use crate::nodes::{NODES, Processes, eventually};
use crate::soak::traffic::{self, Traffic};
use crate::soak::verdict::Finding;
use crate::worker::Worker;

/// Reads the whole log of the node that was killed, and compares the others' with it.
pub(super) fn audited(nodes: &Processes, traffic: &Traffic) -> Vec<Finding> {
    let end = eventually("all nodes hold the same log", || {
        let all: Option<Vec<_>> = (0..NODES).map(|at| Some(nodes.status(at)?.committed)).collect();
        let all = all?;
        all.iter().all(|committed| *committed == all[0]).then_some(all[0])
    });
    let equal = format!("{} entries, hash {}", end.slot, end.hash);
    let address = nodes.address(NODES - 1);
    let worker = Worker::start();
    let log = worker.run(async move {
        // The first slot of each number: a second one takes no effect.
        let mut found = Vec::<u64>::new();
        let mut connection = Connection::open(address).await.expect("the node listens");
        let mut from = Slot(1);
        while from <= end.slot {
            let path = format!("/v1/log?from={from}&limit=500");
            let answer: LogResponse = connection.get(&path).await.expect("the log is shown");
            for entry in answer.entries {
                assert_eq!(entry.slot, from, "the log has no holes");
                from = from.next();
                let LogContent::Value { value, .. } = entry.content else { continue };
                let number = traffic::number(&value).expect("only numbers were proposed");
                let number = usize::try_from(number).expect("a number of this run");
                if found.len() <= number {
                    found.resize(number + 1, 0);
                }
                if found[number] == 0 {
                    found[number] = entry.slot.0;
                }
            }
        }
        found
    });
    let seen = traffic.seen();
    let acknowledged = seen.slots.iter().enumerate().filter(|(_, slot)| **slot > 0);
    let elsewhere =
        acknowledged.clone().filter(|(number, slot)| log.get(*number) != Some(slot)).count();
    let figures = format!(
        "{} acknowledged, {} in the log, {elsewhere} not there or in another slot",
        acknowledged.count(),
        log.iter().filter(|slot| **slot > 0).count(),
    );
    vec![
        Finding::new("all nodes hold the same log", true, equal),
        Finding::new("nothing acknowledged is lost", elsewhere == 0, figures),
    ]
}

/// What the clients were told.
pub(super) fn answers(traffic: &Traffic) -> Finding {
    let seen = traffic.seen();
    let figures = match seen.impossible.first() {
        Some(first) => format!("{} impossible ones, the first: {first}", seen.impossible.len()),
        None => format!(
            "{} lost proposals; {} linearizable and {} local reads as they must be",
            seen.lost, seen.linearizable, seen.local
        ),
    };
    Finding::new("every answer is possible", seen.impossible.is_empty() && seen.lost == 0, figures)
}
