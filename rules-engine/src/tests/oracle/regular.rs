//! A text that a regular expression finds: the shortest way through it, by its syntax tree.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

use crate::sigma::test::RegexFlags;

/// Characters that classes are tried with, best first: what stands for itself nearly everywhere.
const TRIED: &str = "a1A _-/.\\:=z9x";

/// A text that the expression should find. Anchors and word boundaries are not minded: whether
/// it does find it is for the caller to see. `way` chooses among alternatives.
pub(super) fn text(source: &str, flags: RegexFlags, way: usize) -> Option<String> {
    let tree = ParserBuilder::new()
        .case_insensitive(flags.ignore_case)
        .multi_line(flags.multi_line)
        .dot_matches_new_line(flags.dot_all)
        .build()
        .parse(source)
        .ok()?;
    let mut text = String::new();
    write(&tree, way, &mut text).then_some(text)
}

fn write(tree: &Hir, way: usize, out: &mut String) -> bool {
    match tree.kind() {
        HirKind::Empty | HirKind::Look(_) => true,
        HirKind::Literal(literal) => match std::str::from_utf8(&literal.0) {
            Ok(text) => {
                out.push_str(text);
                true
            }
            Err(_) => false,
        },
        HirKind::Class(Class::Unicode(class)) => {
            let has = |c: char| class.ranges().iter().any(|r| r.start() <= c && c <= r.end());
            let first = class.ranges().first().map(|range| range.start());
            let chosen = TRIED.chars().find(|c| has(*c)).or(first);
            out.extend(chosen);
            chosen.is_some()
        }
        HirKind::Class(Class::Bytes(_)) => false,
        HirKind::Repetition(repeated) => {
            // What may be left out is written in every second way.
            let least = repeated.min.max(u32::from(way % 2 == 1 && repeated.max != Some(0)));
            (0..least).all(|_| write(&repeated.sub, way, out))
        }
        HirKind::Capture(group) => write(&group.sub, way, out),
        HirKind::Concat(parts) => parts.iter().all(|part| write(part, way, out)),
        HirKind::Alternation(parts) => write(&parts[way % parts.len()], way, out),
    }
}
