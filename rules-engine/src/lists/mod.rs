//! Value lists: sets of addresses, domains, URLs, hashes, mail addresses or plain values, which
//! rules look up with `|in_list: name` and `expand` fills placeholders from.
//!
//! A list is a file in one folder, named as the rules name it: `bad_hosts.txt` with one entry a
//! line, or `bad_hosts.csv`, whose first column is taken. Files are read when rules are loaded,
//! and so anew at every reload.

mod entries;
mod kind;
mod networks;
mod texts;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keng_event::Value;

use crate::evaluate::value;
use crate::limits;
use crate::text::{FastMap, fold};

use entries::Entries;
use kind::Kind;
use networks::Networks;
use texts::Texts;

/// One list, ready to be asked.
#[derive(Debug)]
pub(crate) struct List {
    kind: Kind,
    networks: Networks,
    /// Everything that is no network, without letter case and in the form of its kind.
    texts: Texts,
}

impl List {
    /// Reads the content of a file.
    ///
    /// # Errors
    /// The line at fault and what is wrong with it.
    pub(crate) fn parse(text: &str, csv: bool) -> Result<Self, (usize, String)> {
        let entries = Entries::new(text, csv)?;
        let kind = match entries.declared {
            Some(kind) => kind,
            None => Kind::guess(&entries.all),
        };
        let (mut networks, mut texts) = (Networks::default(), Texts::builder(entries.all.len()));
        for (line, entry) in &entries.all {
            let folded = fold(entry);
            match kind.network(&folded) {
                Some(network) => networks.add(network),
                None => match kind.entry(&folded) {
                    Some(form) => texts.add(form),
                    None => return Err((*line, format!("'{entry}' is no {}", kind.singular()))),
                },
            }
        }
        Ok(Self { kind, networks: networks.finish(), texts: texts.finish() })
    }

    /// Whether the value is an address in one of the networks.
    pub(crate) fn has_address(&self, value: Value<'_>) -> bool {
        !self.networks.is_empty()
            && value::address(value).is_some_and(|address| self.networks.contains(address))
    }

    /// Whether the value, without letter case, is among the texts in the way of its kind.
    pub(crate) fn has_text(&self, folded: &str) -> bool {
        !self.texts.is_empty() && self.kind.finds(folded, |form| self.texts.contains(form))
    }
}

/// The lists that rules asked for, by name.
pub(crate) type Lists = FastMap<String, Arc<List>>;

/// The folder of lists. Each is read when first asked for.
#[derive(Debug, Default)]
pub(crate) struct Library {
    folder: Option<PathBuf>,
    files: FastMap<String, PathBuf>,
    read: FastMap<String, Result<Arc<List>, String>>,
}

impl Library {
    /// The lists in `folder`: files named `NAME.txt` or `NAME.csv`.
    pub(crate) fn open(folder: Option<&Path>) -> Self {
        let mut library = Self { folder: folder.map(Path::to_owned), ..Self::default() };
        let entries = folder.and_then(|folder| fs::read_dir(folder).ok());
        let mut paths: Vec<_> = entries.into_iter().flatten().flatten().map(|e| e.path()).collect();
        paths.sort();
        for path in paths {
            let known = path.extension().is_some_and(|kind| kind == "txt" || kind == "csv");
            if let (true, Some(name)) = (known, path.file_stem().and_then(|stem| stem.to_str())) {
                library.files.entry(name.to_owned()).or_insert(path);
            }
        }
        library
    }

    /// A list by its name.
    ///
    /// # Errors
    /// What is wrong, and what to do about it.
    pub(crate) fn list(&mut self, name: &str) -> Result<Arc<List>, (String, String)> {
        let Some(path) = self.files.get(name) else {
            return Err((format!("there is no value list `{name}`"), self.place(name)));
        };
        let read = self.read.entry(name.to_owned()).or_insert_with(|| read(path).map(Arc::new));
        let hint = "put the file right; rules that run keep the list as it was";
        read.clone().map_err(|reason| (format!("the value list `{name}`: {reason}"), hint.into()))
    }

    /// The entries of a list as they are written, to be put into rules.
    ///
    /// # Errors
    /// As [`Library::list`].
    pub(crate) fn entries(&mut self, name: &str) -> Result<Vec<String>, (String, String)> {
        self.list(name)?;
        let text = self.files.get(name).and_then(|path| content(path).ok()).unwrap_or_default();
        let csv = self.files.get(name).is_some_and(|path| is_csv(path));
        let entries = Entries::new(&text, csv).map(|entries| entries.all).unwrap_or_default();
        let owned = entries.into_iter().map(|(_, entry)| entry.into_owned());
        Ok(owned.take(limits::ATOMS_PER_RULE_MAX + 1).collect())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// Every list that was asked for.
    pub(crate) fn finish(self) -> Lists {
        let read = self.read.into_iter();
        read.filter_map(|(name, list)| list.ok().map(|list| (name, list))).collect()
    }

    fn place(&self, name: &str) -> String {
        if name.contains(['/', '\\']) || name.ends_with(".txt") || name.ends_with(".csv") {
            return "a list is named without folder and ending".to_owned();
        }
        match &self.folder {
            Some(folder) => {
                format!("write its entries, one a line, into {}", folder.join(name).display())
                    + ".txt"
            }
            None => "say where lists are: `[rules] lists`, or `--lists DIR`".to_owned(),
        }
    }
}

fn is_csv(path: &Path) -> bool {
    path.extension().is_some_and(|kind| kind == "csv")
}

/// The text of a file, if it is not too large.
pub(crate) fn content(path: &Path) -> Result<String, String> {
    let size = fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?.len();
    if size > limits::LIST_BYTES_MAX {
        let bound = limits::LIST_BYTES_MAX / 1024 / 1024;
        return Err(format!("{}: it has more than {bound} MiB", path.display()));
    }
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn read(path: &Path) -> Result<List, String> {
    let text = content(path)?;
    List::parse(&text, is_csv(path))
        .map_err(|(line, reason)| format!("{}:{line}: {reason}", path.display()))
}
