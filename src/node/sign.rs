//! What a node shows when it is up: where to send, where to look, and `node.json` for programs.

use std::fs;

use anyhow::Context;
use serde_json::json;

use super::{Parts, Place};
use crate::output;

/// File in the data directory that says where this node listens while it runs.
const FILE: &str = "node.json";

/// Writes the file and greets whoever started the node.
pub(super) async fn put_up(parts: &Parts, http: Option<&str>) -> anyhow::Result<()> {
    let listeners = parts.ingest.as_ref().map(|i| i.local_addresses()).unwrap_or_default();
    let mut syslog = Vec::new();
    let mut flow = Vec::new();
    for listener in listeners {
        let (kind, protocol) = listener.input.split_once('_').unwrap_or((listener.input, "udp"));
        let entry = json!({"protocol": protocol, "address": listener.address.to_string()});
        if kind == "syslog" { syslog.push(entry) } else { flow.push(entry) }
    }
    let sign = json!({
        "pid": std::process::id(), "version": env!("CARGO_PKG_VERSION"),
        "http": http, "syslog": syslog, "flow": flow,
    });
    let path = parts.ground.place.data.join(FILE);
    let beside = path.with_extension("new");
    fs::write(&beside, sign.to_string())
        .and_then(|()| fs::rename(&beside, &path))
        .with_context(|| format!("writing {}", path.display()))?;
    for listener in listeners {
        output::note(&format!(
            "keng: send {} to {}",
            listener.input.replace('_', " over "),
            listener.address
        ));
    }
    if let Some(http) = http {
        output::note(&format!("keng: look at {http}"));
        if let Some(link) = parts.desk.people().setup_link().await? {
            output::note(&format!(
                "keng: first person here: {http}/#/setup/{} (works once)",
                link.secret
            ));
        }
    }
    let rules = parts.rules.borrow().rules.len();
    output::note(&format!(
        "keng: {rules} rules in force, data under {}",
        parts.ground.place.data.display()
    ));
    if rules == 0 {
        output::note(
            "keng: NO ATTACK WILL BE RECOGNISED: set `[rules] paths` to directories with rules",
        );
    }
    Ok(())
}

/// Removes the file: nothing listens any more.
pub(super) fn take_down(place: &Place) {
    // If it cannot be removed the next start replaces it.
    drop(fs::remove_file(place.data.join(FILE)));
}
