//! Sekisho watches what leaves a network.
pub mod capture;
pub mod decode;
pub mod frame;
pub mod net;
pub mod rules;
pub mod time;
