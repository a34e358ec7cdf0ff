//! Who was seen when, on disk: one small file, written beside and renamed.
//!
//! Without it a source that falls silent while the node is down, and stays silent, would never be
//! missed. Counts and rates are not kept. A file that cannot be read is said, moved aside and
//! begun anew: the table fills again from what arrives.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use keng_event::Timestamp;
use serde::{Deserialize, Serialize};

use super::{FORGOTTEN_AFTER, Row, SenderId, Sources};

/// Largest file that is read: more than [`super::SOURCES_MAX`] rows of four names of
/// [`super::NAME_BYTES_MAX`] take, with each byte escaped as six, and the datasets of each.
const BYTES_MAX: u64 = 96 * 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    /// Of this layout: 1.
    version: u32,
    sources: Vec<StoredSource>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredSource {
    sender: SenderId,
    host: Box<str>,
    dataset: Box<str>,
    /// Not there in files of earlier builds.
    #[serde(default)]
    datasets: Vec<String>,
    transport: Box<str>,
    first_seen: Timestamp,
    last_seen: Timestamp,
}

impl Sources {
    /// Takes over what was stored when the node last ran.
    pub(super) fn load(&self) {
        let Some(path) = &self.inner.file else { return };
        match read(path) {
            Ok(Some(stored)) => self.take_over(stored),
            Ok(None) => {}
            Err(error) => {
                let aside = path.with_extension("damaged");
                let moved = match fs::rename(path, &aside) {
                    Ok(()) => format!("it is kept as {}", aside.display()),
                    Err(error) => format!("it cannot be moved aside: {error}"),
                };
                tracing::warn!(
                    path = %path.display(),
                    "who was seen before cannot be read: {error}; {moved}; sources that stay away \
                     are not missed"
                );
            }
        }
    }

    fn take_over(&self, stored: Stored) {
        let now = self.inner.clock.now();
        let oldest = now.minus(FORGOTTEN_AFTER);
        let mut table = self.inner.lock();
        let wanted = stored.sources.into_iter().filter(|source| source.last_seen >= oldest);
        for source in wanted.take(self.inner.rows_max) {
            let StoredSource { sender, host, dataset, transport, .. } = source;
            // A clock that was put back must not make a source look alive for ever.
            let (first_seen, last_seen) = (source.first_seen.min(now), source.last_seen.min(now));
            let row = table.row(&self.inner, sender, &host, now, 0);
            *row = Row { dataset, transport, first_seen, last_seen, ..Row::new(now) };
            source.datasets.iter().for_each(|dataset| row.datasets.add(dataset));
        }
    }

    /// Stores who was seen when; to be called now and then, and at the end. Blocks.
    ///
    /// # Errors
    /// When the file cannot be written; the old one is then as it was.
    pub(crate) fn save(&self) -> io::Result<()> {
        let Some(path) = &self.inner.file else { return Ok(()) };
        let table = self.inner.lock();
        let mut sources = Vec::with_capacity(table.rows);
        for (sender, hosts) in &table.by_sender {
            // The row that takes what exceeds the table is nobody in particular.
            let hosts = hosts.iter().filter(|_| *sender != SenderId::Other);
            sources.extend(hosts.map(|(host, row)| StoredSource {
                sender: sender.clone(),
                host: host.clone(),
                dataset: row.dataset.clone(),
                datasets: row.datasets.iter().map(Into::into).collect(),
                transport: row.transport.clone(),
                first_seen: row.first_seen,
                last_seen: row.last_seen,
            }));
        }
        drop(table);
        write(path, &serde_json::to_vec(&Stored { version: 1, sources })?)
    }
}

fn read(path: &Path) -> io::Result<Option<Stored>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut text = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut text)?;
    let stored: Stored = serde_json::from_slice(&text)?;
    if stored.version != 1 {
        return Err(io::Error::other(format!("it has the unknown version {}", stored.version)));
    }
    Ok(Some(stored))
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
