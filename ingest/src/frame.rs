//! Where a record ends in a stream of bytes (RFC 6587), decided anew for every record.
//!
//! One connection may mix both framings, and senders that count octets may put a line end after
//! each record all the same. A record that begins with one to ten digits, a space and `<` counts
//! its octets; every other one ends at LF or NUL, a CR before it not included. What exceeds the
//! limit is cut there and the rest of that record is skipped, so that the next one is whole.
//! However the stream is split into reads, the frames are the same.

use memchr::{memchr2, memchr2_iter, memmem};

/// Most digits of an octet count: 32 bits' worth.
const COUNT_DIGITS_MAX: usize = 10;

/// The largest octet count that is believed. A count above the record limit but below this one
/// belongs to an oversize record, which is cut and skipped by its count; a larger one is taken
/// for the beginning of a line, lest a few bytes make us skip gigabytes.
const COUNT_BELIEVED_MAX: usize = 64 * 1024 * 1024;

/// Room for unfinished records that is kept between reads, so that a connection that once sent
/// much does not hold memory for as long as it lives.
const KEPT_BYTES: usize = 16 * 1024;

/// One record without its framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// Never empty.
    pub(crate) bytes: &'a [u8],
    /// Whether its end is missing.
    pub(crate) truncated: bool,
}

/// Cuts a stream into frames.
#[derive(Debug)]
pub(crate) struct Framer {
    pending: Vec<u8>,
    /// How much of `pending` is known to hold no delimiter, so that a slow sender of a long line
    /// does not make us search it again and again.
    searched: usize,
    skip: Skip,
    record_bytes_max: usize,
}

/// What is left of an oversize record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skip {
    Nothing,
    Octets(usize),
    Line,
}

/// What the bytes at the start of a record say.
enum Start {
    Counted { prefix: usize, length: usize },
    Line,
    TooEarlyToTell,
}

impl Framer {
    /// Records are cut at `record_bytes_max`.
    pub(crate) fn new(record_bytes_max: usize) -> Self {
        Self { pending: Vec::new(), searched: 0, skip: Skip::Nothing, record_bytes_max }
    }

    /// Takes the next bytes of the stream and gives `sink` every frame that is complete.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut sink: impl FnMut(Frame<'_>)) {
        self.pending.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(length) = self.step(at, &mut sink) {
            at += length;
        }
        self.pending.drain(..at.min(self.pending.len()));
        if self.pending.capacity() / 2 > self.pending.len() {
            self.pending.shrink_to(KEPT_BYTES);
        }
    }

    /// How many bytes wait for the rest of their record.
    pub(crate) fn unfinished(&self) -> usize {
        self.pending.len()
    }

    /// At least as many as the frames that feeding `bytes`, and cutting after that, can give.
    pub(crate) fn frames_max(&self, bytes: &[u8]) -> usize {
        let lines = memchr2_iter(b'\n', 0, bytes).count();
        let after_digit = |at: &usize| {
            let before = at.checked_sub(1).and_then(|before| bytes.get(before));
            before.is_none_or(u8::is_ascii_digit)
        };
        let counts = memmem::find_iter(bytes, b" <").filter(after_digit).count();
        // One that began before, and one that is cut before its end is seen.
        lines + counts + 2
    }

    /// Gives up waiting for the rest of the unfinished record: `sink` gets what there is of it,
    /// and its rest will be skipped.
    pub(crate) fn cut(&mut self, mut sink: impl FnMut(Frame<'_>)) {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return;
        }
        let (bytes, skip) = match start(&pending) {
            Start::Counted { prefix, length } => {
                let bytes = pending.get(prefix..).unwrap_or_default();
                (bytes, Skip::Octets(length.saturating_sub(bytes.len())))
            }
            Start::Line | Start::TooEarlyToTell => (&*pending, Skip::Line),
        };
        (self.searched, self.skip) = (0, skip);
        if !bytes.is_empty() {
            sink(Frame { bytes, truncated: true });
        }
    }

    /// The stream has ended: what is left is a record whose end may be missing.
    pub(crate) fn finish(&mut self, mut sink: impl FnMut(Frame<'_>)) {
        let pending = std::mem::take(&mut self.pending);
        let (bytes, truncated) = match start(&pending) {
            Start::Counted { prefix, .. } => (pending.get(prefix..).unwrap_or_default(), true),
            Start::Line | Start::TooEarlyToTell => (&*pending, false),
        };
        let bytes = trim_line_end(bytes);
        if self.skip == Skip::Nothing && !bytes.is_empty() {
            sink(Frame { bytes, truncated });
        }
        *self = Self::new(self.record_bytes_max);
    }

    /// Deals with what begins at `at`; how many bytes that took. `None`: more are needed.
    fn step(&mut self, at: usize, sink: &mut impl FnMut(Frame<'_>)) -> Option<usize> {
        let rest = self.pending.get(at..).filter(|rest| !rest.is_empty())?;
        match self.skip {
            Skip::Octets(left) => {
                let skipped = left.min(rest.len());
                self.skip = match left - skipped {
                    0 => Skip::Nothing,
                    left => Skip::Octets(left),
                };
                Some(skipped)
            }
            Skip::Line => {
                let end = memchr2(b'\n', 0, rest);
                if end.is_some() {
                    self.skip = Skip::Nothing;
                }
                Some(end.unwrap_or(rest.len()))
            }
            Skip::Nothing if matches!(rest.first(), Some(b'\n' | b'\r' | 0)) => Some(1),
            Skip::Nothing => match start(rest) {
                Start::TooEarlyToTell => None,
                Start::Counted { prefix, length } => {
                    self.counted(at + prefix, length, sink).map(|taken| prefix + taken)
                }
                Start::Line => self.line(at, sink),
            },
        }
    }

    fn counted(
        &mut self,
        at: usize,
        length: usize,
        sink: &mut impl FnMut(Frame<'_>),
    ) -> Option<usize> {
        let kept = length.min(self.record_bytes_max);
        let record = self.pending.get(at..)?.get(..kept)?;
        let truncated = kept < length;
        let bytes = if truncated { record } else { trim_line_end(record) };
        if !bytes.is_empty() {
            sink(Frame { bytes, truncated });
        }
        if truncated {
            self.skip = Skip::Octets(length - kept);
        }
        Some(kept)
    }

    fn line(&mut self, at: usize, sink: &mut impl FnMut(Frame<'_>)) -> Option<usize> {
        let rest = self.pending.get(at..)?;
        let searched = self.searched.min(rest.len());
        let end = memchr2(b'\n', 0, rest.get(searched..)?).map(|end| searched + end);
        if end.unwrap_or(rest.len()) > self.record_bytes_max {
            self.searched = 0;
            self.skip = Skip::Line;
            sink(Frame { bytes: rest.get(..self.record_bytes_max)?, truncated: true });
            return Some(self.record_bytes_max);
        }
        let Some(end) = end else {
            // A record that waits for more always begins the buffer by the next feed.
            self.searched = rest.len();
            return None;
        };
        self.searched = 0;
        let bytes = trim_line_end(rest.get(..end)?);
        if !bytes.is_empty() {
            sink(Frame { bytes, truncated: false });
        }
        Some(end + 1)
    }
}

fn start(rest: &[u8]) -> Start {
    let digits = rest.iter().take(COUNT_DIGITS_MAX + 1).take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 || digits > COUNT_DIGITS_MAX || rest.first() == Some(&b'0') {
        return Start::Line;
    }
    match (rest.get(digits), rest.get(digits + 1)) {
        (None, _) | (Some(b' '), None) => return Start::TooEarlyToTell,
        (Some(b' '), Some(b'<')) => {}
        _ => return Start::Line,
    }
    let number = rest.get(..digits).and_then(|digits| std::str::from_utf8(digits).ok());
    match number.and_then(|number| number.parse().ok()) {
        Some(length) if length <= COUNT_BELIEVED_MAX => {
            Start::Counted { prefix: digits + 1, length }
        }
        _ => Start::Line,
    }
}

/// Senders that count octets often count a line end too.
fn trim_line_end(mut bytes: &[u8]) -> &[u8] {
    while let [head @ .., b'\n' | b'\r' | 0] = bytes {
        bytes = head;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 40;

    fn frames(pieces: &[&[u8]]) -> Vec<(String, bool)> {
        let mut framer = Framer::new(MAX);
        let mut frames = Vec::new();
        let mut sink = |frame: Frame<'_>| {
            assert!(frame.bytes.len() <= MAX && !frame.bytes.is_empty());
            frames.push((String::from_utf8_lossy(frame.bytes).into_owned(), frame.truncated));
        };
        for piece in pieces {
            let (mut given, most) = (0, framer.frames_max(piece));
            framer.feed(piece, |frame| {
                given += 1;
                sink(frame);
            });
            assert!(given <= most, "{given} frames of at most {most}");
        }
        framer.finish(&mut sink);
        frames
    }

    fn whole(stream: &str) -> Vec<String> {
        frames(&[stream.as_bytes()])
            .into_iter()
            .map(|(text, truncated)| if truncated { format!("{text}…") } else { text })
            .collect()
    }

    #[test]
    fn each_record_chooses_its_framing() {
        assert_eq!(whole("<1>a\n<1>b\r\n<1>c\0<1>d"), ["<1>a", "<1>b", "<1>c", "<1>d"]);
        assert_eq!(whole("4 <1>a5 <1>bb<1>c\n4 <1>d"), ["<1>a", "<1>bb", "<1>c", "<1>d"]);
        assert_eq!(whole("5 <1>a\n5 <1>b\n"), ["<1>a", "<1>b"]);
        assert_eq!(whole("\n\r\n\0"), Vec::<String>::new());
    }

    #[test]
    fn a_line_may_begin_with_a_digit() {
        assert_eq!(whole("1 apple\n22 pears\n22\n"), ["1 apple", "22 pears", "22"]);
        assert_eq!(
            whole("2026-11-22 10:00:00 x\n1 <23>4\n"),
            ["2026-11-22 10:00:00 x", "<", "23>4"]
        );
        assert_eq!(whole("0 <1>a\n"), ["0 <1>a"]);
        assert_eq!(whole("007 <1>a\n"), ["007 <1>a"]);
    }

    #[test]
    fn a_count_that_cannot_be_is_a_line() {
        assert_eq!(whole("9999999999 <1>a\n<1>b\n"), ["9999999999 <1>a", "<1>b"]);
        assert_eq!(
            whole("18446744073709551615 <1>a\n<1>b\n"),
            ["18446744073709551615 <1>a", "<1>b"]
        );
    }

    #[test]
    fn what_is_too_long_is_cut_and_its_rest_skipped() {
        let long = "x".repeat(100);
        let cut = format!("<1>{}…", "x".repeat(MAX - 3));
        assert_eq!(whole(&format!("<1>{long}\n<1>b\n")), [cut.clone(), "<1>b".to_owned()]);
        assert_eq!(whole(&format!("103 <1>{long}4 <1>b")), [cut, "<1>b".to_owned()]);
    }

    #[test]
    fn what_is_cut_early_ends_where_it_would_have_ended() {
        for stream in ["<1>long\n<1>b\n", "8 <1>longe5 <1>b\n", "8 <1>longe\n5 <1>b\n"] {
            let mut framer = Framer::new(MAX);
            let mut frames = Vec::new();
            let mut sink = |frame: Frame<'_>| {
                frames.push((String::from_utf8_lossy(frame.bytes).into_owned(), frame.truncated));
            };
            let (first, rest) = stream.split_at(6);
            framer.feed(first.as_bytes(), &mut sink);
            framer.cut(&mut sink);
            assert_eq!(framer.unfinished(), 0);
            framer.feed(rest.as_bytes(), &mut sink);
            let cut = first.trim_start_matches("8 ").to_owned();
            assert_eq!(frames, [(cut, true), ("<1>b".to_owned(), false)], "{stream:?}");
        }
    }

    #[test]
    fn an_end_that_is_missing_is_told() {
        assert_eq!(whole("10 <1>a"), ["<1>a…"]);
        assert_eq!(whole("<1>a"), ["<1>a"]);
        assert_eq!(whole("12"), ["12"]);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_frames(
            stream in "([0-9]{0,3} ?<?[a-c<]{0,60}[\n\r\0]{0,2}){0,8}",
            mut cuts in prop::collection::vec(0_usize..400, 0..12),
        ) {
            cuts.sort_unstable();
            let bytes = stream.as_bytes();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                let to = cut.min(bytes.len()).max(from);
                pieces.push(&bytes[from..to]);
                from = to;
            }
            pieces.push(&bytes[from..]);
            prop_assert_eq!(frames(&pieces), frames(&[bytes]));
        }

        #[test]
        fn what_is_framed_comes_out(
            records in prop::collection::vec(("<[a-z ]{0,30}[a-z]", any::<bool>()), 0..10),
        ) {
            let stream: String = records
                .iter()
                .map(|(record, counted)| match counted {
                    true => format!("{} {record}", record.len()),
                    false => format!("{record}\n"),
                })
                .collect();
            let wanted: Vec<_> = records.into_iter().map(|(record, _)| (record, false)).collect();
            prop_assert_eq!(frames(&[stream.as_bytes()]), wanted);
        }

        #[test]
        fn any_bytes_are_kept_within_the_limit(stream in prop::collection::vec(any::<u8>(), 0..400)) {
            drop(frames(&[&stream]));
        }
    }
}
