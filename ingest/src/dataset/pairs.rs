//! `name=value` pairs separated by spaces, as netfilter and PAM write them.

/// The pairs of `text` in order; words without `=` are skipped. A value ends at a space, or at
/// the closing quote if it begins with one.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_start_matches([' ', ',', ';']);
            let end = rest.find(['=', ' '])?;
            let (name, after) = rest.split_at_checked(end)?;
            let Some(value) = after.strip_prefix('=') else {
                rest = after;
                continue;
            };
            let quoted = value.strip_prefix('"').and_then(|value| value.split_once('"'));
            let (value, after) = match quoted {
                Some(split) => split,
                None => value.split_at_checked(value.find(' ').unwrap_or(value.len()))?,
            };
            rest = after;
            return Some((name, value));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_empty_quoted_and_bare_values() {
        let found: Vec<_> = pairs(r#"IN=eth0 OUT= DF comm="a b" user=nguyễn"#).collect();
        let expected = [("IN", "eth0"), ("OUT", ""), ("comm", "a b"), ("user", "nguyễn")];
        assert_eq!(found, expected);
    }

    proptest! {
        #[test]
        fn ends_on_any_text(text in "[a=\" é,]{0,60}") {
            prop_assert!(pairs(&text).count() <= text.len());
        }
    }
}
