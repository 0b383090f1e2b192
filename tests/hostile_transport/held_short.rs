//! What a stranger is granted that has proven a key and nothing else: few bytes, little time, no belief.

use quorate::config::Address;
use quorate::wire::Refusal;
use tokio::net::TcpListener;

use super::*;

/// Waits until what is asked of the transport is so.
async fn until(node: &Node, is_so: impl Fn(&TransportStatus) -> bool) {
    let work = async {
        while !is_so(&node.transport.status()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, work).await.expect("it is so in time");
}

async fn up(node: &mut Node, peer: &Stranger) -> Wire {
    let wire = peer.link(node).await;
    assert!(matches!(node.next().await, Incoming::LinkUp { peer: up, .. } if up == peer.id()));
    wire
}

#[tokio::test]
async fn a_stranger_has_to_be_brief_and_a_member_does_not() {
    let mut node = Node::start_with(|config| config.link_silence_max = 3 * PATIENCE);
    let peer = Stranger::new(1);
    let mut wire = up(&mut node, &peer).await;
    let longest = limits::STRANGER_FRAME_BYTES_MAX as u32;
    wire.bytes(&(longest + 1).to_be_bytes()).await;
    assert_eq!(node.next().await, Incoming::LinkDown { peer: peer.id() });

    let mut wire = up(&mut node, &peer).await;
    node.transport.expect_members([peer.id()]);
    let long = peer.message(Payload::Data("x".repeat(limits::STRANGER_FRAME_BYTES_MAX).into()));
    wire.send(&long).await;
    assert_eq!(node.next().await, Incoming::Frames(vec![long]));
}

#[tokio::test]
async fn a_stranger_that_never_comes_to_the_end_of_a_frame_is_let_go() {
    let mut node = Node::start_with(|config| config.link_silence_max = Duration::from_millis(300));
    let peer = Stranger::new(1);
    let mut wire = up(&mut node, &peer).await;
    wire.bytes(&60_000_u32.to_be_bytes()).await;
    let trickle = async {
        // Once it is let go nobody takes the rest.
        while wire.stream.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = trickle => unreachable!("it never ends"),
        told = node.next() => assert_eq!(told, Incoming::LinkDown { peer: peer.id() }),
    }
}

#[tokio::test]
async fn a_handshake_ends_in_time_though_no_more_links_are_heard_of() {
    let node = Node::start_with(|config| config.handshake_deadline = Duration::from_secs(3));
    let mut crowd = Vec::new();
    // The inbox takes 64, and then the one task that decides about links waits.
    for seed in 0..70 {
        crowd.push(Stranger::new(seed).link(&node).await);
    }
    until(&node, |status| status.refused > 0).await;
}

#[tokio::test]
async fn a_stranger_that_speaks_of_a_newer_process_is_not_heard_before_the_cluster_is_formed() {
    let mut node = Node::start();
    let peer = Stranger::new(1);
    let refusal = Refusal { code: "duplicate_identity".into(), reason: "a newer one".into() };
    let says = peer.message(Payload::Pong(Pong { refused: Some(refusal), ..Pong::default() }));
    up(&mut node, &peer).await.send(&says).await;
    assert_eq!(node.next().await, Incoming::LinkDown { peer: peer.id() });

    node.transport.expect_members([peer.id()]);
    up(&mut node, &peer).await.send(&says).await;
    let doubled = Incoming::Doubled { by: peer.id(), name: "s1".to_owned() };
    assert_eq!(node.next().await, doubled);
}

/// A node that lists this address.
fn listing(listener: &TcpListener, change: impl FnOnce(&mut TransportConfig)) -> Node {
    let port = listener.local_addr().unwrap().port();
    Node::start_with(|config| {
        config.listed = vec![Address { host: "127.0.0.1".into(), port }];
        change(config);
    })
}

#[tokio::test]
async fn the_words_of_who_refuses_are_cut_and_control_no_terminal() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = listing(&listener, |_| ());
    let mut wire = Wire::around(listener.accept().await.unwrap().0);
    wire.next().await.expect("a hello");
    let reason = format!("\u{1b}[2Jall is well\n{}", "x".repeat(5_000));
    let refusal = Refusal { code: "full\u{7}".into(), reason };
    let pong = Pong { refused: Some(refusal), ..Pong::default() };
    wire.send(&Stranger::new(1).message(Payload::Pong(pong))).await;
    until(&node, |status| !status.obstacles.is_empty()).await;
    let why = node.transport.status().obstacles.remove(0).why;
    assert!(why.contains("all is well") && !why.contains(char::is_control), "{why:?}");
    assert!(why.chars().count() < 600, "{why}");
}

#[tokio::test]
async fn a_stranger_that_comes_and_goes_has_no_address_dialled_again_and_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut node = listing(&listener, |config| {
        config.redial_min = 3 * PATIENCE;
        config.redial_max = 3 * PATIENCE;
    });
    let dialled = tokio::spawn(async move {
        for dial in 1.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            // Whoever is there, it is no node.
            let _ = stream.write_all(&[0xff; 4]).await;
            assert!(dial <= 2, "once at the start, and once for all that come");
        }
    });
    until(&node, |status| !status.obstacles.is_empty()).await;
    for _ in 0..20 {
        node.serves().await;
    }
    assert!(!dialled.is_finished());
}
