//! Bounds on rules and on what they may keep, each with its reason.

/// Most rules in one set. SigmaHQ's active rules are 3,780; metrics have a series per rule.
pub const RULES_MAX: usize = 20_000;

/// Largest rule file in bytes. SigmaHQ's largest has 60 KiB.
pub const RULE_FILE_BYTES_MAX: usize = 1024 * 1024;

/// Deepest nesting of YAML in a rule. Sigma needs 6, `keng.tests` some more.
pub const YAML_DEPTH_MAX: usize = 32;

/// Most YAML nodes in a file, aliases counted each time they are used.
pub const YAML_NODES_MAX: usize = 100_000;

/// Most YAML documents in a file: a longer one is an archive, not a rule file.
pub const DOCUMENTS_PER_FILE_MAX: usize = 1_024;

/// Deepest folder below a rule path.
pub const FOLDER_DEPTH_MAX: usize = 16;

/// Deepest nesting of parentheses and `not` in a condition.
pub const CONDITION_DEPTH_MAX: usize = 64;

/// Most single tests in one rule after lists, selections and quantifiers are spelled out.
/// SigmaHQ's largest rule has 1,100.
pub const ATOMS_PER_RULE_MAX: usize = 20_000;

/// Shortest keyword, in characters, that is not in most messages by chance: a warning, not a bound.
pub const KEYWORD_LENGTH_MIN: usize = 3;

/// Most steps of a processing pipeline on one level.
pub const PIPELINE_STEPS_MAX: usize = 1_000;

/// Longest field name or replacement that a pipeline makes, in bytes: steps can follow one another
/// that each double it.
pub const PIPELINE_NAME_BYTES_MAX: usize = 1_024;

/// Longest value that a pipeline makes, in bytes.
pub const PIPELINE_TEXT_BYTES_MAX: usize = 64 * 1024;

/// Deepest nesting of steps in a processing pipeline (`nest`).
pub const PIPELINE_DEPTH_MAX: usize = 8;

/// Most strings that the modifiers may make of one value (`windash` has five per dash).
pub const EXPANSIONS_MAX: usize = 4_096;

/// Largest file of a value list in bytes: five million domains.
pub const LIST_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Most entries of a value list. A million take about 50 MB.
pub const LIST_ENTRIES_MAX: usize = 5_000_000;

/// Longest entry of a value list in bytes; browsers hold no longer URLs.
pub const LIST_ENTRY_BYTES_MAX: usize = 2_048;

/// Memory for one compiled regular expression, in bytes: the `regex` crate's own default, which
/// every expression of SigmaHQ keeps.
pub const REGEX_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Size of all regular expressions of a rule set, in states: a letter in any script (`\w`) is some
/// 770. A compiled state takes about 110 bytes, so that this is about 100 MiB. SigmaHQ's take a tenth.
pub const REGEXES_SIZE_MAX: usize = 1_000_000;

/// Memory for the lazily built automaton of one regular expression, in bytes.
pub const REGEX_CACHE_BYTES_MAX: usize = 512 * 1024;

/// A compiled regular expression above this is a large one, in bytes: its automaton would not
/// begin within [`REGEX_CACHE_BYTES_MAX`], and would be searched without one, 200 times slower.
/// SigmaHQ has one such, `\w{1,64}` in all scripts.
pub const REGEX_SMALL_BYTES_MAX: usize = 256 * 1024;

/// Memory for the automaton of a large regular expression, in bytes. Those are few.
pub const REGEX_LARGE_CACHE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Most rules that one correlation rule may refer to.
pub const CORRELATED_RULES_MAX: usize = 64;

/// Most `group-by` fields.
pub const GROUP_BY_MAX: usize = 16;

/// Longest chain of correlation rules that refer to correlation rules.
pub const CHAIN_MAX: usize = 10;

/// Highest count in a correlation condition: the state of one key holds that many times.
pub const CORRELATION_COUNT_MAX: usize = 100_000;

/// Most alternatives that an expression over rule names may come to: each is tried for every
/// occurrence.
pub const CORRELATION_CLAUSES_MAX: usize = 64;

/// Shortest timespan of `rate_change`: its average is over such timespans, of which the allowed
/// lateness must not hold too many.
pub const RATE_TIMESPAN_MIN: std::time::Duration = std::time::Duration::from_secs(60);

/// Longest `timespan` in seconds (90 days): state lives in memory.
pub const TIMESPAN_SECONDS_MAX: u64 = 90 * 86_400;

/// Longest part of a group value in bytes; what is longer is cut, so that one event cannot make
/// a key of a MiB.
pub const GROUP_VALUE_BYTES_MAX: usize = 1_024;

/// Occurrences of one key that may lie inside the allowed lateness, where their order is not
/// yet certain. Beyond it the oldest are taken as they are.
pub const UNSETTLED_MAX: usize = 1_024;

/// Values of one key that `value_sum`, `value_avg`, `value_median` and `value_percentile` keep
/// exactly; more are kept by slices of the timespan.
pub const VALUES_EXACT_MAX: usize = 4_096;

/// Sources whose clocks the windows of one key wait for; of more, the ones seen last.
pub const SOURCES_PER_KEY_MAX: usize = 4;

/// Most threads that evaluate rules: each has a share of the memory for correlation state, and
/// buffers for all rules.
pub const THREADS_MAX: usize = 64;

/// Most sources whose newest event time is remembered, for counting late events.
pub const SOURCES_MAX: usize = 100_000;

/// Most keys that one rule's suppression remembers unless the rule says `max_keys`.
pub const SUPPRESSED_KEYS_MAX: usize = 10_000;

/// Most plans kept ready. A plan belongs to one combination of log sources; an event whose
/// combination finds no room is matched against all rules and filtered afterwards.
pub const PLANS_MAX: usize = 512;

/// Most tests in one rule, and most events in one test.
pub const TESTS_MAX: usize = 1_000;
