//! The pages of the documentation.

use std::fs;
use std::path::{Path, PathBuf};

/// The template itself.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Markdown files at the top and in docs/, by path, with their text.
pub fn pages() -> Vec<(PathBuf, String)> {
    let mut pages = Vec::new();
    for folder in ["", "docs"] {
        for entry in fs::read_dir(root().join(folder)).unwrap().flatten() {
            let path = Path::new(folder).join(entry.file_name());
            if path.extension().is_some_and(|e| e == "md") {
                pages.push((path.clone(), fs::read_to_string(root().join(path)).unwrap()));
            }
        }
    }
    pages.sort();
    pages
}
