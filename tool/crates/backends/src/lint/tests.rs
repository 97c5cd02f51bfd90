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
