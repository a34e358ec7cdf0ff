//! Tests of what values mean: aliases, networks, numbers, patterns.

use keng_event::Value as Stored;

use super::*;
use crate::query::filter::GlobPart;
use crate::query::network::ip_to_u128;

#[test]
fn aliases_stand_for_any_of_their_fields() {
    let fields = |query: &str, known: &[&str]| -> Vec<String> {
        fn collect(filter: &Filter, into: &mut Vec<String>) {
            match filter {
                Filter::All => {}
                Filter::Not(inner) => collect(inner, into),
                Filter::And(parts) | Filter::Or(parts) => {
                    parts.iter().for_each(|part| collect(part, into));
                }
                Filter::Leaf(leaf) => match &leaf.field {
                    LeafField::Text => into.push("(text)".to_owned()),
                    LeafField::Named(name) => into.push(name.to_string()),
                },
            }
        }
        let mut names = Vec::new();
        collect(parse_with(query, known).unwrap().filter(), &mut names);
        names
    };
    assert_eq!(fields("Image:x", &[]), ["Image", "process.executable"]);
    assert_eq!(
        fields("winlog.event_data.Image:x", &[]),
        ["process.executable", "winlog.event_data.Image"]
    );
    assert_eq!(fields("Odd:x", &["winlog.event_data.Odd"]), ["Odd", "winlog.event_data.Odd"]);
    assert_eq!(fields("user.name:x", &["winlog.event_data.user.name"]), ["user.name"]);
    assert_eq!(
        fields("root", &[]),
        ["(text)", "process.name", "related.hash", "related.hosts", "related.user"]
    );
    assert!(fields("10.1.2.3", &[]).contains(&"related.ip".to_owned()));
    assert!(fields("10.0.0.0/8", &[]).contains(&"related.ip".to_owned()));
    assert_eq!(fields("/re/", &[]), ["(text)"]);
}

#[test]
fn private_and_public_share_the_addresses_between_them() {
    let (private, public) = (Networks::private(), Networks::public());
    for address in [
        "10.1.2.3",
        "172.31.0.1",
        "192.168.1.1",
        "127.0.0.1",
        "169.254.1.1",
        "100.64.0.1",
        "::1",
        "fd00::1",
        "fe80::1",
    ] {
        assert!(private.contains_text(address), "{address}");
        assert!(!public.contains_text(address), "{address}");
    }
    for address in ["8.8.8.8", "172.32.0.1", "203.0.113.7", "223.255.255.255", "2001:4860::8888"] {
        assert!(!private.contains_text(address), "{address}");
        assert!(public.contains_text(address), "{address}");
    }
    for address in ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1"] {
        assert!(!private.contains_text(address) && !public.contains_text(address), "{address}");
    }
}

#[test]
fn wildcards_on_addresses_are_ranges_where_they_can_be() {
    let glob = |text: &str| Glob::new(crate::query::glob::parse_bare(text)).unwrap();
    let shown = |text: &str| glob(text).ipv4_range().map(|(a, b)| format!("{a} {b}"));
    assert_eq!(shown("10.1.*").as_deref(), Some("10.1.0.0 10.1.255.255"));
    assert_eq!(shown("10.1.2.*").as_deref(), Some("10.1.2.0 10.1.2.255"));
    for other in ["10.1*", "10.*.2", "*", "10.1.2.3.*", "10.300.*", "a.*", "10..*"] {
        assert_eq!(shown(other), None, "{other}");
    }
}

#[test]
fn numbers_compare_exactly() {
    let at_least = |text: &str, value: Stored<'_>| {
        Number::parse(text).unwrap().order_of(value).unwrap().is_ge()
    };
    assert!(at_least("1.5", Stored::I64(2)));
    assert!(!at_least("1.5", Stored::I64(1)));
    assert!(!at_least("-1.5", Stored::I64(-2)));
    assert!(at_least("-1.5", Stored::I64(-1)));
    assert!(at_least("-1.0", Stored::I64(-1)));
    assert!(!at_least("9223372036854775808", Stored::I64(i64::MAX)));
    assert!(at_least("9007199254740993", Stored::I64(9_007_199_254_740_993)));
    assert!(!at_least("9007199254740993", Stored::F64(9_007_199_254_740_992.0)));
    for word in ["inf", "nan", "1e999", "", "0x10", "1_000", "five"] {
        assert_eq!(Number::parse(word), None, "{word}");
    }
}

fn glob_by_definition(parts: &[GlobPart], text: &[char]) -> bool {
    match parts.split_first() {
        None => text.is_empty(),
        Some((GlobPart::One, rest)) => !text.is_empty() && glob_by_definition(rest, &text[1..]),
        Some((GlobPart::Many, rest)) => {
            (0..=text.len()).any(|skipped| glob_by_definition(rest, &text[skipped..]))
        }
        Some((GlobPart::Literal(literal), rest)) => {
            let literal: Vec<char> = literal.chars().collect();
            text.starts_with(&literal) && glob_by_definition(rest, &text[literal.len()..])
        }
    }
}

proptest! {
    #[test]
    fn globs_match_as_defined(pattern in "[ab*?\\\\đ]{0,7}", text in "[abđ*\\\\]{0,8}") {
        let parts = crate::query::glob::parse_bare(&pattern);
        let characters: Vec<char> = text.chars().collect();
        let expected = glob_by_definition(&parts, &characters);
        prop_assert_eq!(Glob::new(parts).unwrap().matches(&text), expected);
    }

    #[test]
    fn addresses_have_one_order(a in any::<std::net::IpAddr>(), b in any::<std::net::IpAddr>()) {
        let same_kind = a.is_ipv4() == b.is_ipv4();
        prop_assert!(!same_kind || (a < b) == (ip_to_u128(a) < ip_to_u128(b)));
    }
}
