//! Machines of a NixOS test for the sandbox: the units, files and accounts of its evaluated configuration.
//!
//! `tool/nix/sandbox.nix` says what belongs to the check; building the file that it writes brings all programs along.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::run::{Session, Step};
use super::{Build, Nix, git, require_nix_files};
use crate::options::NixOptions;
use tool_base::fail::{Failure, Status};
use tool_base::{fail, ui};
use tool_init::unit::limits;
use tool_init::unit::load::check_text;
use tool_init::unit::template;
use tool_project::settings::Services;
use tool_project::{Check, Project, valid_name};
use tool_sandbox::accounts;
use tool_sandbox::accounts::Accounts;
use tool_sandbox::spec::{Bind, Etc, MachineSpec, UnitFile};

/// What Nix says of one check.
#[derive(Debug, Clone)]
pub struct Evaluated {
    /// The test script, where `checks/NAME.nix` does not read `checks/NAME.py`.
    pub script: String,
    /// Limit of the script in seconds: `globalTimeout`.
    pub timeout: Option<u64>,
    /// Its machines.
    pub machines: Vec<MachineSpec>,
}

/// The file that `tool/nix/sandbox.nix` writes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    script: String,
    timeout: Option<u64>,
    store_dir: PathBuf,
    machines: BTreeMap<String, Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    vlans: Vec<u8>,
    tools: PathBuf,
    variables: BTreeMap<String, String>,
    units: BTreeMap<String, Unit>,
    etc: BTreeMap<PathBuf, EtcFile>,
    users: BTreeMap<String, User>,
    groups: BTreeMap<String, Group>,
    unheard: Vec<Unheard>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Unit {
    text: String,
    enable: bool,
    drop_in: bool,
    wanted_by: Vec<String>,
    required_by: Vec<String>,
    aliases: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct EtcFile {
    source: PathBuf,
    mode: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    uid: Option<u32>,
    group: String,
    home: String,
    create_home: bool,
    normal: bool,
    shell: String,
    groups: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Group {
    gid: Option<u32>,
    members: Vec<String>,
}

/// Settings of an option that the sandbox does not honour.
#[derive(Debug, Deserialize)]
struct Unheard {
    option: String,
    names: Vec<String>,
}

/// Evaluates those of some checks whose settings say `services = "nixos"`, and builds what their units name.
/// Where there is none, Nix is not even looked for.
pub fn evaluate(project: &Project, options: &NixOptions, checks: &[Check]) -> Result<BTreeMap<String, Evaluated>> {
    let mut chosen = Vec::new();
    for check in checks {
        if check.settings()?.services == Services::Nixos {
            chosen.push(check.clone());
        }
    }
    let Some(first) = chosen.first().map(|check| check.name.clone()) else { return Ok(BTreeMap::new()) };
    let Ok(nix) = Nix::find(project, options) else {
        let what = format!("check `{first}` takes its services from Nix, which is not here");
        let hint = format!(
            "install Nix (https://nixos.org/download), or describe its machines for the sandbox: replace `services = \
             \"nixos\"` in checks/{first}.toml by [nodes.NAME], see tool/docs/checks.md"
        );
        return Err(fail::host(what).hint(hint).into());
    };
    require_nix_files(&chosen)?;
    git::see_to(&project.root, &chosen, options.track)?;
    let names: Vec<&str> = chosen.iter().map(|check| check.name.as_str()).collect();
    let from: Vec<String> = names.iter().map(|name| format!("checks/{name}.nix")).collect();
    let why = if names.len() == 1 { format!("checks/{first}.toml says so") } else { "their .toml files say so".into() };
    let said = format!("services from {}, evaluated by {} ({why})", from.join(", "), nix.version());
    ui::remark(&said);
    let attributes: Vec<String> = names.iter().map(|name| nix.services(name)).collect();
    let files = build(project, &nix, &attributes)?;
    let read = |(name, file): (&&str, &PathBuf)| {
        let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let file = serde_json::from_slice(&text)
            .with_context(|| format!("tool/nix/sandbox.nix and this xtask do not fit: {}", file.display()))?;
        Ok(((*name).to_owned(), convert(name, file)?))
    };
    names.iter().zip(&files).map(read).collect()
}

/// Builds attributes; the paths of their outputs.
fn build(project: &Project, nix: &Nix, attributes: &[String]) -> Result<Vec<PathBuf>> {
    // Ctrl-C is not taken over yet: it ends us, and Nix with us.
    let (_sender, interrupts) = channel();
    std::fs::create_dir_all(&project.target)?;
    let mut session = Session::new(nix, &interrupts, &project.target.join("nix-services.log"), false)?;
    let list = session.evaluate(attributes)?;
    let missing = session.missing(&list.iter().map(|d| d.out.as_str()).collect::<Vec<_>>())?;
    let todo: Vec<_> = list.iter().filter(|d| missing.contains(&d.out)).collect();
    if !todo.is_empty() {
        let built = session.build(&todo, Build::default(), |session, step| {
            if let Step::Line(_, line) = step {
                session.write(line);
            }
        })?;
        if built.end.code != 0 {
            return Err(built.failure().into());
        }
    }
    Ok(list.into_iter().map(|d| d.out.into()).collect())
}

/// The machines for the sandbox; what these cannot honour is an error that names all of it.
fn convert(check: &str, file: File) -> Result<Evaluated> {
    let place = format!("checks/{check}.nix");
    if file.machines.len() > 253 {
        return Err(fail::config(format!("{place}: more than 253 machines are no network")).into());
    }
    let mut problems = Vec::new();
    let mut machines = Vec::new();
    let mut limits = Vec::new();
    for ((name, node), number) in file.machines.into_iter().zip(1..) {
        if let Err(problem) = valid_name(&name) {
            problems.push(format!("machine `{name}`: {problem}"));
        }
        problems.extend(refusals(&node).into_iter().map(|problem| format!("machine `{name}`: {problem}")));
        limits.extend(node.units.iter().filter_map(|(unit, Unit { text, .. })| limits::warning(unit, text)));
        machines.push(machine(name, number, node, &file.store_dir));
    }
    if problems.is_empty() {
        for text in &limits {
            ui::warn(&format!("{place}: {text}"));
        }
        return Ok(Evaluated { script: file.script, timeout: file.timeout, machines });
    }
    let what = format!("{place}: the sandbox cannot do all of it\n{}", problems.join("\n"));
    Err(Failure::new(Status::Config, what).hint(format!("cargo xtask test {check} --backend nixos has it")).into())
}

/// What the sandbox does not honour of a machine.
fn refusals(node: &Node) -> Vec<String> {
    let unheard = node.unheard.iter().map(|u| format!("{}: {}", u.option, u.names.join(", ")));
    let vlans = node.vlans.iter().filter(|vlan| matches!(vlan, 0 | 255)).map(|vlan| format!("there is no VLAN {vlan}"));
    let whole = node.units.iter().filter(|(_, unit)| unit.enable && !unit.drop_in);
    let units = whole.filter_map(|(name, unit)| check_text(name, &unit.text, &[]).err());
    let drop_ins = node.units.iter().filter(|(_, unit)| unit.enable && unit.drop_in);
    let instances = drop_ins.filter_map(|(name, unit)| {
        let Some(whole) = template(name).and_then(|template| node.units.get(&template)) else {
            return Some(format!("{name}: it adds to a unit that the check does not bring along"));
        };
        check_text(name, &whole.text, &[("its drop-in", &unit.text)]).err()
    });
    unheard.chain(vlans).chain(units).chain(instances).collect()
}

fn machine(name: String, number: u8, node: Node, store: &Path) -> MachineSpec {
    let mut units = Vec::new();
    let mut etc = Vec::new();
    let mut link = |path: String, source: &str| {
        etc.push(Etc { path: Path::new("systemd/system").join(path), source: source.into(), mode: None });
    };
    for (name, unit) in node.units {
        if !unit.enable {
            link(name, "/dev/null");
            continue;
        }
        let file = template(&name).filter(|_| unit.drop_in).unwrap_or_else(|| name.clone());
        for (list, suffix) in [(&unit.wanted_by, "wants"), (&unit.required_by, "requires")] {
            for other in list {
                link(format!("{other}.{suffix}/{name}"), &format!("../{file}"));
            }
        }
        for alias in &unit.aliases {
            link(alias.clone(), &name);
        }
        let name = if unit.drop_in { format!("{name}.d/overrides.conf") } else { name };
        units.push(UnitFile { name, text: unit.text });
    }
    etc.extend(node.etc.into_iter().map(|(path, EtcFile { source, mode })| Etc {
        path,
        source,
        mode: u32::from_str_radix(&mode, 8).ok(),
    }));
    let here = |path: &Path| Bind { source: path.to_owned(), target: path.to_owned() };
    MachineSpec {
        recorders: Vec::new(),
        coverage: None,
        variables: node.variables,
        name,
        number,
        vlans: node.vlans,
        units,
        programs: Vec::new(),
        // Every machine sees /nix.
        binds: if store.starts_with("/nix") { Vec::new() } else { vec![here(store)] },
        tools: Some(node.tools),
        etc,
        accounts: accounts(&node.users, &node.groups),
    }
}

/// Gives numbers to those that have none, as NixOS does: ordinary users from 1000 up, all others from 999 down.
fn accounts(users: &BTreeMap<String, User>, groups: &BTreeMap<String, Group>) -> Accounts {
    let mut taken: BTreeSet<u32> = users.values().filter_map(|user| user.uid).collect();
    let mut uids = BTreeMap::new();
    for (name, user) in users {
        let uid = user.uid.or_else(|| {
            let mut free: Box<dyn Iterator<Item = u32>> =
                if user.normal { Box::new(1000..30_000) } else { Box::new((400..1000).rev()) };
            free.find(|uid| !taken.contains(uid))
        });
        let uid = uid.unwrap_or(65_534);
        taken.insert(uid);
        uids.insert(name, uid);
    }
    let mut gids: BTreeMap<&str, u32> = BTreeMap::from([("", 65_534)]);
    let named = users.values().flat_map(|user| user.groups.iter().chain([&user.group])).map(String::as_str);
    let mut open: BTreeSet<&str> = BTreeSet::new();
    for name in groups.keys().map(String::as_str).chain(named) {
        let usual = accounts::GROUPS.iter().find(|(usual, _)| *usual == name).map(|(_, gid)| *gid);
        let fixed = groups.get(name).and_then(|group| group.gid).or(usual);
        match fixed {
            Some(gid) => drop(gids.insert(name, gid)),
            None => drop(open.insert(name)),
        }
    }
    for name in open {
        if !gids.contains_key(name) {
            let gid = (400..1000).rev().find(|gid| !gids.values().any(|taken| taken == gid)).unwrap_or(65_534);
            gids.insert(name, gid);
        }
    }
    let members = |group: &str| {
        let own = users.iter().filter(|(_, user)| user.groups.iter().any(|g| g == group)).map(|(name, _)| name);
        let listed = groups.get(group).into_iter().flat_map(|group| &group.members);
        own.chain(listed).cloned().collect::<BTreeSet<_>>().into_iter().collect()
    };
    let user = |(name, user): (&String, &User)| accounts::User {
        name: name.clone(),
        uid: uids.get(name).copied().unwrap_or(65_534),
        gid: gids.get(user.group.as_str()).copied().unwrap_or(65_534),
        home: user.home.clone(),
        shell: if user.shell.is_empty() { "/bin/false".to_owned() } else { user.shell.clone() },
        make_home: user.create_home,
    };
    let own = gids.iter().filter(|(name, _)| !name.is_empty());
    Accounts {
        users: users.iter().map(user).collect(),
        groups: own
            .map(|(name, gid)| accounts::Group { name: (*name).to_owned(), gid: *gid, members: members(name) })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn unit(text: &str, rest: &Value) -> Value {
        let mut unit =
            json!({"text": text, "enable": true, "dropIn": false, "wantedBy": [], "requiredBy": [], "aliases": []});
        unit.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        unit
    }

    fn file(units: &Value, unheard: &Value) -> File {
        let node = json!({"vlans": [1], "tools": "/s/path", "variables": {"SITE": "lab"}, "units": units, "etc": {"a/b": {"source": "/s/b", "mode": "0440"}},
            "users": {}, "groups": {}, "unheard": unheard});
        let file = json!({"script": "x", "timeout": 900, "storeDir": "/s", "machines": {"machine": node}});
        serde_json::from_value(file).unwrap()
    }

    const RUN: &str = "[Service]\nExecStart=/s/run\n";

    #[test]
    fn units_become_files_and_links() {
        let units = json!({
            "a.service": unit(RUN, &json!({"wantedBy": ["multi-user.target"], "aliases": ["b.service"]})),
            "i@.service": unit(RUN, &json!({})),
            "i@1.service": unit("[Service]\nUser=me\n", &json!({"dropIn": true, "requiredBy": ["a.service"]})),
            "off.service": unit("", &json!({"enable": false})),
        });
        let machine = convert("web", file(&units, &json!([]))).unwrap().machines.remove(0);
        let names: Vec<&str> = machine.units.iter().map(|u| u.name.as_str()).collect();
        assert_eq!(names, ["a.service", "i@.service", "i@1.service.d/overrides.conf"]);
        let links: Vec<String> =
            machine.etc.iter().map(|e| format!("{} {} {:?}", e.path.display(), e.source.display(), e.mode)).collect();
        assert_eq!(
            links,
            [
                "systemd/system/multi-user.target.wants/a.service ../a.service None",
                "systemd/system/b.service a.service None",
                "systemd/system/a.service.requires/i@1.service ../i@.service None",
                "systemd/system/off.service /dev/null None",
                "a/b /s/b Some(288)",
            ]
        );
        assert_eq!(machine.binds[0].target, Path::new("/s"));
        assert_eq!(machine.variables["SITE"], "lab");
    }

    #[test]
    fn what_the_sandbox_cannot_do_is_named_all_at_once() {
        let units = json!({
            "a.service": unit("[Service]\nExecStart=/s/run\nBindPaths=/x\n", &json!({})),
            "a.timer": unit("[Timer]\n", &json!({})),
            "sshd@1.service": unit("[Service]\nUser=me\n", &json!({"dropIn": true})),
        });
        let unheard = json!([{"option": "systemd.tmpfiles.rules", "names": ["d /x", "d /y"]}]);
        let error = convert("web", file(&units, &unheard)).unwrap_err();
        insta::assert_snapshot!(fail::render(&error), @r"
        error: checks/web.nix: the sandbox cannot do all of it
        machine `machine`: systemd.tmpfiles.rules: d /x, d /y
        machine `machine`: a.service:3: directive `BindPaths` of [Service] is not known to the sandbox
        machine `machine`: a.timer: units of kind .timer are not offered by the sandbox (.service and .target are)
        machine `machine`: sshd@1.service: it adds to a unit that the check does not bring along

        hint: cargo xtask test web --backend nixos has it
        ");
        assert_eq!(fail::status(&error).code(), 3);
    }

    #[test]
    fn numbers_of_accounts_are_those_of_nixos() {
        let user = |uid, normal, group: &str| User {
            uid,
            normal,
            group: group.into(),
            groups: vec!["wheel".into(), "dialout".into()],
            ..User::default()
        };
        let users = BTreeMap::from([
            ("ann".to_owned(), user(None, true, "users")),
            ("bob".to_owned(), user(Some(1000), true, "users")),
            ("db".to_owned(), user(None, false, "db")),
        ]);
        let groups = BTreeMap::from([
            ("db".to_owned(), Group::default()),
            ("x".to_owned(), Group { gid: Some(7), members: vec!["bob".into()] }),
        ]);
        let accounts = accounts(&users, &groups);
        let users: Vec<_> = accounts.users.iter().map(|u| (u.name.as_str(), u.uid, u.gid)).collect();
        assert_eq!(users, [("ann", 1001, 100), ("bob", 1000, 100), ("db", 999, 999)]);
        let groups: Vec<_> =
            accounts.groups.iter().map(|g| format!("{}:{}:{}", g.name, g.gid, g.members.join(","))).collect();
        assert_eq!(groups, ["db:999:", "dialout:27:ann,bob,db", "users:100:", "wheel:1:ann,bob,db", "x:7:bob"]);
    }
}
