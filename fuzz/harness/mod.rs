//! What a fuzz target does with its input. Plain functions: libFuzzer calls them, and so does
//! `tests/fuzz_corpus.rs` with the inputs that are kept. A finding is a panic.

pub mod admin;
pub mod config;
pub mod frames;
pub mod hello;
mod letters;
pub mod log;
pub mod message;
pub mod node;
mod script;
