//! `okta.system`, `onelogin.events`, `cisco.duo`: who signs in where, as identity providers tell.

use keng_event::{EventBuilder, field};

use super::super::meaning::Meaning;
use super::super::members::Members;
use super::shape::Shape;
use super::{Vendor, Verdict, product};

pub(super) const TABLE: &[Vendor] = &[
    Vendor {
        shapes: &[
            Shape::with("legacyEventType", &["eventType", "actor.alternateId"]),
            Shape::with("eventType", &["published", "actor.alternateId"]),
        ],
        times: &["published"],
        names: &[
            ("event.action", "eventType"),
            ("event.reason", "outcome.reason"),
            ("message", "displayMessage"),
            ("source.ip", "client.ipAddress"),
            ("user.name", "actor.alternateId"),
            ("user.full_name", "actor.displayName"),
            ("user.id", "actor.id"),
            ("user.target.name", "target.alternateId"),
            ("user_agent.original", "client.userAgent.rawUserAgent"),
            ("source.as.number", "securityContext.asNumber"),
            ("source.as.organization.name", "securityContext.asOrg"),
            ("transaction.id", "transaction.id"),
        ],
        constants: &[(field::OBSERVER_VENDOR, "Okta")],
        meaning: Meaning::new("", &["iam"], &["info"]),
        verdict: Verdict::Words { names: &["outcome.result"], success: &["SUCCESS", "ALLOW"] },
        derive: okta,
        ..Vendor::new("okta.system", &[product("okta", "okta")], &[])
    },
    Vendor {
        shapes: &[Shape::with("event_type_id", &["account_id"])],
        times: &["created_at", "event_timestamp"],
        names: &[
            ("event.code", "event_type_id"),
            ("event.reason", "error_description"),
            ("source.ip", "ipaddr"),
            ("user.name", "actor_user_name"),
            ("user.name", "user_name"),
            ("user.id", "actor_user_id"),
            ("user.id", "user_id"),
            ("user.target.name", "user_name"),
            ("user_agent.original", "browser_fingerprint"),
            ("cloud.account.id", "account_id"),
        ],
        constants: &[(field::OBSERVER_VENDOR, "OneLogin")],
        meaning: Meaning::new("", &["iam"], &["info"]),
        ..Vendor::new("onelogin.events", &[product("onelogin", "onelogin.events")], &[])
    },
    Vendor {
        shapes: &[
            Shape::with("event_type", &["txid", "reason"]),
            Shape::with("access_device.ip", &["event_type", "result"]),
        ],
        times: &["isotimestamp", "timestamp"],
        names: &[
            ("event.action", "event_type"),
            ("event.reason", "reason"),
            ("source.ip", "access_device.ip"),
            ("user.name", "user.name"),
            ("user.email", "email"),
            ("user.id", "user.key"),
            ("service.name", "application.name"),
            ("transaction.id", "txid"),
        ],
        constants: &[(field::OBSERVER_VENDOR, "Cisco"), (field::OBSERVER_PRODUCT, "Duo")],
        meaning: Meaning::new("", &["authentication"], &["info"]),
        verdict: Verdict::Words { names: &["result"], success: &["success"] },
        ..Vendor::new("cisco.duo", &[product("cisco", "duo")], &[])
    },
];

fn okta(members: &Members, event: &mut EventBuilder<'_>) {
    let kind = members.text("eventType").unwrap_or_default();
    if kind.starts_with("user.session.") || kind.starts_with("user.authentication.") {
        event.put(field::EVENT_CATEGORY, "authentication").put(field::EVENT_TYPE, "start");
    } else if kind.starts_with("security.threat.") {
        event.put(field::EVENT_CATEGORY, "intrusion_detection").put(field::EVENT_TYPE, "info");
    }
}
