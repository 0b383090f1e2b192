//! What lies under `deploy/`, and the operator's handbook, held to the program: every flag, variable, port, path
//! and exit code in them is the program's own, and what a service manager is told is told in time.
//!
//! Where a tool of the trade is installed it is asked as well; where it is not, the test says so.
#![cfg(unix)]

#[path = "deploy/alerts.rs"]
mod alerts;
#[path = "deploy/cluster.rs"]
mod cluster;
#[path = "deploy/files.rs"]
mod files;
#[path = "deploy/handbook.rs"]
mod handbook;
#[path = "deploy/image.rs"]
mod image;
#[path = "support/nobody.rs"]
mod nobody;
#[path = "deploy/notify.rs"]
mod notify;
#[expect(dead_code, reason = "others need more of it")]
#[path = "support/process.rs"]
mod process;
#[path = "deploy/unit.rs"]
mod unit;
