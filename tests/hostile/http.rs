//! The HTTP interface: huge bodies and heads, slowness, wrong hosts, foreign pages, no token.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use quorate::limits;

use crate::process::{PATIENCE, program};
use crate::siege::{KIB, MIB, Siege};

/// What one connection may cost: the longest head, its buffers, and a body of the longest value with every byte
/// written as six, as text and as the value made of it.
const CONNECTION: u64 = 64 * KIB;
const BODY: u64 = 3 * 6 * limits::VALUE_BYTES_MAX as u64 + MIB;

fn open(door: &str) -> TcpStream {
    let address: SocketAddr = door.parse().expect("an address");
    let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("it takes timeouts");
    stream.set_write_timeout(Some(PATIENCE)).expect("it takes timeouts");
    stream
}

/// The answer up to the close.
fn answer(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset behind an answer is a close, too: the rest of the request was not wanted.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8(bytes).expect("text")
}

fn ask(door: &str, request: &str) -> String {
    let mut stream = open(door);
    let _ = stream.write_all(request.as_bytes());
    answer(stream)
}

#[track_caller]
fn refused(answer: &str, status: u16, code: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(answer.contains(code), "{answer}");
}

const POST: &str = "POST /v1/proposals HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";

#[test]
fn a_hostile_client_harms_nobody() {
    let mut siege = Siege::start("HTTP", 1);
    let door = siege.machines.admins[0].clone();

    // Under way beside all other attacks: a body that comes at a byte a second.
    let slow = {
        let door = door.clone();
        thread::spawn(move || {
            let started = Instant::now();
            let mut stream = open(&door);
            let head =
                format!("{POST}content-type: application/json\r\ncontent-length: 1000\r\n\r\n{{");
            stream.write_all(head.as_bytes()).expect("it is taken");
            stream.set_read_timeout(Some(Duration::from_secs(1))).expect("it takes timeouts");
            let mut first = [0];
            loop {
                match stream.read(&mut first) {
                    Ok(1) => break,
                    Ok(_) => panic!("closed without an answer"),
                    Err(_) => stream.write_all(b" ").expect("it is taken"),
                }
                assert!(started.elapsed() < PATIENCE, "the node waits for ever");
            }
            (started.elapsed(), format!("H{}", answer(stream)))
        })
    };

    siege.case("no host, a foreign host, an address beyond loopback", CONNECTION, |_| {
        for host in
            ["", "host: evil.example\r\n", "host: 10.0.0.1\r\n", "host: localhost.evil.example\r\n"]
        {
            let answer =
                ask(&door, &format!("GET /v1/log HTTP/1.1\r\n{host}connection: close\r\n\r\n"));
            refused(&answer, 403, "wrong_host");
        }
        "403 wrong_host".to_owned()
    });

    siege.case("a foreign page posts a form", CONNECTION, |_| {
        for kind in
            ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
        {
            let body = r#"{"value":"forged"}"#;
            let length = body.len();
            let request =
                format!("{POST}content-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}");
            refused(&ask(&door, &request), 415, "not_json");
        }
        "415 not_json".to_owned()
    });

    siege.case("a value over the limit, empty; a body of 1 TB; one without end", 2 * BODY, |_| {
        let json = format!("{POST}content-type: application/json\r\n");
        let long = format!(r#"{{"value":"{}"}}"#, "x".repeat(limits::VALUE_BYTES_MAX + 1));
        for (status, code, body) in
            [(413, "too_large", long.as_str()), (400, "bad_request", r#"{"value":""}"#)]
        {
            let length = body.len();
            refused(
                &ask(&door, &format!("{json}content-length: {length}\r\n\r\n{body}")),
                status,
                code,
            );
        }
        refused(
            &ask(&door, &format!("{json}content-length: 1000000000000\r\n\r\n")),
            413,
            "too_large",
        );
        let mut stream = open(&door);
        stream
            .write_all(format!("{json}transfer-encoding: chunked\r\n\r\n").as_bytes())
            .expect("taken");
        let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
        let sent = (0..16_384).take_while(|_| stream.write_all(chunk.as_bytes()).is_ok()).count();
        assert!(sent < 16_384, "a gigabyte was taken");
        "413 too_large, 400 bad_request".to_owned()
    });

    siege.case("a head without end, garbage", CONNECTION, |_| {
        let mut stream = open(&door);
        let lines = format!("x-long: {}\r\n", "x".repeat(1_000));
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n");
        let sent = (0..16_384).take_while(|_| stream.write_all(lines.as_bytes()).is_ok()).count();
        assert!(sent < 16_384, "16 MiB were taken");
        refused(&ask(&door, "\u{16}\u{3}\u{1} HTTP/1.1\r\n\r\n"), 400, "");
        "431, 400".to_owned()
    });

    siege.case("300 heads that never end", 300 * CONNECTION, |_| {
        let crowd: Vec<_> = (0..300)
            .map(|_| {
                let mut stream = open(&door);
                stream.write_all(b"GET /livez HT").expect("it is taken");
                stream
            })
            .collect();
        // More than are served at once: the honest wait until the first are cut off, not for ever.
        for stream in crowd {
            answer(stream);
        }
        "closed after 5 s".to_owned()
    });

    let (took, told) = slow.join().expect("it is answered");
    refused(&told, 408, "too_slow");
    assert!(took < PATIENCE);

    // No token is asked for on loopback; beyond it nothing can be served.
    for flag in ["--admin-bind", "--admin-host"] {
        let status = program().args([flag, "0.0.0.0"]).stderr(std::process::Stdio::null()).status();
        assert_eq!(status.expect("it starts").code(), Some(78));
    }
    assert!(door.starts_with("127.0.0.1:"), "{door}");
    siege.end();
}
