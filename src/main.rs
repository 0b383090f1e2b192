//! The program `node`.

use std::process::ExitCode;

fn main() -> ExitCode {
    quorate::cli::main(std::env::args_os())
}
