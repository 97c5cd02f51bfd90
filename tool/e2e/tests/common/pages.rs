//! The pages of the documentation.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder around `tool/`. Nothing else in it is the tests' business.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// The README that `XTASK_README` names: the template's, in the tool's own repository. In a user's it is the user's.
pub fn readme() -> Option<PathBuf> {
    std::env::var_os("XTASK_README").map(PathBuf::from)
}

/// Markdown files of `tool/`, its guides, and the README where one is named; by path from the root, with their text.
pub fn pages() -> Vec<(PathBuf, String)> {
    let listed = ["tool", "tool/docs"].into_iter().flat_map(|folder| {
        let entries = fs::read_dir(root().join(folder)).unwrap().flatten();
        entries.map(move |entry| Path::new(folder).join(entry.file_name()))
    });
    let mut pages: Vec<PathBuf> = listed.filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
    pages.extend(readme());
    pages.sort();
    let read = |path: PathBuf| (path.clone(), fs::read_to_string(root().join(path)).unwrap());
    pages.into_iter().map(read).collect()
}
