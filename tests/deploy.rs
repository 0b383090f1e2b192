//! What a service manager is told by the program, and when.
#![cfg(unix)]

#[path = "deploy/notify.rs"]
mod notify;
#[expect(dead_code, reason = "others need more of it")]
#[path = "support/process.rs"]
mod process;
