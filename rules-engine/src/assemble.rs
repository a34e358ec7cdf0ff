//! Documents to rules: filters are added, placeholders get values from lists, and what is left of
//! each rule becomes tests.

use std::collections::BTreeSet;
use std::sync::Arc;

use keng_event::hash::fnv64;
use keng_event::{Dataset, Timestamp};

use crate::lists::{Library, Lists};
use crate::load::{Source, problem};
use crate::served;
use crate::sigma::Fault;
use crate::sigma::correlation::Correlation;
use crate::sigma::filter::Filter;
use crate::sigma::item::{Content, Item, Value};
use crate::sigma::lint::{self, Remark};
use crate::sigma::modifier::irregular;
use crate::sigma::pipeline::{self, Pipeline, Subject};
use crate::sigma::rule::{Body, Draft, Rule};
use crate::sigma::test::{Pattern, Test};
use crate::text::{FastMap, Regexes};
use crate::{LogSourceFilter, Problem, Warning};

/// A rule as written, and where.
#[derive(Debug)]
pub(crate) struct Drafted {
    pub(crate) file: Arc<str>,
    pub(crate) rule: Rule<Draft>,
    /// Whether a pipeline may have changed what it means.
    pub(crate) piped: bool,
}

/// What was read from all files.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    pub(crate) drafts: Vec<Drafted>,
    pub(crate) filters: Vec<(Arc<str>, Filter)>,
    pub(crate) pipelines: Vec<Pipeline>,
    pub(crate) warnings: Vec<Warning>,
    /// Those that are true from a time on.
    pub(crate) due: Vec<(Timestamp, Warning)>,
}

/// A warning about one place.
pub(crate) fn warning(file: &str, rule: &str, remark: Remark) -> Warning {
    let Remark { code, line, message, hint, since: _ } = remark;
    Warning { file: file.to_owned(), line, rule: rule.to_owned(), code, message, hint }
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Assembled {
    /// Every rule that is sound.
    pub(crate) sources: Vec<Source>,
    /// The lists that they look into.
    pub(crate) lists: Lists,
    /// The regular expressions that they have.
    pub(crate) regexes: Regexes,
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) due: Vec<(Timestamp, Warning)>,
}

impl Assembly {
    /// Notes what is odd about a document.
    pub(crate) fn remark(&mut self, file: &str, label: &str, remarks: Vec<Remark>) {
        for remark in remarks {
            let since = remark.since;
            let warning = warning(file, label, remark);
            match since {
                None => self.warnings.push(warning),
                Some(since) => self.due.push((since, warning)),
            }
        }
    }

    /// Makes rules of the documents.
    pub(crate) fn finish(mut self, mut library: Library, datasets: &[Dataset]) -> Assembled {
        self.lint_titles();
        self.filter();
        let mut problems = self.pipe();
        let mut sources = Vec::with_capacity(self.drafts.len());
        let mut regexes = Regexes::default();
        for Drafted { file, rule, piped } in self.drafts {
            let id = rule.id.clone();
            if let Draft::Detection(detection) = &rule.body {
                let unknown = served::unknown(&detection.logsource, rule.line, datasets);
                let remarks = lint::fields(detection, datasets).into_iter().chain(unknown);
                self.warnings.extend(remarks.map(|remark| warning(&file, &id, remark)));
            }
            match rule.try_map(|draft| body(draft, &mut library, &mut regexes)) {
                Ok(mut rule) => {
                    if piped {
                        rule.fingerprint = changed(rule.fingerprint, &rule.body);
                    }
                    sources.push(Source { file, rule: Arc::new(rule) });
                }
                Err(fault) => problems.push(problem(&file, id, fault)),
            }
        }
        let Self { warnings, due, .. } = self;
        Assembled { sources, lists: library.finish(), regexes, problems, warnings, due }
    }

    /// Puts every rule through the pipelines; gives those that a pipeline refuses.
    fn pipe(&mut self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.pipelines.is_empty() {
            return problems;
        }
        let Self { drafts, pipelines, .. } = self;
        let mut piped = |draft: &mut Drafted, referred: Vec<LogSourceFilter>| {
            let mut subject = Subject { rule: &mut draft.rule, referred };
            match pipeline::apply(pipelines, &mut subject) {
                Ok(applied) => draft.piped = applied,
                Err(fault) => {
                    problems.push(problem(&draft.file, draft.rule.id.clone(), fault));
                }
            }
        };
        let single = |draft: &Drafted| matches!(draft.rule.body, Draft::Detection(_));
        for draft in drafts.iter_mut().filter(|draft| single(draft)) {
            piped(draft, Vec::new());
        }
        // Correlation rules are asked for the log sources that their rules have by now.
        let referred: Vec<_> = (0..drafts.len()).map(|number| referred(drafts, number)).collect();
        for (draft, referred) in drafts.iter_mut().zip(referred) {
            if !single(draft) {
                piped(draft, referred);
            }
        }
        let refused: BTreeSet<&str> = problems.iter().map(|problem| &*problem.rule).collect();
        drafts.retain(|draft| !refused.contains(draft.rule.id.as_str()));
        problems
    }

    /// Demands of every rule what the filters for it demand.
    fn filter(&mut self) {
        let Self { drafts, filters, warnings, .. } = self;
        for (file, filter) in filters {
            let mut tell = |remark| warnings.push(warning(file, &filter.label, remark));
            for (line, name) in filter.rules.iter().flatten() {
                if !drafts.iter().any(|draft| draft.rule.is_called(name)) {
                    let message = format!("no rule has the id or name '{name}'");
                    tell(
                        Remark::new("filter-without-rule", *line, message)
                            .hint("load its file too, or take it out of `rules`"),
                    );
                }
            }
            // The counted half of a rule has no name of its own; its id leads to the half that has.
            let meant: Option<BTreeSet<String>> = filter.rules.as_ref().map(|names| {
                let called =
                    |rule: &Rule<Draft>| names.iter().any(|(_, name)| rule.is_called(name));
                let called = drafts.iter().filter(|draft| called(&draft.rule));
                called.map(|draft| draft.rule.id.clone()).collect()
            });
            let mut applied = 0;
            for Drafted { rule, .. } in drafts.iter_mut() {
                let named = meant.as_ref().is_none_or(|ids| {
                    ids.contains(&rule.id) || rule.counted_by().is_some_and(|id| ids.contains(id))
                });
                if let (true, Draft::Detection(detection)) = (named, &mut rule.body)
                    && filter.covers(detection)
                {
                    rule.fingerprint = filter.apply(detection, rule.fingerprint);
                    applied += 1;
                }
            }
            if applied == 0 {
                tell(
                    Remark::new(
                        "filter-without-effect",
                        filter.line,
                        "the filter applies to no rule",
                    )
                    .hint(
                        "its `logsource` must state nothing that the rules state otherwise; \
                           correlation rules are filtered through the rules that they refer to",
                    ),
                );
            }
        }
    }

    fn lint_titles(&mut self) {
        let mut seen: FastMap<&str, String> = FastMap::default();
        for Drafted { file, rule, .. } in &self.drafts {
            // What a rule of before Sigma 2 counts has the title of the rule that counts it.
            if rule.counted_by().is_some() {
                continue;
            }
            let place = format!("{file}:{}", rule.line);
            if let Some(first) = seen.get(rule.title.as_str()) {
                let message = format!("another rule has the title '{}'", rule.title);
                let remark = Remark::new("duplicate-title", rule.line, message)
                    .hint(format!("the other is at {first}"));
                self.warnings.push(warning(file, &rule.id, remark));
            } else {
                seen.insert(&rule.title, place);
            }
        }
    }
}

/// The log sources of all rules below a correlation rule.
fn referred(drafts: &[Drafted], number: usize) -> Vec<LogSourceFilter> {
    let (mut found, mut seen, mut open) = (Vec::new(), BTreeSet::new(), vec![number]);
    while let Some(number) = open.pop() {
        let Some(draft) = drafts.get(number).filter(|_| seen.insert(number)) else { continue };
        match &draft.rule.body {
            Draft::Detection(detection) => found.push(detection.logsource.clone()),
            Draft::Correlation(correlation) => {
                let called = |name: &str| {
                    drafts.iter().position(|other| {
                        other.rule.id == name || other.rule.name.as_deref() == Some(name)
                    })
                };
                open.extend(correlation.rules.iter().filter_map(|(_, name)| called(name)));
            }
        }
    }
    found
}

/// The fingerprint of a rule that pipelines may have changed: that of what came out.
fn changed(fingerprint: u64, body: &Body) -> u64 {
    let meaning = match body {
        Body::Detection { logsource, expr, exceptions } => {
            let excepted = exceptions.iter().map(|one| (one.exception.expires, &one.expr));
            format!("{logsource:?}{expr:?}{:?}", excepted.collect::<Vec<_>>())
        }
        Body::Correlation(Correlation { kind, group_by, aliases, .. }) => {
            format!("{kind:?}{group_by:?}{aliases:?}")
        }
    };
    let prints = [fingerprint, fnv64(meaning.as_bytes())].map(u64::to_le_bytes);
    fnv64(prints.as_flattened())
}

fn body(draft: Draft, library: &mut Library, regexes: &mut Regexes) -> Result<Body, Fault> {
    match draft {
        Draft::Correlation(correlation) => Ok(Body::Correlation(correlation)),
        Draft::Detection(mut detection) => {
            let used = detection.used();
            for (number, selection) in detection.selections.iter_mut().enumerate() {
                // What no condition reaches need not have values.
                if used.contains(&number) {
                    selection.tree.try_items_mut(&mut |item| look_up(item, library))?;
                }
            }
            let (expr, exceptions) = detection.lower()?;
            let mut added = Ok(());
            let conditions = std::iter::once(&expr).chain(exceptions.iter().map(|one| &one.expr));
            conditions.for_each(|condition| {
                condition.each(&mut |atom| {
                    if let (Ok(()), Test::Regex { source, flags }) = (&added, &atom.test) {
                        added = regexes.add(source, *flags);
                    }
                });
            });
            added.map_err(|reason| irregular(&reason, detection.line))?;
            Ok(Body::Detection { logsource: detection.logsource, expr, exceptions })
        }
    }
}

/// Finds the lists that an item looks into, and fills its placeholders from lists.
fn look_up(item: &mut Item, library: &mut Library) -> Result<(), Fault> {
    let line = item.line;
    let fault = |(message, hint): (String, String)| Fault::new(line, message).hint(hint);
    item.name_lists(|name| library.has(name));
    if let Content::Values(values) = &item.content {
        for value in values {
            if let Value::InList(name) = value {
                library.list(name).map_err(fault)?;
            }
        }
        return Ok(());
    }
    let (regex, mut failed) = (item.modifiers.is_regex(), None);
    item.expand(&mut |name| {
        if !library.has(name) {
            return None;
        }
        let entries = library.entries(name).map_err(|error| failed = Some(error)).ok()?;
        // Entries are literal: their stars and dots mean themselves.
        let literal = |entry: String| match regex {
            true => regex::escape(&entry),
            false => Pattern::escape(&entry),
        };
        Some(entries.into_iter().map(literal).collect())
    })?;
    failed.map_or(Ok(()), |error| Err(fault(error)))
}
