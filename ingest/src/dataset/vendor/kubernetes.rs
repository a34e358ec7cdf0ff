//! `kubernetes.audit`: what the API server was asked (`audit.k8s.io/v1`).

use keng_event::LogSource;

use super::super::meaning::Meaning;
use super::shape::Shape;
use super::{Vendor, Verdict, called};

pub(super) const TABLE: &[Vendor] = &[Vendor {
    shapes: &[
        Shape::with("auditID", &["verb", "stage"]),
        Shape::saying("apiVersion", &["audit.k8s.io/v1"], &["verb"]),
    ],
    times: &["requestReceivedTimestamp", "stageTimestamp"],
    names: &[
        ("event.action", "verb"),
        ("event.reason", "responseStatus.message"),
        ("source.ip", "sourceIPs"),
        ("user.name", "user.username"),
        ("user.id", "user.uid"),
        ("user.effective.name", "impersonatedUser.username"),
        ("url.original", "requestURI"),
        ("user_agent.original", "userAgent"),
        ("http.response.status_code", "responseStatus.code"),
        ("container.image.name", "requestObject.spec.containers.image"),
        ("transaction.id", "auditID"),
    ],
    meaning: Meaning::new("", &["api"], &["info"]),
    verdict: Verdict::Status("responseStatus.code"),
    ..Vendor::new(
        "kubernetes.audit",
        &[LogSource {
            product: Some("kubernetes"),
            category: Some("application"),
            service: Some("audit"),
            guards: &[],
        }],
        &[
            called("apiGroup", &["objectRef.apiGroup"]),
            called(
                "capabilities",
                &[
                    "requestObject.spec.containers.securityContext.capabilities.add",
                    "requestObject.spec.template.spec.containers.securityContext.capabilities.add",
                ],
            ),
            called(
                "hostPath",
                &[
                    "requestObject.spec.volumes.hostPath.path",
                    "requestObject.spec.template.spec.volumes.hostPath.path",
                ],
            ),
        ],
    )
}];
