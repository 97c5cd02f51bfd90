//! Generated documentation is current.

use std::path::Path;

#[test]
fn errors_md_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md");
    let wanted = xtask::finding::errors_md();
    if std::env::var_os("XTASK_WRITE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/errors.md is not current; write it anew: XTASK_WRITE_DOCS=1 cargo test -p xtask --test docs"
    );
}
