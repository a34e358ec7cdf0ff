//! `TIMESTAMP SP HOSTNAME SP TAG: MSG` (RFC 3164 §4.1), which documents what was seen, and what
//! was seen since: any stamp or none, no host, no tag, Cisco's sequence numbers and marks, relays
//! that put themselves before the host.
//!
//! One deliberate departure from §4.1.3: a bare word before the message is its tag only if a
//! colon or a bracket ends it. Otherwise every message without a tag would lose its first word
//! (`last message repeated 3 times`).

use std::net::Ipv6Addr;

use memchr::{memchr2, memchr3};

use super::scan::Scan;
use super::{Defects, Header, stamp};

/// Longest tag that is believed. The RFC says 32; Cisco and Huawei mnemonics are longer.
const TAG_BYTES_MAX: usize = 128;

/// Longest process id that is believed; some senders put a thread or a unit beside the number.
const PROCID_BYTES_MAX: usize = 64;

/// Longest host name: that of the DNS (RFC 1035 §2.3.4).
const HOSTNAME_BYTES_MAX: usize = 255;

/// Reads what follows `<PRI>`.
pub(super) fn read<'a>(mut scan: Scan<'a>, header: &mut Header<'a>) {
    let has_priority = !header.defects.has(Defects::MISSING_PRI);
    scan.eat_spaces();
    let is_iso = scan.peek().is_some_and(|byte| byte.is_ascii_digit());
    header.stamp = stamp::read(&mut scan);
    if header.stamp.is_none() {
        cisco(&mut scan, header);
    }
    if header.stamp.is_none() {
        header.defects.add(Defects::MISSING_TIMESTAMP);
    } else if header.hostname.is_none() {
        scan.eat_spaces();
        let forwarded = eat_forwarder(&mut scan);
        // A log file's line (`2026-11-22 10:00:00 INFO started`) has no host; there one is
        // believed only if a tag follows it.
        let tag_needed = is_iso && !has_priority;
        hostname(&mut scan, header, forwarded, tag_needed);
    }
    if header.hostname.is_none() {
        header.defects.add(Defects::MISSING_HOSTNAME);
    }
    if has_priority || header.stamp.is_some() {
        tag(&mut scan, header);
    }
    header.text = scan.rest().trim_start_matches(' ');
}

/// `29: host: *Apr 29 13:58:40.411: `, every part of it optional (NX-OS writes the colon even
/// without a number: `: 2020 Oct 14 10:11:12 EDT: `). The time may be one since the
/// start of the device, which is no stamp (`1w2d: `, `00:01:01: `).
fn cisco<'a>(scan: &mut Scan<'a>, header: &mut Header<'a>) {
    let mut ahead = *scan;
    let sequence = sequence(&mut ahead);
    if sequence.is_none() && ahead.eat(b':') {
        ahead.eat_spaces();
    }
    let mut host = None;
    let mut timed = cisco_time(&mut ahead, header);
    if !timed {
        host = label(&mut ahead);
        timed = host.is_some() && cisco_time(&mut ahead, header);
    }
    let mnemonic = sequence.is_some() && ahead.peek() == Some(b'%');
    if timed || mnemonic {
        header.sequence = sequence;
        // IOS XR puts the node there, `RP/0/RSP0/CPU0`, which is no host.
        header.hostname = host.filter(|host| !host.contains('/'));
        *scan = ahead;
    }
}

/// `29: `
fn sequence<'a>(scan: &mut Scan<'a>) -> Option<&'a str> {
    let digits = scan.digits_ahead(12);
    let follows = scan.peek_at(digits) == Some(b':') && scan.peek_at(digits + 1) == Some(b' ');
    let sequence = scan.rest().get(..digits).filter(|digits| !digits.is_empty() && follows)?;
    scan.skip(digits + 2);
    Some(sequence)
}

/// `host: `
fn label<'a>(scan: &mut Scan<'a>) -> Option<&'a str> {
    let rest = scan.rest();
    let end = memchr2(b':', b' ', rest.as_bytes())?;
    let label = rest.get(..end).filter(|label| is_hostname(label))?;
    if scan.peek_at(end) != Some(b':') {
        return None;
    }
    scan.skip(end + 1);
    scan.eat_spaces();
    Some(label)
}

/// A stamp, marked with `*` (clock not set) or `.` (set, but not synchronised) or not, or the
/// time since the start.
fn cisco_time(scan: &mut Scan<'_>, header: &mut Header<'_>) -> bool {
    let mut ahead = *scan;
    let marked = ahead.eat(b'*') || ahead.eat(b'.') || ahead.eat(b';');
    header.stamp = stamp::read(&mut ahead);
    if header.stamp.is_none() {
        let word = ahead.word();
        let uptime = word.strip_suffix(':').filter(|uptime| is_uptime(uptime));
        if uptime.is_none() || marked {
            return false;
        }
    }
    ahead.eat_spaces();
    *scan = ahead;
    true
}

/// `00:01:01`, `1w2d`, `3d04h`, `1y5w`
fn is_uptime(word: &str) -> bool {
    let is_clock = word.len() >= 8 && word.bytes().filter(|b| *b == b':').count() == 2;
    let units = word.bytes().filter(u8::is_ascii_lowercase).count();
    let allowed = |b: u8| b.is_ascii_digit() || b":ywdhms".contains(&b);
    word.bytes().all(allowed)
        && word.starts_with(|c: char| c.is_ascii_digit())
        && (is_clock || units >= 2)
}

/// AIX's syslogd names itself when it relays: `Message forwarded from web1: sshd[1]: …`.
fn eat_forwarder(scan: &mut Scan<'_>) -> bool {
    const RELAYED: &str = "Message forwarded from ";
    let relayed = scan.rest().starts_with(RELAYED);
    scan.skip(if relayed { RELAYED.len() } else { 0 });
    relayed
}

fn hostname<'a>(scan: &mut Scan<'a>, header: &mut Header<'a>, forwarded: bool, tag_needed: bool) {
    let rest = scan.rest();
    if ["-- MARK", "last message repeated", "message repeated"].iter().any(|t| rest.starts_with(t))
    {
        return;
    }
    let mut ahead = *scan;
    let word = ahead.word();
    let host = match word.strip_suffix(':') {
        Some(_) if word.parse::<Ipv6Addr>().is_ok() => word,
        // `fw01: %ASA-…`; otherwise a word with a colon is a tag.
        Some(host) if forwarded || ahead.rest().starts_with(" %") => host,
        Some(_) => return,
        None => word,
    };
    if is_hostname(host) && (!tag_needed || followed_by_tag(&ahead)) {
        header.hostname = Some(host);
        *scan = ahead;
    }
}

fn followed_by_tag(scan: &Scan<'_>) -> bool {
    let mut header = Header::default();
    tag(&mut { *scan }, &mut header);
    header.appname.is_some()
}

fn is_hostname(word: &str) -> bool {
    let first =
        word.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b":_".contains(&b));
    first
        && word.len() <= HOSTNAME_BYTES_MAX
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:/@%~".contains(&b))
}

/// `sshd[812]:`, `sshd(pam_unix)[812]:`, `%ASA-6-302013:`, `kernel:`
fn tag<'a>(scan: &mut Scan<'a>, header: &mut Header<'a>) {
    let mut ahead = *scan;
    ahead.eat_spaces();
    if ahead.peek() == Some(b':') && ahead.peek_at(1) == Some(b' ') {
        // `host : %ASA-6-734001: …`
        ahead.skip(2);
        ahead.eat_spaces();
    }
    let rest = ahead.rest();
    let end = memchr3(b' ', b':', b'[', rest.as_bytes()).unwrap_or(rest.len());
    let Some(name) = rest.get(..end).filter(|name| is_tag(name)) else { return };
    ahead.skip(end);
    let name = second_word(rest, end).map_or(name, |longer| {
        ahead.skip(longer.len() - name.len());
        longer
    });
    match ahead.peek() {
        Some(b'[') => {
            let Some(procid) = bracketed(&mut ahead) else { return };
            header.procid = Some(procid);
            ahead.eat(b':');
        }
        Some(b':') => {
            ahead.skip(1);
            let spaced = matches!(ahead.peek(), None | Some(b' ' | b'\t' | b'[' | b'%'));
            if !spaced && !name.starts_with('%') {
                return;
            }
        }
        _ => return,
    }
    header.appname = Some(name);
    *scan = ahead;
}

/// A program of two words, as desktops have them: `Microsoft Word[14463]: `. Only a process id and
/// a colon after it tell it from a message.
fn second_word(rest: &str, end: usize) -> Option<&str> {
    let second = rest.get(end..)?.strip_prefix(' ')?;
    let bracket = memchr3(b' ', b':', b'[', second.as_bytes())?;
    let (word, id) = second.split_at_checked(bracket)?;
    let (id, _) = id.strip_prefix('[')?.split_once("]:")?;
    let whole = rest.get(..end + 1 + bracket)?;
    let is_program = whole.starts_with(|c: char| c.is_ascii_alphanumeric()) && is_tag(word);
    (is_program && !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit())).then_some(whole)
}

fn is_tag(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= TAG_BYTES_MAX
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/%()@+~#\\$".contains(&b))
}

/// `[812]`
fn bracketed<'a>(scan: &mut Scan<'a>) -> Option<&'a str> {
    let inner = scan.rest().get(1..)?;
    let near = inner.as_bytes().iter().take(PROCID_BYTES_MAX + 1);
    let end = near.copied().position(|byte| byte == b']')?;
    let procid = inner.get(..end).filter(|id| !id.is_empty() && !id.contains([' ', '[', ':']))?;
    scan.skip(end + 2);
    Some(procid)
}
