//! The condition language: names of selections, `and`, `or`, `not`, parentheses, and quantifiers
//! (`1 of`, `all of`, `any of`, `2 of`) over `them` or a pattern of names.
//!
//! Precedence, weakest first: `or`, `and`, `not`, quantifier, parentheses (Sigma rules
//! specification, "condition").

use super::{Expr, Fault};
use crate::limits;

/// Parses one condition over selections, which are told by their place in `names`.
pub(crate) fn parse(text: &str, line: u64, names: &[&str]) -> Result<Expr<usize>, Fault> {
    let tokens = tokens(text, line)?;
    let mut parser = Parser { tokens: &tokens, at: 0, line, names, depth: 0, leaves: 0 };
    let expr = parser.or()?;
    match parser.peek() {
        None => Ok(expr),
        Some(token) => Err(parser.fault(format!("expected `and`, `or` or the end before {token}"))),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Open,
    Close,
    Word(String),
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open => f.write_str("`(`"),
            Self::Close => f.write_str("`)`"),
            Self::Word(word) => write!(f, "`{word}`"),
        }
    }
}

fn tokens(text: &str, line: u64) -> Result<Vec<Token>, Fault> {
    let mut tokens = Vec::new();
    let mut word = String::new();
    for c in text.chars().chain([' ']) {
        let separator = match c {
            '(' => Some(Token::Open),
            ')' => Some(Token::Close),
            c if c.is_whitespace() => None,
            c if c.is_alphanumeric() || "_-*?.".contains(c) => {
                word.push(c);
                continue;
            }
            other => {
                return Err(Fault::new(line, format!("the condition has a stray `{other}`"))
                    .hint("names are letters, digits, `_`, `-` and `.`"));
            }
        };
        if !word.is_empty() {
            tokens.push(Token::Word(std::mem::take(&mut word)));
        }
        tokens.extend(separator);
    }
    Ok(tokens)
}

struct Parser<'p> {
    tokens: &'p [Token],
    at: usize,
    line: u64,
    names: &'p [&'p str],
    depth: usize,
    /// How often selections were named, also by patterns.
    leaves: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn word_at(&self, ahead: usize) -> Option<&str> {
        match self.tokens.get(self.at + ahead) {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    /// Steps over the keyword if it is next; keywords are known in any letter case.
    fn keyword(&mut self, keyword: &str) -> bool {
        let found = self.word_at(0).is_some_and(|word| word.eq_ignore_ascii_case(keyword));
        self.at += usize::from(found);
        found
    }

    fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::new(self.line, format!("in the condition: {}", message.into()))
    }

    fn or(&mut self) -> Result<Expr<usize>, Fault> {
        let mut parts = vec![self.and()?];
        while self.keyword("or") {
            parts.push(self.and()?);
        }
        Ok(Expr::any(parts))
    }

    fn and(&mut self) -> Result<Expr<usize>, Fault> {
        let mut parts = vec![self.not()?];
        while self.keyword("and") {
            parts.push(self.not()?);
        }
        Ok(Expr::all(parts))
    }

    fn not(&mut self) -> Result<Expr<usize>, Fault> {
        self.depth += 1;
        if self.depth > limits::CONDITION_DEPTH_MAX {
            return Err(self.fault("it is nested too deeply"));
        }
        let expr =
            if self.keyword("not") { Expr::Not(Box::new(self.not()?)) } else { self.operand()? };
        self.depth -= 1;
        Ok(expr)
    }

    fn operand(&mut self) -> Result<Expr<usize>, Fault> {
        match self.peek() {
            Some(Token::Open) => {
                self.at += 1;
                let inner = self.or()?;
                if self.peek() != Some(&Token::Close) {
                    return Err(self.fault("a parenthesis is not closed"));
                }
                self.at += 1;
                Ok(inner)
            }
            Some(Token::Close) => Err(self.fault("expected a selection before `)`")),
            None => Err(self.fault("expected a selection at the end")),
            Some(Token::Word(_)) => self.selection(),
        }
    }

    fn selection(&mut self) -> Result<Expr<usize>, Fault> {
        let quantified = self.word_at(1).is_some_and(|word| word.eq_ignore_ascii_case("of"));
        let Some(word) = self.word_at(0).map(str::to_owned) else {
            return Err(self.fault("expected a selection"));
        };
        if quantified && let Some(quantifier) = Quantifier::parse(&word) {
            self.at += 2;
            return self.quantified(quantifier);
        }
        self.at += 1;
        if let Some(number) = self.names.iter().position(|name| *name == word) {
            self.count(1)?;
            return Ok(Expr::Atom(number));
        }
        let fault = self.fault(format!("there is no selection `{word}`"));
        Err(match word.to_ascii_lowercase().as_str() {
            "and" | "or" | "not" | "of" | "them" => {
                fault.hint(format!("`{word}` is a keyword here"))
            }
            _ if word.contains('*') => {
                fault.hint("put `1 of` or `all of` before a pattern of names")
            }
            _ => fault.hint(format!("the rule has {}", self.names())),
        })
    }

    fn quantified(&mut self, quantifier: Quantifier) -> Result<Expr<usize>, Fault> {
        let Some(pattern) = self.word_at(0).map(str::to_owned) else {
            return Err(self.fault("expected `them` or a pattern of names after `of`"));
        };
        self.at += 1;
        let them = pattern.eq_ignore_ascii_case("them");
        // Names that begin with `_` are helpers: only a pattern that says `_` reaches them.
        let reaches = |name: &str| {
            let helper = name.starts_with('_') && !pattern.starts_with('_');
            !helper && (them || wildcard(&pattern, name))
        };
        let reached = self.names.iter().enumerate().filter(|(_, name)| reaches(name));
        let parts: Vec<_> = reached.map(|(number, _)| Expr::Atom(number)).collect();
        self.count(parts.len())?;
        if parts.is_empty() {
            return Err(self
                .fault(format!("no selection is called `{pattern}`"))
                .hint(format!("the rule has {}", self.names())));
        }
        match quantifier {
            Quantifier::All => Ok(Expr::all(parts)),
            Quantifier::AtLeast(0) => Err(self.fault("`0 of` is always true")),
            Quantifier::AtLeast(1) => Ok(Expr::any(parts)),
            Quantifier::AtLeast(wanted) if wanted > parts.len() => {
                let message = format!("`{wanted} of` can never hold: {} match", parts.len());
                Err(self.fault(message))
            }
            Quantifier::AtLeast(wanted) => Ok(Expr::AtLeast(wanted, parts)),
        }
    }

    /// Patterns of names multiply: bounded before anything is made of them.
    fn count(&mut self, more: usize) -> Result<(), Fault> {
        self.leaves += more;
        if self.leaves > limits::ATOMS_PER_RULE_MAX {
            return Err(self.fault("it names selections too often"));
        }
        Ok(())
    }

    fn names(&self) -> String {
        let names: Vec<_> = self.names.iter().map(|name| format!("`{name}`")).collect();
        if names.is_empty() { "no selections".into() } else { names.join(", ") }
    }
}

enum Quantifier {
    All,
    AtLeast(usize),
}

impl Quantifier {
    fn parse(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "all" => Some(Self::All),
            "any" => Some(Self::AtLeast(1)),
            number => number.parse().ok().map(Self::AtLeast),
        }
    }
}

/// Whether `name` fits `pattern`, in which `*` stands for any characters.
fn wildcard(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 5] = ["sel_a", "sel_b", "filter", "_helper", "a-b"];

    fn show(expr: &Expr<usize>) -> String {
        let list = |parts: &[Expr<_>]| parts.iter().map(show).collect::<Vec<_>>().join(" ");
        match expr {
            Expr::Atom(number) => NAMES[*number].to_owned(),
            Expr::Not(part) => format!("(not {})", show(part)),
            Expr::And(parts) => format!("(and {})", list(parts)),
            Expr::Or(parts) => format!("(or {})", list(parts)),
            Expr::AtLeast(wanted, parts) => format!("({wanted} {})", list(parts)),
        }
    }

    fn parsed(text: &str) -> Result<String, String> {
        parse(text, 1, &NAMES).map(|expr| show(&expr)).map_err(|fault| fault.message)
    }

    #[test]
    fn every_form() {
        for (text, meaning) in [
            ("sel_a", "sel_a"),
            ("sel_a or sel_b and not filter", "(or sel_a (and sel_b (not filter)))"),
            ("(sel_a or sel_b) and not filter", "(and (or sel_a sel_b) (not filter))"),
            ("not not sel_a", "(not (not sel_a))"),
            ("not 1 of sel_*", "(not (or sel_a sel_b))"),
            ("1 of them", "(or sel_a sel_b filter a-b)"),
            ("all of them", "(and sel_a sel_b filter a-b)"),
            ("ALL OF sel* AND NOT filter", "(and (and sel_a sel_b) (not filter))"),
            ("any of *_a", "sel_a"),
            ("1 of *e*", "(or sel_a sel_b filter)"),
            ("1 of _*", "_helper"),
            ("2 of sel*", "(2 sel_a sel_b)"),
            ("1 of filter", "filter"),
            ("a-b and _helper", "(and a-b _helper)"),
        ] {
            assert_eq!(parsed(text).as_deref(), Ok(meaning), "{text}");
        }
    }

    #[test]
    fn every_fault_says_what_is_wrong() {
        let faults: Vec<_> = [
            "",
            "missing",
            "sel_a sel_b",
            "sel_a and",
            "(sel_a",
            "sel_a)",
            "1 of nothing*",
            "3 of sel*",
            "0 of them",
            "sel_*",
            "sel_a & sel_b",
            "1 of",
            "of them",
        ]
        .iter()
        .map(|text| format!("{text:20} {}", parsed(text).unwrap_err()))
        .collect();
        insta::assert_snapshot!(faults.join("\n"));
        assert!(parsed(&"not ".repeat(100_000)).is_err());
        assert!(parsed(&"(".repeat(100_000)).is_err());
        assert!(parsed(&vec!["1 of *"; 10_000].join(" or ")).is_err());
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "[a-z1()*| ]{0,60}") {
            drop(parsed(&text));
        }
    }
}
