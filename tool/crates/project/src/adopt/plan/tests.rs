use super::left::in_project;
use super::*;
use tool_base::protocol::lint::{Exchange, Parts, Port};

fn source(text: &str) -> Source {
    Source { text: text.as_bytes().to_vec(), runs: false }
}

fn port(command: &str, address: &str, line: u32) -> Port {
    let (name, command) = (format!("L{line}"), command.to_owned());
    Port { name, command, address: address.to_owned(), file: "lab/iocBoot/iocA/st.cmd".to_owned(), line, column: 31 }
}

fn planned(script: &str, ports: Vec<Port>) -> Plan {
    let project = ["ioc/old/Makefile", "ioc.toml", "checks/simple.py", "checks/__builtins__.pyi", "checks/inputs.py"];
    planned_in(script, ports, &project.map(|path| (path.to_owned(), b"backend = \"sandbox\"\n".to_vec())).into())
}

fn planned_in(script: &str, ports: Vec<Port>, project: &BTreeMap<String, Vec<u8>>) -> Plan {
    let files = BTreeMap::from([("iocBoot/iocA/st.cmd".to_owned(), source(script))]);
    let exchange = |port: &Port| Exchange {
        port: port.name.clone(),
        out: vec![Some("a\n".to_owned())],
        answer: Some("1\n".to_owned()),
        function: "a.proto a".to_owned(),
        others: BTreeSet::new(),
    };
    let parts = Parts { exchanges: ports.iter().map(exchange).collect(), ports, ..Parts::default() };
    plan(&Facts {
        top: &Top { files, strange: vec!["out".to_owned()] },
        from: "lab",
        built: &BTreeMap::new(),
        iocs: &[Adopted {
            boot: Boot { name: "iocA".to_owned(), scripts: vec!["st.cmd".to_owned()] },
            app: "a".to_owned(),
            ioc: OfIoc { parts, ..OfIoc::default() },
        }],
        others: &[],
        project,
        shipped: &["checks/simple.py", "checks/__builtins__.pyi"].map(str::to_owned).into(),
    })
}

fn line(plan: &Plan, number: usize) -> String {
    let text = String::from_utf8_lossy(&plan.files["ioc/iocBoot/iocA/st.cmd"].text).into_owned();
    text.lines().nth(number - 1).unwrap_or_default().to_owned()
}

#[test]
fn the_example_goes_and_what_is_the_users_stays() {
    let plan = planned("#!../../bin/linux-x86_64/a\n", Vec::new());
    assert_eq!(plan.remove, ["checks/simple.py", "ioc/old/Makefile"]);
    assert!(plan.files["ioc/iocBoot/iocA/st.cmd"].runs);
    assert!(plan.files["ioc.toml"].text.windows(19).any(|text| text == b"backend = \"sandbox\""));
    let todo: Vec<&str> = plan.todo.iter().filter_map(|item| item.split(':').next()).collect();
    assert_eq!(todo, ["ioc/out", "checks/inputs.py"]);
    assert!(plan.files.contains_key("checks/inputs-2.py") && !plan.files.contains_key("checks/inputs.py"));
}

#[test]
fn the_first_line_is_mended_and_places_follow() {
    let udp = "drvAsynIPPortConfigure(\"L1\", \"10.0.0.1:1 UDP\")\n";
    let plan = planned(udp, vec![port("drvAsynIPPortConfigure", "10.0.0.1:1 UDP", 1)]);
    assert_eq!(line(&plan, 1), "#!../../bin/linux-x86_64/a");
    assert!(plan.todo[0].starts_with("ioc/iocBoot/iocA/st.cmd:2: "), "{:?}", plan.todo);
    let plan = planned("#!a\r\niocInit\r\n", Vec::new());
    assert_eq!(plan.files["ioc/iocBoot/iocA/st.cmd"].text, b"#!a\niocInit\r\n", "no system executes `a\\r`");
}

#[test]
fn simulators_of_before_stay() {
    let toml = "ioc = 1\n[ simulators.l1 ]\nport=9003 # theirs\n\n[simulators.mine]\nport = 9001 # taken\nenvironment.A = \"1\"\n\n\
                [simulators.gone]\nioc = \"iocOld\" # no more\n[simulators.simulator]\npackage = \"psu-simulator\"\n\
                [simulators]\nlate = { port = 9002 }\n";
    let project = [("ioc.toml", toml), ("simulators/l1.py", "theirs"), ("flake.nix", "{ l1-simulator = 1; }")];
    let script = "#!a\ndrvAsynIPPortConfigure(\"L1\", \"10.0.0.1:4001\")\n";
    let port = Port { line: 2, ..port("drvAsynIPPortConfigure", "10.0.0.1:4001", 1) };
    let plan = planned_in(script, vec![port], &project.map(|(path, text)| (path.to_owned(), text.into())).into());
    let toml = String::from_utf8_lossy(&plan.files["ioc.toml"].text).into_owned();
    assert!(toml.ends_with("\n[simulators.mine]\nport = 9001 # taken\nenvironment.A = \"1\"\n"), "{toml}");
    assert!(toml.contains("[simulators.l1]") && toml.contains("port = 9003"), "{toml}");
    assert!(!toml.contains("gone") && !toml.contains("psu-simulator"), "{toml}");
    assert!(plan.files.keys().all(|path| !path.starts_with("simulators/") && path != "flake.nix"), "what is theirs");
    let todo: Vec<&str> = plan.todo.iter().map(|item| item.split_once(':').unwrap().0).collect();
    assert_eq!(todo, ["ioc.toml", "ioc.toml", "ioc/out", "simulators/l1.py"]);
}

#[test]
fn a_line_that_opens_many_ports_has_a_variable_for_each() {
    let port = |name: &str| Port { name: name.to_owned(), ..port("drvAsynIPPortConfigure", "10.0.0.1:1", 2) };
    for (call, mended) in [
        (
            "drvAsynIPPortConfigure(\"$(N)\",   \"$(IP):1\")",
            "drvAsynIPPortConfigure(\"$(N)\",   \"${$(N)_ADDRESS=$(IP):1}\")",
        ),
        (
            "drvAsynIPPortConfigure \"${N}\", \"$(IP):1\"",
            "drvAsynIPPortConfigure \"${N}\", \"${${N}_ADDRESS=$(IP):1}\"",
        ),
    ] {
        let column = u32::try_from(call.find("$(IP)").unwrap()).unwrap() + 1;
        let ports = ["TPG1", "TPG2"].map(|name| Port { column, ..port(name) });
        let plan = planned(&format!("#!a\n{call}\n"), ports.to_vec());
        assert_eq!(line(&plan, 2), mended);
        let variables: Vec<&str> = plan.devices.iter().map(|own| own.variable.as_str()).collect();
        assert_eq!(variables, ["TPG1_ADDRESS", "TPG2_ADDRESS"], "{:?}", plan.todo);
    }
    assert_eq!(in_project("add to lab/a, `lab/b` or /site/lab/c", "lab"), "add to ioc/a, `ioc/b` or /site/lab/c");
}

#[test]
fn an_address_comes_from_a_variable() {
    let script = "#!a\ndrvAsynIPPortConfigure(\"L2\", \"10.0.0.1:4001 TCP\")\ndrvAsynIPPortConfigure(\"L3\", \"${DEVICE=10.0.0.2:1}\")\n\
                  drvAsynIPPortConfigure(\"L4\",  $(IP):1)\ndrvAsynIPPortConfigure(\"L5\", \"10.0.0.1:1 UDP\")\n\
                  drvAsynIPPortConfigure(\"L6\", \"${DEVICE=10.0.0.2:1}\")\ndrvAsynIPPortConfigure(\"L7\", \"$(UNSET)\")\n\
                  drvAsynIPPortConfigure(\"L8\", \"$(SET)\")\ndrvAsynIPPortConfigure(\"L9\", \"$(IP):1\")\n";
    let ip = |address, line| port("drvAsynIPPortConfigure", address, line);
    let mut ports = vec![ip("10.0.0.1:4001 TCP", 2), ip("10.0.0.2:1", 3), ip("10.0.0.3:1", 4)];
    ports.extend([ip("10.0.0.1:1 UDP", 5), ip("10.0.0.2:1", 6)]);
    ports.extend([ip("…", 7), ip("10.0.0.3:2", 8), ip("…:1", 9)]);
    let plan = planned(script, ports);
    assert_eq!(line(&plan, 2), "drvAsynIPPortConfigure(\"L2\", \"${L2_ADDRESS=10.0.0.1:4001} TCP\")");
    assert_eq!(line(&plan, 3), "drvAsynIPPortConfigure(\"L3\", \"${DEVICE=10.0.0.2:1}\")");
    let variables: Vec<&str> = plan.devices.iter().map(|own| own.variable.as_str()).collect();
    let own = ["UNSET", "L8_ADDRESS", "L9_ADDRESS"];
    assert_eq!(variables, [&["L2_ADDRESS", "DEVICE", "L4_ADDRESS", "L6_ADDRESS"][..], &own].concat());
    assert_eq!(line(&plan, 7), "drvAsynIPPortConfigure(\"L7\", \"$(UNSET)\")");
    assert_eq!(line(&plan, 8), "drvAsynIPPortConfigure(\"L8\", \"${L8_ADDRESS=$(SET)}\")");
    let mended =
        "ioc/iocBoot/iocA/st.cmd:9: ${L9_ADDRESS=$(IP):1} instead of $(IP):1, so that checks reach a simulator";
    assert!(plan.mended.iter().any(|own| own == mended), "as it is written: {:?}", plan.mended);
    assert!(
        plan.todo[0].starts_with("ioc/iocBoot/iocA/st.cmd:5: drvAsynIPPortConfigure opens port L5"),
        "{:?}",
        plan.todo
    );
    assert!(plan.todo[2].contains("st.cmd:6: the address of port L6 cannot be told apart"), "{:?}", plan.todo);
    assert!(plan.todo[1].contains("st.cmd:4: the address of port L4 cannot be told apart"), "{:?}", plan.todo);
}
