//! Generated documentation is current. `cargo xtask ci --tool` runs this, so a page that was forgotten is found there.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

fn is_current(file: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file);
    if std::env::var_os("XTASK_WRITE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/{file} is not current; write it anew: XTASK_WRITE_DOCS=1 cargo test -p tool-e2e --test docs"
    );
}

#[test]
fn errors_md_is_current() {
    is_current("errors.md", &tool::errors_page::errors_md());
}

#[test]
fn cli_md_is_current() {
    is_current("cli.md", &tool::reference::cli_md());
}
