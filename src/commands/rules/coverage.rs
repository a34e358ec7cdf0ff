//! `keng rules coverage`: which ATT&CK techniques the rules recognise, by tactic, as their tags
//! say it; and the same as a layer for ATT&CK Navigator.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use keng_rules_engine::RuleSummary;
use serde::Serialize;
use serde_json::{Value, json};

use crate::exit::{Exit, Failure};
use crate::output;

/// Arguments of `keng rules coverage`.
#[derive(Debug, Args)]
pub(crate) struct Coverage {
    /// Rule files or directories
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    surroundings: super::Surroundings,
    /// Write a layer for ATT&CK Navigator (layer format 4.5) to this file
    #[arg(long, value_name = "FILE")]
    navigator: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The tactics of ATT&CK for enterprises in the order of an attack, as Sigma's tags spell them.
const TACTICS: [&str; 14] = [
    "reconnaissance",
    "resource-development",
    "initial-access",
    "execution",
    "persistence",
    "privilege-escalation",
    "defense-evasion",
    "credential-access",
    "discovery",
    "lateral-movement",
    "collection",
    "command-and-control",
    "exfiltration",
    "impact",
];

/// Titles in the comment on a technique; the Navigator shows them in a small box.
const TITLES_MAX: usize = 10;

/// What is covered.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Covered {
    /// Rules that call somebody.
    rules: usize,
    /// Of these, the ones without a technique.
    without_technique: usize,
    /// Of these, the ones whose log source no dataset serves.
    without_dataset: usize,
    /// Tactic to what its rules recognise; every tactic is there.
    tactics: BTreeMap<String, Tactic>,
    /// Technique to the titles of its rules.
    techniques: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Tactic {
    rules: usize,
    /// Technique to the number of rules that speak of it under this tactic.
    techniques: BTreeMap<String, usize>,
}

/// Runs the command.
///
/// # Errors
/// When no rule is sound, or the layer cannot be written.
pub(super) fn run(arguments: &Coverage) -> anyhow::Result<Exit> {
    let loaded = arguments.surroundings.load_telling(&arguments.paths)?;
    if loaded.rules.is_empty() {
        return Err(Failure::error(Exit::Invalid, "no sound rule was found to judge"));
    }
    // What only feeds a correlation calls nobody; its correlation carries the tags.
    let calling = || loaded.rules.summaries().iter().filter(|rule| rule.generates);
    let unfed = calling().filter(|rule| loaded.rules.fed_by(&rule.id).is_empty());
    let covered = Covered { without_dataset: unfed.count(), ..covered(calling()) };
    if let Some(path) = &arguments.navigator {
        let layer = serde_json::to_vec_pretty(&layer(&covered)).context("rendering the layer")?;
        std::fs::write(path, layer).with_context(|| format!("writing {}", path.display()))?;
    }
    if arguments.json {
        output::json_line(&covered)?;
    } else {
        table(&covered).iter().try_for_each(|line| output::line(line))?;
    }
    Ok(Exit::Fine)
}

fn covered<'r>(rules: impl Iterator<Item = &'r RuleSummary>) -> Covered {
    let mut covered = Covered::default();
    for tactic in TACTICS {
        covered.tactics.insert(tactic.to_owned(), Tactic::default());
    }
    for rule in rules {
        covered.rules += 1;
        let (techniques, tactics) = attack(&rule.tags);
        covered.without_technique += usize::from(techniques.is_empty());
        for technique in &techniques {
            covered.techniques.entry(technique.clone()).or_default().push(rule.title.clone());
        }
        for tactic in tactics {
            let tactic = covered.tactics.entry(tactic).or_default();
            tactic.rules += 1;
            for technique in &techniques {
                *tactic.techniques.entry(technique.clone()).or_default() += 1;
            }
        }
    }
    covered
}

/// Techniques (`T1110.001`) and tactics (`credential-access`) among Sigma's tags; other tags of
/// ATT&CK are groups (`g0016`), software (`s0002`) and data sources.
fn attack(tags: &[String]) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut techniques, mut tactics) = (BTreeSet::new(), BTreeSet::new());
    for tag in tags {
        let Some(name) = tag.strip_prefix("attack.") else { continue };
        let digits =
            |text: &str| text.chars().all(|letter| letter.is_ascii_digit() || letter == '.');
        let kind = name.split_at_checked(1).filter(|(_, rest)| !rest.is_empty() && digits(rest));
        match kind {
            Some(("t" | "T", _)) => drop(techniques.insert(name.to_ascii_uppercase())),
            Some(_) => {}
            // Before version 2 Sigma wrote `credential_access`.
            None => drop(tactics.insert(name.replace('_', "-"))),
        }
    }
    (techniques, tactics)
}

fn table(covered: &Covered) -> Vec<String> {
    let mut lines = Vec::new();
    let known = TACTICS.iter().copied();
    let others = covered.tactics.keys().map(String::as_str);
    for name in known.chain(others.filter(|name| !TACTICS.contains(name))) {
        let Some(tactic) = covered.tactics.get(name) else { continue };
        lines.push(format!(
            "{name:<22}{:>5} rules{:>5} techniques",
            tactic.rules,
            tactic.techniques.len()
        ));
        let each = tactic.techniques.iter().map(|(id, rules)| match rules {
            1 => id.clone(),
            more => format!("{id} ×{more}"),
        });
        let each: Vec<String> = each.collect();
        lines.extend(each.chunks(8).map(|row| format!("    {}", row.join("  "))));
    }
    lines.push(format!(
        "{} rules that call somebody, {} techniques; rules without a technique: {}",
        covered.rules,
        covered.techniques.len(),
        covered.without_technique
    ));
    if covered.without_dataset > 0 {
        lines.push(format!(
            "{} of them fire only on events that name their log source themselves: no dataset \
             serves it (`keng rules check` says which)",
            covered.without_dataset
        ));
    }
    lines
}

/// A layer of the format's version 4.5. A technique without a tactic stands under every tactic
/// that it belongs to.
fn layer(covered: &Covered) -> Value {
    let most = covered.techniques.values().map(Vec::len).max().unwrap_or(1);
    let techniques = covered.techniques.iter().map(|(id, titles)| {
        let mut comment = titles.iter().take(TITLES_MAX).cloned().collect::<Vec<_>>().join("\n");
        if titles.len() > TITLES_MAX {
            comment.push_str(&format!("\nand {} more", titles.len() - TITLES_MAX));
        }
        json!({"techniqueID": id, "score": titles.len(), "comment": comment})
    });
    json!({
        "name": "Keng",
        "versions": {"layer": "4.5", "navigator": "4.9.0"},
        "domain": "enterprise-attack",
        "description": "Rules that recognise each technique, by their own tags.",
        "techniques": techniques.collect::<Vec<_>>(),
        // The upper end must be above the lower one.
        "gradient": {"colors": ["#ffffff", "#ce232e"], "minValue": 0, "maxValue": most.max(1)},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> keng_rules_engine::RuleSet {
        let rule = |number: u32, tags: &str| {
            format!(
                "title: Rule {number}\nid: {number:08}-0000-4000-8000-000000000000\n\
                 tags: [{tags}]\nlogsource:\n  product: linux\ndetection:\n  s:\n    a: b\n  \
                 condition: s\n"
            )
        };
        let text = [
            rule(1, "attack.credential_access, attack.t1110.001, attack.g0016"),
            rule(2, "attack.credential-access, attack.T1110.001, attack.t1078, attack.persistence"),
            rule(3, "cve.2021-44228, attack.impact"),
        ];
        keng_rules_engine::load_text("rules.yml", &text.join("---\n"), &[]).rules
    }

    #[test]
    fn techniques_are_counted_under_the_tactics_of_their_rules() {
        let rules = rules();
        let covered = covered(rules.summaries().iter());
        insta::assert_snapshot!(table(&covered).join("\n"));
    }

    #[test]
    fn the_layer_has_what_its_format_requires() {
        let rules = rules();
        let layer = layer(&covered(rules.summaries().iter()));
        assert_eq!(layer["versions"]["layer"], "4.5");
        assert_eq!(layer["domain"], "enterprise-attack");
        let techniques = layer["techniques"].as_array().unwrap();
        let ids: Vec<_> =
            techniques.iter().map(|one| one["techniqueID"].as_str().unwrap()).collect();
        assert_eq!(ids, ["T1078", "T1110.001"]);
        assert_eq!(
            (&techniques[1]["score"], &techniques[1]["comment"]),
            (&json!(2), &json!("Rule 1\nRule 2"))
        );
        assert_eq!(layer["gradient"]["maxValue"], 2);
    }
}
