//! The three stages that read the bus: detection, the index, the alert desk.

pub(crate) mod alert;
pub(crate) mod index;
pub(crate) mod rules;
