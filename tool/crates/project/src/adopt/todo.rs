//! What could not be adopted: a list that the user owns, and `doctor` shows.

use std::path::Path;

pub use crate::names::TODO as FILE;

/// The text of a new list, or of an old one with what is new: what its owner has ticked and noted stays.
pub fn text(from: &str, items: &[String], old: Option<&str>) -> String {
    let new = items.iter().filter(|item| !old.is_some_and(|old| old.contains(item.as_str())));
    let items: String = new.map(|item| format!("- [ ] {item}\n")).collect();
    if let Some(old) = old {
        return format!("{}\n{items}", old.trim_end());
    }
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
        let items = ["one: a; b".to_owned(), "two".to_owned()];
        let text = text("psu", &items, None);
        std::fs::write(folder.path().join(FILE), &text).unwrap();
        assert_eq!(open(folder.path()), ["one: a; b", "two"]);
        std::fs::write(folder.path().join(FILE), text.replace("- [ ] one", "- [x] one")).unwrap();
        assert_eq!(open(folder.path()), ["two"]);
        let ticked = std::fs::read_to_string(folder.path().join(FILE)).unwrap() + "\na note\n";
        let again = super::text("psu", &[&items[..], &["three".to_owned()]].concat(), Some(&ticked));
        assert_eq!(again, ticked + "- [ ] three\n");
    }
}
