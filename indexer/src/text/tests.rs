//! Tests of the tokeniser: what the words are, and that spelling variants give the same.

use proptest::prelude::*;
use unicode_normalization::UnicodeNormalization;

use super::*;

/// Tokens as `position:text`, wide ones as `position+width:text`.
fn tokens(text: &str) -> Vec<String> {
    let shown = |token: Token<'_>| match token.width {
        1 => format!("{}:{}", token.position, token.text),
        width => format!("{}+{width}:{}", token.position, token.text),
    };
    Tokens::of(text).iter().map(shown).collect()
}

fn compounds(text: &str) -> Vec<String> {
    let tokens = Tokens::of(text);
    let compound = |token: &Token<'_>| token.text.contains(|c: char| !is_word(c));
    tokens.iter().filter(compound).map(|token| token.text.to_owned()).collect()
}

#[test]
fn cuts_a_syslog_message_into_words_and_addresses() {
    assert_eq!(
        tokens("Failed password for root from 203.0.113.7 port 4711 ssh2"),
        [
            "0:failed",
            "1:password",
            "2:for",
            "3:root",
            "4:from",
            "5:203",
            "6:0",
            "7:113",
            "8:7",
            "9:port",
            "10:4711",
            "11:ssh2",
            "5+4:203.0.113.7",
        ]
    );
}

#[test]
fn vietnamese_loses_its_accents_in_words() {
    assert_eq!(tokens("Đăng nhập thất bại"), ["0:dang", "1:nhap", "2:that", "3:bai"]);
    // Old and new places of the tone mark.
    assert_eq!(tokens("khoá thuỷ"), tokens("khóa thủy"));
    // As macOS file names and the Windows Vietnamese keyboard spell it.
    let decomposed: String = "Tài khoản bị khoá".nfd().collect();
    assert_eq!(tokens(&decomposed), ["0:tai", "1:khoan", "2:bi", "3:khoa"]);
}

#[test]
fn other_scripts_keep_their_marks() {
    assert_eq!(tokens("Йод и Иод"), ["0:йод", "1:и", "2:иод"]);
    assert_eq!(tokens("ΟΔΟΣ οδος"), ["0:οδοσ", "1:οδοσ"]);
}

#[test]
fn identifiers_are_whole() {
    let cases: &[(&str, &[&str])] = &[
        ("10.1.2.3:5353", &["10.1.2.3"]),
        ("https://10.1.2.3/x", &["10.1.2.3"]),
        ("10.1.2.3.4 and 1.2.3", &[]),
        ("10.1.2.300", &[]),
        ("[2001:DB8:0::1]:443", &["2001:db8::1"]),
        ("from ::1 port", &["::1"]),
        ("fe80::/10", &["fe80::"]),
        ("::ffff:10.1.2.3", &["10.1.2.3", "10.1.2.3"]),
        ("at 10:11:12 std::fs::read", &[]),
        (
            "aa:bb:cc:DD:ee:ff AA-BB-CC-DD-EE-FF aabb.ccdd.eeff",
            &["aa:bb:cc:dd:ee:ff", "aa:bb:cc:dd:ee:ff", "aa:bb:cc:dd:ee:ff"],
        ),
        ("mailto:Ann.Lee+x@mail.Example.com.", &["ann.lee+x@mail.example.com"]),
        ("user@host", &["user@host"]),
        ("{6B29FC40-CA47-1067-B31D-00DD010662DA}", &["6b29fc40-ca47-1067-b31d-00dd010662da"]),
        (
            "S-1-5-21-3623811015-3361044348-30300820-1013",
            &["s-1-5-21-3623811015-3361044348-30300820-1013"],
        ),
        ("(CVE-2024-3094)", &["cve-2024-3094"]),
        ("web1.example.com /var/log/auth.log 2026-11-22", &[]),
    ];
    for (text, expected) in cases {
        assert_eq!(compounds(text), *expected, "{text}");
    }
}

#[test]
fn identifiers_keep_their_accents() {
    assert_eq!(compounds("Đặng@côngty.vn"), ["đặng@côngty.vn"]);
    assert_eq!(tokens("đomain.vn"), ["0:domain", "1:vn"]);
}

#[test]
fn a_query_takes_identifiers_in_place_of_their_words() {
    let tokens = Tokens::of("from 10.1.2.3 port");
    let sequence: Vec<_> = tokens.sequence().iter().map(|t| (t.position, t.text)).collect();
    assert_eq!(sequence, [(0, "from"), (1, "10.1.2.3"), (5, "port")]);
    let tokens = Tokens::of("::1");
    assert_eq!(tokens.sequence().iter().map(|t| t.text).collect::<Vec<_>>(), ["::1"]);
}

#[test]
fn long_runs_are_cut_and_cut_alike() {
    let run = "a1B2".repeat(100);
    let ascii = tokens(&run);
    assert_eq!(ascii.len(), 4);
    // The same run beside text that takes the slower path.
    let mixed = tokens(&format!("{run} ở"));
    assert_eq!(mixed.get(..4), Some(&*ascii));
    let unicode = Tokens::of(&"ế".repeat(1_000));
    assert!(unicode.iter().all(|token| token.text.len() <= TOKEN_BYTES_MAX));
}

#[test]
fn keyword_folding_keeps_accents() {
    assert_eq!(fold_keyword("NGUYỄN"), "nguyễn");
    assert_eq!(fold_keyword(&"NGUYỄN".nfd().collect::<String>()), "nguyễn");
    assert!(matches!(fold_keyword("root"), std::borrow::Cow::Borrowed(_)));
    assert_ne!(fold_keyword("đomain.vn"), fold_keyword("domain.vn"));
}

fn any_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        any::<String>(),
        "[a-fA-F0-9:.@/_-]{0,40}",
        "[ăâđêôơưĂÂĐÊÔƠƯáàảãạếềểễệ a-z]{0,20}",
        "[\u{300}-\u{36f}aeo ]{0,10}",
        Just("10.1.2.3".to_owned()),
        Just("::ffff:1.2.3.4".to_owned()),
    ];
    proptest::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn composed_and_decomposed_text_have_the_same_tokens(text in any_text()) {
        let (composed, decomposed): (String, String) = (text.nfc().collect(), text.nfd().collect());
        prop_assert_eq!(tokens(&composed), tokens(&text));
        prop_assert_eq!(tokens(&decomposed), tokens(&text));
        prop_assert_eq!(fold_keyword(&decomposed), fold_keyword(&text));
        prop_assert_eq!(fold_text(&decomposed), fold_text(&text));
    }

    #[test]
    fn folding_again_changes_nothing(text in any_text()) {
        let (keyword, prose) = (fold_keyword(&text), fold_text(&text));
        prop_assert_eq!(fold_keyword(&keyword), keyword.clone());
        prop_assert_eq!(fold_text(&prose), prose.clone());
    }

    #[test]
    fn equal_tokens_come_in_the_order_of_their_positions(text in any_text()) {
        let tokens = Tokens::of(&text);
        let mut last = std::collections::HashMap::new();
        for token in tokens.iter() {
            if let Some(before) = last.insert(token.text.to_owned(), token.position) {
                prop_assert!(before < token.position, "{token:?} after {before}");
            }
        }
    }

    #[test]
    fn case_makes_no_difference(text in "[ -~ăâđêôơưĂÂĐÊÔƠƯ]{0,60}") {
        prop_assert_eq!(tokens(&text.to_uppercase()), tokens(&text));
    }

    #[test]
    fn words_are_short_and_not_empty(text in any_text()) {
        for token in Tokens::of(&text).iter() {
            prop_assert!(!token.text.is_empty());
            let identifier = token.text.contains(|c: char| !is_word(c));
            prop_assert!(identifier || token.text.len() <= TOKEN_BYTES_MAX);
        }
    }
}
