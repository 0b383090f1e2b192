//! Messages in: fresh or known, and for whom; own `Data` until it is acknowledged. Pure.

mod dispatcher;
mod outbox;
mod seen;

pub use dispatcher::{Arrival, Counts, Dispatcher};
pub use outbox::{Parcel, Receipt, Refused};
