use super::*;

#[test]
fn the_unstable_gate_is_lifted_for_old_compilers_only() {
    let gate = |rustc| build_command(Path::new("embedded"), Path::new("t"), rustc, false).to_string();
    assert!(gate((1, 95)).contains("RUSTC_BOOTSTRAP=1"));
    assert!(!gate((1, 97)).contains("RUSTC_BOOTSTRAP"));
    assert!(!gate((2, 0)).contains("RUSTC_BOOTSTRAP"));
}

#[test]
fn a_platform_is_named_where_the_settings_name_one() {
    let dir = tempfile::tempdir().unwrap();
    let told = |rustc| platform("rustc 1\nhost: here\n", rustc, [dir.path().to_owned()].into_iter()).join(" ");
    assert_eq!(told((1, 97)), "");
    std::fs::write(dir.path().join("config.toml"), "[build]\ntarget = \"wasm32-wasip2\"\n").unwrap();
    assert_eq!(told((1, 97)), "--target here");
    assert!(told((1, 95)).contains("host.rustflags=['-Zcrate-attr"), "build scripts need the gate, too");
}

#[test]
fn flags_for_other_programs_are_not_heard() {
    for rustc in [(1, 95), (1, 97)] {
        let set = compiler_env(rustc);
        for name in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_ENCODED_RUSTFLAGS"] {
            assert!(set.iter().any(|(own, _)| *own == name), "{name}");
        }
    }
}

#[test]
fn other_tools_make_other_programs() {
    let host = |release: &str| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/os-release"), release).unwrap();
        tools("rustc 1.95.0\n", &Host::made_up(dir.path(), &[], 1, &[]), false)
    };
    assert_eq!(host("ID=debian\nVERSION_ID=12\nVERSION=a\n"), host("ID=debian\nVERSION_ID=12\nVERSION=b\n"));
    assert_ne!(host("ID=debian\nVERSION_ID=12\n"), host("ID=debian\nVERSION_ID=13\n"));
    let with = |compiler, pva| tools(compiler, &Host::made_up(Path::new("/none"), &[], 1, &[]), pva);
    assert_ne!(with("rustc 1.95.0", false), with("rustc 1.96.0", false));
    assert_ne!(with("rustc 1.95.0", false), with("rustc 1.95.0", true));
}

#[test]
fn versions_of_rustc() {
    assert_eq!(parse_version("rustc 1.95.0 (59807616e 2026-04-14)"), Some((1, 95)));
    assert_eq!(parse_version("rustc 1.98.0-nightly"), Some((1, 98)));
    assert_eq!(parse_version("gcc"), None);
}

#[test]
fn other_sources_have_programs_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (dir.path().join("embedded"), dir.path().join("target"));
    std::fs::create_dir_all(source.join("src")).unwrap();
    std::fs::create_dir_all(&target).unwrap();
    let place = || Place { source: source.clone(), target: target.clone(), state: sources(&source), pva: false };
    assert!(place().programs().is_none(), "no sources, never built");
    std::fs::write(source.join("Cargo.toml"), "").unwrap();
    std::fs::write(source.join("src/main.rs"), "one").unwrap();
    let program = dir.path().join("program");
    std::fs::write(&program, "x").unwrap();
    let built: Vec<_> = PROGRAMS.iter().map(|(file, _)| ((*file).to_owned(), program.clone())).collect();
    place().keep(&built).unwrap();
    let first = place().programs().unwrap();
    std::fs::write(source.join("src/main.rs"), "two").unwrap();
    assert!(place().programs().is_none(), "sources changed");
    place().keep(&built).unwrap();
    assert_ne!(first[0].path, place().programs().unwrap()[0].path);
    std::fs::write(source.join("src/main.rs"), "one").unwrap();
    assert_eq!(first[0].path, place().programs().unwrap()[0].path, "nothing is built again");
    assert_ne!(place().last(), place().state);
    place().note().unwrap();
    assert_eq!(place().last(), place().state, "who has no sources takes those of the undone edit no more");
    std::fs::remove_file(&first[0].path).unwrap();
    assert!(place().programs().is_none(), "program gone");
}

#[test]
fn cargo_says_where_programs_are() {
    let line = r#"{"reason":"compiler-artifact","target":{"name":"soft-ioc"},"executable":"/t/x/debug/soft-ioc"}"#;
    assert_eq!(executable(line), Some(("soft-ioc".to_owned(), "/t/x/debug/soft-ioc".into())));
    assert_eq!(executable(r#"{"reason":"build-finished"}"#), None);
}
