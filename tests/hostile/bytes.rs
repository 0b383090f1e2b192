//! Bytes before any hello: noise, other protocols, wrong lengths, slowness and silence.

use std::thread;

use quorate::limits;

use crate::attacker::{Wire, framed};
use crate::siege::{KIB, Siege, count_lines};

/// What one connection may cost before its hello: its read buffer, as much again while that grows, the
/// longest frame of a hello, and its task.
const STRANGER: u64 = 2 * 64 * KIB + limits::HELLO_FRAME_BYTES_MAX as u64 + 16 * KIB;

/// What all of them may cost together.
const CROWD: u64 = limits::HANDSHAKES_MAX as u64 * STRANGER;

/// Bytes that look like chance (xorshift), from a seed.
fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

#[test]
fn bytes_before_the_hello_harm_nobody() {
    let mut siege = Siege::start("Bytes before the hello", 3);
    let port = siege.port();

    siege.case("random bytes, 1,000 connections", CROWD, |machines| {
        println!("seeds 0 to 999");
        for seed in 0..1_000 {
            let mut wire = Wire::open(port);
            // Never a length that is allowed here: then the rest would be waited for.
            wire.bytes(&[&[0x80 | seed as u8], noise(seed, 4 * 1024).as_slice()].concat());
            wire.closed();
        }
        let is_refusal = |line: &serde_json::Value| line["code"] == "oversized";
        let line = machines.processes[0].line("connection.refused", |line| {
            is_refusal(line) && line["suppressed"].as_u64() > Some(800)
        });
        let lines = count_lines(machines, 0, "connection.refused", is_refusal);
        assert!(lines <= 4, "{lines} lines of one thing from one place");
        format!(
            "connection.refused code=oversized, {lines} lines, suppressed={}",
            line["suppressed"]
        )
    });

    siege.case("HTTP at the peer port", STRANGER, |machines| {
        // From elsewhere: of one place the thousandth line of this code was just told.
        let mut wire = Wire::open_from(0x7f02_0001, port);
        wire.bytes(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        wire.closed();
        machines.processes[0]
            .line("connection.refused", |line| says(line, "HTTP interface has its own port"));
        "…this looks like HTTP: the HTTP interface has its own port".to_owned()
    });

    siege.case("TLS at the peer port", STRANGER, |machines| {
        let mut wire = Wire::open_from(0x7f02_0002, port);
        wire.bytes(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
        wire.closed();
        machines.processes[0].line("connection.refused", |line| says(line, "looks like TLS"));
        "…this looks like TLS: this port speaks plain frames".to_owned()
    });

    siege.case("a hello of noise, 1,000 connections", CROWD, |machines| {
        for seed in 0..1_000 {
            let mut wire = Wire::open(port);
            // Not even by chance UTF-8.
            wire.json(&[&[0xff], noise(seed, 1_000).as_slice()].concat());
            wire.closed();
        }
        let line = machines.processes[0].line("connection.refused", |line| {
            line["code"] == "bad_utf8" && line["suppressed"].as_u64() > Some(800)
        });
        format!("connection.refused code=bad_utf8, suppressed={}", line["suppressed"])
    });

    siege.case("length 0, 4 GiB, one over the limit", STRANGER, |machines| {
        let over = limits::HELLO_FRAME_BYTES_MAX as u32 + 1;
        for length in [0, u32::MAX, over] {
            let mut wire = Wire::open(port);
            wire.bytes(&length.to_be_bytes());
            wire.closed();
        }
        machines.processes[0].line("connection.refused", |line| line["code"] == "zero_length");
        "connection.refused code=zero_length, oversized".to_owned()
    });

    siege.case("a byte a second; half a frame, then silence", 16 * STRANGER, |machines| {
        let whole = framed(&noise(1, 1_000));
        let slow: Vec<_> = (0..8)
            .map(|_| {
                let (wire, bytes) = (Wire::open(port), whole.clone());
                thread::spawn(move || wire.trickle(&bytes))
            })
            .collect();
        let half: Vec<_> = (0..8)
            .map(|_| {
                let mut wire = Wire::open(port);
                wire.bytes(&whole[..500]);
                wire
            })
            .collect();
        half.into_iter().for_each(Wire::closed);
        for slow in slow {
            let took = slow.join().expect("it is cut off");
            assert!(took > limits::HANDSHAKE_DEADLINE / 2, "cut off for another reason: {took:?}");
        }
        let line = machines.processes[0].line("connection.refused", |line| {
            line["code"] == "deadline" && line["suppressed"].as_u64() > Some(0)
        });
        format!("connection.refused code=deadline reason=\"{}\"", line["reason"].as_str().unwrap())
    });

    siege.case("connect and say nothing, 1,000 connections", CROWD, |machines| {
        let mut crowd: Vec<_> = (0..1_000).map(|_| Wire::open(port)).collect();
        // The oldest makes room at once, the newest is cut off at its deadline.
        crowd.swap_remove(0).closed();
        crowd.pop().expect("a thousand").closed();
        let line = machines.processes[0].line("connection.refused", |line| {
            line["code"] == "crowd" && line["suppressed"].as_u64() > Some(80)
        });
        let lines = count_lines(machines, 0, "connection.refused", |line| {
            line["code"] == "crowd" || line["code"] == "deadline"
        });
        // Each of the two at powers of ten, and here of two cases.
        assert!(lines <= 2 * 4, "{lines} lines of a thousand connections");
        format!(
            "connection.refused code=crowd, suppressed={}, then code=deadline",
            line["suppressed"]
        )
    });

    siege.case("a crowd from a thousand addresses", STRANGER, |machines| {
        for host in 1..=1_000_u32 {
            let mut wire = Wire::open_from(0x7f01_0000 + host, port);
            wire.bytes(&[0; 4]);
            wire.closed();
        }
        let lines = count_lines(machines, 0, "connection.refused", |line| {
            line["source"].as_str().is_some_and(|source| source.starts_with("127.1."))
        });
        // 64 things are told apart, those of the attacks before among them; then all count as one.
        assert!((40..=70).contains(&lines), "{lines} lines");
        format!("{lines} lines connection.refused code=zero_length, the last with suppressed=…")
    });
    siege.end();
}

fn says(line: &serde_json::Value, what: &str) -> bool {
    line["reason"].as_str().is_some_and(|reason| reason.contains(what))
}
