//! Plans against events.

pub(crate) mod detector;
pub(crate) mod value;
pub(crate) mod view;
