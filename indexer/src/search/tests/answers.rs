//! One promise each: counts, ranges, limits, and ends before the end.

use super::*;

#[test]
fn an_event_counts_once_for_a_text_that_it_has_in_two_types() {
    let both = |text: &'static str, typed: Any| {
        let fields = vec![("dyn.x", Any::Text(text)), ("dyn.x", typed)];
        build(&[(0, fields, false)], 0)
    };
    for batch in [both("true", Any::Bool(true)), both("7", Any::I64(7))] {
        for fate in [Fate::Stay, Fate::Seal] {
            let dir = tempfile::tempdir().unwrap();
            let index = open(dir.path());
            let batches = [(Arc::clone(&batch), fate)];
            fill(&index, &batches);
            check_facets(&index, "*", &expected(&batches, "*"));
        }
    }
}

#[test]
fn fields_are_known_however_many_sets_of_them_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    let mut builder = BatchBuilder::new();
    for number in 0_i64..1_200 {
        let mut event = builder.event(NOW, NOW);
        event.put_named("host.name", "web1").put_named(&format!("own.f{number}"), number);
        event.finish();
    }
    index.append(Arc::new(builder.finish()), end(1_200)).unwrap();
    index.flush(NOW).unwrap();
    let found = |query: &str| search(&index, &request(query)).total.value;
    assert_eq!(found("host.name:*"), 1_200);
    for number in [0, 700, 1_199] {
        assert_eq!(found(&format!("own.f{number}:*")), 1, "own.f{number}");
    }
    let asked = FieldsRequest { prefix: "own.".to_owned(), ..FieldsRequest::default() };
    let fields = with_control(|control| index.searcher().fields(&asked, control)).unwrap().fields;
    assert_eq!(fields.len(), 1_200);
    assert!(fields.iter().all(|field| field.count == 1));
}

#[test]
fn a_range_of_time_spans_shards_and_tail() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    append(&index, 0, 10);
    index.flush(NOW).unwrap();
    append(&index, 10, 10);
    let asked = SearchRequest {
        from: Some("2026-11-22T09:00:05Z".to_owned()),
        to: Some("2026-11-22T09:00:15Z".to_owned()),
        ..request("failed")
    };
    let answer = search(&index, &asked);
    assert_eq!(answer.total.value, 10);
    assert_eq!(ids(&answer).first().map(String::as_str), Some("e-0-14"));
    assert_eq!(ids(&answer).last().map(String::as_str), Some("e-0-5"));
    let empty = SearchRequest { to: asked.from.clone(), ..asked.clone() };
    assert_eq!(search(&index, &empty).total.value, 0);
    let inverted = SearchRequest { from: asked.to.clone(), to: asked.from.clone(), ..asked };
    let said = search_error(&index, &inverted).to_string();
    assert!(said.contains("it begins at '2026-11-22T09:00:15Z', after its end"), "{said}");
}

#[test]
fn a_cancelled_search_ends_and_an_overdue_one_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    append(&index, 0, 10);
    index.flush(NOW).unwrap();
    let (gone, looks) = (AtomicBool::new(true), AtomicU32::new(0));
    let elapsed = || Duration::from_secs(u64::from(looks.fetch_add(1, Ordering::Relaxed)));
    let zone = jiff::tz::TimeZone::UTC;
    let deadline = Duration::from_secs(1);
    let mut control = Control { now: NOW, zone, cancelled: &gone, elapsed: &elapsed, deadline };
    let cancelled = index.searcher().search(&request("*"), &control).unwrap_err();
    assert!(matches!(cancelled, crate::Error::Cancelled));
    let here = AtomicBool::new(false);
    control.cancelled = &here;
    let overdue = index.searcher().search(&request("failed"), &control).unwrap();
    assert!(!overdue.complete);
    assert_eq!(overdue.total.relation, Relation::Gte);
}

#[test]
fn limits_of_a_request_are_brought_down_not_refused() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    append(&index, 0, 1_100);
    let answer = search(&index, &SearchRequest { limit: Some(usize::MAX), ..request("*") });
    assert_eq!(answer.hits.len(), 1_000);
    assert!(answer.cursor.is_some());
    let count = search(&index, &SearchRequest { limit: Some(0), ..request("*") });
    assert_eq!((count.hits.len(), count.total.value), (0, 1_100));
    let asked = HistogramRequest { buckets: Some(usize::MAX), ..HistogramRequest::default() };
    let answer = with_control(|control| index.searcher().histogram(&asked, control)).unwrap();
    assert!(answer.buckets.len() <= 1_000);
    assert_eq!(answer.buckets.iter().map(|bucket| bucket.count).sum::<u64>(), 1_100);
}

#[test]
fn a_count_alone_is_that_of_events_not_of_spellings() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    let mut builder = BatchBuilder::new();
    for users in [&["root", "Root"][..], &["Root"], &["ROOT"], &["other"]] {
        let mut event = builder.event(NOW, NOW);
        for user in users {
            event.put_named("user.name", *user);
        }
        event.finish();
    }
    index.append(Arc::new(builder.finish()), end(4)).unwrap();
    index.flush(NOW).unwrap();
    for (query, count) in [("user.name:root", 3), ("user.name:other", 1), ("-user.name:root", 1)] {
        let counted = SearchRequest { limit: Some(0), ..request(query) };
        assert_eq!(search(&index, &counted).total.value, count, "{query}");
    }
}
