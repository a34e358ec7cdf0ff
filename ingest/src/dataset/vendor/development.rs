//! `github.audit`, `bitbucket.audit`: who changes what where code is kept.

use keng_event::field;

use super::super::meaning::Meaning;
use super::shape::Shape;
use super::{Vendor, product};

pub(super) const TABLE: &[Vendor] = &[
    Vendor {
        shapes: &[
            Shape::with("_document_id", &["action"]),
            Shape::with("actor_location.country_code", &["action", "actor"]),
            Shape::with("action", &["actor", "org", "created_at"]),
        ],
        times: &["@timestamp", "created_at"],
        names: &[
            ("event.action", "action"),
            ("source.ip", "actor_ip"),
            ("source.geo.country_iso_code", "actor_location.country_code"),
            ("user.name", "actor"),
            ("user.id", "actor_id"),
            ("user.target.name", "user"),
            ("group.name", "team"),
            ("organization.name", "org"),
            ("organization.name", "business"),
            ("service.name", "repo"),
            ("user_agent.original", "user_agent"),
        ],
        constants: &[(field::OBSERVER_VENDOR, "GitHub")],
        meaning: Meaning::new("", &["configuration"], &["info"]),
        ..Vendor::new("github.audit", &[product("github", "audit")], &[])
    },
    Vendor {
        shapes: &[Shape::with("auditType.action", &["auditType.category"])],
        times: &["timestamp.epochSecond", "timestamp"],
        names: &[
            ("event.action", "auditType.action"),
            ("event.provider", "auditType.category"),
            ("source.ip", "source"),
            ("user.name", "author.name"),
            ("user.id", "author.id"),
            ("service.name", "affectedObjects.name"),
            ("observer.name", "node"),
        ],
        constants: &[(field::OBSERVER_VENDOR, "Atlassian"), (field::OBSERVER_PRODUCT, "Bitbucket")],
        meaning: Meaning::new("", &["configuration"], &["info"]),
        ..Vendor::new("bitbucket.audit", &[product("bitbucket", "audit")], &[])
    },
];
