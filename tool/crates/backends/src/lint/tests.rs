use super::*;

fn ioc(complete: bool) -> OfIoc {
    OfIoc {
        findings: Vec::new(),
        records: ["VOLT".to_owned(), "VOLT-RB".to_owned()].into(),
        complete,
        ..OfIoc::default()
    }
}

fn problem(kind: &str, severity: Severity) -> Problem {
    Problem { line: 1, column: 2, kind: kind.into(), severity, message: "m".into(), hint: "h".into() }
}

#[test]
fn rules_of_the_lint_have_the_severity_and_the_name_that_the_driver_gives() {
    let problems = vec![problem("unused-import", Severity::Error), problem("type-check", Severity::Warning)];
    let answer = OfScript { problems, pvs: Vec::new() };
    let found = of_script("checks/a.py", &answer, &ioc(true), None);
    let seen: Vec<_> = found.iter().map(|f| (f.code.as_str(), f.severity)).collect();
    assert_eq!(seen, [("unused-import", Severity::Error), ("type-check", Severity::Warning)]);
}

#[test]
fn the_script_of_another_check_is_found_however_the_line_breaks() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("b.py"), "").unwrap();
    let found = |text: &str| {
        std::fs::write(at("a.nix"), text).unwrap();
        let check = Check { name: "a".into(), script: Some(at("a.py")), nix: Some(at("a.nix")), ..Check::default() };
        other_script(&check).map(|f| (f.line, f.column, f.message.split(' ').skip(4).collect::<Vec<_>>().join(" ")))
    };
    let seen = found("{\n  testScript =\n    builtins.readFile ./b.py;\n}").unwrap();
    assert_eq!(seen, (3, 23, "reads b.py, where the sandbox runs a.py".to_owned()));
    assert_eq!(found("{\n  testScript = readFile ./c.py;\n}").unwrap().2, "reads c.py, which is not there");
    for right in [
        "testScript =\n  readFile ./a.py;",
        "testScript = \"\";\nx = readFile ./b.py;",
        "# testScript = readFile ./b.py;",
    ] {
        assert_eq!(found(right), None, "{right}");
    }
}

#[test]
fn a_name_that_is_used_again_is_one_mistake() {
    let at =
        |line, kind: &str, message: &str| Problem { line, message: message.into(), ..problem(kind, Severity::Error) };
    let a = "undefined name `a`";
    let problems = vec![
        at(1, "NameError", a),
        at(2, "NameError", "undefined name `b`"),
        at(3, "NameError", a),
        at(9, "NameError", a),
    ];
    let pv = |line, sure| Pv { name: "VOTL".to_owned(), line, column: 1, sure };
    let found =
        once(of_script("checks/a.py", &OfScript { problems, pvs: vec![pv(4, false), pv(5, true)] }, &ioc(true), None));
    let seen: Vec<_> = found.iter().map(|own| (own.line, own.severity, own.message.as_str())).collect();
    let pv = "no database that st.cmd loads defines `VOTL` (also line 5)";
    assert_eq!(
        seen,
        [
            (1, Severity::Error, "undefined name `a` (also line 3, 9)"),
            (2, Severity::Error, "undefined name `b`"),
            (4, Severity::Error, pv)
        ]
    );
}

#[test]
fn a_misnamed_machine_is_told_where_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = |ending: &str| dir.path().join("two.py").with_extension(ending);
    let of = |nix: Option<&str>, script: &str, toml: &str, undefined: &[&str]| {
        std::fs::write(path("py"), script).unwrap();
        std::fs::write(path("toml"), toml).unwrap();
        let nix = nix.map(|text| (path("nix"), std::fs::write(path("nix"), text).unwrap()).0);
        let check = Check { name: "two".into(), script: Some(path("py")), nix, ..Check::default() };
        let problem = |name: &&str| Problem {
            message: format!("undefined name `{name}`"),
            ..problem("NameError", Severity::Error)
        };
        let problems = undefined.iter().map(problem).collect();
        let mut found = of_script("checks/two.py", &OfScript { problems, pvs: Vec::new() }, &ioc(true), None);
        machines(&check, check.settings().unwrap(), &mut found);
        found
            .iter()
            .map(|own| format!("{:?} {} {}:{}:{} {}", own.severity, own.code, own.file, own.line, own.column, own.hint))
            .collect::<Vec<_>>()
    };
    let toml = "timeout = 9\n[nodes.first]\n[nodes.secnd]\nvlans = [2]\n";
    let told = ["Error unknown-machine checks/two.toml:3:8 did you mean `second`?"];
    let nix = Some("{\n  nodes.first = { };\n  nodes.second = { };\n}");
    assert_eq!(of(nix, "first.start()\nsecond.start()\n", toml, &["second"]), told);
    assert_eq!(of(nix, "start_all()\n", toml, &[]), [told[0].replace("Error", "Warning")]);
    // Without a Nix file the script alone tells.
    std::fs::remove_file(path("nix")).unwrap();
    assert_eq!(of(None, "second.start()\nsecond.stop()\nprint(x)\n", toml, &["second", "second"]), told);
    // One that is named somewhere is meant, and one that is far from any other may be.
    let undefined = ["Error undefined-name checks/two.py:1:2 h"];
    assert_eq!(of(None, "secnd.start()\nsecond.start()\n", toml, &["second"]), undefined);
    assert_eq!(of(nix, "client.start()\n", "[nodes.first]\n[nodes.a-client]\n", &["x"]), undefined);
    assert_eq!(of(nix, "a_client.start()\n", "[nodes.first]\n[nodes.a-client]\n", &[]), [""; 0]);
}

#[test]
fn a_function_that_only_some_backends_have_is_an_error_only_where_one_is_chosen() {
    let problem = problem("NotInSandbox", Severity::Error);
    let answer = OfScript { problems: vec![problem], pvs: Vec::new() };
    let severity = |backend| of_script("checks/a.py", &answer, &ioc(true), backend)[0].severity;
    assert_eq!(severity(None), Severity::Warning);
    assert_eq!(severity(Some(Choice::Sandbox)), Severity::Error);
}

#[test]
fn a_pv_is_missing_only_where_all_are_known() {
    let pv = |name: &str| Pv { name: name.to_owned(), line: 3, column: 4, sure: false };
    let answer = OfScript { problems: Vec::new(), pvs: vec![pv("VOLT"), pv("VOTL")] };
    let found = of_script("checks/a.py", &answer, &ioc(true), None);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].line, found[0].hint.as_str()), (3, "did you mean `VOLT`?"));
    assert!(of_script("checks/a.py", &answer, &ioc(false), None).is_empty());
}

#[test]
fn a_mistyped_pv_that_must_be_there_is_an_error() {
    let severity = |name: &str, sure| {
        let pvs = vec![Pv { name: name.to_owned(), line: 1, column: 1, sure }];
        let answer = OfScript { problems: Vec::new(), pvs };
        of_script("checks/a.py", &answer, &ioc(true), None)[0].severity
    };
    assert_eq!(severity("VOTL", true), Severity::Error);
    assert_eq!(severity("VOTL", false), Severity::Warning);
    assert_eq!(severity("some:other:ioc", true), Severity::Warning);
}
