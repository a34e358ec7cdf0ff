//! Archives as they are published, and archives as an attacker makes them.

use std::io::Cursor;

use super::*;

const RULE: &[u8] = b"title: A\n";

/// A tar archive of entries of one kind; names are written as they are, however odd.
fn tar_of(kind: tar::EntryType, entries: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn files(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let entries: Vec<_> =
        entries.iter().map(|(name, content)| (name.as_bytes(), *content)).collect();
    tar_of(tar::EntryType::Regular, &entries)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn zip_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// What an archive of these bytes comes to, and the files that were made.
fn taken(bytes: &[u8]) -> (Result<Unpacked, String>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let (archive, to) = (folder.path().join("set"), folder.path().join("to"));
    fs::write(&archive, bytes).unwrap();
    fs::create_dir(&to).unwrap();
    let unpacked = unpack(&archive, &to, &mut |_| {}).map_err(|error| format!("{error:#}"));
    let outside: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
    assert_eq!(outside.len(), 2, "something was written outside: {outside:?}");
    (unpacked, all_files(&to, &to))
}

fn all_files(folder: &Path, base: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(all_files(&entry.path(), base)),
            false => {
                let path = entry.path();
                found.push(path.strip_prefix(base).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

fn refused(bytes: &[u8], reason: &str) {
    let (unpacked, _) = taken(bytes);
    let told = unpacked.map(|unpacked| format!("{unpacked:?}")).unwrap_err();
    assert!(told.contains(reason), "'{reason}' is missing in: {told}");
}

const PUBLISHED: [(&str, &[u8]); 8] = [
    ("sigma/rules/windows/a.yml", RULE),
    ("sigma/rules/b.YAML", RULE),
    ("sigma/LICENSE", b"DRL"),
    ("sigma/rules/script.py", b"import os"),
    ("sigma/deprecated/c.yml", RULE),
    ("sigma/unsupported/d.yml", RULE),
    ("sigma/unsupported/e.yml", RULE),
    ("sigma/.github/workflows/f.yml", RULE),
];

#[test]
fn every_kind_of_archive_gives_the_same_rules() {
    for bytes in [files(&PUBLISHED), gzip(&files(&PUBLISHED)), zip_of(&PUBLISHED)] {
        let (unpacked, found) = taken(&bytes);
        let Unpacked { files, left_out } = unpacked.unwrap();
        assert_eq!(found, ["sigma/LICENSE", "sigma/rules/b.YAML", "sigma/rules/windows/a.yml"]);
        assert_eq!(files, 3);
        let left_out: Vec<_> = left_out.into_iter().collect();
        assert_eq!(left_out, [("deprecated".to_owned(), 1), ("unsupported".to_owned(), 2)]);
    }
}

#[test]
fn a_folder_is_taken_without_what_links_lead_to() {
    let folder = tempfile::tempdir().unwrap();
    let to = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("rules")).unwrap();
    fs::write(folder.path().join("rules/a.yml"), RULE).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("rules/b.yml")).unwrap();
    std::os::unix::fs::symlink(folder.path(), folder.path().join("rules/again")).unwrap();
    let unpacked = unpack(folder.path(), to.path(), &mut |_| {}).unwrap();
    assert_eq!(all_files(to.path(), to.path()), ["rules/a.yml"]);
    assert_eq!(unpacked.left_out["(links)"], 2);
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in ["../a.yml", "rules/../../a.yml", "/etc/keng/a.yml", "rules/..\\a.yml", "C:\\a.yml"]
    {
        let reason = if name.contains('\\') { "backslash" } else { "leads out" };
        refused(&files(&[("ok.yml", RULE), (name, RULE)]), reason);
        refused(&zip_of(&[("ok.yml", RULE), (name, RULE)]), reason);
    }
}

#[test]
fn names_that_are_no_text_are_refused() {
    for name in [&b"rules/\xff.yml"[..], b"rules/\x1b[31m.yml"] {
        refused(&tar_of(tar::EntryType::Regular, &[(name, RULE)]), "no text");
    }
    refused(&files(&[("a.yml", RULE), ("a.yml", b"title: B\n")]), "twice");
}

#[test]
fn links_and_devices_are_refused() {
    for kind in [tar::EntryType::Symlink, tar::EntryType::Link] {
        refused(&tar_of(kind, &[(b"rules/a.yml", b"")]), "is a link");
    }
    for kind in [tar::EntryType::Char, tar::EntryType::Block, tar::EntryType::Fifo] {
        refused(&tar_of(kind, &[(b"rules/a.yml", b"")]), "neither file nor folder");
    }
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    writer.add_symlink("rules/a.yml", "/etc/passwd", options).unwrap();
    refused(&writer.finish().unwrap().into_inner(), "is a link");
}

#[test]
fn bombs_are_refused() {
    let large = vec![b'a'; limits::RULE_FILE_BYTES_MAX + 1];
    refused(&files(&[("a.yml", &large)]), "more than");
    refused(&zip_of(&[("a.yml", &large)]), "more than");
    // What is not taken costs time as well.
    let mut header = tar::Header::new_gnu();
    header.set_path("not-taken.bin").unwrap();
    header.set_size(UNPACKED_BYTES_MAX + 1);
    header.set_cksum();
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    bomb.write_all(header.as_bytes()).unwrap();
    let zeros = vec![0; 1 << 20];
    (0..=UNPACKED_BYTES_MAX >> 20).for_each(|_| bomb.write_all(&zeros).unwrap());
    refused(&bomb.finish().unwrap(), "unpacks to more than");
    let depth = "a/".repeat(limits::FOLDER_DEPTH_MAX + 1);
    refused(&zip_of(&[(&format!("{depth}a.yml"), RULE)]), "nested too deeply");
}

#[test]
fn what_is_not_unpacked_here_is_named_with_the_command_that_does() {
    for (magic, command) in [
        (&b"\xfd7zXZ\0"[..], "tar -xJf"),
        (b"\x28\xb5\x2f\xfd", "tar --zstd -xf"),
        (b"BZh9", "tar -xjf"),
        (b"7z\xbc\xaf\x27\x1c", "7z x"),
        (b"Rar!\x1a", "unrar x"),
        (b"title: A", "neither a folder nor an archive"),
        (b"", "neither a folder nor an archive"),
    ] {
        refused(magic, command);
    }
}

#[test]
fn a_cut_archive_is_refused() {
    for whole in [gzip(&files(&PUBLISHED)), zip_of(&PUBLISHED)] {
        let (unpacked, _) = taken(&whole[..whole.len() / 2]);
        assert!(unpacked.is_err());
    }
}
