//! Which channels hear of an alert.
//!
//! Every route that matches counts, so that the order of routes means nothing and a new one
//! cannot silence another. Without any route, every channel hears of what is high or critical.

use std::collections::BTreeMap;

use keng_event::{RuleRef, Severity};

use crate::channel::Kind;
use crate::config::{Config, RouteConfig};

/// The routes of a configuration.
#[derive(Debug)]
pub(crate) struct Routes {
    routes: Vec<RouteConfig>,
}

impl Routes {
    pub(crate) fn new(config: &Config) -> Self {
        let routes = match config.route.as_slice() {
            [] => vec![RouteConfig::default_for(&config.channel)],
            routes => routes.to_vec(),
        };
        Self { routes }
    }

    /// The channels for an alert, by name, and what each is told about.
    pub(crate) fn of(&self, severity: Severity, rule: &RuleRef) -> Vec<(&str, Vec<Kind>)> {
        let mut channels: BTreeMap<&str, Vec<Kind>> = BTreeMap::new();
        for route in self.routes.iter().filter(|route| matches(route, severity, rule)) {
            for channel in &route.channels {
                channels.entry(channel).or_default().extend(&route.notify);
            }
        }
        channels.into_iter().collect()
    }
}

fn matches(route: &RouteConfig, severity: Severity, rule: &RuleRef) -> bool {
    severity >= route.severity
        && (route.rules.is_empty() || route.rules.contains(&rule.id))
        && (route.tags.is_empty() || route.tags.iter().any(|tag| rule.tags.contains(tag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(text: &str) -> Routes {
        let channels = "[[channel]]\nname='a'\nkind='webhook'\nurl='https://a'\n\
                        [[channel]]\nname='b'\nkind='webhook'\nurl='https://b'\n";
        Routes::new(&toml::from_str(&format!("{channels}{text}")).unwrap())
    }

    fn rule(id: &str, tags: &[&str]) -> RuleRef {
        RuleRef {
            id: id.to_owned(),
            title: String::new(),
            level: Severity::Low,
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            description: None,
            runbook: None,
            false_positives: Vec::new(),
        }
    }

    fn names<'a>(routes: &'a Routes, severity: Severity, rule: &RuleRef) -> Vec<&'a str> {
        routes.of(severity, rule).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn without_routes_the_grave_goes_everywhere() {
        let routes = routes("");
        assert_eq!(names(&routes, Severity::High, &rule("r", &[])), ["a", "b"]);
        assert!(names(&routes, Severity::Medium, &rule("r", &[])).is_empty());
    }

    #[test]
    fn every_matching_route_counts() {
        let routes = routes(
            "[[route]]\nseverity='low'\nrules=['r']\nchannels=['a']\nnotify=['alert.opened']\n\
             [[route]]\nseverity='low'\ntags=['t']\nchannels=['a','b']\nnotify=['alert.closed']\n",
        );
        let both = rule("r", &["t"]);
        assert_eq!(
            routes.of(Severity::Low, &both),
            [("a", vec![Kind::Opened, Kind::Closed]), ("b", vec![Kind::Closed])]
        );
        assert_eq!(names(&routes, Severity::Low, &rule("r", &[])), ["a"]);
        assert_eq!(names(&routes, Severity::Low, &rule("q", &["t"])), ["a", "b"]);
        assert!(names(&routes, Severity::Informational, &both).is_empty());
    }
}
