//! Sekisho watches what leaves a network.
pub mod alert;
pub mod baseline;
pub mod capture;
pub mod decode;
pub mod detect;
pub mod egress;
pub mod flow;
pub mod frame;
pub mod net;
pub mod time;
