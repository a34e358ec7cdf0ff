//! Archives as they are published, and archives as an attacker makes them.

use std::io::Cursor;

use super::*;

const RULE: &[u8] = b"title: A\ndetection: {}\n";

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

const WORKFLOW: &[u8] = b"name: tests\non: push\njobs:\n  a:\n    filter: x\n";

const PUBLISHED: [(&str, &[u8]); 9] = [
    ("sigma/rules/windows/a.yml", RULE),
    ("sigma/rules/b.YAML", RULE),
    ("sigma/LICENSE", b"DRL"),
    ("sigma/rules/script.py", b"import os"),
    ("sigma/deprecated/c.yml", RULE),
    ("sigma/unsupported/d.yml", RULE),
    ("sigma/unsupported/e.yml", RULE),
    ("sigma/.github/workflows/f.yml", RULE),
    ("sigma/mkdocs.yml", WORKFLOW),
];

/// How many files were left out for each reason.
fn counts(unpacked: &Unpacked) -> Vec<(&str, usize)> {
    unpacked.left_out.iter().map(|(reason, left)| (reason.as_str(), left.files)).collect()
}

#[test]
fn every_kind_of_archive_gives_the_same_rules() {
    for bytes in [files(&PUBLISHED), gzip(&files(&PUBLISHED)), zip_of(&PUBLISHED)] {
        let (unpacked, found) = taken(&bytes);
        let unpacked = unpacked.unwrap();
        assert_eq!(found, ["sigma/LICENSE", "sigma/rules/b.YAML", "sigma/rules/windows/a.yml"]);
        assert_eq!(unpacked.files, 3);
        assert_eq!(counts(&unpacked), [("deprecated/", 1), ("no rules", 1), ("unsupported/", 2)]);
        assert_eq!(unpacked.left_out["no rules"].names, ["sigma/mkdocs.yml"]);
    }
}

/// A repository laid out as SigmaHQ's.
fn write_repository(folder: &Path) {
    let long = format!("rules-emerging-threats/2026/{0}/{0}/{0}/a.yml", "x".repeat(90));
    for (name, text) in [
        ("README.md", &b"# Rules"[..]),
        ("rules/windows/a.yml", RULE),
        ("rules/linux/other/b.yml", RULE),
        ("rules-compliance/other/c.yml", RULE),
        ("rules-dfir/deprecated/d.yml", RULE),
        ("rules-threat-hunting/e.yml", b"title: misspelt\ndetecton: {}\nlogsource: {}\n"),
        (&long, RULE),
        ("deprecated/windows/f.yml", RULE),
        ("unsupported/g.yml", RULE),
        ("other/h.yml", RULE),
        ("tests/i.yml", RULE),
        ("tests/j.yml", WORKFLOW),
        ("documentation/k.yml", RULE),
        ("regression_data/rules/l/info.yml", b"id: x\nrule_metadata:\n  - title: x\n"),
        (".github/workflows/m.yml", WORKFLOW),
        ("pipelines/n.yml", b"name: n\npriority: 1\ntransformations: []\n"),
        ("schema.yaml", b"title: Schema\nproperties:\n  detection: {}\n"),
    ] {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    std::os::unix::fs::symlink("a.yml", folder.join("rules/windows/link.yml")).unwrap();
}

/// Archives of a commit as GitHub makes them; `None`, said by name, where there is no git.
fn archives_of(repository: &Path) -> Option<[Vec<u8>; 2]> {
    let git = |arguments: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.args(["-c", "user.name=a", "-c", "user.email=a@b", "-C"]).arg(repository);
        let ran = command.args(arguments).env("GIT_CONFIG_GLOBAL", "/dev/null").output().ok()?;
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        Some(ran.stdout)
    };
    if git(&["init", "--quiet"]).is_none() {
        // The one place in tests that must know whether a missing part is allowed.
        assert!(option_env!("CI") != Some("true"), "git is missing");
        println!("skipped: git is not here");
        return None;
    }
    git(&["add", "--all"])?;
    git(&["commit", "--quiet", "--no-gpg-sign", "--message", "x"])?;
    let prefix = "--prefix=sigma-0123456789abcdef0123456789abcdef01234567/";
    let archive = |format| git(&["archive", format, prefix, "HEAD"]);
    Some([archive("--format=tar.gz")?, archive("--format=zip")?])
}

#[test]
fn a_whole_repository_gives_its_rules_and_no_broken_ones() {
    let repository = tempfile::tempdir().unwrap();
    write_repository(repository.path());
    let archives = archives_of(repository.path());
    let to = tempfile::tempdir().unwrap();
    let unpacked = unpack(repository.path(), to.path(), &mut |_| {}).unwrap();
    let wanted = all_files(to.path(), to.path());
    let left = counts(&unpacked);
    assert_eq!(
        left,
        [
            ("deprecated/", 1),
            ("documentation/", 1),
            ("links", 1),
            ("no rules", 2),
            ("other/", 1),
            ("regression_data/", 1),
            ("tests/", 2),
            ("unsupported/", 1)
        ]
    );
    assert_eq!(unpacked.left_out["links"].names, ["rules/windows/link.yml"]);
    let short: Vec<_> = wanted.iter().filter(|name| name.len() < 100).collect();
    assert_eq!(
        short,
        [
            "README.md",
            "rules-compliance/other/c.yml",
            "rules-dfir/deprecated/d.yml",
            "rules-threat-hunting/e.yml",
            "rules/linux/other/b.yml",
            "rules/windows/a.yml"
        ]
    );
    assert_eq!(wanted.len(), short.len() + 1);
    for archive in archives.iter().flatten() {
        let (unpacked, found) = taken(archive);
        assert_eq!(counts(&unpacked.unwrap()), left);
        let within = found.iter().map(|name| name.split_once('/').unwrap().1);
        assert_eq!(within.collect::<Vec<_>>(), wanted);
    }
}

#[test]
fn a_folder_that_is_imported_by_itself_was_chosen() {
    for names in [["deprecated/a.yml", "deprecated/b/c.yml"], ["rules/other/a.yml", "rules/b.yml"]]
    {
        let (unpacked, found) = taken(&files(&names.map(|name| (name, RULE))));
        assert_eq!(found.len(), 2, "{names:?}: {unpacked:?}");
    }
    // What macOS adds is no second folder at the top.
    let (unpacked, _) =
        taken(&zip_of(&[("__MACOSX/s/._a.yml", RULE), ("s/a.yml", RULE), ("s/other/b.yml", RULE)]));
    assert_eq!(counts(&unpacked.unwrap()), [("other/", 1)]);
}

#[test]
fn a_folder_of_rules_keeps_its_folders_and_a_repository_of_that_name_does_not() {
    let names = ["other/a.yml", "b.yml"];
    for (more, kept) in [(None, 2), (Some("rules/c.yml"), 2)] {
        let folder = tempfile::tempdir().unwrap();
        let (set, to) = (folder.path().join("rules-compliance"), tempfile::tempdir().unwrap());
        let write = |name: &str| {
            let path = set.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, RULE).unwrap();
        };
        names.into_iter().chain(more).for_each(write);
        let unpacked = unpack(&set, to.path(), &mut |_| {}).unwrap();
        assert_eq!(unpacked.files, kept, "{unpacked:?}");
        assert_eq!(all_files(to.path(), to.path()).contains(&"other/a.yml".into()), more.is_none());
    }
    let (unpacked, _) =
        taken(&files(&[("rules-main/deprecated/a.yml", RULE), ("rules-main/rules/b.yml", RULE)]));
    assert_eq!(counts(&unpacked.unwrap()), [("deprecated/", 1)]);
}

#[test]
fn what_may_be_a_rule_is_told_from_other_yaml() {
    for (text, rule) in [
        ("title: a\nlogsource: {}\n", true),
        ("# c\n---\n  title: a\n  \"detection\" : {}\n", true),
        ("\u{feff}correlation:\n", true),
        ("{title: a, detection: {}}", true),
        ("--- {title: a, detection: {}}", true),
        ("--- # c\ntitle: a\ndetection: {}\n", true),
        ("&a {title: a, detection: {}}", true),
        ("? detection\n: {}\n", true),
        ("title: a\rdetection: {}\r", true),
        ("--- # c\non: push\n", false),
        ("a: {}\n---\nfilter: {}\n", true),
        ("title: a\nbody:\n  detection: {}\n", false),
        ("- detection: {}\n", false),
        ("detections: {}\n", false),
        ("# detection: x\n", false),
        ("", false),
    ] {
        assert_eq!(may_be_rule(text.as_bytes()), rule, "{text}");
    }
    assert!(may_be_rule(b"title: \xff\n"), "refused by name later, not left out");
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
    assert_eq!(counts(&unpacked), [("links", 2)]);
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
fn a_name_that_no_file_system_takes_is_the_fault_of_the_set() {
    let name = format!("rules/{}.yml", "ử".repeat(90));
    refused(&zip_of(&[(&name, RULE)]), "a part of more than 255 bytes");
}

#[test]
fn names_that_are_no_text_are_refused() {
    for name in [&b"rules/\xff.yml"[..], b"rules/\x1b[31m.yml"] {
        refused(&tar_of(tar::EntryType::Regular, &[(name, RULE)]), "no text");
    }
    refused(&files(&[("a.yml", RULE), ("a.yml", b"title: B\ndetection: {}\n")]), "twice");
}

#[test]
fn links_are_left_out_and_named_and_devices_refused() {
    for kind in [tar::EntryType::Symlink, tar::EntryType::Link] {
        let mut link = tar_of(kind, &[(b"rules/a", b""), (b"rules/d.yml", b"")]);
        link.truncate(1_024);
        // Were the link made, this would be written to where it leads.
        link.extend(files(&[("rules/a/b.yml", RULE)]));
        let (unpacked, found) = taken(&link);
        let unpacked = unpacked.unwrap();
        assert_eq!(found, ["rules/a/b.yml"]);
        assert_eq!(unpacked.left_out["links"].names, ["rules/a", "rules/d.yml"]);
        refused(&tar_of(kind, &[(b"../a.yml", b"")]), "leads out");
    }
    for kind in [tar::EntryType::Char, tar::EntryType::Block, tar::EntryType::Fifo] {
        refused(&tar_of(kind, &[(b"rules/a.yml", b"")]), "neither file nor folder");
    }
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    writer.add_symlink("rules/a.yml", "/etc/passwd", options).unwrap();
    let (unpacked, found) = taken(&writer.finish().unwrap().into_inner());
    assert_eq!((counts(&unpacked.unwrap()), found.len()), (vec![("links", 1)], 0));
}

/// An entry that says something of the next one, its size as given and its content absent.
fn saying(kind: tar::EntryType, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path("././@LongLink").unwrap();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

#[test]
fn what_an_entry_says_of_the_next_is_bounded_before_it_is_read() {
    for kind in [tar::EntryType::GNULongName, tar::EntryType::XHeader] {
        // The content is not even there: to read it would be another error.
        refused(&saying(kind, 300 << 20), "314572800 bytes");
    }
    // What is not needed is passed over, within the bound of the whole.
    for kind in [tar::EntryType::GNULongLink, tar::EntryType::XGlobalHeader] {
        refused(&gzip_zeros(&saying(kind, UNPACKED_BYTES_MAX + 1)), "unpacks to more than");
    }
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_pax_extensions([("size", &b"1"[..])]).unwrap();
    refused(&builder.into_inner().unwrap(), "size in an attribute");
}

#[test]
fn long_names_are_read_however_they_are_written() {
    let name = format!("rules/{}/a.yml", "x".repeat(200));
    let mut gnu = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(RULE.len() as u64);
    gnu.append_data(&mut header.clone(), &name, RULE).unwrap();
    let mut pax = tar::Builder::new(Vec::new());
    pax.append_pax_extensions([("mtime", &b"1.5"[..]), ("path", name.as_bytes())]).unwrap();
    header.set_path("cut").unwrap();
    header.set_cksum();
    pax.append(&header, RULE).unwrap();
    // It is the name of that entry alone.
    pax.append_data(&mut header, "rules/b.yml", RULE).unwrap();
    assert_eq!(taken(&gnu.into_inner().unwrap()).1, std::slice::from_ref(&name));
    let (_, mut found) = taken(&pax.into_inner().unwrap());
    found.sort_by_key(String::len);
    assert_eq!(found, ["rules/b.yml".to_owned(), name]);
    let long = "x/".repeat(PATH_BYTES_MAX) + "a.yml";
    let mut pax = tar::Builder::new(Vec::new());
    pax.append_pax_extensions([("path", long.as_bytes())]).unwrap();
    pax.append(&header, RULE).unwrap();
    refused(&pax.into_inner().unwrap(), "too long");
}

/// The beginning of an archive, and more zeros than any may have.
fn gzip_zeros(beginning: &[u8]) -> Vec<u8> {
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    bomb.write_all(beginning).unwrap();
    let zeros = vec![0; 1 << 20];
    (0..=UNPACKED_BYTES_MAX >> 20).for_each(|_| bomb.write_all(&zeros).unwrap());
    bomb.finish().unwrap()
}

#[test]
fn bombs_are_refused() {
    let large = vec![b'a'; limits::RULE_FILE_BYTES_MAX + 1];
    for bytes in [files(&[("a.yml", &large)]), zip_of(&[("a.yml", &large)])] {
        let (unpacked, found) = taken(&bytes);
        assert_eq!(counts(&unpacked.unwrap()), [("too large for a rule", 1)]);
        assert!(found.is_empty());
    }
    // What is not taken costs time as well.
    let mut header = tar::Header::new_gnu();
    header.set_path("not-taken.bin").unwrap();
    header.set_size(UNPACKED_BYTES_MAX + 1);
    header.set_cksum();
    refused(&gzip_zeros(header.as_bytes()), "unpacks to more than");
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
