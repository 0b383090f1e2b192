//! `node version`: which program this is, and which formats it speaks.

use serde::Serialize;

use crate::admin::api::SCHEMA;
use crate::cli::args::VersionArgs;
use crate::cli::ask::json;
use crate::cli::failure::Failure;
use crate::cli::output::print;
use crate::storage::LOG_FORMAT;
use crate::wire::ProtocolRange;

/// What the program says of itself.
#[derive(Serialize)]
struct Version {
    schema: u32,
    version: &'static str,
    /// What it is built of, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<&'static str>,
    /// The versions of the protocol between nodes that it speaks.
    protocol: ProtocolRange,
    /// The first line of a data directory's `format`.
    log_format: &'static str,
}

pub(super) fn version(args: &VersionArgs) -> Result<(), Failure> {
    let version = Version {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        commit: option_env!("QUORATE_BUILD_COMMIT"),
        protocol: ProtocolRange::OURS,
        log_format: LOG_FORMAT,
    };
    if args.json {
        return print(&json(&version)?);
    }
    let commit = version.commit.unwrap_or("unknown (only release builds within a repository tell)");
    print(&format!(
        "node {}\ncommit      {commit}\nprotocol    {}\nlog format  {}\nJSON schema {}\n",
        version.version, version.protocol, version.log_format, version.schema
    ))
}
