//! Bodies of the HTTP interface: what clients send a node, and what a node answers its clients.

use quorate::Value;
use quorate::admin::api::{
    ErrorResponse, LogEntry, LogResponse, MessageRequest, MessageResponse, PeersResponse,
    ProposeRequest, ProposeResponse, StatusResponse,
};
use quorate::config::parse_duration;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The input is a body.
pub fn run(input: &[u8]) {
    if let Some(request) = same::<ProposeRequest>(input) {
        if let Some(timeout) = &request.timeout {
            let _ = parse_duration(timeout);
        }
        let _ = Value::new(request.value);
    }
    same::<MessageRequest>(input);
    same::<LogEntry>(input);
    same::<LogResponse>(input);
    same::<MessageResponse>(input);
    same::<PeersResponse>(input);
    if let Ok(response) = serde_json::from_slice::<ProposeResponse>(input) {
        serde_json::to_string(&response).expect("string keys only");
    }
    same::<StatusResponse>(input);
    same::<ErrorResponse>(input);
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = parse_duration(text);
    }
}

/// What the body says, if it says such a thing; written and read again it says the same.
fn same<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(body: &[u8]) -> Option<T> {
    let read: T = serde_json::from_slice(body).ok()?;
    let text = serde_json::to_string(&read).expect("string keys only");
    let again: T = serde_json::from_str(&text).expect("what is written can be read");
    assert_eq!(again, read);
    Some(read)
}
