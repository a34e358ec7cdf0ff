//! The three stages that read the bus: detection, the index, the alert desk.

pub mod alert;
pub mod index;
pub mod rules;
