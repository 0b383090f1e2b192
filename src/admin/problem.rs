//! Errors of the HTTP interface: a status for machines, a code, a message and the next step.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::admin::api::{ErrorBody, ErrorResponse};
use crate::runtime::{ReadError, SendError, Stopped};
use crate::types::ValueError;

/// How much is told of a mistake, in characters: what it quotes may be as long as a body.
const TOLD_CHARS_MAX: usize = 200;

/// What is told of a mistake, cut where it is too long.
pub(super) fn cut(mut told: String) -> String {
    if let Some((end, _)) = told.char_indices().nth(TOLD_CHARS_MAX) {
        told.truncate(end);
        told.push('…');
    }
    told
}

/// Why a request is not answered with what it asked for.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    message: String,
    hint: &'static str,
}

impl Problem {
    pub(super) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
        hint: &'static str,
    ) -> Self {
        Self { status, code, message: cut(message.into()), hint }
    }

    pub(super) fn bad_request(message: impl Into<String>, hint: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message, hint)
    }

    /// A query that does not fit; the hint names what can be asked there.
    pub(super) fn query(rejection: &QueryRejection, hint: &'static str) -> Self {
        Self::bad_request(plainly(rejection.body_text()), hint)
    }

    pub(super) fn too_large(message: impl Into<String>) -> Self {
        let hint = "send it in parts, or store it elsewhere and propose its digest";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message, hint)
    }

    pub(super) fn unavailable(
        code: &'static str,
        message: impl Into<String>,
        hint: &'static str,
    ) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message, hint)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let error = ErrorBody {
            code: self.code.to_owned(),
            message: self.message,
            hint: self.hint.to_owned(),
        };
        (self.status, Json(ErrorResponse { error })).into_response()
    }
}

impl From<Stopped> for Problem {
    fn from(stopped: Stopped) -> Self {
        Self::unavailable("stopped", stopped.to_string(), "ask another node")
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        let (code, hint) = match error {
            ReadError::TimedOut => ("no_quorum", "see /v1/peers for who is missing, or read=local"),
            ReadError::Busy => ("busy", "try again in a moment, or at another node"),
            ReadError::NotFormed => {
                ("not_formed", "start every node of the list; see /v1/peers for who was met")
            }
            ReadError::Stopped => ("stopped", "ask another node"),
        };
        Self::unavailable(code, error.to_string(), hint)
    }
}

impl From<SendError> for Problem {
    fn from(error: SendError) -> Self {
        let message = error.to_string();
        match error {
            SendError::TooLong { .. } => Self::too_large(message),
            SendError::Busy => Self::unavailable("busy", message, "try again in a moment"),
            SendError::Stopped => Self::unavailable("stopped", message, "ask another node"),
        }
    }
}

impl From<ValueError> for Problem {
    fn from(error: ValueError) -> Self {
        let message = error.to_string();
        match error {
            ValueError::Empty => Self::bad_request(message, "give at least one byte"),
            ValueError::TooLong { .. } => Self::too_large(message),
        }
    }
}

/// What a library says of a request, without its words for its own doings.
fn plainly(said: String) -> String {
    const WORDS: [(&str, &str); 3] = [
        ("Failed to deserialize the JSON body into the target type: ", "the body does not fit: "),
        ("Failed to parse the request body as JSON: ", "the body is not JSON: "),
        ("Failed to deserialize query string: ", "the query does not fit: "),
    ];
    let found = WORDS.iter().find_map(|(theirs, ours)| Some((said.strip_prefix(theirs)?, ours)));
    found.map_or_else(|| said.clone(), |(rest, ours)| format!("{ours}{rest}"))
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        let message = plainly(rejection.body_text());
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::too_large(message),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not_json",
                message,
                "send JSON with the header content-type: application/json",
            ),
            _ => Self::bad_request(message, "send one JSON object with the fields of this request"),
        }
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request(rejection.body_text(), "a slot is a whole number from 1")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_short_and_cut_between_characters() {
        assert_eq!(cut("é".repeat(TOLD_CHARS_MAX)), "é".repeat(TOLD_CHARS_MAX));
        assert_eq!(cut("é".repeat(1_000_000)), "é".repeat(TOLD_CHARS_MAX) + "…");
    }
}
