//! The commands that need no running node.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::Shell;

use crate::cli::args::{SettingArgs, help};

/// `node config …`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ConfigCommand {
    /// Prints a file that explains every setting, with those given here filled in
    #[command(after_help = help::MORE, after_long_help = help::CONFIG_INIT)]
    Init(InitArgs),
    /// Checks flags, environment and file, and tells all that is wrong at once
    #[command(after_help = help::MORE, after_long_help = help::CONFIG_CHECK)]
    Check(ShowArgs),
    /// Shows every setting as it would be used
    #[command(after_help = help::MORE, after_long_help = help::CONFIG_SHOW)]
    Show(ShowArgs),
}

/// `node config init`.
#[derive(Debug, Args)]
pub(in crate::cli) struct InitArgs {
    /// Write this file, which must not exist yet [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) output: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) settings: SettingArgs,
}

/// `node config check`, `node config show`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArgs {
    /// Tell where each setting is written
    #[arg(long)]
    pub(in crate::cli) origin: bool,
    /// Print JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
    #[command(flatten)]
    pub(in crate::cli) settings: SettingArgs,
}

/// `node doctor`.
#[derive(Debug, Args)]
pub(in crate::cli) struct DoctorArgs {
    /// How long to wait for a peer that dials this machine; 0s does without
    #[arg(long, value_name = "DURATION", default_value = "12s")]
    pub(in crate::cli) wait: String,
    /// Print JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
    #[command(flatten)]
    pub(in crate::cli) settings: SettingArgs,
}

/// `node completions`.
#[derive(Debug, Args)]
pub(in crate::cli) struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    pub(in crate::cli) shell: Shell,
}

/// `node man`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ManArgs {
    /// Write a page for every command into this directory, made if it is missing
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) dir: Option<PathBuf>,
}

/// `node version`.
#[derive(Debug, Args)]
pub(in crate::cli) struct VersionArgs {
    /// Print JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
}
