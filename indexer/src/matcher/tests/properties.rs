//! The matcher against a naive one, and the laws that any query obeys.

use proptest::prelude::*;

use super::*;

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-cA-C]{1,3}",
        "[đĐêễe]{1,2}",
        Just("10.0.0.1".to_owned()),
        "[./=-]",
        "[0-3]{1,2}"
    ]
}

fn any_query() -> impl Strategy<Value = String> {
    let name =
        prop::sample::select(vec!["message:", "user.name:", "source.port:", "source.ip:", "", ""]);
    let value = prop_oneof![
        word(),
        word().prop_map(|word| format!("{word}*")),
        word().prop_map(|word| format!("*{word}*")),
        (word(), word()).prop_map(|(a, b)| format!("\"{a} {b}\"")),
        (word(), word()).prop_map(|(a, b)| format!("\"{a} {b}\"~2")),
        word().prop_map(|word| format!("/{}/", regex::escape(&word).replace('/', "\\/"))),
    ];
    let leaf = (name, value).prop_map(|(name, value)| format!("{name}{value}"));
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|query| format!("NOT ({query})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) AND ({b})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("({a}) OR ({b})")),
        ]
    })
}

/// The definition, without any short cut.
fn naively(filter: &Filter, event: EventRef<'_>) -> bool {
    let leaf = match filter {
        Filter::All => return true,
        Filter::Not(inner) => return !naively(inner, event),
        Filter::And(parts) => return parts.iter().all(|part| naively(part, event)),
        Filter::Or(parts) => return parts.iter().any(|part| naively(part, event)),
        Filter::Leaf(leaf) => leaf,
    };
    let index = match &leaf.field {
        LeafField::Text => event.batch().index_of("message"),
        LeafField::Named(name) => event.batch().index_of(name),
    };
    let values: Vec<Value<'_>> = index.into_iter().flat_map(|index| event.all(index)).collect();
    match &leaf.test {
        LeafTest::Exists => !values.is_empty(),
        LeafTest::Value(test) => values.iter().any(|value| test.matches(*value)),
        LeafTest::Text(test) => values.iter().any(|value| {
            let text = value.to_text();
            test.matches(&text, &Tokens::of(&text))
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn short_cuts_change_nothing(
        query in any_query(),
        words in prop::collection::vec(
            prop_oneof![
                word(),
                "(::ffff:|0:0:0:0:0:FFFF:)0?a00:0*1",
                "[0-3]::[0-3](:[0-3]){5}",
                Just("0A0a.0B0b.0c01".to_owned()),
            ],
            1..5,
        ),
    ) {
        let message = words.join(" ");
        let batch = event(&[("message", Value::Str(&message))]);
        let event = batch.get(0).unwrap();
        if let Ok(query) = parse(&query) {
            let naive = naively(query.filter(), event);
            prop_assert_eq!(Matcher::new(&query).matches(event), naive, "{} on {:?}", query, message);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn logic_holds(
        a in any_query(),
        b in any_query(),
        words in prop::collection::vec(word(), 0..8),
        user in prop::option::of(word()),
        port in prop::option::of(0_i64..4),
    ) {
        let message = words.join(" ");
        let mut fields = vec![("message", Value::Str(&message)), ("source.ip", "10.0.0.1".into())];
        fields.extend(user.as_deref().map(|user| ("user.name", Value::Str(user))));
        fields.extend(port.map(|port| ("source.port", Value::I64(port))));
        let batch = event(&fields);
        let answer = |query: &str| {
            parse(query).map(|query| Matcher::new(&query).matches(batch.get(0).unwrap()))
        };
        if let (Ok(left), Ok(right)) = (answer(&a), answer(&b)) {
            prop_assert_eq!(answer(&format!("NOT ({a})")).unwrap(), !left);
            prop_assert_eq!(answer(&format!("({a}) ({b})")).unwrap(), left && right);
            prop_assert_eq!(answer(&format!("({a}) OR ({b})")).unwrap(), left || right);
            let neither = format!("NOT (({a}) OR ({b}))");
            prop_assert_eq!(answer(&neither).unwrap(), !left && !right);
        }
    }

    /// Whatever words a text has, each of them finds it, and so does any row of them.
    #[test]
    fn a_text_is_found_by_its_own_words(
        words in prop::collection::vec("[!#-\\[\\]-~ăâđêôơưĂÂĐÊÔƠƯếễ]{1,8}", 1..8),
        from in 0_usize..8,
        count in 1_usize..4,
    ) {
        let text = words.join(" ");
        let batch = event(&[("message", text.as_str().into())]);
        let from = from % words.len();
        let quoted = words[from..words.len().min(from + count)].join(" ");
        let found = |query: &str| {
            let query = parse(query).unwrap();
            Matcher::new(&query).matches(batch.get(0).unwrap())
        };
        prop_assert!(found(&format!("message:\"{quoted}\"")), "{quoted:?} in {text:?}");
        prop_assert!(found(&format!("message:=\"{quoted}\"")), "={quoted:?} in {text:?}");
        let contains = format!("message contains \"{quoted}\"");
        prop_assert!(found(&contains), "~{quoted:?} in {text:?}");
    }
}
