//! What could not be adopted: a list that the user owns, and `doctor` shows.

use std::path::Path;

/// Where it is.
pub const FILE: &str = "TODO-adopt.md";

/// The text of a new list.
pub fn text(from: &str, items: &[String]) -> String {
    let items: String = items.iter().map(|item| format!("- [ ] {item}\n")).collect();
    format!(
        "# Left to do: {from}\n\nTick what is done (`- [x]`), or delete its line: `cargo xtask doctor` shows the others.\n\n{items}"
    )
}

/// What is not done yet.
pub fn open(root: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(root.join(FILE)).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.trim_start().strip_prefix("- [ ] "))
        .map(|item| item.trim().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ticked_or_gone_is_done() {
        let folder = tempfile::tempdir().unwrap();
        assert!(open(folder.path()).is_empty());
        let text = text("psu", &["one: a; b".to_owned(), "two".to_owned()]);
        std::fs::write(folder.path().join(FILE), &text).unwrap();
        assert_eq!(open(folder.path()), ["one: a; b", "two"]);
        std::fs::write(folder.path().join(FILE), text.replace("- [ ] one", "- [x] one")).unwrap();
        assert_eq!(open(folder.path()), ["two"]);
    }
}
