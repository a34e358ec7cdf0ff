//! A body unpacked within its limit, and its records one by one.

use std::borrow::Cow;
use std::fmt;
use std::io::Read;

use flate2::bufread::GzDecoder;
use serde::de::{DeserializeSeed, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{ContentEncoding, Refused};

/// Largest Zstandard window, as a power of two: the 8 MiB that RFC 8878 §3.1.1.1.2 wants every
/// decoder to have. Without it a few bytes may demand 2 GiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Most gzip members of a body. Packers that cut make one for each 64 KiB or so; each takes a
/// decoder of its own, even one that unpacks to nothing.
const GZIP_MEMBERS_MAX: usize = 4_096;

/// What is done with a record, given its number and text.
type Each<'a> = dyn FnMut(usize, &[u8]) -> Result<(), Refused> + 'a;

/// The body as it was before it was packed, at most `bytes_max` bytes of it.
pub(super) fn unpack(
    body: &[u8],
    encoding: ContentEncoding,
    bytes_max: usize,
) -> Result<Cow<'_, [u8]>, Refused> {
    let too_large = Err(Refused::TooLarge { bytes_max });
    let refuse = |encoding| {
        move |error: std::io::Error| Refused::Encoding { encoding, reason: error.to_string() }
    };
    let limit = (bytes_max as u64).saturating_add(1);
    let mut unpacked = Vec::new();
    match encoding {
        ContentEncoding::Identity if body.len() > bytes_max => return too_large,
        ContentEncoding::Identity => return Ok(Cow::Borrowed(body)),
        ContentEncoding::Gzip => {
            gunzip(body, limit, &mut unpacked).map_err(refuse("gzip"))?;
        }
        ContentEncoding::Zstd => {
            let mut reader = zstd::Decoder::with_buffer(body).map_err(refuse("zstd"))?;
            reader.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(refuse("zstd"))?;
            reader.take(limit).read_to_end(&mut unpacked).map_err(refuse("zstd"))?;
        }
    }
    if unpacked.len() > bytes_max { too_large } else { Ok(Cow::Owned(unpacked)) }
}

/// Unpacks every member, `limit` bytes at most.
fn gunzip(mut packed: &[u8], limit: u64, unpacked: &mut Vec<u8>) -> std::io::Result<()> {
    for _ in 0..GZIP_MEMBERS_MAX {
        let left = limit.saturating_sub(unpacked.len() as u64);
        let mut member = GzDecoder::new(packed).take(left);
        member.read_to_end(unpacked)?;
        packed = member.into_inner().into_inner();
        if packed.is_empty() || unpacked.len() as u64 >= limit {
            return Ok(());
        }
    }
    Err(std::io::Error::other(format!(
        "it has more than {GZIP_MEMBERS_MAX} members: pack it whole"
    )))
}

/// The lines that are not empty, numbered from 1, without LF or CRLF.
pub(super) fn lines(body: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let lines = body.split(|byte| *byte == b'\n').enumerate();
    lines
        .map(|(index, line)| (index + 1, line.strip_suffix(b"\r").unwrap_or(line)))
        .filter(|(_, line)| !line.trim_ascii().is_empty())
}

/// Calls `each` with every element of a JSON array, numbered from 1, as its text.
pub(super) fn elements(body: &[u8], each: &mut Each<'_>) -> Result<(), Refused> {
    let mut walk = Walk { each, place: 0, refused: None };
    let mut input = serde_json::Deserializer::from_slice(body);
    let read = Elements(&mut walk).deserialize(&mut input).and_then(|()| input.end());
    match (walk.refused, read) {
        (Some(refused), _) => Err(refused),
        (None, Ok(())) => Ok(()),
        (None, Err(error)) => {
            Err(Refused::Malformed { line: walk.place + 1, reason: error.to_string() })
        }
    }
}

struct Walk<'w, 'e> {
    each: &'w mut Each<'e>,
    place: usize,
    refused: Option<Refused>,
}

struct Elements<'a, 'w, 'e>(&'a mut Walk<'w, 'e>);

impl<'de> DeserializeSeed<'de> for Elements<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of JSON objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        while let Some(element) = array.next_element::<&RawValue>()? {
            self.0.place += 1;
            if let Err(refused) = (self.0.each)(self.0.place, element.get().as_bytes()) {
                self.0.refused = Some(refused);
                return Err(serde::de::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn several_members_and_frames_are_one_body() {
        let packed = [gzip(b"one\n"), gzip(b"two\n")].concat();
        assert_eq!(&*unpack(&packed, ContentEncoding::Gzip, 100).unwrap(), b"one\ntwo\n");
        let frame = |data: &[u8]| zstd::encode_all(data, 1).unwrap();
        let packed = [frame(b"one\n"), frame(b"two\n")].concat();
        assert_eq!(&*unpack(&packed, ContentEncoding::Zstd, 100).unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn a_bomb_is_refused_at_the_limit() {
        let bomb = vec![0_u8; 1 << 22];
        for (packed, encoding) in [
            (gzip(&bomb), ContentEncoding::Gzip),
            (zstd::encode_all(&*bomb, 1).unwrap(), ContentEncoding::Zstd),
            (bomb.clone(), ContentEncoding::Identity),
        ] {
            let refused = unpack(&packed, encoding, 1 << 20).unwrap_err();
            assert_eq!(refused, Refused::TooLarge { bytes_max: 1 << 20 });
            assert_eq!(unpack(&packed, encoding, 1 << 22).unwrap().len(), 1 << 22);
        }
    }

    #[test]
    fn very_many_members_are_refused() {
        let packed = gzip(b"").repeat(GZIP_MEMBERS_MAX);
        assert_eq!(unpack(&packed, ContentEncoding::Gzip, 100).unwrap().len(), 0);
        let packed = [packed, gzip(b"")].concat();
        let refused = unpack(&packed, ContentEncoding::Gzip, 100).unwrap_err().to_string();
        assert!(refused.contains("4096 members"), "{refused}");
    }

    #[test]
    fn damage_is_refused() {
        let mut packed = gzip(b"some text that is packed");
        packed.truncate(packed.len() - 6);
        for (packed, encoding) in
            [(&*packed, ContentEncoding::Gzip), (b"plain", ContentEncoding::Zstd)]
        {
            let refused = unpack(packed, encoding, 100).unwrap_err();
            assert!(matches!(refused, Refused::Encoding { .. }), "{refused}");
        }
    }

    fn read(body: &str) -> Result<Vec<String>, Refused> {
        let mut seen = Vec::new();
        elements(body.as_bytes(), &mut |_, text| {
            seen.push(String::from_utf8_lossy(text).into_owned());
            Ok(())
        })?;
        Ok(seen)
    }

    #[test]
    fn an_array_is_taken_apart() {
        assert_eq!(read(r#" [{"a":1}, {"b":[2]} ] "#).unwrap(), [r#"{"a":1}"#, r#"{"b":[2]}"#]);
        assert_eq!(read("[]").unwrap(), Vec::<String>::new());
        let line = |body| match read(body) {
            Err(Refused::Malformed { line, .. }) => line,
            other => panic!("{other:?}"),
        };
        assert_eq!(line(r#"[{"a":1},{"b":}]"#), 2);
        assert_eq!(line(r#"[{"a":1}"#), 2);
        assert_eq!(line(r#"{"a":1}"#), 1);
        assert_eq!(line("[1] x"), 2);
    }

    #[test]
    fn lines_are_numbered_as_an_editor_does() {
        let seen: Vec<_> = lines(b"a\r\n\n  \nb").collect();
        assert_eq!(seen, [(1, &b"a"[..]), (4, b"b")]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_taken(body in prop::collection::vec(any::<u8>(), 0..60)) {
            for encoding in [ContentEncoding::Gzip, ContentEncoding::Zstd] {
                drop(unpack(&body, encoding, 1_000));
            }
            drop(elements(&body, &mut |_, _| Ok(())));
        }
    }
}
