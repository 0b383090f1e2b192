//! The HTTP interface of a node: its JSON, its server, and a client of it.

pub mod api;
mod client;
mod problem;
mod routes;
mod server;

pub use client::{Client, ClientError, Following};
pub use server::{ServeError, Server};
