//! Which file counts, and what it has to say: pure functions over bytes and facts.

use std::path::PathBuf;

use super::parse::{Meaning, lines};

/// The line that lifts Nix's refusal.
pub const SETTING: &str = "extra-system-features = kvm";

/// First words of the comment above it; the rest may vary.
const MARK: &str = "# cargo xtask configure-nix added the next line";

/// Said in the comment where the line above it had no end: undo takes the end away again.
const JOINED: &str = " (and ended the line above)";

/// Said in the comment where there was no file: undo takes the file away again.
const MADE: &str = " (and made this file)";

/// The file with the setting added. Nothing else changes; the end is the one place that no earlier line cancels.
pub fn added(before: Option<&[u8]>) -> Vec<u8> {
    let bytes = before.unwrap_or_default();
    let joined = !bytes.is_empty() && !bytes.ends_with(b"\n");
    let note = match (before, joined) {
        (None, _) => MADE,
        (_, true) => JOINED,
        _ => "",
    };
    let end = if joined { "\n" } else { "" };
    [bytes, format!("{end}{MARK}{note}; --undo removes it\n{SETTING}\n").as_bytes()].concat()
}

/// What undoing leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undone {
    /// Nothing of ours is in there.
    Nothing,
    /// The file without what we added.
    File(Vec<u8>),
    /// No file: we had made it, and nothing else is in it.
    NoFile,
}

/// Takes the last of our additions out again, and nothing else, whatever was edited since.
pub fn removed(bytes: &[u8]) -> Undone {
    let mut ranges = Vec::new();
    let mut start = 0;
    for line in bytes.split_inclusive(|&b| b == b'\n') {
        ranges.push(start..start + line.len());
        start += line.len();
    }
    let Some(mark) = ranges.iter().rposition(|r| bytes[r.clone()].starts_with(MARK.as_bytes())) else {
        return Undone::Nothing;
    };
    let comment = String::from_utf8_lossy(&bytes[ranges[mark].clone()]).into_owned();
    let mut head = bytes[..ranges[mark].start].to_vec();
    let tail = match ranges.get(mark + 1) {
        Some(next) => [without_kvm(&bytes[next.clone()]).as_slice(), &bytes[next.end..]].concat(),
        None => Vec::new(),
    };
    if comment.contains(MADE) && head.is_empty() && tail.is_empty() {
        return Undone::NoFile;
    }
    if comment.contains(JOINED) && tail.is_empty() && head.ends_with(b"\n") {
        head.pop();
    }
    head.extend(tail);
    Undone::File(head)
}

/// Our setting without `kvm`: nothing where that was all, else the other words; any other line stays.
fn without_kvm(line: &[u8]) -> Vec<u8> {
    let Some(Meaning::Setting { key, words }) = lines(line).ok().and_then(|mut l| l.pop()).map(|l| l.meaning) else {
        return line.to_vec();
    };
    let comment = line.iter().position(|&b| b == b'#');
    if key != "extra-system-features" || words.iter().all(|w| w != "kvm") {
        return line.to_vec();
    }
    if words.len() == 1 && comment.is_none() {
        return Vec::new();
    }
    let (code, rest) = line.split_at(comment.unwrap_or(line.len()));
    // Pieces end with one white space each, so a word goes together with the space behind it.
    let pieces = code.split_inclusive(u8::is_ascii_whitespace).filter(|p| p.trim_ascii() != b"kvm");
    let mut code = pieces.collect::<Vec<_>>().concat();
    if line.ends_with(b"\n") && rest.is_empty() && !code.ends_with(b"\n") {
        code.push(b'\n');
    }
    [&code, rest].concat()
}

/// What the machine says about where its settings live.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// This is NixOS.
    pub nixos: bool,
    /// This is a Mac.
    pub macos: bool,
    /// The system's file as Nix opens it, such as `/etc/nix/nix.conf`.
    pub system: PathBuf,
    /// Where that file really lies, when it is a link.
    pub target: Option<PathBuf>,
    /// The system's file includes this one beside it, for settings of our own (Determinate Nix).
    pub custom: Option<PathBuf>,
    /// The user's own file that counts most, where it is heard: with a Nix of one user.
    pub own: Option<PathBuf>,
    /// Where that file really lies, when it is a link.
    pub own_target: Option<PathBuf>,
}

/// The file to edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Not by us: the configuration is generated; these lines belong into its source.
    Generated {
        /// Who generates it.
        by: &'static str,
        /// The lines.
        snippet: &'static str,
    },
    /// The system's file: read by the daemon when it starts, written by root.
    System(PathBuf),
    /// The user's own file: read by every command of the user.
    Own(PathBuf),
}

/// Chooses the file that counts.
pub fn target(place: &Place) -> Target {
    let made = |target: &Option<PathBuf>| target.as_ref().is_some_and(|t| t.starts_with("/nix/store"));
    let generated = made(&place.target);
    match &place.own {
        _ if place.nixos => {
            Target::Generated { by: "NixOS", snippet: "nix.settings.extra-system-features = [ \"kvm\" ];" }
        }
        _ if generated && place.macos => {
            Target::Generated { by: "nix-darwin", snippet: "nix.settings.extra-system-features = [ \"kvm\" ];" }
        }
        Some(_) if made(&place.own_target) => {
            Target::Generated { by: "home-manager", snippet: "nix.settings.extra-system-features = [ \"kvm\" ];" }
        }
        Some(own) => Target::Own(own.clone()),
        None if generated => Target::Generated {
            by: "the tool that links it into the Nix store",
            snippet: "extra-system-features = kvm",
        },
        None => Target::System(place.custom.as_ref().unwrap_or(&place.system).clone()),
    }
}

/// Lines that are taken away and added, with up to three lines around them. The files differ in one place.
pub fn diff(before: &[u8], after: &[u8]) -> String {
    let (before, after) = (String::from_utf8_lossy(before), String::from_utf8_lossy(after));
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let most = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take(most).take_while(|(a, b)| a == b).count();
    let mark = |sign: &str, lines: &[&str]| lines.iter().flat_map(|l| [sign, l, "\n"]).collect::<String>();
    [
        mark(" ", &old[head.saturating_sub(3)..head]),
        mark("-", &old[head..old.len() - tail]),
        mark("+", &new[head..new.len() - tail]),
        mark(" ", &new[new.len() - tail..(new.len() - tail + 3).min(new.len())]),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::super::parse::ConfValues;
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    fn features(bytes: &[u8]) -> crate::nixconf::Features {
        let mut settings = ConfValues::default();
        settings.add(Path::new("/etc/nix/nix.conf"), bytes, &|_| None).unwrap();
        settings.features()
    }

    fn undone(text: &str) -> String {
        match removed(text.as_bytes()) {
            Undone::File(bytes) => String::from_utf8(bytes).unwrap(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_addition_is_readable_and_goes_again() {
        let text = String::from_utf8(added(Some(b"sandbox = true"))).unwrap();
        insta::assert_snapshot!(text, @r"
        sandbox = true
        # cargo xtask configure-nix added the next line (and ended the line above); --undo removes it
        extra-system-features = kvm
        ");
        assert_eq!(undone(&text), "sandbox = true");
        assert_eq!(removed(&added(None)), Undone::NoFile);
        assert_eq!(removed(&added(Some(b""))), Undone::File(Vec::new()));
        assert_eq!(removed(b"extra-system-features = kvm\n"), Undone::Nothing);
    }

    #[test]
    fn undo_keeps_what_was_edited_since() {
        let ours = String::from_utf8(added(Some(b"a = b"))).unwrap();
        assert_eq!(undone(&format!("{ours}c = d\n")), "a = b\nc = d\n");
        assert_eq!(undone(&format!("x = y\n{ours}")), "x = y\na = b");
        let more = ours.replace("= kvm", "= foo kvm kvm2 # kvm");
        assert_eq!(undone(&more), "a = b\nextra-system-features = foo kvm2 # kvm\n");
        assert_eq!(undone(&ours.replace("= kvm", "= foo kvm")), "a = b\nextra-system-features = foo \n");
        assert_eq!(undone(&ours.replace("= kvm", "= foo")), "a = b\nextra-system-features = foo\n");
        let mark_only: String = ours.split_inclusive('\n').take(2).collect();
        assert_eq!(undone(&mark_only), "a = b");
        let made = String::from_utf8(added(None)).unwrap();
        assert_eq!(undone(&format!("{made}c = d\n")), "c = d\n");
    }

    #[test]
    fn the_diff_shows_only_the_place() {
        let before = b"1 = 1\n2 = 2\n3 = 3\n4 = 4";
        assert_eq!(
            diff(before, &added(Some(before))),
            format!(" 2 = 2\n 3 = 3\n 4 = 4\n+{MARK}{JOINED}; --undo removes it\n+{SETTING}\n")
        );
        assert_eq!(diff(b"a\nb\nc\n", b"a\nc\n"), " a\n-b\n c\n");
    }

    #[test]
    fn the_file_that_counts() {
        let place = Place { system: "/etc/nix/nix.conf".into(), ..Place::default() };
        let system = |file: &str| Target::System(file.into());
        assert_eq!(target(&place), system("/etc/nix/nix.conf"));
        let own = Place { own: Some("/home/me/nix.conf".into()), ..place.clone() };
        assert_eq!(target(&own), Target::Own("/home/me/nix.conf".into()));
        let custom = Place { custom: Some("/etc/nix/nix.custom.conf".into()), ..place.clone() };
        assert_eq!(target(&custom), system("/etc/nix/nix.custom.conf"));
        let by = |place: &Place| match target(place) {
            Target::Generated { by, .. } => by,
            other => panic!("{other:?}"),
        };
        let linked = Place { target: Some("/nix/store/abc-nix.conf".into()), ..place.clone() };
        assert_eq!(target(&Place { target: linked.target.clone(), ..own.clone() }), target(&own));
        let home = Place { own_target: Some("/nix/store/abc-home-manager-files/nix.conf".into()), ..own.clone() };
        assert_eq!(by(&home), "home-manager");
        assert_eq!(by(&Place { nixos: true, ..own }), "NixOS");
        assert_eq!(by(&Place { macos: true, ..linked.clone() }), "nix-darwin");
        assert_eq!(by(&linked), "the tool that links it into the Nix store");
    }

    /// Files that look like nix.conf, with the settings that matter in every order and spelling.
    fn conf() -> impl Strategy<Value = Vec<u8>> {
        let line = proptest::sample::select(vec![
            "system-features = kvm",
            "system-features = benchmark big-parallel",
            "system-features =",
            "system-features = kvm2 # kvm",
            "extra-system-features = kvm",
            "extra-system-features = uid-range kvm2 gccarch-x",
            "\t extra-system-features\t=  kvm kvm\r",
            "extra-system-features = nokvm# kvm",
            "extra-platforms = i686-linux",
            "sandbox = true #kvm",
            "cores = 1",
            "",
            "  \t",
            "# extra-system-features = kvm",
            "# cargo xtask configure-nix added the next line; --undo removes it",
            "# cargo xtask configure-nix added the next line (and ended the line above); --undo removes it",
            "# cargo xtask configure-nix added the next line (and made this file); --undo removes it",
        ]);
        (proptest::collection::vec(line, 0..8), any::<bool>())
            .prop_map(|(lines, end)| (lines.join("\n") + if end && !lines.is_empty() { "\n" } else { "" }).into_bytes())
    }

    /// Any bytes, the ones that mean something being frequent.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![proptest::sample::select(b"\n\r\t #=!akvm".to_vec()), any::<u8>()];
        proptest::collection::vec(byte, 0..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn undo_restores_any_bytes(bytes in bytes()) {
            prop_assert_eq!(removed(&added(Some(&bytes))), Undone::File(bytes));
        }

        #[test]
        fn undo_restores_any_conf(bytes in conf()) {
            prop_assert_eq!(removed(&added(Some(&bytes))), Undone::File(bytes));
        }

        #[test]
        fn the_addition_always_counts_and_keeps_the_rest(bytes in conf()) {
            let after = added(Some(&bytes));
            prop_assert!(after.starts_with(&bytes));
            let (old, new) = (features(&bytes), features(&after));
            prop_assert_eq!(new.has("kvm"), Some(true));
            prop_assert_eq!(&new.list, &old.list);
            prop_assert_eq!(&new.extra[..old.extra.len()], &old.extra[..]);
            prop_assert_eq!(&new.extra[old.extra.len()..], ["kvm"]);
        }

        #[test]
        fn lines_cover_every_byte(bytes in conf()) {
            let lines = lines(&bytes).unwrap();
            let joined: Vec<u8> = lines.iter().flat_map(|l| bytes[l.range.clone()].to_vec()).collect();
            prop_assert_eq!(joined, bytes);
        }

        #[test]
        fn parsing_never_panics(bytes in bytes()) {
            let _ = lines(&bytes);
            let _ = removed(&bytes);
        }
    }
}
