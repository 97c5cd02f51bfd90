//! Where the names of the application and its boot folder stand in a text: the one place that knows how EPICS derives
//! other names from them. The word alone is no such place: "for example" stays.
//!
//! Texts are bytes: databases are often in ISO 8859-1.

use std::ops::Range;

use crate::names::TODO;

/// The two names that `rename` changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The application: `APPApp/`, `APP.dbd`, the executable `APP`.
    pub app: String,
    /// The folder below `iocBoot/`.
    pub ioc: String,
}

/// What a text is: names stand in more places of a makefile than of a guide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `ioc.toml`.
    Toml,
    /// A makefile of the EPICS top, and what quotes them.
    Make,
    /// Another file of the EPICS top.
    Epics,
    /// A guide, a check, a file of a CI service.
    Other,
}

/// What a place holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The application.
    App,
    /// The boot folder.
    Ioc,
}

/// Ends of file names that are `APP` or `APP` and a suffix otherwise.
const EXTENSIONS: [&str; 14] =
    ["c", "cc", "cpp", "db", "dbd", "h", "proto", "protocol", "req", "st", "stt", "substitutions", "template", "vdb"];

/// What EPICS' makefiles and its makeBaseApp put behind the name of the application.
const SUFFIXES: [&str; 5] = ["Include", "Main", "Support", "Version", "_registerRecordDeviceDriver"];

/// Variables of make whose values are names of programs and libraries.
const PRODUCTS: [&str; 4] = ["PROD", "TESTPROD", "LIBRARY", "DBD_INSTALLS"];

/// What kind of text a file holds; `None` for files that name nothing: those of the tool, which reads `ioc.toml`, vendored
/// crates, locks, licences and the history.
pub fn kind(path: &str) -> Option<Kind> {
    let tools = ["tool/", "vendor/", "xtask/", "Cargo.lock", "flake.lock", "LICENSE", "CHANGELOG"];
    match path {
        "ioc.toml" => Some(Kind::Toml),
        // Its lines quote all kinds of files.
        TODO => Some(Kind::Make),
        _ if tools.iter().any(|t| path.starts_with(t)) => None,
        _ if !path.starts_with("ioc/") => Some(Kind::Other),
        _ if path.rsplit('/').next().is_some_and(|file| file.starts_with("Makefile")) => Some(Kind::Make),
        _ => Some(Kind::Epics),
    }
}

/// All places of the names in a text, in order.
pub fn find(kind: Kind, text: &[u8], names: &Names) -> Vec<(Range<usize>, Which)> {
    let mut places = Vec::new();
    let mut start = 0;
    let mut table = Vec::new();
    for line in text.split_inclusive(|b| *b == b'\n') {
        if line.trim_ascii_start().starts_with(b"[") {
            table = line.trim_ascii().to_vec();
        }
        let mut at = 0;
        while at < line.len() {
            let (length, which) = if starts(kind, line, at, &table, names) {
                (names.app.len(), Which::App)
            } else if is_boot(kind, line, at, &table, &names.ioc) {
                (names.ioc.len(), Which::Ioc)
            } else {
                at += 1;
                continue;
            };
            places.push((start + at..start + at + length, which));
            at += length;
        }
        start += line.len();
    }
    places
}

/// The text with new names in these places.
pub fn replaced(text: &[u8], places: &[(Range<usize>, Which)], new: &Names) -> Vec<u8> {
    let mut result = Vec::with_capacity(text.len());
    let mut end = 0;
    for (range, which) in places {
        result.extend(&text[end..range.start]);
        result.extend(match which {
            Which::App => new.app.as_bytes(),
            Which::Ioc => new.ioc.as_bytes(),
        });
        end = range.end;
    }
    result.extend(&text[end..]);
    result
}

/// The name of a file of the application or its boot folder after the renaming, where it changes.
pub fn file_name(name: &str, old: &Names, new: &Names) -> Option<String> {
    let (stem, extension) = name.split_once('.')?;
    let suffix = stem.strip_prefix(&old.app)?;
    let known = suffix.is_empty() || SUFFIXES.contains(&suffix);
    (known && EXTENSIONS.contains(&extension)).then(|| format!("{}{suffix}.{extension}", new.app))
}

/// Whether the application is named at `at`.
fn starts(kind: Kind, line: &[u8], at: usize, table: &[u8], names: &Names) -> bool {
    let (before, here) = line.split_at(at);
    let Some(after) = here.strip_prefix(names.app.as_bytes()) else { return false };
    if before.last().is_some_and(|b| wordish(*b) || *b == b'.') {
        return false;
    }
    let then = |text: &str| after.strip_prefix(text.as_bytes()).is_some_and(ends);
    if then("App") {
        return true;
    }
    // The Nix package, alone or with its version.
    if kind == Kind::Other && after.strip_prefix(b"-ioc").is_some_and(|rest| ends(rest) || rest.starts_with(b"-0")) {
        return true;
    }
    let file = |suffix: &str| EXTENSIONS.iter().any(|extension| then(&format!("{suffix}.{extension}")));
    if file("") || SUFFIXES.iter().any(|suffix| then(suffix) || file(suffix)) {
        return true;
    }
    let whole = ends(after);
    if whole && (before.ends_with(b"--app ") || in_bin(before)) {
        return true;
    }
    match kind {
        Kind::Toml => table == b"[ioc]" && is_value(before, after, b"app"),
        Kind::Make => {
            // A variable such as APP_LIBS, or the value of PROD_IOC.
            let variable = after.strip_prefix(b"_").is_some_and(|rest| {
                rest.first().is_some_and(u8::is_ascii_uppercase) && rest.iter().find(|b| !wordish(**b)) != Some(&b'.')
            });
            variable || whole && is_product(before)
        }
        _ => false,
    }
}

/// Whether the boot folder is named at `at`.
fn is_boot(kind: Kind, line: &[u8], at: usize, table: &[u8], ioc: &str) -> bool {
    let (before, here) = line.split_at(at);
    let Some(after) = here.strip_prefix(ioc.as_bytes()) else { return false };
    if !ends(after) || before.last().is_some_and(|b| wordish(*b) || *b == b'.') {
        return false;
    }
    match kind {
        _ if before.ends_with(b"iocBoot/") => true,
        Kind::Toml => table == b"[ioc]" && is_value(before, after, b"ioc"),
        // A folder that is called just `ioc` is named by its path only.
        Kind::Make | Kind::Epics => ioc.len() > "ioc".len(),
        Kind::Other => false,
    }
}

/// Whether a name ends here: `.` ends a sentence, but not a file name.
fn ends(after: &[u8]) -> bool {
    after.strip_prefix(b".").unwrap_or(after).first().is_none_or(|next| !wordish(*next))
}

fn wordish(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' || !byte.is_ascii()
}

/// `bin/ARCH/`, as in the first line of st.cmd.
fn in_bin(before: &[u8]) -> bool {
    let mut folders = before.rsplit(|b| *b == b'/').skip(1);
    before.ends_with(b"/")
        && folders.next().is_some_and(|arch| !arch.is_empty() && arch.iter().all(|b| wordish(*b)))
        && folders.next().is_some_and(|bin| bin == b"bin" || bin.ends_with(b" bin"))
}

/// `KEY = "…"`, the name being the value.
fn is_value(before: &[u8], after: &[u8], key: &[u8]) -> bool {
    let Some((quote, start)) = before.split_last() else { return false };
    let Some(start) = start.trim_ascii().strip_suffix(b"=") else { return false };
    matches!(quote, b'"' | b'\'') && after.first() == Some(quote) && start.trim_ascii() == key
}

/// `PROD_IOC = `, the name being one of the values.
fn is_product(before: &[u8]) -> bool {
    let Some(equals) = before.iter().position(|b| *b == b'=') else { return false };
    let variable = before[..equals].trim_ascii_end();
    let variable = variable.strip_suffix(b"+").or(variable.strip_suffix(b":")).unwrap_or(variable).trim_ascii();
    PRODUCTS
        .iter()
        .any(|p| variable.strip_prefix(p.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"_")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(app: &str, ioc: &str) -> Names {
        Names { app: app.into(), ioc: ioc.into() }
    }

    fn renamed(kind: Kind, text: &str, old: &Names, new: &Names) -> String {
        let places = find(kind, text.as_bytes(), old);
        String::from_utf8(replaced(text.as_bytes(), &places, new)).unwrap()
    }

    fn to_psu(kind: Kind, text: &str) -> String {
        renamed(kind, text, &names("example", "iocExample"), &names("psu", "iocPsu"))
    }

    #[test]
    fn what_epics_derives_from_the_name_is_renamed_and_prose_is_not() {
        let makefile = "PROD_IOC = example\nPROD_HOST += other example\nDBD += example.dbd\nexample_DBD += base.dbd\n\
            example_LIBS += $(example_OWN) example\nexample_SRCS += example_registerRecordDeviceDriver.cpp exampleMain.cpp example_SIM.c my-example.c\n\
            # for example, an example.\nDIRS += iocExample\n";
        insta::assert_snapshot!(to_psu(Kind::Make, makefile), @r"
        PROD_IOC = psu
        PROD_HOST += other psu
        DBD += psu.dbd
        psu_DBD += base.dbd
        psu_LIBS += $(psu_OWN) example
        psu_SRCS += psu_registerRecordDeviceDriver.cpp psuMain.cpp example_SIM.c my-example.c
        # for example, an example.
        DIRS += iocPsu
        ");
        let script = "#!../../bin/linux-x86_64/example\ndbLoadDatabase(\"${TOP}/dbd/example.dbd\")\n\
            example_registerRecordDeviceDriver(pdbbase)\ncd \"${TOP}/iocBoot/iocExample\"\nepicsEnvSet(\"IOC\",\"iocExample\")\n\
            # Example, an example.database, example2.db, exampleapp, /bin/example, an_example.db\n";
        insta::assert_snapshot!(to_psu(Kind::Epics, script), @r##"
        #!../../bin/linux-x86_64/psu
        dbLoadDatabase("${TOP}/dbd/psu.dbd")
        psu_registerRecordDeviceDriver(pdbbase)
        cd "${TOP}/iocBoot/iocPsu"
        epicsEnvSet("IOC","iocPsu")
        # Example, an example.database, example2.db, exampleapp, /bin/example, an_example.db
        "##);
        let guide = "For example, `exampleApp/Db/example.db`; cd ioc/iocBoot/iocExample && soft-ioc --app example st.cmd.\n\
            Derivation 'example-ioc-0.1.0'; example.org; iocExample; example.db.\n";
        insta::assert_snapshot!(to_psu(Kind::Other, guide), @r"
        For example, `psuApp/Db/psu.db`; cd ioc/iocBoot/iocPsu && soft-ioc --app psu st.cmd.
        Derivation 'psu-ioc-0.1.0'; example.org; iocExample; psu.db.
        ");
    }

    #[test]
    fn only_the_values_of_ioc_toml_and_paths_in_its_comments_are_names() {
        let text = "[ioc]\napp = \"psu\" # psuApp/\nioc = 'iocPsu'\n[simulators.psu]\npackage = \"psu-simulator\"\napp = \"psu\"\n";
        assert_eq!(
            renamed(Kind::Toml, text, &names("psu", "iocPsu"), &names("x", "iocX")),
            text.replacen("\"psu\" # psuApp", "\"x\" # xApp", 1).replace("iocPsu", "iocX")
        );
    }

    #[test]
    fn files() {
        let name = |name| file_name(name, &names("example", ""), &names("psu", ""));
        assert_eq!(name("exampleMain.cpp").unwrap(), "psuMain.cpp");
        assert_eq!(name("example.db").unwrap(), "psu.db");
        for other in ["Makefile", "example", "examples.db", "example.db.bak", "exampleother.c", "my.example.db"] {
            assert_eq!(name(other), None, "{other}");
        }
    }

    #[test]
    fn other_bytes_than_utf8_stay() {
        let text = b"# 5 \xb5A\nfield(INP, \"@example.proto x\")\n";
        let places = find(Kind::Epics, text, &names("example", "iocExample"));
        assert_eq!(replaced(text, &places, &names("p", "iocP")), b"# 5 \xb5A\nfield(INP, \"@p.proto x\")\n");
    }

    /// Texts in which names stand in every way, beside words that look like them.
    fn text() -> impl Strategy<Value = String> {
        let piece = proptest::sample::select(vec![
            "example",
            "example_",
            "App",
            "Main",
            ".db",
            ".dbd",
            ".",
            "DBD",
            "LIBS",
            " ",
            "=",
            "PROD_IOC = ",
            "\n",
            "bin/x/",
            "iocBoot/",
            "iocExample",
            "ioc",
            "-",
            "_registerRecordDeviceDriver",
            "--app ",
            "\"",
            "[ioc]\n",
            "app = \"",
            "é",
            "x",
        ]);
        proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
    }

    fn any_kind() -> impl Strategy<Value = Kind> {
        proptest::sample::select(vec![Kind::Toml, Kind::Make, Kind::Epics, Kind::Other])
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_renaming_to_unused_names_can_be_taken_back(text in text(), kind in any_kind(), app in "[a-w]|[A-Z][a-z0-9_]{0,6}q|example2|ex") {
            let (old, new) = (names("example", "iocExample"), names(&app, &format!("ioc{app}")));
            prop_assume!(find(kind, text.as_bytes(), &new).is_empty());
            let there = renamed(kind, &text, &old, &new);
            prop_assert_eq!(renamed(kind, &there, &new, &old), text);
        }

        #[test]
        fn lines_stay_lines(text in text(), kind in any_kind()) {
            let new = to_psu(kind, &text);
            prop_assert_eq!(new.lines().count(), text.lines().count());
        }
    }
}
