//! `aws.cloudtrail`: what CloudTrail records, one record a line.
//!
//! Names are those of the CloudTrail user guide ("record contents"). Sigma's rules that look into
//! `requestParameters` or `responseElements` as into a text find the parts that they are after,
//! else the whole record.

use keng_event::EventBuilder;
use keng_event::field;

use super::super::meaning::Meaning;
use super::super::members::Members;
use super::shape::Shape;
use super::{Vendor, Verdict, called, product};

pub(super) const TABLE: &[Vendor] = &[Vendor {
    shapes: &[
        Shape::with("eventSource", &["eventName", "eventVersion", "awsRegion"]),
        Shape::with("userIdentity.type", &["eventSource", "eventName", "eventTime"]),
    ],
    times: &["eventTime"],
    names: &[
        ("event.action", "eventName"),
        ("event.provider", "eventSource"),
        ("event.reason", "errorMessage"),
        ("error.code", "errorCode"),
        ("source.ip", "sourceIPAddress"),
        ("user.name", "userIdentity.userName"),
        ("user.name", "userIdentity.sessionContext.sessionIssuer.userName"),
        ("user.id", "userIdentity.principalId"),
        ("user.target.name", "requestParameters.userName"),
        ("group.name", "requestParameters.groupName"),
        ("user_agent.original", "userAgent"),
        ("cloud.account.id", "recipientAccountId"),
        ("cloud.account.id", "userIdentity.accountId"),
        ("cloud.region", "awsRegion"),
        ("cloud.instance.id", "requestParameters.instanceId"),
        ("transaction.id", "requestID"),
    ],
    constants: &[(field::CLOUD_PROVIDER, "aws")],
    meaning: Meaning::new("", &["api"], &["info"]),
    verdict: Verdict::ErrorNamed("errorCode"),
    derive,
    ..Vendor::new(
        "aws.cloudtrail",
        &[product("aws", "cloudtrail")],
        &[
            called(
                "requestParameters",
                &[
                    "requestParameters.policyDocument",
                    "requestParameters.VersioningConfiguration.Status",
                    "event.original",
                ],
            ),
            called(
                "responseElements",
                &["responseElements.ConsoleLogin", "responseElements.status", "event.original"],
            ),
            called("src_country", &["source.geo.country_iso_code"]),
            called("src_ip", &["sourceIPAddress"]),
            called("status", &["event.outcome"]),
        ],
    )
}];

/// Logging in to the console names no error; its answer says how it went.
fn derive(members: &Members, event: &mut EventBuilder<'_>) {
    let login = members.text("eventName") == Some("ConsoleLogin");
    if login {
        event.put(field::EVENT_CATEGORY, "authentication").put(field::EVENT_TYPE, "start");
        let failed = members.text("responseElements.ConsoleLogin") == Some("Failure");
        event.put_some(field::EVENT_OUTCOME, failed.then_some("failure"));
    } else if members.text("eventSource") == Some("iam.amazonaws.com") {
        event.put(field::EVENT_CATEGORY, "iam").put(field::EVENT_TYPE, "info");
    }
    if !event.has(field::USER_NAME) && members.text("userIdentity.type") == Some("Root") {
        event.put(field::USER_NAME, "root");
    }
}
