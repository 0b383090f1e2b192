//! The HTTP interface of a node: its JSON, its server, and a client of it.

pub mod api;
mod client;
mod events;
pub mod frames;
mod health;
mod impatient;
mod metrics;
mod page;
mod places;
mod problem;
mod requests;
mod routes;
mod server;
mod shared;
mod token;

pub use client::{Client, ClientError, Following, Happening, Happenings, Kept};
pub use routes::routes;
pub use server::{ServeError, Server};
pub use token::{Token, TokenError};
