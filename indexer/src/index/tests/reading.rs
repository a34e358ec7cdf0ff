//! Reading an index that another process writes, or nobody.

use super::*;
use crate::search::Searcher;
use crate::testing::with_control;

fn found(searcher: &Searcher) -> Vec<String> {
    ids(&with_control(|control| searcher.search(&request("*"), control)).unwrap())
}

#[test]
fn a_reader_sees_what_is_committed_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    for round in 0..3 {
        append(&index, round * 4, 4);
        index.flush(NOW).unwrap();
    }
    append(&index, 12, 4);
    // A record that the writer is about to finish, and rubbish that is his to sweep.
    let manifest = dir.path().join("manifest");
    let torn = [std::fs::read(&manifest).unwrap(), vec![9, 0, 0]].concat();
    std::fs::write(&manifest, &torn).unwrap();
    let unnamed = dir.path().join("shards/ffffffff");
    std::fs::create_dir(&unnamed).unwrap();
    let reader = Searcher::read_only(dir.path(), &Config::default(), &[]).unwrap();
    assert_eq!(found(&reader), newest_first(12));
    assert_eq!(std::fs::read(&manifest).unwrap(), torn);
    assert!(unnamed.exists());
    assert_eq!(ids(&search(&index, &request("*"))), newest_first(16));
}

#[test]
fn a_reader_goes_on_when_the_writer_merges() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    for round in 0..3 {
        append(&index, round * 4, 4);
        index.flush(NOW).unwrap();
    }
    let reader = Searcher::read_only(dir.path(), &Config::default(), &[]).unwrap();
    settle(&index);
    assert_eq!(std::fs::read_dir(dir.path().join("shards")).unwrap().count(), 1);
    assert_eq!(found(&reader), newest_first(12));
    let after = Searcher::read_only(dir.path(), &Config::default(), &[]).unwrap();
    assert_eq!(found(&after), newest_first(12));
}

#[test]
fn where_no_index_is_none_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("index");
    let read = Searcher::read_only(&missing, &Config::default(), &[]);
    assert!(matches!(read, Err(Error::Io { .. })), "{read:?}");
    assert!(!missing.exists());
}
