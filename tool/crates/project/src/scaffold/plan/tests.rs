use proptest::prelude::*;

use super::*;

fn template() -> Files {
    let makefile = "PROD_IOC = example\nDBD += example.dbd\nexample_DBD += base.dbd\nexample_DBD += stream.dbd\n";
    let files = [
        ("README.md", "For example: ioc/exampleApp, `caput VOLT 42`.\n"),
        (
            "TODO-adopt.md",
            "- [ ] ioc/iocBoot/iocExample/st.cmd:3: add example_DBD += x.dbd to exampleApp/src/Makefile\n\
             - [ ] simulators/ps1.py: VOLT-RB is not in the check: `example.proto get`\n",
        ),
        ("CHANGELOG.md", "exampleApp\n"),
        ("checks/simple.py", "machine.succeed(\"caget VOLT-RB.SEVR\")\nNAMES = [\"VOLT\"]\n"),
        ("checks/two.py", "machine.succeed(\"caget A:VOLT VOLT\")\n"),
        ("checks/two.toml", "[nodes.a]\nenvironment = { PREFIX = \"A:\" }\n"),
        ("ioc.toml", "[ioc]\napp = \"example\"        # exampleApp/\nioc = \"iocExample\"     # below ioc/iocBoot/\n"),
        (
            "ioc/exampleApp/Db/example.db",
            "record(ai, \"$(PREFIX)VOLT-RB\") { field(INP, \"@example.proto\") }\nrecord(ao, \"$(PREFIX)VOLT\") {}\n",
        ),
        ("ioc/exampleApp/src/Makefile", makefile),
        ("ioc/exampleApp/src/exampleMain.cpp", "int main() {}\n"),
        (
            "ioc/iocBoot/iocExample/st.cmd",
            "#!../../bin/linux-x86_64/example\ndbLoadRecords(\"db/example.db\", \"PREFIX=${PREFIX=}\")\niocInit()\n",
        ),
        ("ioc/iocBoot/Makefile", "DIRS += $(wildcard ioc*)\n"),
        ("tool/docs/x.md", "ioc/exampleApp\n"),
    ];
    files.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).into()
}

fn old() -> Names {
    Names { app: "example".into(), ioc: "iocExample".into() }
}

fn wish(app: &str, ioc: &str, prefix: Option<&str>) -> Wish {
    Wish { app: Some(app.into()), ioc: Some(ioc.into()), prefix: prefix.map(Into::into) }
}

/// The files after the plan.
fn done(files: &Files, plan: &Plan) -> Files {
    let mut files = files.clone();
    for change in &plan.changes {
        assert_eq!(files.remove(&change.from).as_ref(), Some(&change.before));
    }
    files.extend(plan.changes.iter().map(|c| (c.to.clone(), c.after.clone())));
    files
}

fn error(wish: &Wish) -> String {
    fail::render(&plan(&template(), &old(), wish).unwrap_err())
}

#[test]
fn everything_is_in_the_plan() {
    let plan = plan(&template(), &old(), &wish("psu", "iocPsu", Some("LAB:"))).unwrap();
    let moves: Vec<_> = plan.moves.iter().map(|(from, to)| format!("{from} {to}")).collect();
    assert_eq!(
        moves,
        [
            "ioc/exampleApp ioc/psuApp",
            "ioc/iocBoot/iocExample ioc/iocBoot/iocPsu",
            "ioc/psuApp/Db/example.db ioc/psuApp/Db/psu.db",
            "ioc/psuApp/src/exampleMain.cpp ioc/psuApp/src/psuMain.cpp",
        ]
    );
    let text: String =
        plan.changes.iter().map(|c| format!("# {}\n{}", c.to, String::from_utf8_lossy(&c.after))).collect();
    insta::assert_snapshot!(text, @r##"
    # README.md
    For example: ioc/psuApp, `caput LAB:VOLT 42`.
    # TODO-adopt.md
    - [ ] ioc/iocBoot/iocPsu/st.cmd:3: add psu_DBD += x.dbd to psuApp/src/Makefile
    - [ ] simulators/ps1.py: LAB:VOLT-RB is not in the check: `psu.proto get`
    # checks/simple.py
    machine.succeed("caget LAB:VOLT-RB.SEVR")
    NAMES = ["VOLT"]
    # ioc.toml
    [ioc]
    app = "psu"            # psuApp/
    ioc = "iocPsu"         # below ioc/iocBoot/
    # ioc/psuApp/Db/psu.db
    record(ai, "$(PREFIX)VOLT-RB") { field(INP, "@psu.proto") }
    record(ao, "$(PREFIX)VOLT") {}
    # ioc/psuApp/src/Makefile
    PROD_IOC = psu
    DBD += psu.dbd
    psu_DBD += base.dbd
    psu_DBD += stream.dbd
    # ioc/psuApp/src/psuMain.cpp
    int main() {}
    # ioc/iocBoot/iocPsu/st.cmd
    #!../../bin/linux-x86_64/psu
    dbLoadRecords("db/psu.db", "PREFIX=${PREFIX=LAB:}")
    iocInit()
    "##);
    assert_eq!(plan.left, ["checks/simple.py:2: VOLT"]);
    assert_eq!(plan.record, Some(("VOLT-RB".into(), "LAB:VOLT-RB".into())));
}

#[test]
fn the_same_names_are_nothing_to_do() {
    assert_eq!(plan(&template(), &old(), &wish("example", "iocExample", Some(""))).unwrap(), Plan::default());
    assert_eq!(plan(&template(), &old(), &Wish::default()).unwrap(), Plan::default());
}

#[test]
fn names_that_cannot_be_told_apart_afterwards_are_refused() {
    assert_eq!(
        error(&wish("stream", "iocExample", None)),
        "error: \"stream\" means something else in ioc/exampleApp/src/Makefile:4: example_DBD += stream.dbd\n\n\
         hint: choose another name"
    );
    assert!(error(&wish("psu", "iocInit", None)).contains("ioc/iocBoot/iocExample/st.cmd:3: iocInit()"));
    let mut files = template();
    files.insert("ioc/psuApp/Makefile".into(), Vec::new());
    files.insert("ioc/exampleApp/Makefile".into(), Vec::new());
    let error = plan(&files, &old(), &wish("psu", "iocPsu", None)).unwrap_err();
    assert_eq!(error.to_string(), "ioc/psuApp/Makefile is there already");
}

#[test]
fn what_is_wrong_is_named() {
    assert!(
        error(&wish("my-psu", "iocPsu", None)).starts_with("error: \"my-psu\" cannot be the name of an application: ")
    );
    assert!(error(&wish("psu", "psu", None)).starts_with("error: \"psu\" cannot be a boot folder: make enters"));
    assert!(error(&wish("psu", "iocPsu", Some("A B"))).starts_with("error: \"A B\" cannot be a prefix: "));
    let gone = Names { app: "gone".into(), ..old() };
    let error = plan(&template(), &gone, &wish("psu", "iocPsu", None)).unwrap_err();
    assert_eq!(error.to_string(), "ioc/goneApp/ has no file that Git tracks, but ioc.toml says app = \"gone\"");
    let mut files = template();
    files.insert("ioc/iocBoot/iocExample/more.cmd".into(), b"${PREFIX=B:}".to_vec());
    let error = plan(&files, &old(), &wish("psu", "iocPsu", Some("A:"))).unwrap_err();
    assert!(error.to_string().contains("several defaults"), "{error}");
    files.insert("ioc.toml".into(), b"ioc = { app = \"example\", ioc = \"iocExample\" }".to_vec());
    let error = plan(&files, &old(), &wish("psu", "iocPsu", None)).unwrap_err();
    assert!(error.to_string().contains("lines of their own"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_renamed_project_can_be_renamed_back(app in "[a-zA-Z][a-z0-9_]{0,8}", prefix in "[A-Z]{0,4}:?") {
        let files = template();
        let new = Names { app: app.clone(), ioc: format!("ioc{app}") };
        let Ok(there) = plan(&files, &old(), &wish(&new.app, &new.ioc, Some(&prefix))) else { return Ok(()) };
        let renamed = done(&files, &there);
        let back = plan(&renamed, &new, &wish("example", "iocExample", Some(""))).unwrap();
        prop_assert_eq!(done(&renamed, &back), files);
    }
}
