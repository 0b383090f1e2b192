//! Settings: as written in flags, environment and file; as merged and checked.

mod address;
mod duration;
mod fault;
mod file;
mod key;
mod layer;
mod node;
mod resolve;
mod shown;

pub use address::{Address, AddressError};
pub use duration::parse_duration;
pub use fault::{Fault, Origin};
pub use file::{read_file, read_text};
pub use key::{Key, Kind};
pub use layer::{Environment, Layer, Written};
pub use node::{AdminConfig, LogFormat, NodeConfig, Settings};
pub use resolve::{admin_port, resolve};
pub use shown::{Shown, ShownValue, changed, shown};
