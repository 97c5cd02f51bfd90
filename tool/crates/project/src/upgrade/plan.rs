//! What an upgrade comes to, judged without looking at anything.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// Files by path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// What becomes of one file outside tool/.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It gets this text.
    Write(Vec<u8>),
    /// It goes: the user never changed it, and the tool ships it no more.
    Remove,
    /// Both sides changed it: a three-way merge decides.
    Merge {
        /// As this version ships it.
        base: Vec<u8>,
        /// As the user has it.
        ours: Vec<u8>,
        /// As the other version ships it.
        theirs: Vec<u8>,
    },
    /// It stays as it is, and people should know why.
    Kept(&'static str),
}

/// Whether a file of the template is the tool's business. The IOC, its checks and its simulators are not.
pub fn is_wiring(path: &str) -> bool {
    let first = path.split('/').next().unwrap_or_default();
    !matches!(first, "ioc" | "checks" | "simulators" | "ioc.toml" | "README.md" | "update.sh")
}

/// What becomes of the files outside tool/, by path. `base` and `theirs` are the templates of the two versions, `ours` is what
/// lies in the project. Files that stay as they are do not appear, unless people should know.
pub fn fates(base: &Files, ours: &Files, theirs: &Files) -> BTreeMap<String, Fate> {
    let paths: BTreeSet<&String> = base.keys().chain(theirs.keys()).filter(|path| is_wiring(path)).collect();
    paths
        .into_iter()
        .filter_map(|path| Some((path.clone(), fate(base.get(path), ours.get(path), theirs.get(path))?)))
        .collect()
}

fn fate(base: Option<&Vec<u8>>, ours: Option<&Vec<u8>>, theirs: Option<&Vec<u8>>) -> Option<Fate> {
    // A checkout may have Windows' line ends.
    let crlf = ours.is_some_and(|text| text.windows(2).any(|pair| pair == b"\r\n"));
    let plain = |text: Option<&Vec<u8>>| text.map(|text| without_cr(text));
    let (base, ours, theirs) = (plain(base), plain(ours), plain(theirs));
    let back = |text: &Vec<u8>| if crlf { with_cr(text) } else { text.clone() };
    match (base.as_ref(), ours.as_ref(), theirs.as_ref()) {
        (base, _, theirs) if base == theirs => None,
        (_, ours, theirs) if ours == theirs => None,
        (None, None, Some(theirs)) => Some(Fate::Write(theirs.clone())),
        (None, Some(_), Some(_)) => Some(Fate::Kept("you have a file of this name already; the tool ships one, too")),
        (Some(_), None, Some(_)) => Some(Fate::Kept("you removed it, so its changes are left out")),
        (Some(base), Some(ours), None) if ours == base => Some(Fate::Remove),
        (Some(_), Some(_), None) => Some(Fate::Kept("the tool ships it no more, and you changed it")),
        (Some(base), Some(ours), Some(theirs)) if ours == base => Some(Fate::Write(back(theirs))),
        (Some(base), Some(ours), Some(theirs)) => {
            Some(Fate::Merge { base: back(base), ours: back(ours), theirs: back(theirs) })
        }
        (_, None, None) | (None, _, None) => None,
    }
}

fn without_cr(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for (at, byte) in text.iter().enumerate() {
        if *byte != b'\r' || text.get(at + 1) != Some(&b'\n') {
            out.push(*byte);
        }
    }
    out
}

fn with_cr(text: &[u8]) -> Vec<u8> {
    text.split_inclusive(|byte| *byte == b'\n')
        .flat_map(|line| match line.strip_suffix(b"\n") {
            Some(rest) => [rest, b"\r\n"].concat(),
            None => line.to_vec(),
        })
        .collect()
}

/// Compares versions, `1.10.0` and the like, by their numbers.
pub fn compare(one: &str, other: &str) -> Ordering {
    let numbers =
        |version: &str| -> Vec<u64> { version.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect() };
    numbers(one).cmp(&numbers(other))
}

/// The sections of a changelog that are newer than a version: what stands under headings `## VERSION` above it.
pub fn changes(changelog: &str, since: &str) -> String {
    let heading = |line: &str| line.strip_prefix("## ").map(|rest| rest.trim().to_owned());
    let mut lines = changelog.lines().skip_while(|line| heading(line).is_none()).peekable();
    let mut text = String::new();
    while let Some(line) = lines.next_if(|line| {
        heading(line).is_none_or(|version| version == "Unreleased" || compare(&version, since) == Ordering::Greater)
    }) {
        text += line;
        text.push('\n');
    }
    text.trim_end().to_owned()
}

/// A Cargo.lock with the packages of two: the user's, then those that the new tool was tested with. cargo drops what is not used.
pub fn locked(user: &str, tool: &str) -> String {
    const HEAD: &str = "[[package]]\n";
    let packages =
        |text: &str| -> Vec<String> { text.split(HEAD).skip(1).map(|package| package.trim_end().to_owned()).collect() };
    let name = |package: &str| -> Vec<String> {
        package.lines().take_while(|line| !line.starts_with("dependencies")).take(2).map(str::to_owned).collect()
    };
    let mut all = packages(tool);
    let known: BTreeSet<Vec<String>> = all.iter().map(|package| name(package)).collect();
    all.extend(packages(user).into_iter().filter(|package| !known.contains(&name(package))));
    let head = user.split(HEAD).next().filter(|head| head.contains("version")).unwrap_or("version = 4\n\n");
    all.iter().fold(head.to_owned(), |text, package| format!("{text}{HEAD}{package}\n\n"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn files(list: &[(&str, &str)]) -> Files {
        list.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
    }

    fn one(base: Option<&str>, ours: Option<&str>, theirs: Option<&str>) -> Option<Fate> {
        let list = |text: Option<&str>| files(&text.map(|text| ("flake.nix", text)).into_iter().collect::<Vec<_>>());
        fates(&list(base), &list(ours), &list(theirs)).remove("flake.nix")
    }

    #[test]
    fn what_becomes_of_a_file() {
        let write = |text: &str| Some(Fate::Write(text.into()));
        assert_eq!(one(Some("a"), Some("mine"), Some("a")), None, "nothing new");
        assert_eq!(one(Some("a"), Some("a"), Some("b")), write("b"));
        assert_eq!(one(Some("a"), Some("b"), Some("b")), None, "done by hand");
        assert_eq!(one(None, None, Some("b")), write("b"));
        assert!(matches!(one(None, Some("mine"), Some("b")), Some(Fate::Kept(_))));
        assert!(matches!(one(Some("a"), None, Some("b")), Some(Fate::Kept(_))));
        assert_eq!(one(Some("a"), Some("a"), None), Some(Fate::Remove));
        assert!(matches!(one(Some("a"), Some("mine"), None), Some(Fate::Kept(_))));
        assert_eq!(one(Some("a"), None, None), None);
        assert!(matches!(one(Some("a"), Some("mine"), Some("b")), Some(Fate::Merge { .. })));
    }

    #[test]
    fn line_ends_of_a_checkout_stay() {
        assert_eq!(one(Some("a\nb\n"), Some("a\r\nb\r\n"), Some("a\nc\n")), Some(Fate::Write(b"a\r\nc\r\n".into())));
        assert_eq!(one(Some("a\nb\n"), Some("a\r\nb\r\n"), Some("a\nb\n")), None);
    }

    #[test]
    fn the_users_own_is_left_alone() {
        let (old, new) =
            (files(&[("ioc/a", "1"), ("checks/b", "1"), ("ioc.toml", "1"), ("README.md", "1")]), files(&[]));
        assert_eq!(fates(&old, &old, &new), BTreeMap::new());
    }

    #[test]
    fn versions_have_an_order() {
        assert_eq!(compare("0.10.0", "0.9.1"), Ordering::Greater);
        assert_eq!(compare("1.0.0", "1.0.0"), Ordering::Equal);
        assert_eq!(compare("0.2.0", "0.10.0"), Ordering::Less);
    }

    #[test]
    fn the_changelog_between() {
        let text = "# Changelog\n\nWords.\n\n## 0.10.0\n\n* c\n\n## 0.3.0\n\n* b\n\n## 0.2.0\n\n* a\n";
        assert_eq!(changes(text, "0.2.0"), "## 0.10.0\n\n* c\n\n## 0.3.0\n\n* b");
        assert_eq!(changes(text, "0.10.0"), "");
    }

    #[test]
    fn packages_of_two_lock_files() {
        let package = |name: &str, version: &str| format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n");
        let user = format!("# cargo's\nversion = 4\n\n{}\n{}", package("a", "1.0.0"), package("mine", "0.1.0"));
        let merged = locked(&user, &format!("version = 4\n\n{}\n{}", package("a", "1.0.1"), package("b", "2.0.0")));
        assert!(merged.starts_with("# cargo's\nversion = 4\n\n[[package]]\n"), "{merged}");
        assert_eq!(merged.matches("[[package]]").count(), 4, "{merged}");
        assert!(merged.find("1.0.1") < merged.find("1.0.0"), "{merged}");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\PC|\n|#|\\[\\[package\\]\\]\n){0,40}", since in "\\PC{0,8}") {
            let _ = (changes(&text, &since), locked(&text, &text), compare(&text, &since));
        }

        #[test]
        fn line_ends_come_back(text in "([a-c]|\n){0,20}") {
            prop_assert_eq!(without_cr(&with_cr(text.as_bytes())), text.as_bytes());
        }
    }
}
