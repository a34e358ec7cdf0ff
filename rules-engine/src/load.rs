//! Rule files to a rule set. The only part of this crate that touches the file system.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keng_event::{Dataset, FindingIds, FindingKind, RuleRef};

use crate::compile::atoms::AtomsBuilder;
use crate::compile::correlations;
use crate::compile::fields::{Bindings, Fields};
use crate::compile::witness::{self, Popularity};
use crate::route::Words;
use crate::rule_set::{CompiledBody, CompiledRule, RuleSummary, Tables};
use crate::sigma::rule::{Body, Rule};
use crate::sigma::{Fault, rule, yaml};
use crate::test_case::RuleTest;
use crate::text::FastMap;
use crate::{LogSourceFilter, Problem, RuleSet, limits};

/// What came of loading: the rules that are sound, and what is wrong with the others.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Every rule without a problem.
    pub rules: RuleSet,
    /// Sorted by file and line.
    pub problems: Vec<Problem>,
}

/// A rule as written, and where.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    file: Arc<str>,
    rule: Arc<Rule>,
}

/// Reads rule files and directories (recursively `*.yml` and `*.yaml`, in the order of their
/// names; hidden entries and links to directories are left out) and compiles them for `datasets`.
#[must_use]
pub fn load(paths: &[PathBuf], datasets: &'static [Dataset]) -> Loaded {
    let mut reader = Reader::default();
    for path in paths {
        reader.path(path, 0);
    }
    reader.compile(datasets)
}

/// Compiles the rules in one text; `name` stands for the file in problems.
#[must_use]
pub fn load_text(name: &str, yaml: &str, datasets: &'static [Dataset]) -> Loaded {
    let mut reader = Reader::default();
    reader.text(name, yaml);
    reader.compile(datasets)
}

#[derive(Debug, Default)]
struct Reader {
    sources: Vec<Source>,
    problems: Vec<Problem>,
}

impl Reader {
    fn path(&mut self, path: &Path, depth: usize) {
        match fs::metadata(path) {
            Err(error) => self.unreadable(path, &error.to_string()),
            Ok(found) if found.is_dir() => self.folder(path, depth),
            Ok(_) => self.file(path),
        }
    }

    fn folder(&mut self, path: &Path, depth: usize) {
        if depth > limits::FOLDER_DEPTH_MAX {
            return self.unreadable(path, "folders are nested too deeply");
        }
        let entries = fs::read_dir(path)
            .and_then(|entries| entries.collect::<Result<Vec<_>, _>>())
            .map_err(|error| self.unreadable(path, &error.to_string()));
        let Ok(mut entries) = entries else { return };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            let yaml = path.extension().is_some_and(|kind| kind == "yml" || kind == "yaml");
            match entry.file_type() {
                _ if hidden => {}
                Ok(kind) if kind.is_dir() => self.folder(&path, depth + 1),
                // A link to a folder may lead back to where we are.
                Ok(kind) if yaml && (kind.is_file() || path.is_file()) => self.file(&path),
                Ok(_) => {}
                Err(error) => self.unreadable(&path, &error.to_string()),
            }
        }
    }

    fn file(&mut self, path: &Path) {
        let mut text = String::new();
        // One byte more than allowed tells that there is more, whatever the size was said to be.
        let bound = limits::RULE_FILE_BYTES_MAX as u64 + 1;
        let read = fs::File::open(path).and_then(|file| file.take(bound).read_to_string(&mut text));
        match read {
            Ok(_) => self.text(&path.to_string_lossy(), &text),
            Err(error) => self.unreadable(path, &error.to_string()),
        }
    }

    fn unreadable(&mut self, path: &Path, reason: &str) {
        self.problems.push(Problem {
            file: path.to_string_lossy().into_owned(),
            line: 0,
            rule: String::new(),
            message: format!("cannot read it: {reason}"),
            hint: None,
        });
    }

    fn text(&mut self, file: &str, text: &str) {
        match yaml::documents(text) {
            Err(fault) => self.problems.push(problem(file, String::new(), fault)),
            Ok(documents) => {
                let file: Arc<str> = file.into();
                for document in documents {
                    match rule::parse(&document) {
                        Ok(rule) => {
                            self.sources.push(Source { file: file.clone(), rule: rule.into() });
                        }
                        Err(fault) => {
                            self.problems.push(problem(&file, rule::label(&document), fault));
                        }
                    }
                }
            }
        }
    }

    fn compile(mut self, datasets: &'static [Dataset]) -> Loaded {
        self.remove_repeated_ids();
        let mut loaded = compile(self.sources, datasets);
        loaded.problems.append(&mut self.problems);
        loaded.problems.sort();
        loaded
    }

    fn remove_repeated_ids(&mut self) {
        let mut seen: FastMap<String, String> = FastMap::default();
        let Self { sources, problems } = self;
        sources.retain(|source| {
            let id = &source.rule.id;
            let place = format!("{}:{}", source.file, source.rule.line);
            let fault = match seen.get(id) {
                Some(first) => Fault::new(source.rule.line, "another rule has the same id")
                    .hint(format!("the other is at {first}")),
                None if seen.len() >= limits::RULES_MAX => {
                    Fault::new(source.rule.line, "there are too many rules")
                        .hint(format!("at most {} can be loaded", limits::RULES_MAX))
                }
                None => {
                    seen.insert(id.clone(), place);
                    return true;
                }
            };
            problems.push(problem(&source.file, id.clone(), fault));
            false
        });
    }
}

fn problem(file: &str, rule: String, fault: Fault) -> Problem {
    let Fault { line, message, hint } = fault;
    Problem { file: file.to_owned(), line, rule, message, hint }
}

/// Compiles rules that were read. Correlation rules whose references cannot be followed become
/// problems.
pub(crate) fn compile(mut sources: Vec<Source>, datasets: &'static [Dataset]) -> Loaded {
    let mut problems = Vec::new();
    let resolved = loop {
        let rules: Vec<&Rule> = sources.iter().map(|source| &*source.rule).collect();
        match correlations::resolve(&rules) {
            Ok(resolved) => break resolved,
            // One fault may pull others after it (a reference to a refused rule).
            Err(faults) => {
                for (number, fault) in faults.into_iter().rev() {
                    let source = sources.remove(number);
                    problems.push(problem(&source.file, source.rule.id.clone(), fault));
                }
            }
        }
    };
    let (mut fields, mut atoms) = (Fields::default(), AtomsBuilder::default());
    let mut popularity = Popularity::default();
    for source in &sources {
        if let Body::Detection { expr, .. } = &source.rule.body {
            witness::count(expr, &mut fields, &mut popularity);
        }
    }
    let mut set = RuleSet { datasets, order: resolved.order, ..RuleSet::default() };
    let mut words = Words::default();
    for (number, (source, links)) in sources.iter().zip(resolved.links).enumerate() {
        let rule = &*source.rule;
        let body = match &rule.body {
            Body::Detection { logsource, expr } => {
                words.add(logsource);
                CompiledBody::Detection {
                    logsource: logsource.clone(),
                    witness: witness::choose(expr, &mut fields, &popularity),
                    expr: expr.map(&mut |atom| atoms.intern(atom, &mut fields)),
                }
            }
            Body::Correlation(correlation) => {
                let rules = links.references.clone();
                CompiledBody::Correlation(correlations::compile(correlation, rules, &mut fields))
            }
        };
        set.summaries.push(summary(source, links.generates));
        set.tests.extend(tests(source));
        set.rules.push(CompiledRule {
            reference: Arc::new(reference(rule)),
            ids: FindingIds::of(&rule.id),
            suppress: rule.keng.suppress.clone(),
            group_by: rule.keng.group_by.clone(),
            generates: links.generates,
            feeds: links.feeds,
            fingerprint: resolved.fingerprints.get(number).copied().unwrap_or_default(),
            body,
        });
    }
    let bindings = Bindings::new(datasets);
    set.tables = Tables { fields, atoms: atoms.finish(), bindings };
    (set.words, set.sources) = (words, sources);
    Loaded { rules: set, problems }
}

fn reference(rule: &Rule) -> RuleRef {
    RuleRef {
        id: rule.id.clone(),
        title: rule.title.clone(),
        level: rule.level,
        tags: rule.tags.clone(),
        description: rule.description.clone(),
        runbook: rule.keng.runbook.clone(),
        false_positives: rule.false_positives.clone(),
    }
}

fn summary(source: &Source, generates: bool) -> RuleSummary {
    let rule = &*source.rule;
    let (kind, logsource) = match &rule.body {
        Body::Detection { logsource, .. } => (FindingKind::Detection, logsource.clone()),
        Body::Correlation(_) => (FindingKind::Correlation, LogSourceFilter::default()),
    };
    RuleSummary {
        id: rule.id.clone(),
        name: rule.name.clone(),
        title: rule.title.clone(),
        level: rule.level,
        status: rule.status.clone(),
        tags: rule.tags.clone(),
        kind,
        description: rule.description.clone(),
        file: source.file.to_string(),
        line: rule.line,
        logsource,
        generates,
        tests: rule.keng.tests.len(),
    }
}

fn tests(source: &Source) -> impl Iterator<Item = RuleTest> {
    source.rule.keng.tests.iter().map(|test| RuleTest {
        rule_id: source.rule.id.clone(),
        file: source.file.to_string(),
        line: test.line,
        name: test.name.clone(),
        events: test.events.clone(),
        expect: test.expect,
    })
}
