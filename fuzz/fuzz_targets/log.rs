//! Hands what libFuzzer makes to `harness::log`.
#![no_main]

#[path = "../harness/mod.rs"]
#[allow(dead_code, reason = "each target uses one of them")]
mod harness;

libfuzzer_sys::fuzz_target!(|input: &[u8]| harness::log::run(input));
