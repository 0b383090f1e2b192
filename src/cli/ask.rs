//! Commands that ask a running node.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::admin::api::{MessageRequest, ProposeOutcome, ProposeRequest};
use crate::admin::{Client, ClientError};
use crate::cli::args::{Asked, PeersArgs, ProposeArgs, SendArgs};
use crate::cli::failure::{Code, Failure};
use crate::cli::output::print;
use crate::cli::{settings, show};
use crate::types::Slot;

pub(super) async fn propose(args: &ProposeArgs) -> Result<(), Failure> {
    let value = settings::value(&args.value)
        .map_err(|unfit| unfit.failure("the value on the command line"))?;
    let id = settings::id_or_new(args.request_id.as_deref())?;
    let timeout = settings::duration("--timeout", &args.timeout)?;
    let client = client(&args.asked)?;
    let request = ProposeRequest {
        value: value.as_str().to_owned(),
        request_id: Some(id),
        wait: true,
        timeout: Some(format!("{}ms", timeout.as_millis())),
        until: args.until.map(Slot),
    };
    let response = client.propose(&request, timeout).await.map_err(|error| match error {
        // The request may have arrived before the connection broke.
        ClientError::Unreachable { .. } => told(&client)(error)
            .hint(format!("{NAME_ANOTHER}; to ask again is safe with --request-id {id}")),
        _ => told(&client)(error),
    })?;
    print(&if args.json { json(&response)? } else { show::outcome(id, &response.outcome) })?;
    match response.outcome {
        ProposeOutcome::Committed { .. } | ProposeOutcome::Duplicate { .. } => Ok(()),
        ProposeOutcome::Rejected { why } => {
            // What, and behind a colon the next step.
            let (what, hint) = why.split_once(": ").unwrap_or((&why, "see `node status`"));
            Err(Failure::new(Code::Rejected, what).at(client.address()).hint(hint))
        }
        ProposeOutcome::Unknown | ProposeOutcome::Pending => {
            Err(undecided(&client, id, timeout).await)
        }
    }
}

/// What an undecided proposal means to its client: the node knows whether there is a quorum at all.
async fn undecided(client: &Client, id: impl fmt::Display, timeout: Duration) -> Failure {
    let again = format!("it may still commit; ask again with --request-id {id}, which is safe");
    match client.status().await {
        Ok(status) if !status.ready => {
            let what = format!(
                "no quorum: {} of {} needed members are heard",
                status.heard,
                status.quorum.unwrap_or(0)
            );
            Failure::new(Code::NoQuorum, what)
        }
        _ => Failure::new(Code::Unknown, format!("not decided within {timeout:?}")),
    }
    .at(client.address())
    .hint(again)
}

pub(super) async fn peers(args: &PeersArgs) -> Result<(), Failure> {
    let client = client(&args.asked)?;
    let peers = client.peers().await.map_err(told(&client))?;
    print(&if args.json { json(&peers)? } else { show::peers(&peers.peers) })
}

pub(super) async fn send(args: &SendArgs) -> Result<(), Failure> {
    let text = settings::text(&args.text)
        .map_err(|unfit| unfit.failure("the text on the command line"))?;
    let client = settings::client(&args.asked)?;
    let request = MessageRequest { to: args.to.clone(), text };
    let delivery = client.send(&request).await.map_err(told(&client))?;
    if args.json {
        print(&json(&delivery)?)?;
    } else {
        let peers = client.peers().await.map_err(told(&client))?;
        print(&show::delivery(&delivery, &peers.peers))?;
    }
    if delivery.missing.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Code::Unknown,
        format!("{} did not say in time that they have it", delivery.missing.len()),
    )
    .at(client.address())
    .hint("they may have it nevertheless; see `node peers`"))
}

/// A client of the node that is asked.
pub(super) fn client(asked: &Asked) -> Result<Client, Failure> {
    settings::client(asked)
}

/// The next step where nobody answers.
pub(super) const NAME_ANOTHER: &str =
    "start it, or name its HTTP interface with --admin HOST:PORT or --port PORT";

/// The next step after a refusal, for whoever asked with this program; none if what the node says serves.
fn next_step(code: &str) -> Option<&'static str> {
    match code {
        "no_quorum" => {
            Some("see `node status` for who is missing; `node log --local` needs no quorum")
        }
        "not_formed" => {
            Some("start every node of the list; see `node status` for who is not met yet")
        }
        "no_such_peer" => Some("see `node peers` for ids and names"),
        "ambiguous_peer" => Some("give its id instead; `node peers --json` tells it"),
        "no_token" => Some("name the file of the node's token with --token-file"),
        _ => None,
    }
}

/// Why this node did not do what it was asked.
pub(super) fn told(client: &Client) -> impl Fn(ClientError) -> Failure + use<> {
    let asked = client.address();
    move |error| match error {
        ClientError::Unreachable { address, why } => {
            Failure::new(Code::Unreachable, format!("no node answers there: {why}"))
                .at(address)
                .hint(NAME_ANOTHER)
        }
        ClientError::Strange { address, what } => {
            Failure::new(Code::Unreachable, format!("what answers there is no node: {what}"))
                .at(address)
                .hint("name the HTTP interface of a node of this version with --admin HOST:PORT")
        }
        ClientError::Refused { status, error } => {
            let code = match (error.code.as_str(), status) {
                ("no_quorum" | "not_formed", _) => Code::NoQuorum,
                (_, 400..500) => Code::Rejected,
                _ => Code::Unknown,
            };
            let hint = next_step(&error.code).map_or(error.hint, str::to_owned);
            Failure::new(code, error.message).at(asked).hint(hint)
        }
    }
}

/// Why a stream has no more, and from which slot it goes on, if that is known.
pub(super) fn ended(client: &Client, error: Option<ClientError>, next: Option<Slot>) -> Failure {
    let again = next.map_or_else(String::new, |next| format!(": --from {next}"));
    let hint = format!("go on at another one, or later{again}");
    let what = match error {
        None => "the node has ended the stream".to_owned(),
        Some(ClientError::Unreachable { why, .. }) => format!("the stream has broken: {why}"),
        Some(error) => return told(client)(error),
    };
    Failure::new(Code::Unreachable, what).at(client.address()).hint(hint)
}

/// One line of JSON.
pub(super) fn json(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(value);
    text.map(|text| text + "\n").map_err(|error| Failure::new(Code::CheckFailed, error.to_string()))
}
