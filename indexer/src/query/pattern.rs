//! Regular expressions with bounds on their size.
//!
//! The engine runs in time linear in the text whatever the expression; what needs a bound is the
//! memory of the compiled form.

use regex::{Regex, RegexBuilder};

/// Largest compiled expression in bytes. `\w{50}` fits, nested counted repetitions do not.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// Deepest nesting of groups in an expression.
const NESTING_MAX: u32 = 50;

/// A compiled regular expression.
#[derive(Clone, Debug)]
pub struct Pattern {
    regex: Regex,
}

impl Pattern {
    /// An expression that may match anywhere in a text.
    ///
    /// # Errors
    /// What is wrong with the expression, in one line.
    pub fn anywhere(expression: &str, ignore_case: bool) -> Result<Self, String> {
        build(expression, ignore_case)
    }

    /// An expression that must match a value from beginning to end.
    ///
    /// # Errors
    /// What is wrong with the expression, in one line.
    pub fn whole(expression: &str, ignore_case: bool) -> Result<Self, String> {
        // Alone first: `a)(b` must not become valid inside our group.
        build(expression, ignore_case)?;
        // An open comment of the `x` mode would swallow our bracket: then this is refused.
        build(&format!(r"\A(?:{expression})\z"), ignore_case)
    }

    /// Whether it matches; `whole` and `anywhere` decided where.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The expression as it was compiled.
    #[must_use]
    pub fn source(&self) -> &str {
        self.regex.as_str()
    }
}

fn build(expression: &str, ignore_case: bool) -> Result<Pattern, String> {
    let built = RegexBuilder::new(expression)
        .case_insensitive(ignore_case)
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(COMPILED_BYTES_MAX)
        .nest_limit(NESTING_MAX)
        .build();
    match built {
        Ok(regex) => Ok(Pattern { regex }),
        Err(regex::Error::CompiledTooBig(_)) => {
            Err("it is too large; use smaller repetition counts".to_owned())
        }
        Err(error) => {
            // The engine draws the expression over several lines and names the fault in the last.
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default().trim();
            Err(last.strip_prefix("error: ").unwrap_or(last).to_owned())
        }
    }
}
