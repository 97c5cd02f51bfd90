//! The structure of the tool, as its sources have it.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use regex_lite::Regex;
use walkdir::WalkDir;

/// A module of a crate, by its path; the crate itself has none.
type Module = Vec<String>;

/// Each path of what follows `use`: braces, also those within braces, stand for several.
fn paths(tree: &str) -> Vec<String> {
    let Some((before, inner)) = tree.split_once('{') else { return vec![tree.trim().to_owned()] };
    let inner = &inner[..inner.rfind('}').unwrap_or(inner.len())];
    let mut depth = 0;
    let parts = inner.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    parts
        .filter(|part| !part.trim().is_empty())
        .flat_map(|part| paths(&format!("{}{}", before.trim(), part.trim())))
        .collect()
}

/// The modules of a crate with their texts; tests are left out.
fn texts(src: &Path) -> BTreeMap<Module, String> {
    let test_only = Regex::new(r"#\[cfg\(test\)\]\n(?:mod tests|impl)").unwrap();
    let mut all = BTreeMap::new();
    for entry in WalkDir::new(src)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.path().extension().is_some_and(|kind| kind == "rs"))
    {
        let file = entry.path().strip_prefix(src).unwrap().with_extension("");
        let mut module: Module = file.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        module.retain(|part| !["mod", "lib", "main"].contains(&part.as_str()));
        if !module.iter().any(|part| part == "tests") {
            let text = fs::read_to_string(entry.path()).unwrap();
            let text = test_only.split(&text).next().unwrap();
            all.insert(
                module,
                text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n"),
            );
        }
    }
    all
}

/// Which modules each module uses: those that have what it names, also where another one passes that on (`pub use`).
fn uses(src: &Path) -> BTreeSet<(Module, Module)> {
    let texts = texts(src);
    let passed_on = Regex::new(r"(?m)^\s*pub(?:\([a-z]+\))? use ([^;]+);").unwrap();
    let item =
        Regex::new(r"(?m)^pub (?:const |async |unsafe )*(?:fn|struct|enum|trait|type|const|static|mod) (\w+)").unwrap();
    // What a name in a module stands for.
    let mut names: BTreeMap<(Module, String), Module> = BTreeMap::new();
    for (module, text) in &texts {
        for path in passed_on.captures_iter(text).flat_map(|found| paths(&found[1])) {
            let words: Vec<&str> = path.split("::").skip_while(|word| ["self", "crate"].contains(word)).collect();
            let base = if path.starts_with("crate") { Vec::new() } else { module.clone() };
            let (last, own) = words.split_last().unwrap();
            let own: Module = base.into_iter().chain(own.iter().map(|word| (*word).to_owned())).collect();
            let Some(from) = texts.get(&own).filter(|_| own != *module) else { continue };
            let all = item.captures_iter(from).map(|found| found[1].to_owned());
            let passed: Vec<String> =
                if *last == "*" { all.collect() } else { vec![last.split(" as ").last().unwrap().to_owned()] };
            names.extend(passed.into_iter().map(|name| ((module.clone(), name), own.clone())));
        }
    }
    let path = Regex::new(r"\b((?:crate|super)(?:::super)*(?:::\w+)*)(::\{[^;]*\})?").unwrap();
    let mut uses = BTreeSet::new();
    for (module, text) in &texts {
        for found in path.captures_iter(text) {
            for path in paths(&format!("{}{}", &found[1], found.get(2).map_or("", |rest| rest.as_str()))) {
                let mut at = module.clone();
                for word in path.split("::") {
                    let next = || at.iter().cloned().chain([word.to_owned()]).collect::<Module>();
                    match word {
                        "crate" => at.clear(),
                        "super" => drop(at.pop()),
                        _ if texts.contains_key(&next()) => at = next(),
                        _ => {
                            if let Some(own) = names.get(&(at.clone(), word.to_owned())) {
                                at.clone_from(own);
                            }
                            break;
                        }
                    }
                }
                uses.insert((module.clone(), at));
            }
        }
    }
    uses
}

/// Modules side by side that use each other in a circle, with what they hold below them.
fn circles(uses: &BTreeSet<(Module, Module)>) -> Vec<BTreeSet<(Module, Module)>> {
    let mut levels: BTreeMap<Module, BTreeSet<(Module, Module)>> = BTreeMap::new();
    for (from, to) in uses {
        let same = from.iter().zip(to).take_while(|(a, b)| a == b).count();
        if same < from.len() && same < to.len() {
            let siblings = (from[..=same].to_vec(), to[..=same].to_vec());
            levels.entry(from[..same].to_vec()).or_default().insert(siblings);
        }
    }
    for level in levels.values_mut() {
        // Take away those that use nothing that is left, until none is.
        loop {
            let left: BTreeSet<Module> = level.iter().map(|(from, _)| from.clone()).collect();
            let before = level.len();
            level.retain(|(_, to)| left.contains(to));
            if level.len() == before {
                break;
            }
        }
    }
    levels.into_values().filter(|level| !level.is_empty()).collect()
}

#[test]
fn modules_of_a_crate_use_each_other_one_way() {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut crates: Vec<_> = fs::read_dir(tool.join("crates")).unwrap().map(|entry| entry.unwrap().path()).collect();
    crates.push(tool.join("embedded"));
    let (mut seen, mut wrong) = (0, Vec::new());
    for folder in crates {
        let uses = uses(&folder.join("src"));
        seen += uses.len();
        wrong.extend(circles(&uses).into_iter().map(|circle| (folder.clone(), circle)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen > 400, "only {seen} uses are seen");
}

#[test]
fn a_use_is_seen_however_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        fs::create_dir_all(dir.path().join(file).parent().unwrap()).unwrap();
        fs::write(dir.path().join(file), text).unwrap();
    };
    write("lib.rs", "pub use d::*;\npub use self::e::Out;");
    write("a.rs", "use crate::{b::{inner::X, self}, c};\n#[cfg(test)]\nmod tests { use crate::e; }");
    write("b/mod.rs", "fn f() { crate::Out::g() }");
    write("b/inner.rs", "use super::other::y; use super::super::Thing;\n// crate::c");
    write("b/other.rs", "use super::inner;");
    write("c.rs", "");
    write("d.rs", "pub struct Thing;");
    write("e.rs", "use crate::a;");
    let seen = uses(dir.path());
    let of = |name: &str| {
        let path = |name: &str| name.split("::").map(str::to_owned).collect::<Module>();
        seen.iter().filter(|(from, _)| *from == path(name)).map(|(_, to)| to.join("::")).collect::<Vec<_>>()
    };
    assert_eq!(of("a"), ["b", "b::inner", "c"]);
    assert_eq!((of("b"), of("b::inner")), (vec!["e".into()], vec!["b::other".to_owned(), "d".into()]));
    let circles: Vec<usize> = circles(&seen).iter().map(BTreeSet::len).collect();
    assert_eq!(circles, [3, 2], "a, b and e; in b, inner and other");
}
