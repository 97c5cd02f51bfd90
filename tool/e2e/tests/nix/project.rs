//! Nix and Rust read the same from ioc.toml and checks/.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common;

#[test]
fn nix_and_rust_know_the_same_keys_of_ioc_toml() {
    let nix = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("nix/project.nix");
    let keys = format!("(import {}).keys", nix.display());
    let Ok(output) = Command::new("nix-instantiate").args(["--eval", "--strict", "--json", "-E", &keys]).output()
    else {
        common::skipped("no `nix-instantiate` here; apt-get install nix-bin");
        return;
    };
    let keys: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    // What Rust knows, it says where somebody writes something else.
    let known = |text: &str| {
        let error = tool_base::fail::render(&tool_project::parse(text).unwrap_err());
        let mut keys: Vec<String> =
            error.split("the keys here are: ").nth(1).unwrap().trim().split(", ").map(str::to_owned).collect();
        keys.sort();
        serde_json::json!(keys)
    };
    assert_eq!(keys["ioc"], known("[ioc]\nno-such-key = 1\n"));
    assert_eq!(keys["ioc"], known("[iocs.a]\nno-such-key = 1\n"));
    assert_eq!(keys["simulators"], known("[ioc]\napp = \"a\"\nioc = \"b\"\n[simulators.s]\nno-such-key = 1\n"));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list of texts")]
fn nix_and_rust_take_and_refuse_the_same_ioc_toml() {
    let ioc = |lines: &str| format!("[ioc]\n{lines}");
    let simulator = |name: &str, lines: &str| format!("[ioc]\napp = \"a\"\nioc = \"b\"\n[simulators.{name}]\n{lines}");
    let of_ioc =
        ["\"example\"", "\"a b\"", "\"-x\"", "\"../up\"", "\"a.b\"", "\"\"", "\"größe\"", "1", "true", "[\"a\"]", "{}"];
    let of_lists = ["[]", "[\"a\", \"b\"]", "[1]", "[\"a b\"]", "[\"\"]", "[[\"a\"]]", "\"a\"", "1", "{}"];
    let of_ports = ["1", "65535", "0", "65536", "-1", "\"9999\"", "9999.0", "true", "[9999]", "{}"];
    let (package, command, port) = ("package = \"p\"\n", "command = [\"c\"]\n", "port = 1\n");
    let mut texts: Vec<String> = vec![
        String::new(),
        "ioc = 1".to_owned(),
        "simulators = 1\n[ioc]\napp = \"a\"\nioc = \"b\"\n".to_owned(),
        "[ioc]\napp = \"a\"\nioc = \"b\"\n[simulators]\ns = 1\n".to_owned(),
        ioc("app = \"a\"\n"),
        ioc("ioc = \"b\"\n"),
        ioc("app = \"a\"\nioc = \"b\"\nmore = 1\n"),
        simulator("s", &[command, port].concat()),
        simulator("s", &[package, port].concat()),
        simulator("s", &[package, command].concat()),
        simulator("s", &[package, command, port, "more = 1\n"].concat()),
        simulator("s.more", &[package, command, port].concat()),
        "iocs = 1".to_owned(),
        "iocs = {}".to_owned(),
        "iocs = {}\n[ioc]\napp = \"a\"\nioc = \"b\"\n".to_owned(),
        "[iocs]\na = 1\n".to_owned(),
        "[iocs.a]\napp = \"a\"\n".to_owned(),
        "[ioc]\napp = \"a\"\nioc = \"b\"\n[iocs.a]\napp = \"a\"\nioc = \"b\"\n".to_owned(),
    ];
    texts
        .extend(["a", "ioc", "\"a b\"", "-x", "\"\""].map(|name| format!("[iocs.{name}]\napp = \"a\"\nioc = \"b\"\n")));
    for key in ["script", "environment"] {
        let of_ioc = ["\"st.sh\"", "\"st\"", "\".st\"", "\"../st\"", "\"-st\"", "\"a b\"", "\"\"", "1", "{}"];
        let of_tables = ["{ A_1 = \"\" }", "{ 1A = \"\" }", "{ \"a b\" = \"\" }", "{ A = 1 }", "{ A.b = \"\" }", "[]"];
        let values = of_ioc.iter().chain(&of_tables);
        texts.extend(values.map(|value| ioc(&format!("app = \"a\"\nioc = \"b\"\n{key} = {value}\n"))));
    }
    let of_paths = [
        "/dev/ttyPSU",
        "/dev/ttyS0",
        "/dev/ttySPSU",
        "/dev/ttySS",
        "/dev/tty1",
        "/dev/tty",
        "/dev/tty_1-a",
        "ttyA",
        "/a/../b",
        "/",
    ];
    for key in ["serial", "ready"] {
        let place = |value: String| simulator("s", &format!("{package}{command}{key} = {value}\n"));
        texts.extend(of_paths.map(|path| place(format!("{path:?}"))));
        texts.push(place("1".to_owned()));
    }
    texts.extend(
        ["{ A = \"\" }", "{ 1A = \"\" }", "1"]
            .map(|all| simulator("s", &format!("{package}{command}{port}environment = {all}\n"))),
    );
    texts.extend(
        ["\"ioc\"", "\"other\"", "1", "\"a b\""]
            .map(|own| simulator("s", &format!("{package}{command}{port}ioc = {own}\n"))),
    );
    texts.extend(of_ioc.map(|value| ioc(&format!("app = {value}\nioc = \"b\"\n"))));
    texts.extend(of_ioc.map(|value| ioc(&format!("app = \"a\"\nioc = {value}\n"))));
    texts.extend(of_lists.map(|value| ioc(&format!("app = \"a\"\nioc = \"b\"\nsupport = {value}\n"))));
    texts.extend(of_ioc.map(|value| simulator("s", &format!("package = {value}\n{command}{port}"))));
    texts.extend(of_lists.map(|value| simulator("s", &format!("{package}command = {value}\n{port}"))));
    texts.extend(of_ports.map(|value| simulator("s", &format!("{package}{command}port = {value}\n"))));
    texts.extend(
        ["s", "S-1_a", "ioc", "\"a b\"", "\"\"", "-x", "\"größe\""]
            .map(|name| simulator(name, &[package, command, port].concat())),
    );

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("texts.json");
    fs::write(&file, serde_json::to_vec(&texts).unwrap()).unwrap();
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("nix/project.nix");
    let verdicts = format!(
        "map (text: (import {}).iocTomlProblems (builtins.fromTOML text) == [ ]) (builtins.fromJSON (builtins.readFile {}))",
        project.display(),
        file.display()
    );
    let mut nix = Command::new("nix-instantiate");
    nix.args(["--eval", "--strict", "--json", "-E", &verdicts]).env("NIX_REMOTE", "dummy://");
    let Ok(output) = nix.output() else {
        common::skipped("no `nix-instantiate` here; apt-get install nix-bin");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let nix: Vec<bool> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(nix.len(), texts.len());
    let differ = texts.iter().zip(nix).filter_map(|(text, nix)| {
        let rust = tool_project::parse(text);
        let said = rust.as_ref().err().map(tool_base::fail::render).unwrap_or_default();
        (rust.is_ok() != nix).then(|| {
            format!(
                "Nix {}, Rust {}:\n{text}{said}\n",
                if nix { "takes" } else { "refuses" },
                if nix { "refuses" } else { "takes" }
            )
        })
    });
    let differ: Vec<String> = differ.collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[test]
fn nix_and_rust_read_the_same_from_the_project() {
    if Command::new("nix-instantiate").arg("--version").output().is_err() {
        common::skipped("no `nix-instantiate` here; apt-get install nix-bin");
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output = Command::new("sh").arg(root.join("nix/test.sh")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let nix: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();

    let config = tool_project::parse(&fs::read_to_string(root.join("template/ioc.toml")).unwrap()).unwrap();
    let iocs: serde_json::Map<_, _> = config
        .iocs
        .iter()
        .map(|(name, ioc)| {
            let tool_project::Ioc { app, ioc, support, script, environment } = ioc;
            let own = serde_json::json!({
                "app": app, "ioc": ioc, "support": support, "script": script, "environment": environment
            });
            (name.clone(), own)
        })
        .collect();
    assert_eq!(nix["iocs"], serde_json::Value::Object(iocs));
    let simulators: serde_json::Map<_, _> = config
        .simulators
        .iter()
        .map(|(name, s)| {
            (name.clone(), serde_json::json!({"package": s.package, "command": s.command, "port": s.port}))
        })
        .collect();
    assert_eq!(nix["simulators"], serde_json::Value::Object(simulators));
    let project = tempfile::tempdir().unwrap();
    common::copy(&root.join("template"), project.path());
    fs::create_dir(project.path().join("tool")).unwrap();
    let mut list = Command::new(env!("CARGO_BIN_EXE_foreign"));
    common::environment(&mut list, project.path());
    let list = list.args(["list", "--json"]).output().unwrap();
    let list: Vec<serde_json::Value> = serde_json::from_slice(&list.stdout).unwrap();
    let with_nix: Vec<_> = list.iter().filter(|c| c["nix"] == true).map(|c| c["name"].clone()).collect();
    assert_eq!(nix["checks"], serde_json::Value::Array(with_nix));
}
