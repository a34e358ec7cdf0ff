//! The pipe behind a condition (`| count() by host > 5`), which Sigma had before version 2.
//!
//! A rule that has one is read as two: what the condition selects, and a correlation rule that
//! counts it within `timeframe`. `near` is refused: it never said in which order, how far apart,
//! or of what the events belong together.

use super::Fault;
use super::yaml::{Key, Node, Yaml};

/// What the pipe asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Aggregation {
    line: u64,
    kind: &'static str,
    field: Option<String>,
    percentile: Option<i128>,
    group_by: Vec<String>,
    /// `gt`, `gte`, …
    relation: &'static str,
    bound: Yaml,
    timeframe: Node,
}

/// Reads what stands behind the `|`.
pub(super) fn parse(
    pipe: &str,
    timeframe: Option<(&Key, &Node)>,
    line: u64,
) -> Result<Aggregation, Fault> {
    let shape = "an aggregation is written `count(field) by group > 5`";
    let fault = |message: String| Fault::new(line, message).hint(shape);
    let pipe = pipe.trim();
    if pipe == "near" || pipe.starts_with("near ") {
        return Err(Fault::new(line, "`near` was removed from Sigma with version 2")
            .hint("write a correlation rule of type `temporal` over a rule for each selection"));
    }
    let (function, rest) = pipe
        .split_once('(')
        .ok_or_else(|| fault(format!("behind `|`: `{pipe}` is no aggregation")))?;
    let (field, rest) =
        rest.split_once(')').ok_or_else(|| fault("behind `|`: `(` is not closed".into()))?;
    let field = Some(field.trim().to_owned()).filter(|field| !field.is_empty());
    let (kind, percentile) = match (function.trim(), field.is_some()) {
        ("count", false) => ("event_count", None),
        ("count", true) => ("value_count", None),
        ("sum", true) => ("value_sum", None),
        ("avg", true) => ("value_avg", None),
        ("min", true) => ("value_percentile", Some(0)),
        ("max", true) => ("value_percentile", Some(100)),
        ("min" | "max" | "avg" | "sum", false) => {
            return Err(fault(format!("behind `|`: `{function}` needs a field")));
        }
        (other, _) => return Err(fault(format!("behind `|`: there is no function `{other}`"))),
    };
    let at = rest.find(['<', '>', '=', '!']);
    let (grouping, comparison) = at
        .and_then(|at| rest.split_at_checked(at))
        .ok_or_else(|| fault("behind `|`: it compares with nothing".into()))?;
    let Some((_, timeframe)) = timeframe else {
        return Err(Fault::new(line, "it counts without a `timeframe`")
            .hint("add `timeframe: 5m` to `detection`, or write a correlation rule"));
    };
    let (relation, bound) = relation(comparison)
        .ok_or_else(|| fault(format!("behind `|`: `{comparison}` is no comparison")))?;
    let (group_by, timeframe) =
        (group_by(grouping).ok_or_else(|| fault(unclear(grouping)))?, timeframe.clone());
    Ok(Aggregation { line, kind, field, percentile, group_by, relation, bound, timeframe })
}

fn unclear(grouping: &str) -> String {
    format!("behind `|`: expected `by` and fields instead of `{}`", grouping.trim())
}

/// Nothing, or `by` and fields.
fn group_by(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    if text.is_empty() {
        return Some(Vec::new());
    }
    let fields = text.strip_prefix("by ")?.split(',').map(|field| field.trim().to_owned());
    let fields: Vec<String> = fields.collect();
    let sound = |field: &String| !field.is_empty() && !field.contains(char::is_whitespace);
    fields.iter().all(sound).then_some(fields)
}

fn relation(text: &str) -> Option<(&'static str, Yaml)> {
    let digits = text.trim_start_matches(['<', '>', '=', '!']);
    let operator = text.strip_suffix(digits)?;
    let relation = match operator {
        ">" => "gt",
        ">=" => "gte",
        "<" => "lt",
        "<=" => "lte",
        "=" | "==" => "eq",
        "!=" => "neq",
        _ => return None,
    };
    digits.trim().parse().ok().map(|bound| (relation, Yaml::Int(bound)))
}

impl Aggregation {
    /// The `correlation` section of a rule that counts what the rule `base` matches.
    pub(super) fn section(&self, base: &str) -> Node {
        let node = |value| Node { line: self.line, value };
        let entry = |name: &str, value| (Key { line: self.line, name: name.into() }, node(value));
        let text = |text: &str| Yaml::Text(text.to_owned());
        let mut condition = vec![entry(self.relation, self.bound.clone())];
        condition.extend(self.field.as_deref().map(|field| entry("field", text(field))));
        condition.extend(self.percentile.map(|rank| entry("percentile", Yaml::Int(rank))));
        let fields = self.group_by.iter().map(|field| node(text(field))).collect();
        node(Yaml::Map(vec![
            entry("type", text(self.kind)),
            entry("rules", Yaml::List(vec![node(text(base))])),
            entry("group-by", Yaml::List(fields)),
            entry("timespan", self.timeframe.value.clone()),
            entry("condition", Yaml::Map(condition)),
        ]))
    }

    /// What it became, for the warning.
    pub(super) fn told(&self) -> String {
        format!("the aggregation behind `|` was read as a correlation of type `{}`", self.kind)
    }

    pub(super) fn line(&self) -> u64 {
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pipe: &str) -> String {
        let timeframe = Node { line: 1, value: Yaml::Text("5m".into()) };
        let key = Key { line: 1, name: "timeframe".into() };
        match parse(pipe, Some((&key, &timeframe)), 1) {
            Ok(aggregation) => {
                let mut out = String::new();
                aggregation.section("base").canonical(&mut out);
                out
            }
            Err(fault) => fault.message,
        }
    }

    #[test]
    fn every_form() {
        let forms = [
            " count() > 5",
            "count(dst_port) by src_ip > 10",
            " count( ) by a.b, c-d >= 3 ",
            "count() by TaskName < 5",
            "sum(message_size) by src_ip > 300000",
            "avg(x) == 7",
            "min(x) by y <= 7",
            "max(x) != 7",
            "near selection2",
            "count > 5",
            "count(",
            "count()",
            "count() by > 5",
            "count() for x > 5",
            "count() > many",
            "count() => 5",
            "sum() > 5",
            "median(x) > 5",
            "",
        ];
        let said: Vec<_> = forms.iter().map(|pipe| format!("{pipe:38} {}", read(pipe))).collect();
        insta::assert_snapshot!(said.join("\n"));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_never_panics(pipe in "[a-z()<>=!é ]{0,40}") {
            drop(read(&pipe));
        }
    }
}
