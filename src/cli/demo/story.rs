//! What happens in the demo, step by step. Each step waits for what it names, and fails if it does not come.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use crate::admin::api::{LogContent, LogEntry, ProposeOutcome, ProposeRequest};
use crate::cli::demo::Stage;
use crate::cli::demo::member::{Line, Member, text};
use crate::cli::demo::screen::Screen;
use crate::cli::{settings, show};
use crate::types::Slot;

/// How long something asked for again and again may take to come true.
const PATIENCE: Duration = Duration::from_secs(15);

/// Between two such questions.
const PAUSE: Duration = Duration::from_millis(10);

type Told<T = ()> = Result<T, String>;

pub(super) async fn tell(screen: &Screen, stage: &Stage, members: &mut [Member]) -> Told {
    screen.step("They start and find each other");
    meet(screen, members).await?;

    screen.step("A value is proposed at one of them; every node counts the votes itself");
    agree(screen, members, 1, "blue", &[0, 1, 2]).await?;

    screen.step("The proposer is killed: kill -9, no goodbye");
    let (dead, witness) = find_proposer(members).await?;
    screen.event(
        &members[dead].name,
        &format!("proposes in this round; process {} is killed now", members[dead].pid()),
    );
    let killed = Instant::now();
    members[dead].kill().await?;

    screen.step("Two of three are a majority: they agree again");
    let survivors: Vec<_> = (0..members.len()).filter(|index| *index != dead).collect();
    agree(screen, members, witness, "green", &survivors).await?;
    screen.good(&format!("agreed again {} ms after the kill", killed.elapsed().as_millis()));

    screen.step("The killed one comes back and catches up");
    let restarted = Instant::now();
    members[dead] =
        stage.start_one(dead).map_err(|error| format!("the restart failed: {error}"))?;
    return_home(screen, members, dead, witness).await?;
    screen.good(&format!(
        "{} has all of it {} ms after its start",
        members[dead].name,
        restarted.elapsed().as_millis()
    ));
    agree(screen, members, dead, "red", &[0, 1, 2]).await?;

    screen.step("Three logs, compared entry by entry");
    compare(screen, members).await?;

    for member in members.iter_mut() {
        member.leave().await?;
    }
    screen.good(&format!(
        "passed in {:.1} s; all processes have left, their files are removed",
        screen.seconds()
    ));
    Ok(())
}

async fn meet(screen: &Screen, members: &mut [Member]) -> Told {
    for member in members.iter_mut() {
        let address = member.listens().await?;
        screen.event(&member.name, &format!("listens on {address} (process {})", member.pid()));
    }
    for member in members.iter_mut() {
        let first = member.line("peer.online").await?;
        let first = text(&first, "peer");
        // One whose link was lost in between is online again.
        let second = member.line_where("peer.online", |line| text(line, "peer") != first).await?;
        screen.event(&member.name, &format!("has met {first} and {}", text(&second, "peer")));
    }
    for member in members.iter_mut() {
        let epoch = member.line("epoch.formed").await?;
        if member.name == "n1" {
            let quorum = epoch.get("quorum").map(ToString::to_string).unwrap_or_default();
            screen.good(&format!(
                "epoch 1 is formed of {}: {quorum} votes decide",
                text(&epoch, "members")
            ));
        }
    }
    Ok(())
}

/// Proposes at one member and waits until all of `by` say that it is committed and durable there.
async fn agree(
    screen: &Screen,
    members: &mut [Member],
    at: usize,
    value: &str,
    by: &[usize],
) -> Told {
    screen.event(&members[at].name, &format!("is asked to propose {value:?}"));
    let slot = propose(&members[at], value).await?;
    for index in by {
        let member = &mut members[*index];
        let line =
            member.line_where("value.committed", |line| slot_of(line) == Some(slot.0)).await?;
        screen.event(&member.name, &commit_line(&line));
    }
    screen.good(&format!("slot {slot} is {value:?}, for ever, at {} nodes", by.len()));
    Ok(())
}

/// A node's own line of a commit, as it prints it.
fn commit_line(line: &Line) -> String {
    let mut told = text(line, "event").to_owned();
    for field in ["slot", "value", "votes", "round", "proposer", "took"] {
        match line.get(field) {
            Some(serde_json::Value::String(text)) if field != "value" => {
                told += &format!(" {field}={text}")
            }
            Some(value) => told += &format!(" {field}={value}"),
            None => {}
        }
    }
    told
}

fn slot_of(line: &Line) -> Option<u64> {
    line.get("slot").and_then(serde_json::Value::as_u64)
}

/// Proposes until it is decided, always under one id.
async fn propose(member: &Member, value: &str) -> Told<Slot> {
    let request = ProposeRequest {
        value: value.to_owned(),
        request_id: Some(settings::new_id()),
        wait: true,
        timeout: Some("5s".to_owned()),
        until: None,
    };
    let deciding = async {
        loop {
            let answer = member.client().propose(&request, Duration::from_secs(5)).await;
            match answer.map_err(|error| error.to_string())?.outcome {
                ProposeOutcome::Committed { slot, .. } | ProposeOutcome::Duplicate { slot } => {
                    return Ok(slot);
                }
                ProposeOutcome::Rejected { .. }
                | ProposeOutcome::Unknown
                | ProposeOutcome::Pending => {
                    sleep(PAUSE).await;
                }
            }
        }
    };
    let late = || format!("{value:?} was not decided within {PATIENCE:?} at {}", member.name);
    timeout(PATIENCE, deciding).await.unwrap_or_else(|_| Err(late()))
}

/// Who proposes in the round under way, and one who does not.
async fn find_proposer(members: &[Member]) -> Told<(usize, usize)> {
    let mut ids = Vec::new();
    let mut proposer = None;
    for member in members {
        let status = member.client().status().await.map_err(|error| error.to_string())?;
        ids.push(status.id);
        proposer = proposer.or(status.proposer);
    }
    let dead =
        ids.iter().position(|id| Some(*id) == proposer).ok_or("nobody knows the proposer")?;
    Ok((dead, (dead + 1) % members.len()))
}

/// Waits until the restarted member holds what the witness holds.
async fn return_home(screen: &Screen, members: &mut [Member], back: usize, witness: usize) -> Told {
    let wanted =
        members[witness].client().status().await.map_err(|error| error.to_string())?.committed;
    let member = &mut members[back];
    let recovered = member.line("log.recovered").await?;
    let held = recovered.get("entries").map(ToString::to_string).unwrap_or_default();
    screen.event(
        &member.name,
        &format!("is back as process {}; its own log holds {held} of the entries", member.pid()),
    );
    member.listens().await?;
    let client = member.client();
    let catching_up = async {
        loop {
            let status = client.status().await.map_err(|error| error.to_string())?;
            if status.committed.slot >= wanted.slot {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
    };
    let late = || format!("{} did not catch up within {PATIENCE:?}", members[back].name);
    timeout(PATIENCE, catching_up).await.unwrap_or_else(|_| Err(late()))
}

/// All logs side by side; every entry's hash names the whole log up to it.
async fn compare(screen: &Screen, members: &[Member]) -> Told {
    let mut logs = Vec::new();
    for member in members {
        let log = member.client().log(Slot(1), 1_000, true).await;
        logs.push(log.map_err(|error| error.to_string())?.entries);
    }
    let head = ["slot", "value", "n1", "n2", "n3"].map(str::to_owned);
    let rows: Vec<[String; 5]> = logs[0]
        .iter()
        .enumerate()
        .map(|(index, entry)| {
            let hash = |log: &Vec<LogEntry>| {
                log.get(index).map_or("-".to_owned(), |entry| entry.hash.short())
            };
            [entry.slot.to_string(), content(entry), hash(&logs[0]), hash(&logs[1]), hash(&logs[2])]
        })
        .collect();
    screen.block(&show::table(&head, &rows));
    if logs.iter().any(|log| *log != logs[0]) {
        return Err("the logs differ".to_owned());
    }
    let digest = logs[0].last().map(|entry| entry.hash.to_string()).ok_or("the logs are empty")?;
    screen.good(&format!("{} entries, three times the same, digest {digest}", rows.len()));
    Ok(())
}

fn content(entry: &LogEntry) -> String {
    match &entry.content {
        LogContent::Value { value, .. } => show::quoted(value),
        LogContent::Config { .. } => "(members)".to_owned(),
        LogContent::Noop => "(nothing)".to_owned(),
    }
}
