//! Ports that are taken, so that nobody else gets them, and at which nobody listens.

use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};

/// An address at which nobody listens, for as long as this lives: its port is taken, so that no other test
/// gets it meanwhile.
pub(crate) struct Nobody {
    pub(crate) address: String,
    _socket: Socket,
}

impl Nobody {
    pub(crate) fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
        let address = socket.local_addr().expect("it is bound").as_socket().expect("of IP");
        Self { address: address.to_string(), _socket: socket }
    }
}
