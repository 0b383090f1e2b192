//! Whether the node lives, and whether a proposal made here can commit.

use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::admin::api::{Check, ErrorBody, HealthResponse, SCHEMA, UnreadyResponse};
use crate::admin::problem::Problem;
use crate::admin::shared::Shared;
use crate::engine::Quorum;
use crate::runtime::Status;

/// A node that does not look up for so long does not live.
const ALIVE_WITHIN: Duration = Duration::from_secs(3);

/// Whether the node's own loop turns; a quorum is none of its business.
pub(super) async fn live(State(shared): State<Shared>) -> Result<Json<HealthResponse>, Problem> {
    match tokio::time::timeout(ALIVE_WITHIN, shared.handle.status()).await {
        Ok(status) => {
            status?;
            let (schema, status) = (SCHEMA, "alive".to_owned());
            Ok(Json(HealthResponse { schema, status, checks: Vec::new() }))
        }
        Err(_) => Err(Problem::unavailable(
            "stuck",
            format!("the node did not look up for {ALIVE_WITHIN:?}"),
            "its machine is overloaded or it hangs: restart it, what it acknowledged stays",
        )),
    }
}

/// Whether a proposal made here can commit; `?verbose` lists what was looked at.
pub(super) async fn ready(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let is_verbose = match query.as_deref() {
        None | Some("") => false,
        Some("verbose" | "verbose=" | "verbose=true" | "verbose=1") => true,
        Some(other) => {
            let message = format!("{other:?} is not what can be asked here");
            return Err(Problem::bad_request(message, "ask /readyz or /readyz?verbose"));
        }
    };
    let status = shared.in_time(shared.handle.status()).await??;
    let failed = failed(&status);
    let checks = if is_verbose { checks(&status) } else { Vec::new() };
    let Some(problem) = failed else {
        let status = "ready".to_owned();
        return Ok(Json(HealthResponse { schema: SCHEMA, status, checks }).into_response());
    };
    let unready = UnreadyResponse { error: problem, checks };
    Ok((StatusCode::SERVICE_UNAVAILABLE, Json(unready)).into_response())
}

fn failed(status: &Status) -> Option<ErrorBody> {
    let (code, message, hint) = match status.engine.quorum {
        None => (
            "not_formed",
            "the cluster is not formed yet".to_owned(),
            "start every node of the list; see /v1/peers for who was met",
        ),
        Some(quorum) if !quorum.is_heard => (
            "no_quorum",
            format!("{} members are heard, {} are needed", quorum.heard, quorum.needed),
            "see /v1/peers for who is missing",
        ),
        Some(_) => return None,
    };
    Some(ErrorBody { code: code.to_owned(), message, hint: hint.to_owned() })
}

/// What was looked at. What is not required passes by itself or concerns one node, and takes no proposal away.
fn checks(status: &Status) -> Vec<Check> {
    let log = &status.engine.log;
    let quorum = status.engine.quorum;
    let check = |name: &str, is_required, is_ok, message: String| Check {
        name: name.to_owned(),
        required: is_required,
        ok: is_ok,
        message,
    };
    let members = log.config.as_ref().map_or(0, |config| config.members.len());
    let formed = match members {
        0 => "the cluster is not formed yet".to_owned(),
        _ => format!("{members} members"),
    };
    let heard = quorum.map_or_else(
        || "nobody can be counted yet".to_owned(),
        |Quorum { heard, needed, .. }| format!("{heard} of {members} heard, {needed} needed"),
    );
    let led = if log.led { "is led" } else { "is not led yet" };
    let sync = match log.is_disk_slow {
        true => format!("a record waits {} ms for its sync", log.sync_waits.as_millis()),
        false => "syncs come in time".to_owned(),
    };
    vec![
        check("formed", true, members > 0, formed),
        check("quorum", true, quorum.is_some_and(|quorum| quorum.is_heard), heard),
        check("led", false, log.led, format!("round {} {led}", log.round)),
        check("disk", false, !log.is_disk_slow, sync),
    ]
}
