//! What C's `msi` makes of the forms in `tests/msi`, and that nothing stops ours.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::{Expanded, Files, Notice, Request, expand};

/// Forms whose database may differ from C's, each with the reason. May only shrink.
const ACCEPTED: [(&str, &str); 0] = [];

fn expanded(folder: &Path, request: &Request) -> Result<Expanded, Notice> {
    let real = |path: &Path| path.is_file().then(|| path.to_owned());
    expand(request, &Files { current: folder.to_owned(), folders: vec![folder.to_owned()], real: &real })
}

fn substitutions(path: PathBuf) -> Request {
    Request { substitutions: Some(path), ..Request::default() }
}

#[test]
fn databases_are_those_of_c() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/msi");
    let mut different = Vec::new();
    for number in 1..=34 {
        let name = format!("q{number}");
        let expected = |kind: &str| fs::read(folder.join(format!("expected-{name}.{kind}"))).unwrap();
        let complaints = String::from_utf8(expected("err")).unwrap();
        let same = match expanded(&folder, &substitutions(folder.join(format!("{name}.substitutions")))) {
            Ok(found) => {
                assert_eq!(found.bytes.len(), found.origins.len());
                assert_eq!(found.warnings.is_empty(), complaints.is_empty(), "{name}: {:?}", found.warnings);
                expected("rc") == b"0\n" && found.bytes == expected("db")
            }
            Err(refused) => {
                let what = refused.what.trim_start_matches("there is no file ").trim_matches('`');
                assert!(complaints.contains(what), "{name}: {refused} for {complaints}");
                expected("rc") == b"1\n"
            }
        };
        if !same {
            different.push(name);
        }
    }
    assert_eq!(different, ACCEPTED.map(|(name, _)| name));
}

#[test]
fn bytes_know_where_they_come_from() {
    let folder = tempfile();
    fs::write(folder.join("a.template"), "ü$(P)x \"$(N=n)\"\n  include \"b.template\"\n").unwrap();
    fs::write(folder.join("b.template"), "b\n").unwrap();
    fs::write(folder.join("s.substitutions"), "file a.template { {P=me} }").unwrap();
    let found = expanded(&folder, &substitutions(folder.join("s.substitutions"))).unwrap();
    assert_eq!(String::from_utf8(found.bytes).unwrap(), "ümex \"n\"\nb\n");
    let columns: Vec<u32> = found.origins.iter().map(|origin| origin.column).collect();
    assert_eq!(columns, [1, 1, 2, 2, 6, 7, 8, 9, 15, 16, 1, 2]);
    assert_eq!(found.origins.iter().map(|origin| origin.file).max(), Some(1));
    assert!(found.files[1].ends_with("b.template"));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_template_beside_the_substitutions_takes_the_place_of_theirs() {
    let folder = tempfile();
    fs::write(folder.join("own.template"), "$(P)$(Q)\n").unwrap();
    fs::write(folder.join("s.substitutions"), "{P=1} file none.template { {P=2} }").unwrap();
    let request = Request {
        template: Some(folder.join("own.template")),
        macros: "Q=q".to_owned(),
        ..substitutions(folder.join("s.substitutions"))
    };
    assert_eq!(expanded(&folder, &request).unwrap().bytes, b"1q\n2q\n");
    let alone = Request { substitutions: None, ..request };
    assert_eq!(expanded(&folder, &alone).unwrap().bytes, b"$(P)q\n");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_template_that_includes_itself_ends() {
    let folder = tempfile();
    fs::write(folder.join("t.template"), "x\ninclude \"t.template\"\n").unwrap();
    let request = Request { template: Some(folder.join("t.template")), ..Request::default() };
    assert_eq!(expanded(&folder, &request).unwrap_err().what, "this file includes itself");
    fs::remove_dir_all(folder).unwrap();
}

proptest! {
    #[test]
    fn any_substitutions_end(
        text in "(file |pattern|global|[{}]|t\\.template|[PN=,\"'\\\\ \n#]|\\$\\(P\\)){0,40}",
        template in "(include \"t\\.template\"|include \"u\"|substitute \"[PN=,]{0,6}\"|[$({P})=,'\"\\\\ \n]){0,20}",
    ) {
        let folder = tempfile();
        fs::write(folder.join("s"), text).unwrap();
        fs::write(folder.join("t.template"), template).unwrap();
        let _answer = expanded(&folder, &substitutions(folder.join("s")));
        fs::remove_dir_all(folder).unwrap();
    }
}

fn tempfile() -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("soft-ioc-msi-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
    let path = std::env::temp_dir().join(name);
    fs::create_dir_all(&path).unwrap();
    path
}
