//! The `correlation` section: Sigma correlation rules specification, version 2.1.0, with what
//! version 2.2 and pySigma add (`value_median`, expressions over rule names), and two types of
//! ours, `first_seen` and `rate_change`.

mod condition;

use std::time::Duration;

use super::Fault;
use super::yaml::{Node, Yaml};
use crate::limits;

use condition::{Bounds, Compared};
pub(crate) use condition::{Clause, Condition, to_f64};

/// What a correlation rule asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Correlation {
    pub(crate) kind: Kind,
    /// Names or ids of the rules whose matches are correlated, each once, with their lines.
    pub(crate) rules: Vec<(u64, String)>,
    pub(crate) group_by: Vec<String>,
    pub(crate) timespan: Duration,
    pub(crate) aliases: Vec<Alias>,
    /// Whether the rules referred to make findings of their own as well.
    pub(crate) generate: bool,
}

/// A name that stands for a field of each rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alias {
    pub(crate) name: String,
    /// Rule reference, field.
    pub(crate) fields: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    EventCount(Condition),
    /// Distinct combinations of the fields' values.
    ValueCount {
        fields: Vec<String>,
        condition: Condition,
    },
    /// A number made of the values of a field.
    Value {
        field: String,
        measure: Measure,
        condition: Condition,
    },
    /// Different rules, in any order or in that in which they are listed.
    Temporal {
        ordered: bool,
        wanted: Wanted,
    },
    /// Combinations of group and field values that were not there before. The timespan is how
    /// far back one remembers.
    FirstSeen {
        fields: Vec<String>,
        learning: Duration,
    },
    /// More than the key's own average over such periods.
    RateChange {
        factor: f64,
        at_least: u64,
        /// How far back the average reaches.
        baseline: Duration,
        learning: Duration,
    },
}

impl Kind {
    /// The fields whose values it looks at.
    pub(crate) fn fields_mut(&mut self) -> Vec<&mut String> {
        match self {
            Self::ValueCount { fields, .. } | Self::FirstSeen { fields, .. } => {
                fields.iter_mut().collect()
            }
            Self::Value { field, .. } => vec![field],
            Self::EventCount(_) | Self::Temporal { .. } | Self::RateChange { .. } => Vec::new(),
        }
    }
}

/// What is made of values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Measure {
    Sum,
    Average,
    /// 0 to 100, by linear interpolation between the two nearest values.
    Percentile(f64),
}

/// Which rules must have matched.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wanted {
    AtLeast(usize),
    /// Any of the alternatives.
    Clauses(Vec<Clause>),
    /// A number of rules that only the end of a window tells.
    Count(Condition),
}

/// Every type, as it is written.
pub(crate) const TYPES: [&str; 10] = [
    "event_count",
    "value_count",
    "value_sum",
    "value_avg",
    "value_median",
    "value_percentile",
    "temporal",
    "temporal_ordered",
    "first_seen",
    "rate_change",
];

const KEYS: [&str; 9] = [
    "type",
    "rules",
    "group-by",
    "timespan",
    "condition",
    "aliases",
    "generate",
    "learning",
    "baseline",
];

/// Reads the section.
pub(crate) fn parse(section: &Node) -> Result<Correlation, Fault> {
    for (key, _) in section.map("`correlation`")? {
        if !KEYS.contains(&key.name.as_str()) {
            return Err(Fault::new(key.line, format!("`correlation` has no `{}`", key.name))
                .hint(format!("it has {}", KEYS.join(", "))));
        }
    }
    let need = |key: &str| {
        section.get(key).ok_or_else(|| Fault::new(section.line, format!("the rule has no `{key}`")))
    };
    let rules = match (section.get("rules"), section.get("condition")) {
        (None, Some(Node { line, value: Yaml::Text(text) })) => {
            let named = condition::names(text).into_iter().map(|name| (*line, name));
            bounded(named.collect(), *line)?
        }
        _ => rules(need("rules")?)?,
    };
    let group_by = match section.get("group-by") {
        Some(node) => node.texts("`group-by`")?,
        None => Vec::new(),
    };
    if group_by.len() > limits::GROUP_BY_MAX {
        return Err(Fault::new(section.line, "`group-by` has too many fields")
            .hint(format!("at most {} are allowed", limits::GROUP_BY_MAX)));
    }
    let aliases = section.get("aliases").map_or(Ok(Vec::new()), aliases)?;
    for alias in &aliases {
        if let Some((rule, _)) =
            alias.fields.iter().find(|(rule, _)| !rules.iter().any(|(_, name)| name == rule))
        {
            let message = format!("alias `{}` speaks of `{rule}`, not among `rules`", alias.name);
            return Err(Fault::new(section.line, message));
        }
    }
    let timespan = timespan(need("timespan")?, "timespan")?;
    let kind = need("type")?;
    let name = kind.text("`type`")?;
    let asked = Asked { name: &name, line: kind.line, section, rules: &rules, timespan };
    Ok(Correlation {
        kind: asked.kind(&group_by)?,
        rules,
        group_by,
        timespan,
        aliases,
        generate: section.get("generate").map_or(Ok(false), |node| node.truth("`generate`"))?,
    })
}

fn rules(node: &Node) -> Result<Vec<(u64, String)>, Fault> {
    let items = match &node.value {
        Yaml::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let mut rules: Vec<(u64, String)> = Vec::new();
    for item in items {
        let name = item.text("an entry of `rules`")?;
        // A rule named twice is one rule.
        if !rules.iter().any(|(_, known)| *known == name) {
            rules.push((item.line, name));
        }
    }
    bounded(rules, node.line)
}

fn bounded(rules: Vec<(u64, String)>, line: u64) -> Result<Vec<(u64, String)>, Fault> {
    match rules.len() {
        0 => Err(Fault::new(line, "`rules` is empty")),
        count if count > limits::CORRELATED_RULES_MAX => {
            let hint = format!("at most {} are allowed", limits::CORRELATED_RULES_MAX);
            Err(Fault::new(line, "`rules` has too many entries").hint(hint))
        }
        _ => Ok(rules),
    }
}

/// What a rule asks for, being read.
struct Asked<'a> {
    /// The type.
    name: &'a str,
    line: u64,
    section: &'a Node,
    rules: &'a [(u64, String)],
    timespan: Duration,
}

impl Asked<'_> {
    fn kind(&self, group_by: &[String]) -> Result<Kind, Fault> {
        for (key, types) in
            [("learning", ["first_seen", "rate_change"].as_slice()), ("baseline", &["rate_change"])]
        {
            if let Some((key, _)) = self.section.entry(key)
                && !types.contains(&self.name)
            {
                return Err(Fault::new(key.line, format!("`{}` has no `{}`", self.name, key.name))
                    .hint(format!("it belongs to {}", types.join(" and "))));
            }
        }
        match self.name {
            "event_count" => Ok(Kind::EventCount(self.without_field()?)),
            "value_count" => {
                let Compared { fields, condition, .. } = self.counted(Bounds::Count)?.0;
                if fields.is_empty() {
                    return Err(self.fault("`value_count` needs `condition: {field: …}`"));
                }
                Ok(Kind::ValueCount { fields, condition })
            }
            "value_sum" => self.value(Measure::Sum),
            "value_avg" => self.value(Measure::Average),
            "value_median" => self.value(Measure::Percentile(50.0)),
            "value_percentile" => self.value(Measure::Percentile(f64::NAN)),
            "temporal" => Ok(Kind::Temporal { ordered: false, wanted: self.wanted(false)? }),
            "temporal_ordered" => Ok(Kind::Temporal { ordered: true, wanted: self.wanted(true)? }),
            "first_seen" => self.first_seen(group_by),
            "rate_change" => self.rate_change(),
            word => Err(self
                .fault(format!("there is no correlation type `{word}`"))
                .hint(format!("use one of {}", TYPES.join(", ")))),
        }
    }

    fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::new(self.line, message)
    }

    fn condition(&self) -> Result<&Node, Fault> {
        let missing = || self.fault(format!("`{}` needs a `condition`", self.name));
        self.section.get("condition").ok_or_else(missing)
    }

    /// A map of comparisons, and its line.
    fn counted(&self, bounds: Bounds) -> Result<(Compared, u64), Fault> {
        let node = self.condition()?;
        if let Yaml::Text(_) = node.value {
            return Err(Fault::new(node.line, "only temporal types take an expression over rules")
                .hint("write a map such as {gte: 10}"));
        }
        let compared = condition::compared(node, bounds)?.some(node)?;
        for (key, there) in
            [("percentile", compared.percentile.is_some()), ("factor", compared.factor.is_some())]
        {
            if there && !(bounds == Bounds::Number && key == "percentile") {
                return Err(Fault::new(node.line, format!("`{}` has no `{key}`", self.name)));
            }
        }
        Ok((compared, node.line))
    }

    fn without_field(&self) -> Result<Condition, Fault> {
        let (compared, _) = self.counted(Bounds::Count)?;
        if compared.fields.is_empty() {
            return Ok(compared.condition);
        }
        Err(self
            .fault(format!("`{}` has no `field`", self.name))
            .hint("use `value_count` to count different values"))
    }

    fn value(&self, measure: Measure) -> Result<Kind, Fault> {
        let (Compared { condition, fields, percentile, .. }, line) =
            self.counted(Bounds::Number)?;
        let [field] = fields.as_slice() else {
            let message = format!("`{}` needs one field: `condition: {{field: …}}`", self.name);
            return Err(Fault::new(line, message));
        };
        let measure = match (measure, percentile) {
            (Measure::Percentile(known), Some(asked)) if known.is_nan() => {
                if !(0.0..=100.0).contains(&asked) {
                    return Err(Fault::new(line, "`percentile` must be from 0 to 100"));
                }
                Measure::Percentile(asked)
            }
            (Measure::Percentile(known), None) if known.is_nan() => {
                return Err(Fault::new(line, "`value_percentile` needs `percentile`")
                    .hint("for example {field: …, percentile: 95, gte: 1000}"));
            }
            (_, Some(_)) => {
                return Err(Fault::new(line, format!("`{}` has no `percentile`", self.name)));
            }
            (measure, None) => measure,
        };
        Ok(Kind::Value { field: field.clone(), measure, condition })
    }

    fn wanted(&self, ordered: bool) -> Result<Wanted, Fault> {
        let rules = self.rules.len();
        let Some(node) = self.section.get("condition") else { return Ok(Wanted::AtLeast(rules)) };
        if let Yaml::Text(text) = &node.value {
            let names: Vec<&str> = self.rules.iter().map(|(_, name)| name.as_str()).collect();
            return Ok(Wanted::Clauses(condition::clauses(text, node.line, &names)?));
        }
        let condition = self.without_field()?;
        match condition.threshold() {
            Some(count) if count > rules => {
                let message = format!("{count} rules can never match, there are {rules}");
                Err(Fault::new(node.line, message))
            }
            Some(count) if ordered && count < rules => {
                let choices = condition::choices(rules, count);
                let many = || Fault::new(node.line, "too many orders would have to be looked for");
                choices.map(Wanted::Clauses).ok_or_else(many)
            }
            Some(count) => Ok(Wanted::AtLeast(count)),
            None if ordered => Err(Fault::new(node.line, "`temporal_ordered` takes `gt` or `gte`")
                .hint("or an expression over the rules, for example `a and b and not c`")),
            None => Ok(Wanted::Count(condition)),
        }
    }

    fn first_seen(&self, group_by: &[String]) -> Result<Kind, Fault> {
        let fields = match self.section.get("condition") {
            None => Vec::new(),
            Some(node) => {
                let compared = condition::compared(node, Bounds::Count)?;
                if !compared.condition.is_empty() || compared.percentile.is_some() {
                    return Err(Fault::new(node.line, "`first_seen` compares nothing")
                        .hint("write {field: …} with what must be new"));
                }
                compared.fields
            }
        };
        if fields.is_empty() && group_by.is_empty() {
            return Err(self
                .fault("`first_seen` needs a field that may be new")
                .hint("give `group-by`, `condition: {field: …}` or both"));
        }
        let learning = self.span("learning")?.unwrap_or(LEARNING.min(self.timespan));
        Ok(Kind::FirstSeen { fields, learning })
    }

    fn rate_change(&self) -> Result<Kind, Fault> {
        let node = self.condition()?;
        let Compared { condition, factor, fields, percentile } =
            condition::compared(node, Bounds::Count)?;
        let hint = "write {factor: 5, gte: 100}: five times the average, and at least 100";
        let (Some(factor), Some(at_least)) = (factor.filter(|f| *f > 1.0), condition.threshold())
        else {
            let message = "`rate_change` needs a `factor` above 1 and a least count";
            return Err(Fault::new(node.line, message).hint(hint));
        };
        if !fields.is_empty() || percentile.is_some() {
            return Err(Fault::new(node.line, "`rate_change` counts events").hint(hint));
        }
        if self.timespan < limits::RATE_TIMESPAN_MIN {
            let least = limits::RATE_TIMESPAN_MIN.as_secs();
            return Err(self.fault(format!("`rate_change` needs a timespan of at least {least}s")));
        }
        let baseline = self.span("baseline")?.unwrap_or(LEARNING.max(self.timespan * 10));
        if baseline < self.timespan * 2 {
            return Err(self.fault("`baseline` must be at least twice the timespan"));
        }
        let learning = self.span("learning")?.unwrap_or(baseline);
        Ok(Kind::RateChange { factor, at_least: at_least as u64, baseline, learning })
    }

    fn span(&self, key: &str) -> Result<Option<Duration>, Fault> {
        self.section.get(key).map(|node| timespan(node, key)).transpose()
    }
}

/// How long a rule learns what is usual where it does not say.
const LEARNING: Duration = Duration::from_secs(7 * 86_400);

fn timespan(node: &Node, key: &str) -> Result<Duration, Fault> {
    let text = node.text(&format!("`{key}`"))?;
    let seconds = text.char_indices().next_back().and_then(|(at, unit)| {
        let number: u64 = text.get(..at)?.trim().parse().ok()?;
        let factor = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 7 * 86_400,
            'M' => 30 * 86_400,
            'y' => 365 * 86_400,
            _ => return None,
        };
        number.checked_mul(factor)
    });
    match seconds {
        Some(seconds @ 1..=limits::TIMESPAN_SECONDS_MAX) => Ok(Duration::from_secs(seconds)),
        Some(_) => Err(Fault::new(node.line, format!("a {key} of {text} is out of range"))
            .hint(format!("at least 1s, at most {}d", limits::TIMESPAN_SECONDS_MAX / 86_400))),
        None => Err(Fault::new(node.line, format!("'{text}' is not a {key}"))
            .hint("write a number and s, m, h or d, for example 90m")),
    }
}

fn aliases(node: &Node) -> Result<Vec<Alias>, Fault> {
    node.map("`aliases`")?
        .iter()
        .map(|(key, value)| {
            let fields = value
                .map("an alias")?
                .iter()
                .map(|(rule, field)| Ok((rule.name.clone(), field.text("a field of an alias")?)))
                .collect::<Result<_, Fault>>()?;
            Ok(Alias { name: key.name.clone(), fields })
        })
        .collect()
}
