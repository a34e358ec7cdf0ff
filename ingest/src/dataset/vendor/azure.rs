//! `azure.signinlogs`, `azure.auditlogs`, `azure.activitylogs`, `azure.pim` and
//! `azure.riskdetection`: Microsoft Entra and Azure Monitor.
//!
//! Three spellings of one record are taken: as diagnostic settings stream it (`operationName`,
//! `properties.…`), as Microsoft Graph gives it (`activityDisplayName`, `createdDateTime`), and as
//! a Log Analytics table has it (`OperationName`, `Type`). Sigma's rules use all three, and names
//! of the portal beside them.

use keng_event::dataset::Alias;
use keng_event::{Dataset, EventBuilder, LogSource, field};

use super::super::meaning::Meaning;
use super::super::members::Members;
use super::shape::Shape;
use super::{Vendor, Verdict, called, product};

/// Every spelling of a word for success, and the error code that is none.
const DONE: &[&str] = &["success", "succeeded", "0", "true", "accept", "start", "started"];

/// Our names and those of all three spellings.
const NAMES: &[(&str, &str)] = &[
    ("event.action", "operationName"),
    ("event.action", "properties.activityDisplayName"),
    ("event.action", "activityDisplayName"),
    ("event.action", "OperationNameValue"),
    ("event.action", "OperationName"),
    ("event.action", "riskEventType"),
    ("event.reason", "resultDescription"),
    ("event.reason", "properties.resultReason"),
    ("event.reason", "ResultDescription"),
    ("event.reason", "status.failureReason"),
    ("source.ip", "callerIpAddress"),
    ("source.ip", "properties.ipAddress"),
    ("source.ip", "properties.initiatedBy.user.ipAddress"),
    ("source.ip", "ipAddress"),
    ("source.ip", "initiatedBy.user.ipAddress"),
    ("source.ip", "IPAddress"),
    ("source.ip", "CallerIpAddress"),
    ("source.ip", "ipAddress"),
    ("user.name", "properties.userPrincipalName"),
    ("user.name", "properties.initiatedBy.user.userPrincipalName"),
    ("user.name", "userPrincipalName"),
    ("user.name", "initiatedBy.user.userPrincipalName"),
    ("user.name", "UserPrincipalName"),
    ("user.name", "assigneeUserPrincipalName"),
    ("user.name", "Caller"),
    ("user.name", "identity.claims.name"),
    ("user.name", "identity"),
    ("user.id", "properties.userId"),
    ("user.id", "userId"),
    ("user.id", "UserId"),
    ("user.target.name", "properties.targetResources.userPrincipalName"),
    ("user.target.name", "targetResources.userPrincipalName"),
    ("user_agent.original", "properties.userAgent"),
    ("user_agent.original", "userAgent"),
    ("user_agent.original", "UserAgent"),
    ("source.geo.country_iso_code", "properties.location.countryOrRegion"),
    ("source.geo.country_iso_code", "location.countryOrRegion"),
    ("cloud.account.id", "tenantId"),
    ("cloud.account.id", "TenantId"),
    ("transaction.id", "correlationId"),
];

const TIMES: &[&str] = &[
    "time",
    "activityDateTime",
    "createdDateTime",
    "TimeGenerated",
    "detectedDateTime",
    "eventTimestamp",
    "properties.createdDateTime",
];

/// A row of Azure; what is not at the top of a record is under `properties`.
const fn azure(
    name: &'static str,
    log_sources: &'static [LogSource],
    aliases: &'static [Alias],
) -> Vendor {
    Vendor {
        dataset: Dataset { name, log_sources, aliases, prefixes: &["properties.", ""] },
        times: TIMES,
        utc: true,
        names: NAMES,
        constants: &[(field::CLOUD_PROVIDER, "azure")],
        ..Vendor::new(name, log_sources, aliases)
    }
}

pub(super) const TABLE: &[Vendor] = &[
    Vendor {
        shapes: &[
            Shape::saying(
                "category",
                &[
                    "SignInLogs",
                    "NonInteractiveUserSignInLogs",
                    "ServicePrincipalSignInLogs",
                    "ManagedIdentitySignInLogs",
                    "ADFSSignInLogs",
                ],
                &["operationName"],
            ),
            Shape::saying(
                "Type",
                &["SigninLogs", "AADNonInteractiveUserSignInLogs", "AADServicePrincipalSignInLogs"],
                &["TimeGenerated"],
            ),
            Shape::with("conditionalAccessStatus", &["createdDateTime", "appDisplayName"]),
        ],
        meaning: Meaning::new("sign-in", &["authentication"], &["start"]),
        verdict: Verdict::Words {
            names: &["resultType", "ResultType", "status.errorCode", "properties.status.errorCode"],
            success: DONE,
        },
        derive: sign_in,
        ..azure("azure.signinlogs", &[product("azure", "signinlogs")], SIGN_IN)
    },
    Vendor {
        shapes: &[
            Shape::saying("category", &["AuditLogs"], &["operationName"]),
            Shape::saying("Type", &["AuditLogs"], &["TimeGenerated"]),
            Shape::with("loggedByService", &["activityDisplayName"]),
        ],
        meaning: Meaning::new("", &["iam"], &["info"]),
        verdict: Verdict::Words {
            names: &["properties.result", "result", "Result", "resultSignature", "resultType"],
            success: DONE,
        },
        derive: audit,
        ..azure("azure.auditlogs", &[product("azure", "auditlogs")], AUDIT)
    },
    Vendor {
        shapes: &[
            Shape::saying(
                "category",
                &[
                    "Administrative",
                    "Security",
                    "ServiceHealth",
                    "Alert",
                    "Recommendation",
                    "Policy",
                    "Autoscale",
                    "ResourceHealth",
                    "Action",
                    "Write",
                    "Delete",
                ],
                &["resourceId", "operationName"],
            ),
            Shape::with("OperationNameValue", &["CategoryValue"]),
        ],
        meaning: Meaning::new("", &["api"], &["info"]),
        verdict: Verdict::Words {
            names: &["resultType", "ActivityStatusValue", "resultSignature"],
            success: DONE,
        },
        derive: activity,
        ..azure("azure.activitylogs", &[product("azure", "activitylogs")], ACTIVITY)
    },
    Vendor {
        shapes: &[
            Shape::saying("@odata.type", PIM_TYPES, &["id"]),
            Shape::saying("riskEventType", PIM_NAMES, &[]),
        ],
        constants: &[(field::CLOUD_PROVIDER, "azure"), (field::EVENT_KIND, "alert")],
        meaning: Meaning::new("", &["iam"], &["admin"]),
        derive: pim,
        ..azure("azure.pim", &[product("azure", "pim")], RISK)
    },
    Vendor {
        shapes: &[
            Shape::saying(
                "category",
                &["UserRiskEvents", "ServicePrincipalRiskEvents"],
                &["operationName"],
            ),
            Shape::saying(
                "Type",
                &["AADUserRiskEvents", "AADServicePrincipalRiskEvents"],
                &["TimeGenerated"],
            ),
            Shape::with("riskEventType", &["riskLevel"]),
        ],
        constants: &[(field::CLOUD_PROVIDER, "azure"), (field::EVENT_KIND, "alert")],
        meaning: Meaning::new("", &["intrusion_detection"], &["info"]),
        ..azure("azure.riskdetection", &[product("azure", "riskdetection")], RISK)
    },
];

/// Alerts of Privileged Identity Management, as Microsoft Graph names their types.
const PIM_TYPES: &[&str] = &[
    "#microsoft.graph.invalidLicenseAlertIncident",
    "#microsoft.graph.noMfaOnRoleActivationAlertIncident",
    "#microsoft.graph.redundantAssignmentAlertIncident",
    "#microsoft.graph.rolesAssignedOutsidePrivilegedIdentityManagementAlertConfiguration",
    "#microsoft.graph.rolesAssignedOutsidePrivilegedIdentityManagementAlertIncident",
    "#microsoft.graph.sequentialActivationRenewalsAlertIncident",
    "#microsoft.graph.staleSignInAlertIncident",
    "#microsoft.graph.tooManyGlobalAdminsAssignedToTenantAlertIncident",
];

const PIM_NAMES: &[&str] = &[
    "invalidLicenseAlertIncident",
    "noMfaOnRoleActivationAlertIncident",
    "redundantAssignmentAlertIncident",
    "rolesAssignedOutsidePrivilegedIdentityManagementAlertConfiguration",
    "rolesAssignedOutsidePrivilegedIdentityManagementAlertIncident",
    "sequentialActivationRenewalsAlertIncident",
    "staleSignInAlertIncident",
    "tooManyGlobalAdminsAssignedToTenantAlertIncident",
];

const SIGN_IN: &[Alias] = &[
    called("ActivityDetails", &["operationName", "OperationName"]),
    called("AuthenticationRequirement", &["properties.authenticationRequirement"]),
    called("ClientApp", &["properties.clientAppUsed", "clientAppUsed", "ClientAppUsed"]),
    called("DeviceDetail.deviceId", &["properties.deviceDetail.deviceId", "deviceDetail.deviceId"]),
    called(
        "DeviceDetail.isCompliant",
        &["properties.deviceDetail.isCompliant", "deviceDetail.isCompliant"],
    ),
    called(
        "DeviceDetail.trusttype",
        &["properties.deviceDetail.trustType", "deviceDetail.trustType", "DeviceDetail.trustType"],
    ),
    called(
        "NetworkLocationDetails",
        &["properties.networkLocationDetails.networkNames", "networkLocationDetails.networkNames"],
    ),
    called("ResourceDisplayName", &["properties.resourceDisplayName", "resourceDisplayName"]),
    called("ResultDescription", RESULT_TEXT),
    called("ResultType", RESULT),
    called("Resultdescription", RESULT_TEXT),
    called("RiskState", &["properties.riskState", "riskState"]),
    called("Status", &["azure.status"]),
    called("Username", &["user.name"]),
    called("callerIpAddress", &["callerIpAddress", "ipAddress", "IPAddress"]),
    called("conditionalAccessStatus", &["properties.conditionalAccessStatus"]),
    called("homeTenantId", &["properties.homeTenantId", "HomeTenantId"]),
    called("location", &["location", "properties.location.countryOrRegion", "Location"]),
    called("properties.message", &["properties.message", "properties.authenticationProtocol"]),
    called("resourceTenantId", &["properties.resourceTenantId", "ResourceTenantId"]),
    called("resultType", RESULT),
    called("userAgent", &["user_agent.original"]),
];

const RESULT: &[&str] =
    &["resultType", "ResultType", "status.errorCode", "properties.status.errorCode"];
const RESULT_TEXT: &[&str] = &[
    "resultDescription",
    "ResultDescription",
    "status.failureReason",
    "properties.status.failureReason",
];

const OPERATION: &[&str] = &[
    "operationName",
    "OperationName",
    "OperationNameValue",
    "properties.activityDisplayName",
    "activityDisplayName",
    "ActivityDisplayName",
];
const INITIATOR: &[&str] = &[
    "properties.initiatedBy.user.userPrincipalName",
    "initiatedBy.user.userPrincipalName",
    "InitiatedBy.user.userPrincipalName",
    "properties.initiatedBy.app.displayName",
    "initiatedBy.app.displayName",
];
const MODIFIED: &[&str] = &[
    "properties.targetResources.modifiedProperties.displayName",
    "targetResources.modifiedProperties.displayName",
    "TargetResources.modifiedProperties.displayName",
];
const MODIFIED_TO: &[&str] = &[
    "properties.targetResources.modifiedProperties.newValue",
    "targetResources.modifiedProperties.newValue",
    "TargetResources.modifiedProperties.newValue",
];
const CATEGORY: &[&str] = &["properties.category", "Category", "category"];
const OBJECT: &[&str] = &["event.original"];

const AUDIT: &[Alias] = &[
    called("ActivityDisplayName", OPERATION),
    called("ActivityType", OPERATION),
    called("Category", CATEGORY),
    called("Initiatedby", INITIATOR),
    called("Initiatied.By", INITIATOR),
    called("LoggedByService", &["properties.loggedByService", "loggedByService"]),
    called("OperationName", OPERATION),
    called("Status", &["azure.status"]),
    called("Target", &["user.target.name", "properties.targetResources.displayName"]),
    called("TargetResources", OBJECT),
    called("TargetResources.ModifiedProperties.DisplayName", MODIFIED),
    called("TargetResources.ModifiedProperties.NewValue", MODIFIED_TO),
    called("TargetResources.modifiedProperties", MODIFIED),
    called("TargetResources.modifiedProperties.newValue", MODIFIED_TO),
    called("activityType", OPERATION),
    called(
        "additionalDetails.additionalInfo",
        &["properties.additionalDetails.value", "additionalDetails.value"],
    ),
    called("category", CATEGORY),
    called(
        "failure_status_reason",
        &["properties.resultReason", "resultReason", "ResultDescription", "resultDescription"],
    ),
    called("operationName", OPERATION),
    called("properties.initiatedBy", INITIATOR),
    called(
        "properties.message",
        &[
            "properties.message",
            "properties.activityDisplayName",
            "operationName",
            "activityDisplayName",
            "OperationName",
        ],
    ),
    called("properties.result", &["properties.result", "result", "Result"]),
    called("properties.targetResources", OBJECT),
    called("targetResources.type", &["properties.targetResources.type", "TargetResources.type"]),
];

const ACTIVITY: &[Alias] = &[
    called("CategoryValue", &["CategoryValue", "category"]),
    called("OperationNameValue", &["OperationNameValue", "operationName"]),
    called("ResourceId", &["resourceId", "_ResourceId"]),
    called("ResourceProviderValue", &["ResourceProviderValue", "azure.resource_provider"]),
    called("operationName", &["operationName", "OperationNameValue"]),
    called("properties.message", &["properties.message", "operationName", "OperationNameValue"]),
];

const RISK: &[Alias] =
    &[called("riskEventType", &["riskEventType", "properties.riskEventType", "RiskEventType"])];

/// What the portal shows as status: whether it was done, and more words on it.
fn put_status(
    details: &[&str],
    good: Option<bool>,
    members: &Members,
    event: &mut EventBuilder<'_>,
) {
    if let Some(good) = good {
        event.put_named("azure.status", if good { "success" } else { "failure" });
    }
    for text in details.iter().filter_map(|name| members.text(name)).take(1) {
        event.put_named("azure.status", text);
    }
}

fn first<'m>(members: &'m Members, names: &[&str]) -> Option<std::borrow::Cow<'m, str>> {
    names.iter().find_map(|name| members.get(name)).map(keng_event::Value::to_text)
}

fn sign_in(members: &Members, event: &mut EventBuilder<'_>) {
    let good = first(members, RESULT).map(|code| code == "0");
    let details = ["properties.status.additionalDetails", "status.additionalDetails"];
    put_status(&details, good, members, event);
}

fn audit(members: &Members, event: &mut EventBuilder<'_>) {
    let result = first(members, &["properties.result", "result", "Result", "resultSignature"]);
    let good = result.map(|result| result.eq_ignore_ascii_case("success"));
    put_status(&["properties.resultReason", "resultReason"], good, members, event);
    let mut property = "";
    for (name, value) in members.iter() {
        let Some(text) = value.as_str() else { continue };
        if MODIFIED.contains(&name) {
            property = text;
        } else if MODIFIED_TO.contains(&name) && property == "ConsentContext.IsAdminConsent" {
            event.put_named(property, text.trim_matches('"'));
        }
    }
}

fn activity(members: &Members, event: &mut EventBuilder<'_>) {
    let operation = members.text("operationName").or_else(|| members.text("OperationNameValue"));
    if let Some((provider, _)) = operation.and_then(|name| name.split_once('/')) {
        event.put_named("azure.resource_provider", provider);
    }
}

fn pim(members: &Members, event: &mut EventBuilder<'_>) {
    let named = members.text("@odata.type").and_then(|name| name.strip_prefix("#microsoft.graph."));
    if let Some(name) = named.filter(|_| !members.has("riskEventType")) {
        event.put_named("riskEventType", name).put(field::EVENT_ACTION, name);
    }
}
