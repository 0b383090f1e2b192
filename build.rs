//! Tells the program which commit it is built of, where that is known without asking anybody.
//!
//! `QUORATE_COMMIT` wins, for packages built outside of a repository. A release build asks `git`; other
//! builds do not, so that a commit alone rebuilds nothing while one works.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=QUORATE_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    let given = std::env::var("QUORATE_COMMIT").ok().filter(|commit| !commit.trim().is_empty());
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = match given {
        Some(commit) => Some(commit.trim().to_owned()),
        None if is_release => from_git(),
        None => None,
    };
    if let Some(commit) = commit {
        println!("cargo::rustc-env=QUORATE_BUILD_COMMIT={commit}");
    }
}

/// The commit of the repository whose root this is, and whether files differ from it.
fn from_git() -> Option<String> {
    let here = std::env::var("CARGO_MANIFEST_DIR").ok()?;
    let git = |arguments: &[&str]| {
        let done = Command::new("git").arg("-C").arg(&here).args(arguments).output().ok()?;
        let text = done.status.success().then_some(done.stdout)?;
        Some(String::from_utf8(text).ok()?.trim().to_owned())
    };
    // Sources that lie within somebody else's repository are not of its commit.
    let top = git(&["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != Path::new(&here).canonicalize().ok()? {
        return None;
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let moves = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    for path in [moves.as_str(), "src", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={path}");
    }
    let differs = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(if differs { format!("{commit}+changes") } else { commit })
}
