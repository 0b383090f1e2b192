//! How long a text takes to everyone: from the request at one node until all others have said that they have it.

use std::time::Duration;

use tokio::time::Instant;

use crate::admin::api::MessageRequest;
use crate::cli::ask::told;
use crate::cli::bench::cluster::Cluster;
use crate::cli::failure::{Code, Failure};

/// Texts before any is timed.
const FIRST: usize = 5;

/// What a text takes, each the shortest first.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) bytes: usize,
    pub(super) took: Vec<Duration>,
}

/// Sends so many texts of `bytes` bytes through one node, one after the other.
pub(super) async fn texts(
    cluster: &mut Cluster,
    times: usize,
    bytes: usize,
) -> Result<Told, Failure> {
    cluster.wait_led().await?;
    let others = cluster.up().count() - 1;
    let client = cluster.up().next().expect("a majority is up").clone();
    let mut took = Vec::with_capacity(times);
    for number in 0..FIRST + times {
        let digits = number.to_string();
        let text = "0".repeat(bytes.saturating_sub(digits.len())) + &digits;
        let request = MessageRequest { to: None, text };
        let start = Instant::now();
        let delivered = client.send(&request).await.map_err(told(&client))?;
        if number >= FIRST {
            took.push(start.elapsed());
        }
        if delivered.by.len() < others {
            let what = format!("a text came to {} of {others} others", delivered.by.len());
            return Err(Failure::new(Code::CheckFailed, what).hint("see node status --all"));
        }
    }
    took.sort_unstable();
    Ok(Told { bytes, took })
}
