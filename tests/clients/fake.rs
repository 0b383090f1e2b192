//! An HTTP server that does to a client what a node that fails might do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};

use crate::process::PATIENCE;

/// What happens to one connection, once its request is there.
pub(crate) enum Deed {
    /// It is answered with these bytes, and closed.
    Say(String),
    /// The request is passed on to a node, and nobody is told of its answer.
    PassOnAndLose(String),
}

/// The server. Takes one connection after the other; refuses further ones.
pub(crate) struct Fake {
    pub(crate) address: String,
    /// The whole requests, as they came.
    pub(crate) requests: Receiver<String>,
}

impl Fake {
    pub(crate) fn start(deeds: Vec<Deed>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let (sender, requests) = sync_channel(deeds.len());
        std::thread::spawn(move || {
            for deed in deeds {
                let (mut stream, _) = listener.accept().expect("a client");
                let request = whole(&stream);
                let _ = sender.send(request.clone());
                match deed {
                    Deed::Say(answer) => stream.write_all(answer.as_bytes()).expect("it is read"),
                    Deed::PassOnAndLose(node) => {
                        let mut onward = TcpStream::connect(node).expect("the node listens");
                        onward.set_read_timeout(Some(PATIENCE)).expect("it takes timeouts");
                        onward.write_all(request.as_bytes()).expect("it takes the request");
                        let mut answer = String::new();
                        onward.read_to_string(&mut answer).expect("the node answers and closes");
                        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
                    }
                }
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
        Self { address, requests }
    }

    /// The next request that came.
    pub(crate) fn request(&self) -> String {
        self.requests.recv_timeout(PATIENCE).expect("a request")
    }
}

/// An answer in JSON, with this status.
pub(crate) fn json(status: &str, body: &str) -> Deed {
    let length = body.len();
    Deed::Say(format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    ))
}

/// A stream that breaks off behind `body`: in chunks, and without the last one.
pub(crate) fn stream(content_type: &str, body: &str) -> Deed {
    Deed::Say(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n",
        body.len()
    ))
}

fn whole(stream: &TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).expect("it takes timeouts");
    let (mut reader, mut request, mut length) = (BufReader::new(stream), String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line of the head");
        if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().expect("a number");
        }
        request += &line;
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    request + &String::from_utf8(body).expect("text")
}
