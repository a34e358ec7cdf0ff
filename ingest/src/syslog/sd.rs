//! RFC 5424 §6.3 STRUCTURED-DATA: found strictly enough to know where it ends, read loosely.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memchr3};

/// Splits `text`, which begins with `[`, after its elements. The flag says whether they are as
/// the RFC has them. `None`: an element has no end.
pub(super) fn split(text: &str) -> Option<(&str, &str, bool)> {
    let (mut end, mut legal) = (0, true);
    while let Some(element) = text.get(end..).filter(|rest| rest.starts_with('[')) {
        let length = element_length(element.as_bytes())?;
        legal &= is_legal(element.get(1..length - 1)?);
        end += length;
    }
    Some((text.get(..end)?, text.get(end..)?, legal))
}

/// Length of an element including its brackets. A bracket inside quotes does not end it, nor does
/// an escaped one.
fn element_length(element: &[u8]) -> Option<usize> {
    let (mut at, mut quoted) = (1, false);
    loop {
        let rest = element.get(at..)?;
        let next =
            if quoted { memchr2(b'"', b'\\', rest) } else { memchr3(b'"', b'\\', b']', rest) };
        at += next?;
        match element.get(at)? {
            b'\\' => at += 2,
            b']' => return Some(at + 1),
            _ => {
                quoted = !quoted;
                at += 1;
            }
        }
    }
}

/// `SD-ID *(SP PARAM-NAME "=" %d34 PARAM-VALUE %d34)`
fn is_legal(element: &str) -> bool {
    let (id, mut rest) =
        element.split_at(memchr(b' ', element.as_bytes()).unwrap_or(element.len()));
    if !is_name(id) {
        return false;
    }
    while let Some(param) = rest.strip_prefix(' ') {
        let Some((name, value)) = param.split_once("=\"") else { return false };
        let Some(end) = closing_quote(value.as_bytes()) else { return false };
        if !is_name(name) {
            return false;
        }
        rest = value.get(end + 1..).unwrap_or_default();
    }
    rest.is_empty()
}

fn is_name(name: &str) -> bool {
    // The RFC allows 32 characters; longer names are common and harm nobody.
    !name.is_empty()
        && name.bytes().all(|b| (33..127).contains(&b) && !matches!(b, b'=' | b']' | b'"'))
}

/// Where the quote stands that ends the value.
fn closing_quote(value: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr2(b'"', b'\\', value.get(at..)?)?;
        match value.get(at)? {
            b'"' => return Some(at),
            _ => at += 2,
        }
    }
}

/// The parameters of all elements in order: (SD-ID, PARAM-NAME, unescaped PARAM-VALUE). An
/// element without an SD-ID (Check Point writes `[action:"Accept"; …]`) has an empty one; a
/// colon is taken for `=`. What cannot be read ends the element.
pub(crate) fn params(data: &str) -> impl Iterator<Item = (&str, &str, Cow<'_, str>)> {
    let mut rest = data;
    let mut element: Option<(&str, &str)> = None;
    std::iter::from_fn(move || {
        loop {
            if let Some((id, params)) = element {
                if let Some((name, value, after)) = param(params) {
                    element = Some((id, after));
                    return Some((id, name, value));
                }
                element = None;
            }
            if !rest.starts_with('[') {
                return None;
            }
            let length = element_length(rest.as_bytes())?;
            element = Some(identify(rest.get(1..length - 1)?));
            rest = rest.get(length..)?;
        }
    })
}

fn identify(element: &str) -> (&str, &str) {
    let (id, params) = element.split_at(memchr(b' ', element.as_bytes()).unwrap_or(element.len()));
    if id.contains(['"', '=', ':']) { ("", element) } else { (id, params) }
}

fn param(text: &str) -> Option<(&str, Cow<'_, str>, &str)> {
    let text = text.trim_start_matches([' ', ';']);
    let (name, value) = text.split_at_checked(memchr2(b'=', b':', text.as_bytes())?)?;
    let value = value.get(1..)?.trim_start().strip_prefix('"')?;
    let end = closing_quote(value.as_bytes())?;
    Some((name.trim_end(), unescape(value.get(..end)?), value.get(end + 1..)?))
}

/// `\"`, `\\` and `\]` stand for what follows; any other backslash for itself (§6.3.3).
fn unescape(value: &str) -> Cow<'_, str> {
    if memchr(b'\\', value.as_bytes()).is_none() {
        return Cow::Borrowed(value);
    }
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek() {
            Some(&next) if c == '\\' && matches!(next, '"' | '\\' | ']') => {
                plain.push(next);
                chars.next();
            }
            _ => plain.push(c),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(data: &str) -> Vec<(String, String, String)> {
        params(data).map(|(id, name, value)| (id.into(), name.into(), value.into())).collect()
    }

    fn one(id: &str, name: &str, value: &str) -> (String, String, String) {
        (id.to_owned(), name.to_owned(), value.to_owned())
    }

    #[test]
    fn splits_and_judges() {
        assert_eq!(split(r#"[a x="1"][b] text"#), Some((r#"[a x="1"][b]"#, " text", true)));
        assert_eq!(split(r#"[a x="]\"]"] t"#), Some((r#"[a x="]\"]"]"#, " t", true)));
        assert_eq!(split(r#"[a x= "1"] t"#), Some((r#"[a x= "1"]"#, " t", false)));
        assert_eq!(split(r#"[a x="1] t"#), None);
        assert_eq!(split("[a"), None);
        assert_eq!(split("[]x"), Some(("[]", "x", false)));
    }

    #[test]
    fn reads_legal_and_illegal_elements() {
        assert_eq!(
            read(r#"[a@1 x="1" y="q\"\\\]\n"][b z=""]"#),
            [one("a@1", "x", "1"), one("a@1", "y", r#"q"\]\n"#), one("b", "z", "")]
        );
        assert_eq!(
            read(r#"[action:"Accept"; flags:"411908"; origin:"192.0.2.1"; ]"#),
            [
                one("", "action", "Accept"),
                one("", "flags", "411908"),
                one("", "origin", "192.0.2.1")
            ]
        );
        assert_eq!(read(r#"[a x= "1"]"#), [one("a", "x", "1")]);
        assert_eq!(read(r#"[a x=1][b y="2"]"#), [one("b", "y", "2")]);
    }

    proptest! {
        #[test]
        fn any_value_survives(values in prop::collection::vec("\\PC{0,12}", 0..4)) {
            let mut data = String::from("[id@1");
            for value in &values {
                let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]");
                data.push_str(&format!(" n=\"{value}\""));
            }
            data.push(']');
            let wanted: Vec<_> = values.iter().map(|value| one("id@1", "n", value)).collect();
            prop_assert_eq!(split(&data), Some((&*data, "", true)));
            prop_assert_eq!(read(&data), wanted);
        }

        #[test]
        fn never_panics(data in "[\\[\\]\"\\\\=:; aä]{0,24}") {
            drop((split(&data), read(&data)));
        }
    }
}
