//! `gcp.audit`, `google_workspace.admin`, `google_workspace.login`: Cloud Audit Logs, as Cloud
//! Logging exports them, bare or within the `data` of a Pub/Sub message, and Workspace's Reports
//! API.

use keng_event::dataset::Alias;
use keng_event::{EventBuilder, field};

use super::super::meaning::Meaning;
use super::super::members::Members;
use super::shape::Shape;
use super::{Vendor, Verdict, called, product};

const NAMES: &[(&str, &str)] = &[
    ("event.action", "protoPayload.metadata.event.eventName"),
    ("event.action", "events.name"),
    ("event.action", "protoPayload.methodName"),
    ("event.action", "data.protoPayload.methodName"),
    ("event.provider", "protoPayload.serviceName"),
    ("event.provider", "data.protoPayload.serviceName"),
    ("event.provider", "id.applicationName"),
    ("event.reason", "protoPayload.status.message"),
    ("event.reason", "data.protoPayload.status.message"),
    ("source.ip", "protoPayload.requestMetadata.callerIp"),
    ("source.ip", "data.protoPayload.requestMetadata.callerIp"),
    ("source.ip", "ipAddress"),
    ("user.name", "protoPayload.authenticationInfo.principalEmail"),
    ("user.name", "data.protoPayload.authenticationInfo.principalEmail"),
    ("user.name", "actor.email"),
    ("user_agent.original", "protoPayload.requestMetadata.callerSuppliedUserAgent"),
    ("user_agent.original", "data.protoPayload.requestMetadata.callerSuppliedUserAgent"),
    ("cloud.account.id", "resource.labels.project_id"),
    ("cloud.account.id", "data.resource.labels.project_id"),
    ("cloud.region", "resource.labels.location"),
];

const TIMES: &[&str] = &["timestamp", "data.timestamp", "id.time", "receiveTimestamp"];
const GOOGLE: &[(keng_event::Field, &str)] = &[(field::CLOUD_PROVIDER, "gcp")];

pub(super) const TABLE: &[Vendor] = &[
    Vendor {
        shapes: &[
            Shape::saying("protoPayload.serviceName", &["admin.googleapis.com"], &["logName"]),
            Shape::saying("id.applicationName", &["admin"], &["events.name"]),
        ],
        times: TIMES,
        names: NAMES,
        constants: GOOGLE,
        meaning: Meaning::new("", &["iam"], &["admin"]),
        derive: parameters,
        ..Vendor::new(
            "google_workspace.admin",
            &[product("gcp", "google_workspace.admin")],
            WORKSPACE,
        )
    },
    Vendor {
        shapes: &[
            Shape::saying("protoPayload.serviceName", &["login.googleapis.com"], &["logName"]),
            Shape::saying("id.applicationName", &["login"], &["events.name"]),
        ],
        times: TIMES,
        names: NAMES,
        constants: GOOGLE,
        meaning: Meaning::new("", &["authentication"], &["info"]),
        derive: parameters,
        ..Vendor::new(
            "google_workspace.login",
            &[product("gcp", "google_workspace.login")],
            WORKSPACE,
        )
    },
    Vendor {
        shapes: &[
            Shape::with("protoPayload.methodName", &["protoPayload.serviceName"]),
            Shape::with("data.protoPayload.methodName", &["data.protoPayload.serviceName"]),
        ],
        times: TIMES,
        names: NAMES,
        constants: GOOGLE,
        meaning: Meaning::new("", &["api"], &["info"]),
        verdict: Verdict::ErrorNamed("protoPayload.status.code"),
        ..Vendor::new("gcp.audit", &[product("gcp", "gcp.audit")], AUDIT)
    },
];

/// Written for an elder collector, which put everything under `data`, and for Elastic's.
const AUDIT: &[Alias] = &[
    called(
        "data.protoPayload.authorizationInfo.granted",
        &["protoPayload.authorizationInfo.granted", "data.protoPayload.authorizationInfo.granted"],
    ),
    called(
        "data.protoPayload.authorizationInfo.permission",
        &[
            "protoPayload.authorizationInfo.permission",
            "data.protoPayload.authorizationInfo.permission",
        ],
    ),
    called("data.protoPayload.logName", &["logName", "data.logName"]),
    called(
        "data.protoPayload.methodName",
        &["protoPayload.methodName", "data.protoPayload.methodName"],
    ),
    called("data.protoPayload.resource.type", &["resource.type", "data.resource.type"]),
    called(
        "data.protoPayload.serviceName",
        &["protoPayload.serviceName", "data.protoPayload.serviceName"],
    ),
    called("gcp.audit.method_name", &["protoPayload.methodName", "data.protoPayload.methodName"]),
];

const SERVICE: &[&str] = &["protoPayload.serviceName", "google_workspace.service"];

const WORKSPACE: &[Alias] = &[
    called("eventName", &["protoPayload.metadata.event.eventName", "events.name"]),
    called("eventService", SERVICE),
    called("protoPayload.Servicename", SERVICE),
    called(
        "protoPayload.metadata.event.eventName",
        &["protoPayload.metadata.event.eventName", "events.name"],
    ),
    called("protoPayload.serviceName", SERVICE),
];

/// An event's parameters are a list of names and values; those that rules ask for get a name.
fn parameters(members: &Members, event: &mut EventBuilder<'_>) {
    match members.text("id.applicationName") {
        Some("admin") => event.put_named("google_workspace.service", "admin.googleapis.com"),
        Some("login") => event.put_named("google_workspace.service", "login.googleapis.com"),
        _ => event,
    };
    let mut parameter = "";
    for (name, value) in members.iter() {
        match name {
            "protoPayload.metadata.event.parameter.name" | "events.parameters.name" => {
                parameter = value.as_str().unwrap_or_default();
            }
            "protoPayload.metadata.event.parameter.value" | "events.parameters.value" => {
                match parameter {
                    "SETTING_NAME" => event.put_named("setting_name", value),
                    "NEW_VALUE" => event.put_named("new_value", value),
                    _ => event,
                };
            }
            _ => {}
        }
    }
}
