//! The clients in other languages, `examples/clients/`, against real nodes and against what no real node would do
//! to them: each test runs all of them. Where an interpreter is missing or too old, that is said aloud.

#[path = "clients/fake.rs"]
mod fake;
#[path = "clients/following.rs"]
mod following;
#[path = "clients/host.rs"]
mod host;
#[path = "clients/language.rs"]
mod language;
#[path = "support/nobody.rs"]
mod nobody;
#[path = "clients/peer.rs"]
mod peer;
#[path = "support/process.rs"]
#[expect(dead_code, reason = "others need more of it")]
mod process;
#[path = "clients/proposing.rs"]
mod proposing;
#[path = "clients/readme.rs"]
mod readme;
#[path = "clients/vectors.rs"]
mod vectors;

/// The root of the project.
fn root() -> &'static std::path::Path {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
}
