//! The subject of a certificate that was verified already, as text (`CN=web1,O=Example`).
//!
//! Reads just enough DER (X.690) and X.509 (RFC 5280 §4.1) to find the name; nothing here decides
//! whether a certificate is good.

/// Longest subject that is shown; names are some hundred bytes.
const SUBJECT_BYTES_MAX: usize = 512;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
const VERSION: u8 = 0xa0;

/// Attribute types (X.520) by the last byte of their id `2.5.4.n`, in the short names of RFC 4514.
const ATTRIBUTES: [(u8, &str); 6] =
    [(3, "CN"), (6, "C"), (7, "L"), (8, "ST"), (10, "O"), (11, "OU")];

/// The attributes of the subject that have a short name, the most specific first.
pub(super) fn subject(certificate: &[u8]) -> Option<String> {
    let (certificate, _) = value(certificate, SEQUENCE)?;
    let (mut rest, _) = value(certificate, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        rest = value(rest, VERSION)?.1;
    }
    // Serial number, signature algorithm, issuer and validity come before it.
    for _ in 0..4 {
        rest = first(rest)?.2;
    }
    let (mut names, _) = value(rest, SEQUENCE)?;
    let mut parts = Vec::new();
    while let Some((mut set, after)) = value(names, SET) {
        names = after;
        while let Some((attribute, after)) = value(set, SEQUENCE) {
            set = after;
            parts.extend(show(attribute));
        }
    }
    parts.reverse();
    let mut text = parts.join(",");
    text.truncate(text.floor_char_boundary(SUBJECT_BYTES_MAX));
    (!text.is_empty()).then_some(text)
}

fn show(attribute: &[u8]) -> Option<String> {
    let (id, rest) = value(attribute, OBJECT_ID)?;
    let (_, text, _) = first(rest)?;
    let [0x55, 4, last] = id else { return None };
    let (_, name) = ATTRIBUTES.iter().find(|(known, _)| known == last)?;
    let text = String::from_utf8_lossy(text);
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    Some(format!("{name}={}", text.replace('\\', "\\\\").replace(',', "\\,")))
}

/// The content of the value that comes first, if it has that tag, and what follows it.
fn value(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = first(bytes)?;
    (found == tag).then_some((content, rest))
}

/// Tag and content of the value that comes first, and what follows it.
fn first(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (byte, rest) = rest.split_first()?;
    let (length, rest) = if *byte < 0x80 {
        (usize::from(*byte), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(byte & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio_rustls::rustls::pki_types::CertificateDer;
    use tokio_rustls::rustls::pki_types::pem::PemObject;

    const CLIENT: &[u8] = include_bytes!("../../testdata/client.pem");

    #[test]
    fn the_subject_is_read() {
        let certificate = CertificateDer::from_pem_slice(CLIENT).unwrap();
        assert_eq!(subject(&certificate).as_deref(), Some("CN=web1,O=Example\\, Ltd"));
    }

    proptest! {
        #[test]
        fn damage_never_panics(cut in 0_usize..600, at in 0_usize..600, byte in any::<u8>()) {
            let mut certificate = CertificateDer::from_pem_slice(CLIENT).unwrap().to_vec();
            if let Some(slot) = certificate.get_mut(at) {
                *slot = byte;
            }
            certificate.truncate(cut);
            drop(subject(&certificate));
        }
    }
}
