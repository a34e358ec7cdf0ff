//! `VERSION SP TIMESTAMP SP HOSTNAME SP APP-NAME SP PROCID SP MSGID SP STRUCTURED-DATA [SP MSG]`
//! (RFC 5424 §6), tolerant of what real senders get wrong.

use super::scan::Scan;
use super::{Defects, Header, sd, stamp};
use crate::time::Stamp;

/// Reads what follows `<PRI>`. False, with nothing read, if this is no RFC 5424 header.
pub(super) fn read<'a>(mut scan: Scan<'a>, header: &mut Header<'a>) -> bool {
    let version = scan.word();
    let is_version = matches!(version.len(), 1 | 2) && version.bytes().all(|b| b.is_ascii_digit());
    if !is_version || !scan.eat(b' ') {
        return false;
    }
    let stamp = stamp::iso(&mut scan).or_else(|| stamp::unix(&mut scan));
    if stamp.is_none() {
        // `<13>1 apple a day` is RFC 3164 without a stamp, `<13>1 - host …` is ours.
        let nil = scan.word();
        if nil != "-"
            && !nil.as_bytes().first().is_some_and(|b| nil.len() > 9 && b.is_ascii_digit())
        {
            return false;
        }
        header.defects.add(Defects::MISSING_TIMESTAMP);
    }
    header.stamp = stamp;
    header.version = Some(version);
    header.hostname = value(&mut scan);
    if header.hostname.is_none() {
        header.defects.add(Defects::MISSING_HOSTNAME);
    }
    header.appname = value(&mut scan);
    if matches!(stamp, Some(Stamp::Unix { .. })) {
        // Meraki's messages follow its own names for devices and kinds of event at once.
        header.text = scan.rest().trim_start_matches(' ');
        return true;
    }
    header.procid = value(&mut scan);
    header.msgid = value(&mut scan);
    scan.eat(b' ');
    let text = structured_data(scan, header);
    let text = text.strip_prefix(' ').unwrap_or(text);
    header.text = text.strip_prefix('\u{feff}').unwrap_or(text);
    true
}

/// One space-separated value; the NILVALUE `-` and the end of the record are none.
fn value<'a>(scan: &mut Scan<'a>) -> Option<&'a str> {
    scan.eat(b' ');
    let before = *scan;
    let word = scan.word();
    if word.starts_with('[') {
        // A sender that left fields out: these are its STRUCTURED-DATA already.
        *scan = before;
        return None;
    }
    (!word.is_empty() && word != "-").then_some(word)
}

/// What follows the STRUCTURED-DATA.
fn structured_data<'a>(mut scan: Scan<'a>, header: &mut Header<'a>) -> &'a str {
    let rest = scan.rest();
    if rest.starts_with('[') {
        let Some((data, after, legal)) = sd::split(rest) else {
            header.defects.add(Defects::INVALID_SDATA);
            return rest;
        };
        if !legal {
            header.defects.add(Defects::INVALID_SDATA);
        }
        header.structured_data = Some(data);
        return after;
    }
    if scan.eat(b'-') && matches!(scan.peek(), None | Some(b' ')) {
        return scan.rest();
    }
    header.defects.add(Defects::MISSING_SDATA);
    rest
}
