//! Bounds on rules and on what they may keep, each with its reason.

/// Most rules in one set. SigmaHQ's active rules are 3,780; metrics have a series per rule.
pub const RULES_MAX: usize = 20_000;
