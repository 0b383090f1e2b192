//! Who may ask: the token, and what is answered without one.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use quorate::admin::{Client, ClientError, ServeError, Server, Token};
use quorate::config::AdminConfig;
use quorate::runtime::FailureClass;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::support::{Cluster, within};
use super::{LOOPBACK, Served, code, commit, get, raw};

const TOKEN: &str = "5f1d7a84c3b2496e9d08";

fn token_file(directory: &tempfile::TempDir) -> PathBuf {
    let path = directory.path().join("token");
    std::fs::write(&path, format!("{TOKEN}\n")).expect("a file");
    path
}

#[tokio::test]
async fn nothing_listens_beyond_loopback_without_a_token() {
    let cluster = Cluster::start(1).await;
    let everywhere = AdminConfig { bind: IpAddr::from([0, 0, 0, 0]), ..LOOPBACK };
    let refused =
        Server::start(cluster.handle(0).clone(), &everywhere).await.expect_err("no token");
    assert!(matches!(refused, ServeError::Exposed { .. }), "{refused}");
    assert_eq!(refused.class(), FailureClass::Configuration);

    let directory = tempfile::tempdir().expect("a directory");
    let missing = AdminConfig { token_file: Some(directory.path().join("none")), ..everywhere };
    let refused = Server::start(cluster.handle(0).clone(), &missing).await.expect_err("no file");
    assert!(matches!(refused, ServeError::Token(_)), "{refused}");

    let everywhere = AdminConfig { token_file: Some(token_file(&directory)), ..missing };
    let server = Server::start(cluster.handle(0).clone(), &everywhere).await.expect("a start");
    let port = server.address().port();
    let client = Client::new(([127, 0, 0, 1], port).into());
    let refused = within(client.status()).await.expect_err("no token was shown");
    assert!(matches!(refused, ClientError::Refused { status: 401, .. }), "{refused}");
    let client = client.with_token(Token::new(TOKEN).expect("a token"));
    commit(&client, "blue").await;
    within(server.stop()).await;
    cluster.end().await;
}

#[tokio::test]
async fn with_a_token_everything_but_health_wants_it() {
    let cluster = Cluster::start(1).await;
    let directory = tempfile::tempdir().expect("a directory");
    let config = AdminConfig { token_file: Some(token_file(&directory)), ..LOOPBACK };
    let server = Server::start(cluster.handle(0).clone(), &config).await.expect("a start");
    let address = server.address();
    for (method, path) in quorate::admin::routes() {
        let path = path.replace("{slot}", "1");
        for header in
            ["", "authorization: Bearer 5f1d7a84c3b2496e9d09\r\n", "authorization: Basic eA==\r\n"]
        {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{header}\r\n"
            );
            let answer = raw(address, request.as_bytes()).await;
            if ["/livez", "/readyz", "/"].contains(&path.as_str()) {
                assert_eq!(answer.0, 200, "{path}");
            } else {
                assert_eq!(code(answer), (401, "no_token".to_owned()), "{path}");
            }
        }
    }
    assert_eq!(code(get(address, "/no/such/path").await), (401, "no_token".to_owned()));
    within(server.stop()).await;
    cluster.end().await;
}

/// Asks for what the token is wanted for, on a connection that is kept.
async fn ask(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"GET /v1/log HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"}}") {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    assert!(answer.starts_with(b"HTTP/1.1 401"), "no token was shown");
    Ok(())
}

#[tokio::test]
async fn a_crowd_that_asks_again_and_again_makes_room_for_who_comes() {
    let cluster = Cluster::start(1).await;
    let directory = tempfile::tempdir().expect("a directory");
    let config = AdminConfig { token_file: Some(token_file(&directory)), ..LOOPBACK };
    let server = Server::start(cluster.handle(0).clone(), &config).await.expect("a start");
    let mut crowd = JoinSet::new();
    for _ in 0..256 {
        let mut stream = TcpStream::connect(server.address()).await.expect("a connection");
        within(ask(&mut stream)).await.expect("an answer");
        crowd.spawn(async move { while ask(&mut stream).await.is_ok() {} });
    }
    let (status, _) = within(get(server.address(), "/livez")).await;
    assert_eq!(status, 200);
    crowd.shutdown().await;
    within(server.stop()).await;
    cluster.end().await;
}

#[tokio::test]
async fn a_crowd_that_asks_nothing_makes_room_for_who_does() {
    let served = Served::start(1).await;
    let address = served.server.address();
    let began = Instant::now();
    let mut crowd = Vec::new();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(b"GET /livez HT").await.expect("it is taken");
        crowd.push(stream);
    }
    assert_eq!(get(address, "/livez").await.0, 200);
    let is_open = |stream: &TcpStream| {
        stream.try_read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    };
    let open = crowd.iter().filter(|stream| is_open(stream)).count();
    // Where all this took long, their own time may have ended.
    assert!(
        open > 200 || began.elapsed() > Duration::from_secs(4),
        "{open}: only the oldest are let go"
    );
    served.end().await;
}
