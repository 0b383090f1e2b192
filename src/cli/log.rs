//! `node log`: the log that the cluster agreed on, and whether it is what its hashes say.

use serde::Serialize;

use crate::admin::Client;
use crate::admin::api::{LogContent, LogEntry, SCHEMA};
use crate::cli::args::{LogArgs, LogShape};
use crate::cli::ask::{client, ended, json, told};
use crate::cli::failure::{Code, Failure};
use crate::cli::output::{note, print_on};
use crate::cli::show;
use crate::consensus::{Content, Entry, Kind, Proposal};
use crate::types::{Position, Slot, Value};

/// How many entries are asked for at once; the node may send fewer.
const PAGE: usize = 1_000;

/// An entry as one line of JSON.
#[derive(Serialize)]
struct Line<'e> {
    schema: u32,
    #[serde(flatten)]
    entry: &'e LogEntry,
}

pub(super) async fn log(args: &LogArgs) -> Result<(), Failure> {
    let client = client(&args.asked)?;
    let shape = if args.json { LogShape::Json } else { args.format };
    let from = Slot(args.from.max(1));
    let mut chain = if args.verify { Some(Chain::before(&client, from).await?) } else { None };
    if args.follow {
        follow(args, &client, shape, from, &mut chain).await?;
    } else {
        print_all(args, &client, shape, from, &mut chain).await?;
    }
    if let Some(chain) = chain {
        note(&chain.verdict());
    }
    Ok(())
}

async fn follow(
    args: &LogArgs,
    client: &Client,
    shape: LogShape,
    from: Slot,
    chain: &mut Option<Chain>,
) -> Result<(), Failure> {
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut next = from;
    let mut entries = client.follow(from).await.map_err(told(client))?;
    while left > 0 {
        let entry = match entries.next().await {
            Ok(Some(entry)) => entry,
            Ok(None) => return Err(ended(client, None, Some(next))),
            Err(error) => return Err(ended(client, Some(error), Some(next))),
        };
        if let Some(chain) = chain {
            chain.add(&entry)?;
        }
        if !print_on(&line(shape, &entry)?)? {
            return Ok(());
        }
        next = entry.slot.next();
        left -= 1;
    }
    Ok(())
}

async fn print_all(
    args: &LogArgs,
    client: &Client,
    shape: LogShape,
    mut from: Slot,
    chain: &mut Option<Chain>,
) -> Result<(), Failure> {
    let mut left = args.limit.unwrap_or(u64::MAX);
    // Only the first page asks a quorum what is newest: the rest was committed before it.
    let mut linearizable = !args.local;
    let mut through = Slot(u64::MAX);
    while left > 0 && from <= through {
        let limit = usize::try_from(left).unwrap_or(PAGE).min(PAGE);
        let page = client.log(from, limit, linearizable).await.map_err(told(client))?;
        if page.entries.is_empty() {
            break;
        }
        if linearizable || through == Slot(u64::MAX) {
            (linearizable, through) = (false, page.committed.slot);
        }
        if let Some(chain) = chain {
            page.entries.iter().try_for_each(|entry| chain.add(entry))?;
        }
        let lines: Result<String, _> =
            page.entries.iter().map(|entry| line(shape, entry)).collect();
        if !print_on(&lines?)? {
            return Ok(());
        }
        left -= u64::try_from(page.entries.len()).unwrap_or(left).min(left);
        from = page.next;
    }
    Ok(())
}

fn line(shape: LogShape, entry: &LogEntry) -> Result<String, Failure> {
    match shape {
        LogShape::Text => Ok(show::entry(entry)),
        LogShape::Json => json(&Line { schema: SCHEMA, entry }),
        LogShape::Raw => Ok(show::raw(entry)),
    }
}

/// The hash chain, followed from one entry to the next.
struct Chain {
    place: String,
    /// Where it starts.
    anchor: Position,
    tip: Position,
}

impl Chain {
    /// The chain up to the entry before `from`: nothing, or as the node tells it.
    async fn before(client: &Client, from: Slot) -> Result<Self, Failure> {
        let anchor = if from <= Slot(1) {
            Position::GENESIS
        } else {
            let page = client.log(from.previous(), 1, false).await.map_err(told(client))?;
            match page.entries.first() {
                Some(entry) if entry.slot == from.previous() => {
                    Position { slot: entry.slot, hash: entry.hash }
                }
                _ => {
                    let what = format!("slot {} is not committed there yet", from.previous());
                    return Err(Failure::new(Code::Rejected, what)
                        .at(client.address())
                        .hint("what follows it cannot be verified: start at an earlier slot"));
                }
            }
        };
        Ok(Self { place: client.address().to_string(), anchor, tip: anchor })
    }

    /// Takes the next entry, if its hash is what its content and the chain before it make.
    fn add(&mut self, told: &LogEntry) -> Result<(), Failure> {
        let wrong = |what: String| {
            Failure::new(Code::CheckFailed, what).at(format!("slot {} at {}", told.slot, self.place)).hint(
                "what this node shows is not what was agreed: compare with `node status --all` and \
                 `node log --verify` at another node, and check the disk of this one",
            )
        };
        let due = self.tip.slot.next();
        if told.slot != due {
            return Err(wrong(format!("slot {} comes where {due} is due", told.slot)));
        }
        let kind = match &told.content {
            LogContent::Value { request_id, value, until } => Kind::Value(Proposal {
                id: *request_id,
                value: Value::new(value.as_str()).map_err(|error| wrong(error.to_string()))?,
                until: *until,
            }),
            LogContent::Config { config } => Kind::Config(config.clone()),
            LogContent::Noop => Kind::Noop,
        };
        let entry = Entry::after(self.tip, Content { epoch: told.epoch, kind });
        let made = entry.position().hash;
        if made != told.hash {
            return Err(wrong(format!(
                "the entry makes the hash {made}, the node tells {}",
                told.hash
            )));
        }
        self.tip = entry.position();
        Ok(())
    }

    fn verdict(&self) -> String {
        let Self { anchor, tip, .. } = self;
        let count = tip.slot.0 - anchor.slot.0;
        match (count, anchor.slot.0) {
            (0, _) => "verified: no entries".to_owned(),
            (_, 0) => format!("verified: {count} entries from the first on, tip {}", tip.hash),
            _ => format!(
                "verified: {count} entries behind slot {}, taking its hash {} for true, tip {}",
                anchor.slot,
                anchor.hash.short(),
                tip.hash
            ),
        }
    }
}
