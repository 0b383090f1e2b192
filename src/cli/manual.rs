//! `node completions`, `node man`: what shells and readers of manuals want, made from the grammar itself.

use std::fs;

use clap::{Command, CommandFactory};

use crate::cli::args::{Cli, CompletionsArgs, ManArgs};
use crate::cli::failure::{Code, Failure};
use crate::cli::output::print;

pub(super) fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "node", &mut script);
    print(&String::from_utf8_lossy(&script))
}

pub(super) fn man(args: &ManArgs) -> Result<(), Failure> {
    let mut command = Cli::command();
    command.build();
    let Some(directory) = &args.dir else {
        return print(&page(&command)?);
    };
    let failed = |error: std::io::Error| {
        Failure::new(Code::CheckFailed, format!("the pages cannot be written: {error}"))
            .at(directory.display())
            .hint("name a directory that this user may write")
    };
    fs::create_dir_all(directory).map_err(failed)?;
    let mut waiting = vec![command];
    while let Some(command) = waiting.pop() {
        let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
        fs::write(directory.join(format!("{name}.1")), page(&command)?).map_err(failed)?;
        let below = command.get_subcommands().filter(|below| below.get_name() != "help");
        waiting.extend(below.cloned());
    }
    Ok(())
}

fn page(command: &Command) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    clap_mangen::Man::new(command.clone())
        .render(&mut bytes)
        .map_err(|error| Failure::new(Code::CheckFailed, error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
