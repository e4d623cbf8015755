//! Sekisho watches what leaves a network.
pub mod capture;
pub mod decode;
pub mod flow;
pub mod frame;
pub mod net;
pub mod time;
