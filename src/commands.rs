//! One file per command.

pub(crate) mod alerts;
pub(crate) mod bus;
pub(crate) mod check;
pub(crate) mod doctor;
pub(crate) mod parse;
pub(crate) mod people;
pub(crate) mod replay;
pub(crate) mod rules;
pub(crate) mod run;
pub(crate) mod search;
pub(crate) mod tail;
