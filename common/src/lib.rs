//! What every service of the suite knows: the typed segment, the choice of the best
//! segments, the store, dates, HTTP, metrics and the life of a process.
//!
//! No service knows another; what two of them need lives here. See docs/ARCHITECTURE.md.

pub mod backdoor;
pub mod chat;
pub mod dateutil;
pub mod disk;
pub mod hedge;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod names;
pub mod segment;
pub mod selection;
pub mod serve;
pub mod service;
pub mod store;
pub mod tasks;
pub mod terminal;
pub mod timing;
