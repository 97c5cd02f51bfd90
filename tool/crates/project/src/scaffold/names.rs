//! What names may be: in EPICS' makefiles and C++, in Nix, in files, as part of a PV.

use crate::valid_name;

/// Longest name of an application, a boot folder or a check, in characters: Nix's store paths and Linux's file names
/// hold several times that, and people do not.
const LONGEST: usize = 50;

/// Longest name of a record, in characters (`PVNAME_STRINGSZ` of EPICS base, less the end of the string).
const LONGEST_RECORD: usize = 60;

/// First parts of variables of EPICS' own makefiles. An application sets variables such as `NAME_LIBS`.
const MAKE_VARIABLES: &str = "\
    ARCH_DEP BASE BIN_INSTALLS CMD CODE CROSS DB DBD DLL GESYS HOST INC INSTALL LIB LIBRARY LOADABLE_LIBRARY MUNCH \
    OBJS OPT OP_SYS POSIX PROD SCRIPTS SHRLIB STATIC SYS SYS_PROD TARGET TESTPROD USR WARN";

/// Whether `NAME` can be an application: folder `NAMEApp`, executable, variables of make and part of a C++ name.
/// The error completes "NAME cannot be the name of an application: ".
pub fn app(name: &str) -> Result<(), String> {
    if let Some(bare) = name.strip_suffix("App").filter(|bare| !bare.is_empty()) {
        return Err(format!("its folder is called {name} if you give `{bare}`"));
    }
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.chars().all(word) {
        return Err(
            "it becomes part of a C++ name, so only ASCII letters, digits and `_` can be used, a letter first".into()
        );
    }
    if MAKE_VARIABLES.split_whitespace().any(|known| known == name) {
        return Err(format!("EPICS' makefiles have variables of their own that begin with {name}_"));
    }
    if name == "base" {
        return Err("EPICS base has a base.dbd already".into());
    }
    short(name)
}

/// Whether a folder of `iocBoot/` can have this name. The error completes "NAME cannot be a boot folder: ".
pub fn boot(name: &str) -> Result<(), String> {
    valid_name(name)?;
    if !name.starts_with("ioc") || name == "ioc" {
        let better = if name == "ioc" { "NAME" } else { name };
        return Err(format!("make enters folders `ioc…` only, such as ioc{better}"));
    }
    short(name)
}

/// Whether records can have this prefix, `records` being the rest of their names. Empty is no prefix.
pub fn prefix(prefix: &str, records: &[String]) -> Result<(), String> {
    // EPICS allows `[ ] < > ;` too. The shell that runs a check's `caget` reads these in its own way.
    let good = |c: char| word(c) || "-+:".contains(c);
    if !prefix.chars().all(good) || prefix.starts_with(['-', '+']) {
        return Err("only ASCII letters, digits, `_`, `:`, `-` and `+` (not first) can be used".into());
    }
    let longest = records.iter().max_by_key(|name| name.len()).map_or("", String::as_str);
    let length = prefix.len() + longest.len();
    if length > LONGEST_RECORD {
        return Err(format!(
            "record {prefix}{longest} would have {length} characters, and EPICS has room for {LONGEST_RECORD}"
        ));
    }
    Ok(())
}

/// Whether `checks/NAME.py` and `.nix` can have this name. The error completes "NAME cannot be the name of a check: ".
pub fn check(name: &str) -> Result<(), String> {
    valid_name(name)?;
    // Git repositories with such files cannot be checked out on Windows.
    let device = name.to_ascii_lowercase();
    let numbered =
        |stem| device.strip_prefix(stem).is_some_and(|n| n.len() == 1 && n.starts_with(|c: char| c.is_ascii_digit()));
    if ["con", "prn", "aux", "nul"].contains(&device.as_str()) || numbered("com") || numbered("lpt") {
        return Err("Windows keeps this name for a device, and Git could not check the files out there".into());
    }
    short(name)
}

fn word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn short(name: &str) -> Result<(), String> {
    match name.len() {
        ..=LONGEST => Ok(()),
        length => Err(format!("it has {length} characters; {LONGEST} are allowed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applications() {
        for good in ["a", "psu2", "Power_Supply", "int", "default", "x_", &"a".repeat(50)] {
            assert_eq!(app(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "2psu",
            "_psu",
            "my-psu",
            "my psu",
            "größe",
            "../up",
            "a/b",
            "psuApp",
            "base",
            "PROD",
            "a\n",
            &"a".repeat(51),
        ] {
            assert!(app(bad).is_err(), "{bad}");
        }
        assert_eq!(app("psuApp").unwrap_err(), "its folder is called psuApp if you give `psu`");
    }

    #[test]
    fn boot_folders() {
        for good in ["iocPsu", "ioc-psu_1", "iocs"] {
            assert_eq!(boot(good), Ok(()), "{good}");
        }
        for bad in ["", "ioc", "psu", "ioc/x", "iocé", "ioc.x", "-ioc", &format!("ioc{}", "a".repeat(50))] {
            assert!(boot(bad).is_err(), "{bad}");
        }
        assert_eq!(boot("psu").unwrap_err(), "make enters folders `ioc…` only, such as iocpsu");
    }

    #[test]
    fn prefixes() {
        let records = ["VOLT-RB".to_owned(), "VOLT".to_owned()];
        for good in ["", "PSU1:", "LAB-A:psu+1_", &"a".repeat(53)] {
            assert_eq!(prefix(good, &records), Ok(()), "{good}");
        }
        for bad in ["-A:", "+A", "A B", "A.B", "A,B", "$(P)", "A;", "µ:", "A\"", &"a".repeat(54)] {
            assert!(prefix(bad, &records).is_err(), "{bad}");
        }
        let long = prefix(&"a".repeat(54), &records).unwrap_err();
        assert!(long.ends_with("aVOLT-RB would have 61 characters, and EPICS has room for 60"), "{long}");
    }

    #[test]
    fn checks() {
        for good in ["ramp", "A-b_9", "01", "common", "com"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "-x", "a.b", "../x", "my check", "größe", "NUL", "com1", &"a".repeat(51)] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
