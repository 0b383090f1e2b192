//! The hostile list against the real program: what strangers, liars and broken peers send to its ports.
//! After each attack the nodes live, their memory is bounded by stated limits, honest clients were served,
//! every descriptor is let go, and a line says what happened.
//!
//! `QUORATE_TEST_SECONDS=60` makes the floods as long as the list says.
#![cfg(target_os = "linux")]

#[path = "hostile/attacker.rs"]
mod attacker;
#[path = "hostile/bytes.rs"]
mod bytes;
#[path = "hostile/http.rs"]
mod http;
#[path = "hostile/links.rs"]
mod links;
#[path = "hostile/member.rs"]
mod member;
#[expect(dead_code, reason = "others need more of it")]
#[path = "support/process.rs"]
mod process;
#[path = "hostile/siege.rs"]
mod siege;

/// Whether the floods have their full length.
fn is_long() -> bool {
    std::env::var("QUORATE_TEST_SECONDS")
        .is_ok_and(|text| text.parse::<u64>().is_ok_and(|s| s >= 60))
}
