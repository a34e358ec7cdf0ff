//! What must be in a text for a regular expression to be found in it.
//!
//! Of `cmd.{0,5}(?:/c|/r)` it is `cmd`, or one of `/c` and `/r`: with such literals a rule that
//! asks for an expression is looked up like any other, and the expression is run on the few
//! events that have one.

use regex_syntax::hir::{Class, Hir, HirKind};

use crate::sigma::test::RegexFlags;

use super::fold;
use super::fold::fold_char;

/// More alternatives than this are not worth looking up.
const ALTERNATIVES_MAX: usize = 64;

/// Literals without letter case of which at least one is in every folded text that the
/// expression is found in. `None`: nothing need be there.
pub(crate) fn required(source: &str, flags: RegexFlags) -> Option<Vec<String>> {
    of(&super::parse_regex(source, flags).ok()?)
}

fn of(expression: &Hir) -> Option<Vec<String>> {
    match expression.kind() {
        HirKind::Empty | HirKind::Look(_) => None,
        HirKind::Literal(_) | HirKind::Class(_) => of_sequence(std::slice::from_ref(expression)),
        HirKind::Concat(parts) => of_sequence(parts),
        HirKind::Capture(capture) => of(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => of(&repetition.sub),
        HirKind::Repetition(_) => None,
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(of(part)?);
            }
            (all.len() <= ALTERNATIVES_MAX).then_some(all)
        }
    }
}

/// The best of what the parts require: runs of characters that follow one another are one
/// literal.
fn of_sequence(parts: &[Hir]) -> Option<Vec<String>> {
    let (mut best, mut run) = (None, String::new());
    for part in parts {
        match part.kind() {
            // Nothing stands between what is before and after it.
            HirKind::Empty | HirKind::Look(_) => continue,
            HirKind::Literal(literal) => match std::str::from_utf8(&literal.0) {
                Ok(text) => run.push_str(&fold(text)),
                Err(_) => end(&mut run, &mut best),
            },
            HirKind::Class(class) => match letter(class) {
                Some(letter) => run.push(letter),
                None => end(&mut run, &mut best),
            },
            _ => {
                end(&mut run, &mut best);
                better(&mut best, of(part));
            }
        }
    }
    end(&mut run, &mut best);
    best
}

/// Ends a run of characters.
fn end(run: &mut String, best: &mut Option<Vec<String>>) {
    if !run.is_empty() {
        better(best, Some(vec![std::mem::take(run)]));
    }
}

/// Keeps what is rarer: of which even the shortest is longer.
fn better(best: &mut Option<Vec<String>>, other: Option<Vec<String>>) {
    let shortest = |literals: &Vec<String>| literals.iter().map(String::len).min().unwrap_or(0);
    if let Some(other) = other
        && best.as_ref().is_none_or(|best| shortest(best) < shortest(&other))
    {
        *best = Some(other);
    }
}

/// The one character that all of the class are but for letter case.
fn letter(class: &Class) -> Option<char> {
    let Class::Unicode(class) = class else { return None };
    let mut all = class.iter().flat_map(|range| range.start()..=range.end()).map(fold_char);
    let first = all.next()?;
    // A class may hold a million characters; the second already tells most apart.
    all.all(|other| other == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_longest_literal_that_must_be_there_is_found() {
        for (source, wanted) in [
            (r"cmd.{0,5}(?:/c|/r).+clip\.exe", &["clip.exe"] as &[&str]),
            (r"^\\\\(127\.0\.0\.1|localhost)\\ADMIN\$", &["127.0.0.1", "localhost"]),
            (r"(?i)Invoke-[a-z]+", &["invoke-"]),
            (r"[Kk]eng\b[0-9]", &["keng"]),
            (r"(abc)?d", &["d"]),
            (r"(abc)+", &["abc"]),
            (r"a|bc*", &["a", "b"]),
        ] {
            let found = required(source, RegexFlags::default()).unwrap();
            assert_eq!(found, wanted, "{source}");
        }
        for source in [r"\w{1,64}", "a*", "a|b*", "^$", "(abc)?", "[0-9]+"] {
            assert_eq!(required(source, RegexFlags::default()), None, "{source}");
        }
    }

    proptest! {
        #[test]
        fn whatever_matches_has_one_of_them(
            source in r"(([a-cKÉ]|\.|\[ab\]|\\\.|\^|\|){1,3}[*+?]?|\([aKé]{1,2}(\|[bc]{0,2})?\)[*+?]?){1,4}",
            text in "[a-ckKEÉé.]{0,8}",
            ignore_case in any::<bool>(),
        ) {
            let flags = RegexFlags { ignore_case, ..RegexFlags::default() };
            let Ok(regex) = super::super::regex(&source, flags) else { return Ok(()) };
            if let (true, Some(literals)) = (regex.is_match(&text), required(&source, flags)) {
                let folded = fold(&text);
                prop_assert!(
                    literals.iter().any(|literal| folded.contains(literal.as_str())),
                    "{source} on {text}: {literals:?}"
                );
            }
        }
    }
}
