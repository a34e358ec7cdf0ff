//! Syslog headers, RFC 3164 as it is met in the wild and RFC 5424.

pub(crate) mod sd;
