//! Rule files to a rule set. The only part of this crate that touches the file system.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keng_event::hash::fnv64;
use keng_event::{Dataset, FindingIds, FindingKind, RuleRef, Timestamp};

use crate::assemble::{Assembly, Drafted, warning};
use crate::compile::atoms::AtomsBuilder;
use crate::compile::correlations;
use crate::compile::fields::{Bindings, Fields};
use crate::compile::order;
use crate::compile::witness::{self, Popularity};
use crate::cost::Costs;
use crate::lists::{self, Library};
use crate::route::Words;
use crate::rule_set::{CompiledBody, CompiledRule, Known, Prints, RuleSummary, Tables};
use crate::sigma::keng::Keng;
use crate::sigma::rule::{Body, Document, Draft, Rule};
use crate::sigma::test::Atom;
use crate::sigma::yaml::{self, Yaml};
use crate::sigma::{Expr, Fault, pipeline, rule};
use crate::test_case::RuleTest;
use crate::text::FastMap;
use crate::{Config, LogSourceFilter, Problem, RuleSet, RuleState, Warning, limits, parallel};

/// What came of loading: the rules that are sound, and what is wrong with the others.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Every rule without a problem.
    pub rules: RuleSet,
    /// Sorted by file and line.
    pub problems: Vec<Problem>,
    /// What is odd about the sound ones, sorted by file and line.
    pub warnings: Vec<Warning>,
    /// Warnings that are true from a time on: of exceptions that expire then.
    pub due: Vec<(Timestamp, Warning)>,
}

impl Loaded {
    /// Adds the warnings that are true at this time, which only the caller knows.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        let (due, later) = self.due.into_iter().partition(|(since, _)| *since <= now);
        let due: Vec<(Timestamp, Warning)> = due;
        self.warnings.extend(due.into_iter().map(|(_, warning)| warning));
        self.warnings.sort();
        self.due = later;
        self
    }
}

/// A rule as written, and where.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) file: Arc<str>,
    pub(crate) rule: Arc<Rule>,
}

/// Reads rule files and directories (recursively `*.yml` and `*.yaml`, in the order of their
/// names; hidden entries and links to directories are left out) and compiles them for `datasets`.
#[must_use]
pub fn load(paths: &[PathBuf], datasets: &'static [Dataset]) -> Loaded {
    Config { paths: paths.to_vec(), ..Config::default() }.load(datasets)
}

impl Config {
    /// Reads the rules that it names and compiles them for `datasets`, with its value lists.
    #[must_use]
    pub fn load(&self, datasets: &'static [Dataset]) -> Loaded {
        let mut reader = self.reader();
        for path in &self.paths {
            reader.path(path, 0);
        }
        reader.read();
        reader.compile(Library::open(self.lists.as_deref()), datasets)
    }

    /// Compiles the rules in one text with its pipelines and value lists, without the rules that
    /// it names; `name` stands for the file in problems.
    #[must_use]
    pub fn load_text(&self, name: &str, yaml: &str, datasets: &'static [Dataset]) -> Loaded {
        let mut reader = self.reader();
        reader.text(name, yaml);
        reader.compile(Library::open(self.lists.as_deref()), datasets)
    }

    /// A reader that knows the pipelines.
    fn reader(&self) -> Reader {
        let mut reader = Reader::default();
        for path in &self.pipelines {
            reader.pipeline(path);
        }
        reader.assembly.pipelines.sort_by_key(|pipeline| pipeline.priority);
        reader
    }
}

/// Compiles the rules in one text; `name` stands for the file in problems.
#[must_use]
pub fn load_text(name: &str, yaml: &str, datasets: &'static [Dataset]) -> Loaded {
    Config::default().load_text(name, yaml, datasets)
}

#[derive(Debug, Default)]
struct Reader {
    /// Files yet to be read.
    files: Vec<PathBuf>,
    assembly: Assembly,
    problems: Vec<Problem>,
}

/// Fewer files than this are not worth a thread of their own.
const FILES_PER_THREAD_MIN: usize = 64;

/// Whether a file in a folder of rules is one of rules, by its name.
#[must_use]
pub fn is_rule_file(path: &Path) -> bool {
    let yaml =
        |ending: &OsStr| ["yml", "yaml"].iter().any(|yaml| ending.eq_ignore_ascii_case(yaml));
    path.extension().is_some_and(yaml)
}

impl Reader {
    fn path(&mut self, path: &Path, depth: usize) {
        match fs::metadata(path) {
            Err(error) => self.unreadable(path, &error.to_string()),
            Ok(found) if found.is_dir() => self.folder(path, depth),
            Ok(_) => self.files.push(path.to_owned()),
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
            let yaml = is_rule_file(&path);
            match entry.file_type() {
                _ if hidden => {}
                Ok(kind) if kind.is_dir() => self.folder(&path, depth + 1),
                // A link to a folder may lead back to where we are.
                Ok(kind) if yaml && (kind.is_file() || path.is_file()) => self.files.push(path),
                Ok(_) => {}
                Err(error) => self.unreadable(&path, &error.to_string()),
            }
        }
    }

    /// Reads the files, with all processors: a large set is mostly YAML to be read.
    fn read(&mut self) {
        let files = std::mem::take(&mut self.files);
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let share = files.len().div_ceil(threads).max(FILES_PER_THREAD_MIN);
        let parts = parallel::each(files.chunks(share).collect(), |files| {
            let mut part = Self::default();
            files.iter().for_each(|file| part.file(file));
            part
        });
        for Self { mut assembly, problems, .. } in parts {
            self.assembly.drafts.append(&mut assembly.drafts);
            self.assembly.filters.append(&mut assembly.filters);
            self.assembly.warnings.append(&mut assembly.warnings);
            self.assembly.due.append(&mut assembly.due);
            self.problems.extend(problems);
        }
    }

    fn file(&mut self, path: &Path) {
        match read(path) {
            Ok(text) => self.text(&path.to_string_lossy(), &text),
            Err(error) => self.unreadable(path, &error.to_string()),
        }
    }

    fn pipeline(&mut self, path: &Path) {
        let text = match read(path) {
            Ok(text) => text,
            Err(error) => return self.unreadable(path, &error.to_string()),
        };
        let file: Arc<str> = path.to_string_lossy().into();
        let folder = path.parent().unwrap_or(Path::new(""));
        let fetch = |named: &Path| lists::content(&folder.join(named));
        let parsed = yaml::documents(&text).and_then(|documents| match documents.as_slice() {
            [document] => pipeline::parse(&file, document, &fetch),
            _ => Err(Fault::new(1, "a pipeline file holds one document")),
        });
        match parsed {
            Ok((pipeline, remarks)) => {
                let told = remarks.into_iter().map(|remark| warning(&file, "", remark));
                self.assembly.warnings.extend(told);
                self.assembly.pipelines.push(pipeline);
            }
            Err(fault) => self.problems.push(problem(&file, String::new(), fault)),
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
        let documents = match yaml::documents(text) {
            Ok(documents) => documents,
            Err(fault) => return self.problems.push(problem(file, String::new(), fault)),
        };
        let file: Arc<str> = file.into();
        // A file may end with `---`, or begin with a document of comments.
        for document in documents.into_iter().filter(|document| document.value != Yaml::Null) {
            match rule::parse(&document) {
                Ok((parsed, remarks)) => {
                    self.assembly.remark(&file, &rule::label(&document), remarks);
                    self.document(&file, parsed);
                }
                Err(fault) => self.problems.push(problem(&file, rule::label(&document), fault)),
            }
        }
    }

    fn document(&mut self, file: &Arc<str>, document: Document) {
        let mut draft = |rule: Rule<Draft>| {
            self.assembly.drafts.push(Drafted { file: Arc::clone(file), rule, piped: false });
        };
        match document {
            Document::Rule(rule) => draft(*rule),
            Document::Counted(rules) => rules.into_iter().for_each(|rule| draft(*rule)),
            Document::Filter(filter) => self.assembly.filters.push((Arc::clone(file), *filter)),
        }
    }

    fn compile(mut self, library: Library, datasets: &'static [Dataset]) -> Loaded {
        self.remove_repeated_ids();
        let mut assembled = self.assembly.finish(library, datasets);
        let known = Known { lists: assembled.lists, regexes: assembled.regexes };
        let mut loaded = compile(assembled.sources, Arc::new(known), datasets);
        loaded.problems.append(&mut self.problems);
        loaded.problems.append(&mut assembled.problems);
        loaded.problems.sort();
        assembled.warnings.sort();
        Loaded { warnings: assembled.warnings, due: assembled.due, ..loaded }
    }

    fn remove_repeated_ids(&mut self) {
        let mut seen: FastMap<String, String> = FastMap::default();
        let Self { assembly, problems, .. } = self;
        assembly.drafts.retain(|Drafted { file, rule, .. }| {
            let place = format!("{file}:{}", rule.line);
            let fault = match seen.get(&rule.id) {
                Some(first) => Fault::new(rule.line, "another rule has the same id")
                    .hint(format!("the other is at {first}")),
                None if seen.len() >= limits::RULES_MAX => {
                    Fault::new(rule.line, "there are too many rules")
                        .hint(format!("at most {} can be loaded", limits::RULES_MAX))
                }
                None => {
                    seen.insert(rule.id.clone(), place);
                    return true;
                }
            };
            problems.push(problem(file, rule.id.clone(), fault));
            false
        });
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    // One byte more than allowed tells that there is more, whatever the size was said to be.
    let bound = limits::RULE_FILE_BYTES_MAX as u64 + 1;
    fs::File::open(path).and_then(|file| file.take(bound).read_to_string(&mut text))?;
    Ok(text)
}

pub(crate) fn problem(file: &str, rule: String, fault: Fault) -> Problem {
    let Fault { line, message, hint } = fault;
    Problem { file: file.to_owned(), line, rule, message, hint }
}

/// Compiles rules that were read. Correlation rules whose references cannot be followed become
/// problems.
pub(crate) fn compile(
    mut sources: Vec<Source>,
    known: Arc<Known>,
    datasets: &'static [Dataset],
) -> Loaded {
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
            Body::Detection { logsource, expr, exceptions } => {
                words.add(logsource);
                let number = |atom: &Atom, fields: &mut Fields| atoms.intern(atom, fields, &known);
                let witness = witness::choose(expr, &mut fields, &popularity, number);
                let mut compiled = |expr: &Expr<Atom>| {
                    order::map(expr, &mut |atom| atoms.intern(atom, &mut fields, &known))
                };
                let (logsource, expr) = (logsource.clone(), compiled(expr));
                let exceptions =
                    exceptions.iter().map(|one| one.with(compiled(&one.expr))).collect();
                CompiledBody::Detection { logsource, expr, witness, exceptions }
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
            state: RuleState::On,
            heard: true,
            feeds: links.feeds,
            fingerprint: resolved.fingerprints.get(number).copied().unwrap_or_default(),
            body,
        });
    }
    let bindings = Bindings::new(datasets);
    set.tables = Tables { fields, atoms: atoms.finish(), bindings };
    (set.words, set.sources, set.known) = (words, sources, known);
    set.costs = Costs::of(set.rules.len());
    Loaded { rules: set, problems, ..Loaded::default() }
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
    let (kind, logsource, exceptions) = match &rule.body {
        Body::Detection { logsource, exceptions, .. } => {
            (FindingKind::Detection, logsource.clone(), exceptions.as_slice())
        }
        Body::Correlation(_) => (FindingKind::Correlation, LogSourceFilter::default(), &[][..]),
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
        exceptions: exceptions.iter().map(|one| one.exception.clone()).collect(),
        state: RuleState::On,
        state_from: None,
        prints: prints(rule),
    }
}

fn prints(rule: &Rule) -> Prints {
    let Keng { suppress, group_by, .. } = &rule.keng;
    let told = format!("{}{suppress:?}{group_by:?}", rule.level);
    let parts = [rule.fingerprint, fnv64(told.as_bytes())].map(u64::to_le_bytes);
    Prints { meaning: fnv64(parts.as_flattened()), text: rule.text }
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
