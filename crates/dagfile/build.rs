//! Lists the files of `python/` so that `python::embedded` can carry them in the binary; tests and caches stay out.

use std::fmt::Write as _;
use std::path::Path;

fn main() {
    // Asked when it runs: clones share a target folder, and this program may have been compiled in one that is gone.
    let root = std::env::var_os("CARGO_MANIFEST_DIR").map(|dir| Path::new(&dir).join("python")).unwrap_or_default();
    println!("cargo::rerun-if-env-changed=CARGO_MANIFEST_DIR");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    list(&root, &root, &mut files);
    files.sort();
    if files.is_empty() {
        println!("cargo::error=no python files below {}", root.display());
    }
    let mut code = String::from("&[\n");
    for (name, path) in &files {
        let _ = writeln!(code, "    ({name:?}, include_bytes!({path:?})),");
    }
    code.push_str("]\n");
    let out = std::env::var_os("OUT_DIR").map(|dir| Path::new(&dir).join("python_files.rs"));
    if let Some(out) = out
        && let Err(error) = std::fs::write(&out, code)
    {
        println!("cargo::error=cannot write {}: {error}", out.display());
    }
}

fn list(root: &Path, folder: &Path, files: &mut Vec<(String, String)>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "__pycache__" || (folder == root && matches!(name.as_str(), "tests" | "test")) {
            continue;
        }
        if path.is_dir() {
            list(root, &path, files);
        } else if name.ends_with(".py") || name.ends_with(".json") || name.ends_with(".txt") {
            println!("cargo::rerun-if-changed={}", path.display());
            if let Ok(relative) = path.strip_prefix(root) {
                files.push((relative.to_string_lossy().into_owned(), path.to_string_lossy().into_owned()));
            }
        }
    }
}
