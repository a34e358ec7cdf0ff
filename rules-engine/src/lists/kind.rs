//! What the entries of a list are, and what in a value is looked up among them.

use std::borrow::Cow;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// Kinds of entries. Addresses and networks may stand in every list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Looked up whole.
    Values,
    Networks,
    /// With all that is below them; of a URL the host is looked up.
    Domains,
    /// Without the last slash.
    Urls,
    /// Each hash in a value is looked up (`SHA1=…,MD5=…`).
    Hashes,
    Mails,
}

const KINDS: [(Kind, &str, &str); 6] = [
    (Kind::Values, "values", "value"),
    (Kind::Networks, "networks", "address or network"),
    (Kind::Domains, "domains", "domain"),
    (Kind::Urls, "urls", "URL"),
    (Kind::Hashes, "hashes", "hash"),
    (Kind::Mails, "mails", "mail address"),
];

/// Endings of file names that are no top-level domains: a list of programs is none of domains.
const FILE_ENDINGS: [&str; 22] = [
    "asp", "aspx", "bat", "conf", "dat", "dll", "doc", "docx", "exe", "html", "ini", "jar", "json",
    "jsp", "lnk", "log", "msi", "php", "scr", "sys", "txt", "xml",
];

/// Hexadecimal digits of MD5, SHA-1, SHA-224, SHA-256, SHA-384 and SHA-512.
const HASH_LENGTHS: [usize; 6] = [32, 40, 56, 64, 96, 128];

/// Longest domain name in bytes (RFC 1035 §2.3.4).
const DOMAIN_BYTES_MAX: usize = 253;

impl FromStr for Kind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let known = KINDS.iter().find(|(_, plural, _)| plural.eq_ignore_ascii_case(word));
        known.map(|(kind, _, _)| *kind).ok_or_else(|| {
            let words = KINDS.map(|(_, plural, _)| plural);
            format!("there is no type '{word}'; it is one of {}", words.join(", "))
        })
    }
}

impl Kind {
    pub(super) fn singular(self) -> &'static str {
        let known = KINDS.iter().find(|(kind, _, _)| *kind == self);
        known.map_or("", |(_, _, singular)| singular)
    }

    /// What the entries of a list are that does not say it: the one kind that all of them but
    /// addresses have in common.
    pub(super) fn guess(entries: &[(usize, Cow<'_, str>)]) -> Self {
        let mut others = entries.iter().filter(|(_, entry)| network(entry).is_none()).peekable();
        if others.peek().is_none() {
            return Self::Networks;
        }
        let kinds = [Self::Hashes, Self::Urls, Self::Mails, Self::Domains];
        kinds
            .into_iter()
            .find(|kind| others.clone().all(|(_, entry)| kind.looks_right(entry)))
            .unwrap_or(Self::Values)
    }

    fn looks_right(self, entry: &str) -> bool {
        match self {
            Self::Values => true,
            Self::Networks => false,
            Self::Hashes => is_hash(entry),
            Self::Urls => entry.contains("://") && !entry.contains(char::is_whitespace),
            Self::Mails => is_mail(entry),
            Self::Domains => {
                let last = entry.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
                let ending = last.to_ascii_lowercase();
                is_domain(entry) && !FILE_ENDINGS.contains(&ending.as_str())
            }
        }
    }

    /// The entry as a network, if it is one.
    pub(super) fn network(self, entry: &str) -> Option<IpNet> {
        network(entry)
    }

    /// The form under which an entry, without letter case, is kept. `None`: it is none of these.
    pub(super) fn entry(self, folded: &str) -> Option<&str> {
        match self {
            Self::Values => Some(folded),
            Self::Networks => None,
            Self::Domains => {
                let name = folded.strip_prefix("*.").or_else(|| folded.strip_prefix('.'));
                let name = name.unwrap_or(folded).trim_end_matches('.');
                is_label_text(name).then_some(name)
            }
            Self::Urls => Some(folded.strip_suffix('/').unwrap_or(folded)),
            Self::Hashes => is_hash(folded).then_some(folded),
            Self::Mails => is_mail(folded).then_some(folded),
        }
    }

    /// Whether any form of the value, without letter case, is `known`.
    pub(super) fn finds(self, folded: &str, known: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Values | Self::Networks => known(folded),
            Self::Urls => known(folded.strip_suffix('/').unwrap_or(folded)),
            Self::Mails => known(address_of(folded)),
            Self::Hashes => folded
                .split(|c: char| !c.is_ascii_hexdigit())
                .any(|word| HASH_LENGTHS.contains(&word.len()) && known(word)),
            Self::Domains => finds_domain(host(folded), known),
        }
    }
}

/// Whether the name or a domain above it is known.
fn finds_domain(name: &str, known: impl Fn(&str) -> bool) -> bool {
    let name = name.trim_end_matches('.');
    if name.len() > DOMAIN_BYTES_MAX {
        return false;
    }
    let mut rest = Some(name);
    while let Some(domain) = rest.filter(|domain| !domain.is_empty()) {
        if known(domain) {
            return true;
        }
        rest = domain.split_once('.').map(|(_, above)| above);
    }
    false
}

/// The host of a URL (RFC 3986 §3.2); what is no URL is a host.
fn host(value: &str) -> &str {
    let Some((_, rest)) = value.split_once("://") else { return value };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    host.split(':').next().unwrap_or_default()
}

/// The address within `name <address>`.
fn address_of(value: &str) -> &str {
    let within = value.rsplit_once('<').and_then(|(_, rest)| rest.split_once('>'));
    within.map_or(value, |(address, _)| address).trim()
}

fn network(text: &str) -> Option<IpNet> {
    let network = match text.parse::<IpNet>() {
        Ok(network) => network,
        Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    Some(crate::sigma::modifier::canonical(network))
}

fn is_hash(text: &str) -> bool {
    HASH_LENGTHS.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_mail(text: &str) -> bool {
    let parts = text.split_once('@');
    parts.is_some_and(|(who, at)| {
        !who.is_empty() && !who.contains(char::is_whitespace) && is_label_text(at)
    })
}

fn is_domain(text: &str) -> bool {
    let name = text.strip_prefix("*.").or_else(|| text.strip_prefix('.')).unwrap_or(text);
    let name = name.trim_end_matches('.');
    let last = name.rsplit('.').next().unwrap_or_default();
    let ending = last.chars().count() >= 2 && !last.chars().all(|c| c.is_ascii_digit());
    name.contains('.') && ending && is_label_text(name)
}

/// Labels of letters, digits, `-` and `_` with dots between them.
fn is_label_text(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
    };
    text.len() <= DOMAIN_BYTES_MAX && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(entries: &[&str]) -> Kind {
        let entries: Vec<_> = entries.iter().map(|entry| (1, Cow::Borrowed(*entry))).collect();
        Kind::guess(&entries)
    }

    #[test]
    fn kinds_are_told_by_their_entries() {
        for (entries, kind) in [
            (&["10.0.0.0/8", "2001:db8::1"][..], Kind::Networks),
            (&["example.com", "*.example.org", "10.0.0.1"], Kind::Domains),
            (&["d41d8cd98f00b204e9800998ecf8427e"], Kind::Hashes),
            (&["https://example.com/x", "http://192.0.2.1/"], Kind::Urls),
            (&["eve@example.com"], Kind::Mails),
            (&["cmd.exe", "powershell.exe"], Kind::Values),
            (&["example.com", "WORKSTATION1"], Kind::Values),
            (&["example.com", "https://example.com/"], Kind::Values),
            (&[], Kind::Networks),
        ] {
            assert_eq!(guess(entries), kind, "{entries:?}");
        }
    }

    #[test]
    fn values_are_looked_up_in_the_way_of_the_kind() {
        let finds = |kind: Kind, entry: &str, value: &str| {
            let form = kind.entry(entry).unwrap();
            kind.finds(value, |asked| asked == form)
        };
        for (kind, entry, value, found) in [
            (Kind::Domains, "example.com", "example.com", true),
            (Kind::Domains, ".example.com", "a.b.example.com.", true),
            (Kind::Domains, "example.com", "badexample.com", false),
            (Kind::Domains, "a.example.com", "example.com", false),
            (Kind::Domains, "example.com", "https://u:p@a.example.com:8443/x?y", true),
            (Kind::Domains, "example.com", "https://other.org/example.com", false),
            (Kind::Urls, "https://example.com/x/", "https://example.com/x", true),
            (
                Kind::Hashes,
                &"a".repeat(40),
                &format!("md5={},sha1={}", "b".repeat(32), "a".repeat(40)),
                true,
            ),
            (Kind::Hashes, &"a".repeat(40), &"a".repeat(64), false),
            (Kind::Mails, "eve@example.com", "eve <eve@example.com>", true),
            (Kind::Values, "example.com", "a.example.com", false),
        ] {
            assert_eq!(finds(kind, entry, value), found, "{entry} and {value}");
        }
    }
}
