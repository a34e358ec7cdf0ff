//! One file per command.

pub mod alerts;
pub mod bus;
pub mod check;
pub mod doctor;
pub mod parse;
pub mod people;
pub mod replay;
pub mod rules;
pub mod run;
pub mod search;
pub mod tail;
