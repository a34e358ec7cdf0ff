//! `opencanary.events`: who touched an OpenCanary honeypot.
//!
//! Numbers of events are those of OpenCanary's `logger.py`: thousands are services.

use keng_event::{EventBuilder, field};

use super::super::meaning::Meaning;
use super::super::members::Members;
use super::shape::Shape;
use super::{Vendor, category};

pub(super) const TABLE: &[Vendor] = &[Vendor {
    shapes: &[Shape::with("logtype", &["node_id", "src_host"])],
    // What it calls local was UTC before it wrote `local_time_adjusted` beside it, and still is.
    times: &["utc_time", "local_time"],
    utc: true,
    names: &[
        ("event.code", "logtype"),
        ("source.ip", "src_host"),
        ("source.port", "src_port"),
        ("destination.ip", "dst_host"),
        ("destination.port", "dst_port"),
        ("user.name", "logdata.USERNAME"),
        ("url.original", "logdata.PATH"),
        ("user_agent.original", "logdata.USERAGENT"),
        ("observer.name", "node_id"),
    ],
    constants: &[(field::OBSERVER_PRODUCT, "OpenCanary"), (field::OBSERVER_TYPE, "honeypot")],
    meaning: Meaning::new("honeypot-touched", &["intrusion_detection", "network"], &["info"]),
    derive,
    ..Vendor::new("opencanary.events", &[category(Some("opencanary"), "application")], &[])
}];

/// Nobody has business with a honeypot; below 2000 it speaks of itself. The 5000s are port scans.
fn derive(members: &Members, event: &mut EventBuilder<'_>) {
    let service = match members.number("logtype").unwrap_or_default() / 1_000 {
        5 => "",
        2 => "ftp",
        3 => "http",
        4 => "ssh",
        6 => "telnet",
        7 => "http-proxy",
        8 => "mysql",
        9 => "mssql",
        10 => "tftp",
        11 => "ntp",
        12 => "vnc",
        13 => "snmp",
        14 => "rdp",
        15 => "sip",
        16 => "git",
        17 => "redis",
        _ => return,
    };
    event.put(field::EVENT_KIND, "alert");
    event.put_some(field::NETWORK_PROTOCOL, (!service.is_empty()).then_some(service));
}
