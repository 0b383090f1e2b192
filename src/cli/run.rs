//! `node` without a command: run a member until it is asked to leave.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::admin::Server;
use crate::cli::args::RunArgs;
use crate::cli::failure::{Code, Failure};
use crate::cli::hook::{self, Hook};
use crate::cli::logs::Logs;
use crate::cli::output::print;
use crate::cli::settings::Plan;
use crate::cli::signals::{Hangups, Signals, stdin_ends};
use crate::cli::supervisor::Supervisor;
use crate::cli::{reload, show};
use crate::runtime::{
    FailureClass, Handle, NODE_TARGET, Node, Notice, Outcome, Rejection, Subscription,
};
use crate::types::{ProposalId, Value};

/// How long one attempt at a proposal waits before it is made again under the same id.
const ATTEMPT: Duration = Duration::from_secs(5);

/// How long to wait before a proposal is repeated that a node could not take.
const PAUSE: Duration = Duration::from_millis(50);

/// How long nothing new may be committed before a node that has what it wanted leaves:
/// others hear of the last commits from it.
const QUIET: Duration = Duration::from_millis(500);

/// How long to wait for that at most.
const LINGER: Duration = Duration::from_secs(10);

/// Runs the node of this plan.
pub(super) async fn serve(args: &RunArgs, plan: Plan, logs: &Logs) -> Result<(), Failure> {
    for ignored in &plan.ignored {
        tracing::warn!(
            target: NODE_TARGET,
            what = ignored.what.as_str(), place = %ignored.origin, hint = ignored.hint.as_str(),
            "setting.ignored"
        );
    }
    let config = plan.settings.node.clone();
    let no_signals = |error| Failure::new(Code::Configuration, format!("no signals: {error}"));
    let mut signals = Signals::listen().map_err(no_signals)?;
    // Without a file there is nothing to read anew: the signal does what it always does.
    let hangups = Hangups::listen(plan.has_file).map_err(no_signals)?;
    let place = config.data_dir.display().to_string();
    let admin = config.admin.clone();
    let hook = args.on_commit.as_deref().map(|command| Hook::open(command, &config.data_dir));
    let hook = hook.transpose()?;
    let supervisor = Supervisor::find();
    supervisor.starting().await;
    let mut node = tokio::select! {
        started = Node::start(config) => {
            started.map_err(|error| failure(error.class(), &error, &place))?
        }
        // A long log is still being read: nothing was promised in this life.
        () = signals.next() => {
            supervisor.stopping().await;
            return left_early(args);
        }
    };
    node.handle().metrics().count_lines_dropped_in(Arc::clone(&logs.dropped));
    let server = match &admin {
        None => None,
        Some(admin) => match Server::start(node.handle().clone(), admin).await {
            Ok(server) => Some(server),
            Err(error) => {
                // This is the failure to tell; the node has nothing to add to it.
                let _ = node.stop().await;
                return Err(failure(error.class(), &error, &place));
            }
        },
    };

    supervisor.ready().await;
    let handle = node.handle().clone();
    let stop_hook = CancellationToken::new();
    let hook = hook.map(|hook| tokio::spawn(hook.run(handle.clone(), stop_hook.clone())));
    let news = args.exit_after_commit.then(|| handle.subscribe());
    let wanted = async {
        offer(&handle, &plan.proposals).await?;
        let Some(news) = news else { return std::future::pending().await };
        until_quiet(news, plan.proposals.is_empty()).await;
        Ok(())
    };
    let ended = tokio::select! {
        ended = wanted => ended,
        () = reload::on_hangups(hangups, &args.settings, plan.settings, &handle, logs, &supervisor) => Ok(()),
        () = supervisor.keep_told(&handle) => Ok(()),
        () = signals.next() => left_early(args),
        () = stdin_ends(args.until_stdin_ends) => left_early(args),
        ended = node.wait() => {
            return ended.map_err(|error| failure(error.class(), &error, &place));
        }
    };
    supervisor.stopping().await;
    stop_hook.cancel();
    let leaving = async {
        if let Some(hook) = hook {
            // What is cut off here is told again by the next life.
            let _ = timeout(hook::GRACE, hook).await;
        }
        if let Some(server) = server {
            server.stop().await;
        }
        node.stop().await
    };
    tokio::select! {
        stopped = leaving => {
            stopped.map_err(|error| failure(error.class(), &error, &place))?;
            ended
        }
        // Asked twice: at once.
        () = signals.next() => ended,
    }
}

/// Why a node does not start, or stopped. Its texts name the next step themselves.
fn failure(class: FailureClass, what: &impl ToString, directory: &str) -> Failure {
    let failure = Failure::new(Code::Node(class), what.to_string());
    match class {
        FailureClass::Identity | FailureClass::Storage => failure.at(directory),
        FailureClass::AddressInUse | FailureClass::Configuration => failure,
    }
}

/// Proposes in order, each until it is decided, and prints what became of it.
async fn offer(handle: &Handle, proposals: &[(ProposalId, Value)]) -> Result<(), Failure> {
    for (id, value) in proposals {
        let outcome = loop {
            match handle.propose_as(*id, value.clone(), None, ATTEMPT).await {
                // Asking again under the same id is safe.
                Outcome::Unknown => {}
                Outcome::Rejected(Rejection::NotFormed | Rejection::Busy) => sleep(PAUSE).await,
                outcome => break outcome,
            }
        };
        print(&show::outcome(*id, &(&outcome).into()))?;
        if let Outcome::Rejected(why) = outcome {
            return Err(Failure::new(Code::Rejected, why.to_string()).at(format!("proposal {id}")));
        }
    }
    Ok(())
}

/// Waits until nothing new was committed for a while; if `for_one`, not before something was.
async fn until_quiet(mut news: Subscription, for_one: bool) {
    let is_commit = |notice: &Notice| matches!(notice, Notice::Committed(_) | Notice::Missed(_));
    if for_one {
        while news.next().await.is_some_and(|notice| !is_commit(&notice)) {}
    }
    let quiet = async {
        loop {
            let commit =
                async { while news.next().await.is_some_and(|notice| !is_commit(&notice)) {} };
            if timeout(QUIET, commit).await.is_err() {
                return;
            }
        }
    };
    // A busy cluster is never quiet; it does not need this node to hear of its commits either.
    let _ = timeout(LINGER, quiet).await;
}

/// Asked to leave: no failure, unless the caller waits for a commit that did not come.
fn left_early(args: &RunArgs) -> Result<(), Failure> {
    if !args.exit_after_commit {
        return Ok(());
    }
    Err(Failure::new(Code::Unknown, "left before the commit that --exit-after-commit waits for")
        .hint("it may still commit; repeat with the same --request-id, or see `node log`"))
}
