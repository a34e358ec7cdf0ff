//! Letter case. Sigma compares texts without it, in every script.
//!
//! One character folds to one character (Unicode simple case folding, by way of upper case, so
//! that Greek final sigma and the Kelvin sign find their letters). Characters whose folding
//! would be several (`ß` to `ss`) stay as they are: the length in characters never changes, and
//! a pattern found in folded text lies where it would in the original.

/// The text without letter case.
pub(crate) fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_folded(text, &mut out);
    out
}

/// Appends the text without letter case; allocates only where `out` is too small.
pub(crate) fn push_folded(text: &str, out: &mut String) {
    let start = out.len();
    out.push_str(text);
    if let Some(added) = out.get_mut(start..)
        && added.is_ascii()
    {
        added.make_ascii_lowercase();
        return;
    }
    out.truncate(start);
    out.extend(text.chars().map(fold_char));
}

/// One character without letter case.
pub(super) fn fold_char(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    single(single(c, char::to_uppercase), char::to_lowercase)
}

/// The mapping of `c` if it is one character, else `c`.
fn single<I: Iterator<Item = char>>(c: char, map: impl Fn(char) -> I) -> char {
    let mut mapped = map(c);
    match (mapped.next(), mapped.next()) {
        (Some(only), None) => only,
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_every_script_lose_their_case() {
        for (text, folded) in [
            ("PowerShell.EXE", "powershell.exe"),
            ("ĐĂNG NHẬP", "đăng nhập"),
            ("ПРИВЕТ", "привет"),
            ("ΣΊΣΥΦΟΣ ς", "σίσυφοσ σ"),
            ("\u{212a}elvin", "kelvin"),
            ("Straße İ", "straße İ"),
        ] {
            assert_eq!(fold(text), folded);
        }
    }

    proptest::proptest! {
        #[test]
        fn folding_twice_changes_nothing_more(text in "\\PC{0,20}") {
            let once = fold(&text);
            proptest::prop_assert_eq!(fold(&once), once.clone());
            proptest::prop_assert_eq!(once.chars().count(), text.chars().count());
        }
    }
}
