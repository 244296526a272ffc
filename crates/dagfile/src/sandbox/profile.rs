//! The text of the rules for macOS' `sandbox-exec`. Pure: what is on disk does not matter here.
//!
//! The language is a Lisp in which the last rule that fits decides. Everything is allowed that no rule names, since the interpreter needs
//! much of the system that differs between releases; the rules take away the network, writing, and the places where people keep things.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Where people and servers keep what is theirs: homes, other volumes, temporary files, data of the servers that Homebrew installs.
const PRIVATE: &[&str] = &[
    "/Users",
    "/Volumes",
    "/private/var/root",
    "/private/var/lib",
    "/private/var/folders",
    "/private/var/tmp",
    "/private/tmp",
    "/opt/homebrew/var",
    "/usr/local/var",
];
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/dtracehelper"];

/// Rules under which `read` and `write` can be read, `write` can be written, nothing else of [`PRIVATE`] or `hide` can be read, nothing
/// else at all can be written, and there is no network. Rules are about real paths: the caller follows links. `None`: a path is not UTF-8,
/// which the language cannot say.
pub(crate) fn profile(read: &[PathBuf], write: &[PathBuf], hide: &[PathBuf]) -> Option<String> {
    let mut text = String::from("(version 1)\n(allow default)\n(deny network*)\n(deny file-write*)\n");
    for path in PRIVATE.iter().map(Path::new).chain(hide.iter().map(PathBuf::as_path)) {
        rule(&mut text, "deny file-read*", "subpath", path)?;
    }
    // Python asks for each folder on the way to a file whether it is a link; that tells names, not contents.
    let on_the_way: BTreeSet<&Path> = read.iter().chain(write).flat_map(|path| path.ancestors().skip(1)).collect();
    for folder in on_the_way {
        rule(&mut text, "allow file-read-metadata", "literal", folder)?;
    }
    for path in read.iter().chain(write) {
        rule(&mut text, "allow file-read*", "subpath", path)?;
    }
    for path in write {
        rule(&mut text, "allow file-write*", "subpath", path)?;
    }
    for device in DEVICES {
        rule(&mut text, "allow file-write*", "literal", Path::new(device))?;
    }
    Some(text)
}

fn rule(text: &mut String, what: &str, kind: &str, path: &Path) -> Option<()> {
    let path = path.to_str()?.replace('\\', "\\\\").replace('"', "\\\"");
    writeln!(text, "({what} ({kind} \"{path}\"))").ok()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    /// What the rules say of one operation on one path: the last one that fits decides.
    fn allows(profile: &str, operation: &str, path: &str) -> bool {
        let mut allowed = false;
        for line in profile.lines().skip(1) {
            let words = line.trim_matches(['(', ')']);
            let (verdict, rest) = words.split_once(' ').unwrap();
            let (what, place) = rest.split_once(" (").unwrap_or((rest, ""));
            let fits_operation = what == "default" || what == operation || what.strip_suffix('*').is_some_and(|p| operation.starts_with(p));
            let (kind, named) = place.split_once(' ').unwrap_or(("", ""));
            let named = named.trim_matches('"').replace("\\\"", "\"").replace("\\\\", "\\");
            let fits_place = match kind {
                "" => true,
                "literal" => named == path,
                "subpath" => Path::new(path).starts_with(&named),
                other => panic!("{other}"),
            };
            if fits_operation && fits_place {
                allowed = verdict == "allow";
            }
        }
        allowed
    }

    #[test]
    fn only_what_is_named_can_be_read_and_only_scratch_can_be_written() {
        let paths = |all: &[&str]| all.iter().map(PathBuf::from).collect::<Vec<_>>();
        let text = profile(&paths(&["/Users/ann/work/dags"]), &paths(&["/private/var/folders/x/scratch"]), &paths(&["/srv/data"])).unwrap();
        for (operation, path, expect) in [
            ("file-read-data", "/Users/ann/work/dags/a.py", true),
            ("file-read-data", "/Users/ann/work/dags-old/a.py", false),
            ("file-read-data", "/Users/ann/.ssh/id_ed25519", false),
            ("file-read-data", "/Users/ann/work", false),
            ("file-read-metadata", "/Users/ann/work", true),
            ("file-read-metadata", "/Users/bob", false),
            ("file-read-data", "/private/var/root/.profile", false),
            ("file-read-data", "/srv/data/postgres/data/PG_VERSION", false),
            ("file-read-data", "/opt/homebrew/var/postgresql@17/pg_hba.conf", false),
            ("file-read-data", "/opt/homebrew/lib/libssl.dylib", true),
            ("file-read-data", "/usr/lib/libSystem.B.dylib", true),
            ("file-read-data", "/private/var/folders/x/scratch/f", true),
            ("file-read-data", "/private/var/folders/x/other", false),
            ("file-write-data", "/private/var/folders/x/scratch/f", true),
            ("file-write-create", "/private/var/folders/x/other", false),
            ("file-write-data", "/Users/ann/work/dags/a.py", false),
            ("file-write-data", "/usr/local/bin/python3", false),
            ("file-write-data", "/dev/null", true),
            ("network-outbound", "", false),
            ("network-bind", "", false),
            ("process-exec", "/usr/bin/true", true),
        ] {
            assert_eq!(allows(&text, operation, path), expect, "{operation} {path}\n{text}");
        }
    }

    #[test]
    fn a_path_cannot_end_its_string() {
        let text = profile(&["/Users/a\")(allow network*)(\"\\".into()], &[], &[]).unwrap();
        let expect = r#"(allow file-read* (subpath "/Users/a\")(allow network*)(\"\\"))"#;
        assert!(text.lines().any(|line| line == expect), "{text}");
        assert_eq!(profile(&[PathBuf::from(OsStr::from_bytes(b"/\xff"))], &[], &[]), None);
    }
}
