//! The program as people use it: what it takes, what it says, and the code it ends with.

#[path = "../support/nobody.rs"]
mod nobody;
#[path = "../support/process.rs"]
mod process;

mod asking;
mod bench;
mod config;
mod doctor;
mod help;
mod hook;
mod membership;
mod running;
mod said;
mod watching;
mod wrong;
