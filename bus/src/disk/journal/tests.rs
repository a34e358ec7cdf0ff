//! Journals with contents that were made to look like batches.

use super::*;

/// A batch of values, as fjall writes it but for the sum, which is not looked at.
fn batch(number: u64, values: &[&[u8]]) -> Vec<u8> {
    let mut items = Vec::new();
    for value in values {
        let length = u32::try_from(value.len()).unwrap().to_le_bytes();
        items.extend([2, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        items.extend([length, length].as_flattened());
        items.push(b'k');
        items.extend(*value);
    }
    let mut bytes = header(u32::try_from(values.len()).unwrap(), number);
    bytes.extend(items);
    bytes.push(3);
    bytes.extend([0; 8]);
    bytes.extend(TRAILER);
    bytes
}

fn header(items: u32, number: u64) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend(items.to_le_bytes());
    bytes.extend(number.to_le_bytes());
    bytes
}

fn read_bytes(parts: &[&[u8]]) -> Contents {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), parts.concat()).unwrap();
    read(file.path()).unwrap()
}

#[test]
fn whole_batches_behind_damage_are_found() {
    let (first, next) = (batch(7, &[b"one", b"two"]), batch(9, &[b"three"]));
    let contents = read_bytes(&[&first, &[9; 50], &next, &[0; 100]]);
    let damaged = first.len() as u64..first.len() as u64 + 50;
    assert_eq!(contents.damaged, [damaged]);
    assert_eq!(contents.batches.len(), 2);
    assert!(!contents.torn);
    // Nothing is known of numbers where the first is damaged.
    assert_eq!(read_bytes(&[&[9; 50], &next]).damaged.first(), Some(&(0..50)));
}

#[test]
fn what_an_event_says_is_no_batch() {
    let first = batch(1_000, &[b"one"]);
    let made_up = [
        batch(3, &[b"an old number"]),
        batch(1_000, &[b"the number of the last"]),
        batch(1 << 40, &[b"a number far ahead"]),
        batch(u64::MAX, &[b"the largest number"]),
    ];
    for content in made_up {
        let mut torn = batch(1_001, &[&content, &[7; 300]]);
        torn.truncate(torn.len() - 100);
        let contents = read_bytes(&[&first, &torn, &[0; 500]]);
        let whole = 0..first.len() as u64;
        let expected = Contents { batches: vec![whole], damaged: Vec::new(), torn: true };
        assert_eq!(contents, expected, "{}", content.escape_ascii());
    }
}

#[test]
fn content_that_seems_to_begin_batches_everywhere_takes_no_time() {
    // Items whose keys begin batches, all of which go on to the end: a search that followed each
    // would pass over ten thousand million items.
    let mut item = vec![2, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    item.extend(header(u32::MAX, 1_001));
    let content = item.repeat(150_000);
    for first in [Vec::new(), batch(1_000, &[b"one"])] {
        let contents = read_bytes(&[&first, &content, &[0; 500]]);
        assert!(contents.torn && contents.damaged.is_empty(), "{contents:?}");
    }
}
