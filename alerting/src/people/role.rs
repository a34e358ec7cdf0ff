//! What each role permits: one table, nothing else decides.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What somebody is allowed to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sends events and does nothing else. Only for tokens of log shippers: what sits on a
    /// hundred servers must not be able to read.
    Sender,
    /// Looks.
    Viewer,
    /// Looks and handles alerts.
    Analyst,
    /// An analyst who may also respond: block, isolate, direct.
    Responder,
    /// Looks after rules, sources and channels.
    Engineer,
    /// Does everything, and decides who may do what.
    Administrator,
}

/// Something that needs to be allowed. Every route names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Append events.
    SendEvents,
    /// Search and watch events, sources, fields.
    ReadEvents,
    /// See alerts, their history, and who is notified.
    ReadAlerts,
    /// Acknowledge, assign, note, close, reopen.
    HandleAlerts,
    /// See rules.
    ReadRules,
    /// Enable, disable, test and reload rules.
    ManageRules,
    /// Send test notifications, reload the configuration.
    ManageNode,
    /// Take measures against an attacker. Reserved.
    Respond,
    /// Read `/metrics` from elsewhere.
    ReadMetrics,
    /// Add and disable people and tokens.
    ManagePeople,
    /// Read the audit log.
    ReadAudit,
}

impl Permission {
    /// All permissions.
    pub const ALL: [Self; 11] = [
        Self::SendEvents,
        Self::ReadEvents,
        Self::ReadAlerts,
        Self::HandleAlerts,
        Self::ReadRules,
        Self::ManageRules,
        Self::ManageNode,
        Self::Respond,
        Self::ReadMetrics,
        Self::ManagePeople,
        Self::ReadAudit,
    ];
}

impl Role {
    /// All roles, least powerful first.
    pub const ALL: [Self; 6] = [
        Self::Sender,
        Self::Viewer,
        Self::Analyst,
        Self::Responder,
        Self::Engineer,
        Self::Administrator,
    ];

    /// The table.
    #[must_use]
    pub const fn allows(self, permission: Permission) -> bool {
        use Permission as P;
        match self {
            Self::Sender => matches!(permission, P::SendEvents),
            Self::Viewer => {
                matches!(permission, P::ReadEvents | P::ReadAlerts | P::ReadRules | P::ReadMetrics)
            }
            Self::Analyst => {
                Self::Viewer.allows(permission) || matches!(permission, P::HandleAlerts)
            }
            Self::Responder => Self::Analyst.allows(permission) || matches!(permission, P::Respond),
            // No `HandleAlerts`: who writes the rules does not judge what they find.
            Self::Engineer => {
                Self::Viewer.allows(permission)
                    || matches!(permission, P::SendEvents | P::ManageRules | P::ManageNode)
            }
            Self::Administrator => true,
        }
    }

    /// Whether a person can have it; [`Role::Sender`] is for tokens.
    #[must_use]
    pub const fn is_for_people(self) -> bool {
        !matches!(self, Self::Sender)
    }

    /// The word in JSON, on the command line and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::Viewer => "viewer",
            Self::Analyst => "analyst",
            Self::Responder => "responder",
            Self::Engineer => "engineer",
            Self::Administrator => "administrator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The word is no role.
#[derive(Debug, thiserror::Error)]
#[error(
    "'{0}' is not a role: use viewer, analyst, responder, engineer or administrator, \
     or sender for the token of a log shipper"
)]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == word)
            .ok_or_else(|| UnknownRole(word.to_owned()))
    }
}

/// The role that the store says; anything else was not written by this version.
pub(super) fn stored(word: &str) -> Result<Role, crate::error::Error> {
    word.parse().map_err(|_| crate::error::Error::Damaged { what: format!("the role '{word}'") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_as_agreed() {
        let mut table = String::new();
        for permission in Permission::ALL {
            let roles: Vec<_> =
                Role::ALL.into_iter().filter(|role| role.allows(permission)).collect();
            let roles: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
            table.push_str(&format!("{permission:?}: {}\n", roles.join(", ")));
        }
        insta::assert_snapshot!(table);
    }
}
