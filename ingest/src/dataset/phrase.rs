//! Message layouts: how a product words what it says, one line of a table per message.
//!
//! A layout is the message with names in braces where it differs: `Invalid user {user.name..}
//! from {source}`. A name stands for the shortest text before what follows it; with two dots, for
//! the longest, because people choose user names and may write ` from ` into them. The last name
//! takes the rest. No regular expressions: a layout that does not fit is found out at its first
//! word.

use keng_event::EventBuilder;
use memchr::memmem;

use super::endpoint::{DESTINATION, SOURCE, address};
use super::meaning::Meaning;

/// Most names in one layout; a test holds the tables to it.
pub(super) const NAMES_MAX: usize = 12;

/// How many places are tried for the end of a `{name..}`. Real messages need one or two; a long
/// text full of spaces must not cost more.
const ENDS_TRIED_MAX: usize = 8;

/// A layout, divided once: most do not fit, and are found out by what stands before the first name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    head: &'static str,
    /// From the first name on.
    names: &'static str,
}

impl Layout {
    pub(super) const fn of(layout: &'static str) -> Self {
        let (head, names) = layout.split_at(before_name(layout));
        Self { head, names }
    }

    /// The named parts of `text`, if it is laid out so.
    pub(super) fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        let text = text.strip_prefix(self.head)?;
        let mut found = Captures { parts: [("", ""); NAMES_MAX], count: 0 };
        fits(self.names, text, &mut found).then_some(found)
    }
}

/// How many bytes stand before the first name.
const fn before_name(layout: &str) -> usize {
    let (mut bytes, mut count) = (layout.as_bytes(), 0);
    while let [byte, rest @ ..] = bytes
        && *byte != b'{'
    {
        (bytes, count) = (rest, count + 1);
    }
    count
}

/// A layout and what a message of that layout means.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phrase {
    pub(super) layout: Layout,
    pub(super) meaning: Meaning,
}

/// A row of a table of phrases.
pub(super) const fn says(layout: &'static str, meaning: Meaning) -> Phrase {
    Phrase { layout: Layout::of(layout), meaning }
}

/// The parts of a message that its layout names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Captures<'t> {
    parts: [(&'static str, &'t str); NAMES_MAX],
    count: usize,
}

impl<'t> Captures<'t> {
    /// The name and text of each part, in the order of the layout.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &'t str)> {
        self.parts.into_iter().take(self.count)
    }

    /// The text under that name.
    pub(super) fn get(&self, name: &str) -> Option<&'t str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, text)| text)
    }

    fn push(&mut self, name: &'static str, text: &'t str) {
        if let Some(slot) = self.parts.get_mut(self.count) {
            *slot = (name, text);
            self.count += 1;
        }
    }
}

/// Whether `text` is laid out as `layout`, which begins with a name or is empty; the parts go
/// into `found`.
fn fits<'t>(layout: &'static str, text: &'t str, found: &mut Captures<'t>) -> bool {
    let Some((name, after)) = layout.strip_prefix('{').and_then(|names| names.split_once('}'))
    else {
        return text.is_empty();
    };
    let (next, layout) = after.split_at_checked(before_name(after)).unwrap_or((after, ""));
    let (name, longest) = name.strip_suffix("..").map_or((name, false), |name| (name, true));
    let before = found.count;
    let mut with = |end: usize| {
        let Some((part, rest)) = text.split_at_checked(end) else { return false };
        found.count = before;
        if name != "_" {
            found.push(name, part);
        }
        rest.strip_prefix(next).is_some_and(|rest| fits(layout, rest, found))
    };
    match (next, layout) {
        ("", _) => with(text.len()),
        (_, "") => text.len().checked_sub(next.len()).is_some_and(with),
        _ if longest => last_ends(text, next).any(with),
        _ => memmem::find(text.as_bytes(), next.as_bytes()).is_some_and(with),
    }
}

/// Where `next` stands in `text`, the last first.
fn last_ends(text: &str, next: &str) -> impl Iterator<Item = usize> {
    let (mut before, next) = (text.as_bytes(), next.as_bytes());
    let ends = std::iter::from_fn(move || {
        let end = memmem::rfind(before, next)?;
        before = before.get(..end)?;
        Some(end)
    });
    ends.take(ENDS_TRIED_MAX)
}

/// Finds the first phrase that `text` is laid out as, and puts its meaning and its named parts:
/// `source` and `destination` as address or host name, every other name as the field so called.
pub(super) fn speak(table: &[Phrase], text: &str, event: &mut EventBuilder<'_>) -> bool {
    let Some((meaning, found)) = find(table, text) else { return false };
    meaning.put(event);
    put(&found, event);
    true
}

/// The first phrase that `text` is laid out as: its meaning and its named parts.
pub(super) fn find<'t>(table: &[Phrase], text: &'t str) -> Option<(Meaning, Captures<'t>)> {
    table.iter().find_map(|phrase| Some((phrase.meaning, phrase.layout.captures(text)?)))
}

/// Puts the named parts, as [`speak`] does.
pub(super) fn put(found: &Captures<'_>, event: &mut EventBuilder<'_>) {
    for (name, text) in found.iter() {
        match (name, text) {
            (_, "") => {}
            ("source", host) => SOURCE.put_host(host, event),
            ("destination", host) => DESTINATION.put_host(host, event),
            // A resolver without an answer gives the address again.
            ("source.domain", host) if address(host).is_some() => {}
            (name, text) => {
                event.put_named(name, text);
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What every table must hold to.
    pub(in crate::dataset) fn check(table: &[Phrase]) {
        for Phrase { layout: Layout { head, names }, .. } in table {
            let layout = &format!("{head}{names}");
            assert!(layout.matches('{').count() <= NAMES_MAX, "{layout}");
            assert_eq!(layout.matches('{').count(), layout.matches('}').count(), "{layout}");
            assert!(layout.matches("..}").count() <= 1, "{layout}: at most one longest name");
            assert!(!layout.contains("}{"), "{layout}: nothing tells where the first name ends");
        }
    }

    fn parts(
        layout: &'static str,
        text: &'static str,
    ) -> Option<Vec<(&'static str, &'static str)>> {
        Layout::of(layout).captures(text).map(|found| found.iter().collect())
    }

    #[test]
    fn takes_the_shortest_unless_asked_for_the_longest() {
        let text = "user a from b from c";
        assert_eq!(parts("user {u} from {h}", text), Some(vec![("u", "a"), ("h", "b from c")]));
        assert_eq!(parts("user {u..} from {h}", text), Some(vec![("u", "a from b"), ("h", "c")]));
    }

    #[test]
    fn gives_back_what_it_took_when_the_rest_does_not_fit() {
        assert_eq!(
            parts("by {u..} {h} port {p}", "by a b 192.0.2.1 port 22"),
            Some(vec![("u", "a b"), ("h", "192.0.2.1"), ("p", "22")])
        );
    }

    #[test]
    fn the_whole_text_must_fit() {
        assert_eq!(parts("a {x} b", "a 1 b"), Some(vec![("x", "1")]));
        assert_eq!(parts("a {x} b", "a 1 b c"), None);
        assert_eq!(parts("a {x} b", "a b"), None);
        assert_eq!(parts("a {_} b {y}", "a 1 b 2"), Some(vec![("y", "2")]));
        assert_eq!(parts("plain", "plain text"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_bounded_work(text in "[ab{} ]{0,400}") {
            let found = Layout::of("a {x} b {y..} a {z}").captures(&text);
            prop_assert!(found.is_none_or(|found| found.count == 3));
        }
    }
}
