//! `m365.audit`: the unified audit log of Microsoft 365, as the Management Activity API gives it.
//!
//! Alerts of the compliance centre are records of it, too. Sigma's rules for those use the words
//! of an elder product (`eventSource`, `eventName`, `status`).

use keng_event::dataset::{Alias, Guard};
use keng_event::{EventBuilder, LogSource, field};

use super::super::meaning::Meaning;
use super::super::members::Members;
use super::shape::Shape;
use super::{Vendor, Verdict, called, product};

pub(super) const TABLE: &[Vendor] = &[Vendor {
    shapes: &[Shape::with("Workload", &["Operation", "CreationTime"])],
    times: &["CreationTime"],
    utc: true,
    names: &[
        ("event.action", "Operation"),
        ("event.provider", "Workload"),
        ("rule.name", "Name"),
        ("source.ip", "ClientIP"),
        ("source.ip", "ClientIPAddress"),
        ("source.ip", "ActorIpAddress"),
        ("source.ip", "SenderIp"),
        ("user.name", "UserId"),
        ("user.id", "UserKey"),
        ("user_agent.original", "UserAgent"),
        ("organization.name", "OrganizationName"),
        ("cloud.account.id", "OrganizationId"),
        ("file.name", "SourceFileName"),
        ("url.original", "SiteUrl"),
    ],
    constants: &[(field::CLOUD_PROVIDER, "azure")],
    meaning: Meaning::new("", &["web"], &["info"]),
    verdict: Verdict::Words {
        names: &["ResultStatus"],
        success: &["Success", "Succeeded", "PartiallySucceeded", "True", "Completed"],
    },
    derive,
    ..Vendor::new(
        "m365.audit",
        &[
            product("m365", "audit"),
            workload("exchange", &[Guard { field: "Workload", any_of: &["Exchange"] }]),
            workload("threat_management", ALERTS),
            workload("threat_detection", ALERTS),
        ],
        ALIASES,
    )
}];

const ALERTS: &[Guard] = &[Guard { field: "Workload", any_of: &["SecurityComplianceCenter"] }];

const fn workload(service: &'static str, guards: &'static [Guard]) -> LogSource {
    LogSource { product: Some("m365"), category: None, service: Some(service), guards }
}

const ALIASES: &[Alias] = &[
    called("OperationProperties", &["OperationProperties.Value", "OperationProperties"]),
    called("Parameters", &["Parameters.Name", "Parameters"]),
    called("Payload", &["event.original"]),
    called("eventName", &["Name", "Operation"]),
    called("eventSource", &["Workload"]),
    called("status", &["event.outcome"]),
];

fn derive(members: &Members, event: &mut EventBuilder<'_>) {
    match members.text("Operation") {
        Some("AlertTriggered" | "AlertEntityGenerated") => {
            event.put(field::EVENT_KIND, "alert").put(field::EVENT_OUTCOME, "success");
            event.put(field::EVENT_CATEGORY, "intrusion_detection").put(field::EVENT_TYPE, "info");
        }
        Some("UserLoggedIn" | "UserLoginFailed") => {
            event.put(field::EVENT_CATEGORY, "authentication").put(field::EVENT_TYPE, "start");
            let failed = members.text("Operation") == Some("UserLoginFailed");
            event.put_some(field::EVENT_OUTCOME, failed.then_some("failure"));
        }
        _ => {}
    }
    let mut property = "";
    for (name, value) in members.iter() {
        match (name, value.as_str()) {
            ("ExtendedProperties.Name", Some(text)) => property = text,
            ("ExtendedProperties.Value", Some(text)) if property == "RequestType" => {
                event.put_named("RequestType", text);
            }
            _ => {}
        }
    }
}
