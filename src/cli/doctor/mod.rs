//! `node doctor`: numbered checks of settings, machine and peers, before a node runs or beside it.

mod machine;
mod network;

use std::net::Ipv4Addr;

use serde::Serialize;

use crate::admin::api::{SCHEMA, StatusResponse};
use crate::admin::{Client, Token};
use crate::cli::args::DoctorArgs;
use crate::cli::ask::json;
use crate::cli::failure::{Code, Failure};
use crate::cli::output::{Paint, print};
use crate::cli::settings;
use crate::config::NodeConfig;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Good,
    Warning,
    Failed,
    Skipped,
}

/// One check.
#[derive(Serialize)]
struct Check {
    number: usize,
    name: String,
    state: State,
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// The checks so far, told as they come.
struct Book {
    checks: Vec<Check>,
    json: bool,
    paint: Paint,
}

#[derive(Serialize)]
struct Report {
    schema: u32,
    failed: usize,
    warnings: usize,
    checks: Vec<Check>,
}

impl Book {
    fn good(&mut self, name: &str, what: impl Into<String>) -> Result<(), Failure> {
        self.add(name, State::Good, what.into(), None)
    }

    fn skipped(&mut self, name: &str, what: impl Into<String>) -> Result<(), Failure> {
        self.add(name, State::Skipped, what.into(), None)
    }

    fn warning(&mut self, name: &str, what: impl Into<String>, hint: &str) -> Result<(), Failure> {
        self.add(name, State::Warning, what.into(), Some(hint))
    }

    fn failed(&mut self, name: &str, what: impl Into<String>, hint: &str) -> Result<(), Failure> {
        self.add(name, State::Failed, what.into(), Some(hint))
    }

    fn add(
        &mut self,
        name: &str,
        state: State,
        what: String,
        hint: Option<&str>,
    ) -> Result<(), Failure> {
        let (number, hint) = (self.checks.len() + 1, hint.map(str::to_owned));
        if !self.json {
            let word = match state {
                State::Good => self.paint.good("ok     "),
                State::Warning => self.paint.odd("warning"),
                State::Failed => self.paint.bad("FAILED "),
                State::Skipped => "skipped".to_owned(),
            };
            let mut text = format!("{number:>2}. {word}  {name}: {what}\n");
            if let Some(hint) = &hint {
                text += &format!("             hint: {hint}\n");
            }
            print(&text)?;
        }
        self.checks.push(Check { number, name: name.to_owned(), state, what, hint });
        Ok(())
    }

    fn count(&self, state: State) -> usize {
        self.checks.iter().filter(|check| check.state == state).count()
    }

    fn close(self) -> Result<(), Failure> {
        let (failed, warnings) = (self.count(State::Failed), self.count(State::Warning));
        let numbers: Vec<_> = self
            .checks
            .iter()
            .filter(|check| check.state == State::Failed)
            .map(|check| check.number.to_string())
            .collect();
        let total = self.checks.len();
        if self.json {
            print(&json(&Report { schema: SCHEMA, failed, warnings, checks: self.checks })?)?;
        } else {
            print(&format!("{total} checks, {failed} failed, {warnings} warnings\n"))?;
        }
        if failed == 0 {
            return Ok(());
        }
        let what = format!("{failed} of {total} checks failed: {}", numbers.join(", "));
        Err(Failure::new(Code::CheckFailed, what).hint("each says its next step"))
    }
}

/// What all checks look at.
struct Patient {
    config: NodeConfig,
    /// The node itself, if it runs and serves HTTP where the settings say.
    running: Option<(Client, StatusResponse)>,
}

pub(super) async fn doctor(args: &DoctorArgs) -> Result<(), Failure> {
    let wait = settings::duration("--wait", &args.wait)?;
    let mut book = Book { checks: Vec::new(), json: args.json, paint: Paint::of_stdout() };
    let gathered = settings::gather(&args.settings);
    for ignored in &gathered.ignored {
        book.warning("settings", ignored.what.as_str(), &ignored.hint)?;
    }
    let config = match gathered.resolve() {
        Ok((settings, _)) => settings.node,
        Err(faults) => {
            for fault in faults {
                let what = format!("{} ({})", fault.what, fault.origin);
                book.failed("settings", what, &fault.hint)?;
            }
            book.skipped("the rest", "it depends on the settings")?;
            return book.close();
        }
    };
    book.good("settings", format!("node {} of the cluster {}", config.name, config.cluster))?;
    let running = who_runs(&config).await;
    let patient = Patient { config, running };
    machine::check(&patient, &mut book)?;
    network::check(&patient, wait, &mut book).await?;
    book.close()
}

/// Who answers where this node would serve HTTP.
async fn who_runs(config: &NodeConfig) -> Option<(Client, StatusResponse)> {
    let admin = config.admin.as_ref().filter(|admin| admin.port != 0)?;
    let bind = if admin.bind.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { admin.bind };
    let client = Client::new((bind, admin.port).into());
    let client = match admin.token_file.as_deref().map(Token::read) {
        Some(Ok(token)) => client.with_token(token),
        _ => client,
    };
    let status = client.status().await.ok()?;
    Some((client, status))
}
