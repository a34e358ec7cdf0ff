//! TOML text to settings, going on behind a mistake so that all of them are told at once.

use std::ops::Range;
use std::path::Path;

use crate::{Problem, Problems, Settings};

/// Most errors told at once.
const PROBLEMS_MAX: usize = 50;

/// Reads the text.
///
/// # Errors
/// Every unknown key and every value of a wrong type, in the order of the file.
pub(crate) fn parse(path: &Path, text: &str) -> Result<Settings, Problems> {
    let mut left = text.to_owned();
    let mut blanked: Vec<usize> = Vec::new();
    let mut problems = Problems::default();
    loop {
        let error = match toml::from_str::<Settings>(&left) {
            Ok(settings) if problems.is_empty() => return Ok(settings),
            Ok(_) => return Err(problems.in_order()),
            Err(error) => error,
        };
        let place = error.span().and_then(|span| text.get(..span.start));
        let line = place.map(|before| before.matches('\n').count());
        // What is faulty as a whole (it lacks a setting, say) goes as a whole; and it may lack
        // only what was blanked, which is no mistake of the user's.
        let lines = line.map(|line| extent(&left, line));
        let ours = lines.as_ref().is_some_and(|lines| {
            lines.len() > 1 && blanked.iter().any(|line| lines.contains(line))
        });
        if !ours {
            problems.push(Problem::of_toml(path, line.map(|line| line + 1), error.message()));
        }
        // Without the lines at fault, the rest can be judged too. What was looked at before ends
        // the search.
        match lines.and_then(|lines| Some((without(&left, &lines)?, lines))) {
            Some((next, lines))
                if problems.len() < PROBLEMS_MAX
                    && toml::from_str::<toml::Table>(&next).is_ok() =>
            {
                left = next;
                blanked.extend(lines);
            }
            _ => return Err(problems.in_order()),
        }
    }
}

/// The lines (from 0) that a fault at `line` concerns: of the head of a section the whole section,
/// otherwise the line.
fn extent(text: &str, line: usize) -> Range<usize> {
    let is_head = |content: &str| content.trim_start().starts_with('[');
    let mut lines = text.lines().skip(line);
    if !lines.next().is_some_and(is_head) {
        return line..line + 1;
    }
    let body = lines.take_while(|content| !is_head(content)).count();
    line..line + 1 + body
}

/// The text with these lines blanked; offsets stay. `None` if they are blank.
fn without(text: &str, lines: &Range<usize>) -> Option<String> {
    let mut changed = false;
    let kept: Vec<String> = text
        .lines()
        .enumerate()
        .map(|(number, content)| {
            if !lines.contains(&number) {
                return content.to_owned();
            }
            changed |= !content.trim().is_empty();
            " ".repeat(content.len())
        })
        .collect();
    changed.then(|| kept.join("\n"))
}
