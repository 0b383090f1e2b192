//! The command line: what people type, what they read, and the exit code.

mod args;
mod ask;
mod bench;
mod config;
mod demo;
mod doctor;
mod failure;
mod format;
mod hook;
mod lines;
mod log;
mod logs;
mod manual;
mod output;
mod ping;
mod reload;
mod run;
mod settings;
mod show;
mod signals;
mod simulate;
mod status;
mod supervisor;
mod version;
mod watch;

use std::ffi::OsString;
use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use args::{Cli, Command};
use failure::{Code, Failure};
use output::{colours_wanted, print};

/// Does what the arguments say. Results go to standard output, logs and errors to standard error.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let done = match Cli::try_parse_from(&arguments) {
        Ok(cli) => obey(cli),
        Err(error) => told_by_clap(&error, &command_of(&arguments)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where nobody can read the reason, the exit code still tells it.
            let _ = write!(io::stderr(), "{failure}");
            ExitCode::from(failure.code.number())
        }
    }
}

fn obey(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        None => {
            let plan = settings::plan(&cli.run)?;
            // Dropped before a failure is told: the lines that led to it come first.
            let logs = logs::start(&plan.settings)?;
            wait_for(run::serve(&cli.run, plan, &logs)).map_err(|failure| logs.tell(failure))
        }
        Some(Command::Propose(args)) => wait_for(ask::propose(&args)),
        Some(Command::Status(args)) => wait_for(status::status(&args)),
        Some(Command::Peers(args)) => wait_for(ask::peers(&args)),
        Some(Command::Log(args)) => wait_for(log::log(&args)),
        Some(Command::Watch(args)) => wait_for(watch::watch(&args)),
        Some(Command::Send(args)) => wait_for(ask::send(&args)),
        Some(Command::Ping(args)) => wait_for(ping::ping(&args)),
        Some(Command::Config(command)) => config::config(&command),
        Some(Command::Doctor(args)) => wait_for(doctor::doctor(&args)),
        Some(Command::Demo) => wait_for(demo::demo()),
        Some(Command::Simulate(args)) => simulate::simulate(&args),
        Some(Command::Bench(args)) => wait_for(bench::bench(&args)),
        Some(Command::Completions(args)) => manual::completions(&args),
        Some(Command::Man(args)) => manual::man(&args),
        Some(Command::Version(args)) => version::version(&args),
    }
}

/// Runs a command on a runtime of its own.
fn wait_for(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Code::Configuration, error.to_string()))?;
    let done = runtime.block_on(command);
    // A name that nobody resolves and a disk that hangs keep their threads, and not the program.
    runtime.shutdown_background();
    done
}

/// The command, as far as one is known.
fn command_of(arguments: &[OsString]) -> String {
    let (mut command, mut words) = (Cli::command(), "node".to_owned());
    for word in arguments.iter().skip(1) {
        let Some(known) = command.find_subcommand(word).cloned() else { break };
        words = format!("{words} {}", known.get_name());
        command = known;
    }
    words
}

/// Help and version are results; anything else is a fault told in the house's shape.
fn told_by_clap(error: &clap::Error, command: &str) -> Result<(), Failure> {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let text = error.render();
        let colours = io::stdout().is_terminal() && colours_wanted();
        return print(&if colours { text.ansi().to_string() } else { text.to_string() });
    }
    let text = error.to_string();
    let fault = |what: &str| Failure::new(Code::Configuration, what).at("the command line");
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let what = format!("`{command}` wants a command behind it");
        return Err(fault(&what).hint(format!("`{command} --help` lists them")));
    }
    let (what, rest) = text.split_once("\n\n").unwrap_or((&text, ""));
    let what = what.trim().trim_start_matches("error: ").replace("\n  ", " ");
    let what = what.replace("invalid digit found in string", "it is no whole number");
    let tip = rest.lines().find_map(|line| line.trim().strip_prefix("tip: "));
    let hint =
        tip.map_or_else(|| format!("`{command} --help` shows what can be written"), str::to_owned);
    Err(fault(&what).hint(hint))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_thread_that_hangs_does_not_keep_the_program() {
        let (held, gate) = sync_channel::<()>(0);
        let (done, is_done) = sync_channel(1);
        std::thread::spawn(move || {
            let ended = wait_for(async {
                tokio::task::spawn_blocking(move || gate.recv());
                Ok(())
            });
            done.send(ended.is_ok()).expect("the test waits for it");
        });
        assert_eq!(is_done.recv_timeout(Duration::from_secs(20)), Ok(true));
        drop(held);
    }
}
