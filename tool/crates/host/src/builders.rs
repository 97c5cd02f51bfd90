//! Who builds for Nix, and whether they can build a derivation: this machine, and the lines of `builders`.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::kvm::{self, Known};
use crate::nix;
use crate::nix::facts::Builders;
use tool_base::host::Host;
use tool_base::process::Cmd;

/// Files that name each other deeper than this are taken for a circle.
const DEPTH: usize = 16;

/// A machine that builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Builder {
    /// Its address.
    pub name: String,
    /// Systems that it builds for.
    pub systems: Vec<String>,
    /// Features that it has.
    pub features: Vec<String>,
    /// Those of its features without which a derivation is not given to it.
    pub mandatory: Vec<String>,
}

/// What a derivation asks of its builder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// Its system.
    pub system: String,
    /// `requiredSystemFeatures`.
    pub features: Vec<String>,
}

/// Why nobody can build a derivation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// No builder is of its system.
    System,
    /// The builders of its system lack these features.
    Features(Vec<String>),
}

/// What `nix show-config --json` prints, as far as it matters.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct NixSettings {
    system: Setting<String>,
    #[serde(default)]
    extra_platforms: Setting<Vec<String>>,
    system_features: Setting<Vec<String>>,
    max_jobs: Setting<u64>,
    builders: Setting<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Setting<T> {
    value: T,
}

impl Builder {
    fn can(&self, needs: &Needs) -> bool {
        self.is_of(&needs.system)
            && self.missing(needs).is_empty()
            && self.mandatory.iter().all(|feature| needs.features.contains(feature))
    }

    fn is_of(&self, system: &str) -> bool {
        // Nix builds these itself: it fetches a file by them.
        system == "builtin" || self.systems.iter().any(|own| own == system)
    }

    fn missing(&self, needs: &Needs) -> Vec<String> {
        let has = |feature: &&String| self.features.contains(feature) || self.mandatory.contains(feature);
        needs.features.iter().filter(|feature| !has(feature)).cloned().collect()
    }
}

impl std::fmt::Display for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let features = [self.features.as_slice(), self.mandatory.as_slice()].concat();
        write!(f, "{} builds {} with {{{}}}", self.name, self.systems.join(", "), features.join(", "))
    }
}

/// Why none of the builders can build it; `None` where one can.
pub fn lack(builders: &[Builder], needs: &Needs) -> Option<Lack> {
    if builders.iter().any(|builder| builder.can(needs)) {
        return None;
    }
    let missing = builders.iter().filter(|b| b.is_of(&needs.system)).map(|b| b.missing(needs));
    Some(missing.min_by_key(Vec::len).map_or(Lack::System, Lack::Features))
}

/// Reads who builds. `show` is `nix show-config --json` with all that a build would be given.
///
/// # Errors
/// Where Nix does not print its settings.
pub fn read(show: Cmd) -> Result<Vec<Builder>> {
    let host = Host::new("/".as_ref());
    // A daemon hears no features of its clients, and its own of KVM depend on what it may open.
    let asks_a_daemon = |nix: &nix::facts::Nix| match host.env("NIX_REMOTE") {
        Some(remote) => remote == "daemon",
        None => host.uid != 0 && nix.builders != Builders::Caller,
    };
    let facts = nix::read::nix(&host).filter(asks_a_daemon).map(|_| kvm::read::facts(&host));
    let show = match facts {
        Some(_) => show.env("NIX_USER_CONF_FILES", "").env("NIX_CONFIG", ""),
        None => show,
    };
    let json = show.read()?;
    let mut settings: NixSettings =
        serde_json::from_str(&json).with_context(|| format!("`{show}` printed no settings"))?;
    if let Some((facts, nix)) = facts.as_ref().and_then(|facts| Some((facts, facts.nix.as_ref()?))) {
        let features = &mut settings.system_features.value;
        features.retain(|feature| feature != "kvm");
        if kvm::diagnose::advertised(facts, nix).answer == Known::Yes {
            features.push("kvm".to_owned());
        }
    }
    Ok(of_settings(settings, &|file| fs::read_to_string(file).ok()))
}

fn of_settings(settings: NixSettings, read: &dyn Fn(&str) -> Option<String>) -> Vec<Builder> {
    let NixSettings { system, extra_platforms, system_features, max_jobs, builders } = settings;
    let mut all = Vec::new();
    if max_jobs.value > 0 {
        let mut systems = vec![system.value.clone()];
        systems.extend(extra_platforms.value);
        let features = system_features.value;
        all.push(Builder { name: "this machine".to_owned(), systems, features, mandatory: Vec::new() });
    }
    machines(&builders.value, &system.value, read, 0, &mut all);
    all
}

/// Reads lines of machines; `@FILE` stands for the lines of a file.
fn machines(text: &str, here: &str, read: &dyn Fn(&str) -> Option<String>, depth: usize, all: &mut Vec<Builder>) {
    for line in text.split(['\n', ';']).map(|line| line.split('#').next().unwrap_or_default().trim()) {
        if let Some(file) = line.strip_prefix('@') {
            if depth < DEPTH {
                machines(&read(file).unwrap_or_default(), here, read, depth + 1, all);
            }
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(name) = words.first() else { continue };
        // `-` stands for what is usual.
        let list = |at: usize| {
            let word = words.get(at).filter(|word| **word != "-")?;
            Some(word.split(',').filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect::<Vec<_>>())
        };
        all.push(Builder {
            name: (*name).to_owned(),
            systems: list(1).unwrap_or_else(|| vec![here.to_owned()]),
            features: list(5).unwrap_or_default(),
            mandatory: list(6).unwrap_or_default(),
        });
    }
}

/// What derivations need, by their names: out of what `nix show-derivation` prints.
///
/// # Errors
/// Where that is no list of derivations.
pub fn needs(json: &str) -> Result<BTreeMap<String, Needs>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Row {
        system: String,
        #[serde(default)]
        env: BTreeMap<String, Value>,
        #[serde(default)]
        structured_attrs: Value,
    }
    let mut all: Value = serde_json::from_str(json)?;
    // Since 2.32 they are one level deeper.
    if let Some(deeper) = all.get_mut("derivations") {
        all = deeper.take();
    }
    let rows: BTreeMap<String, Row> = serde_json::from_value(all)?;
    let features = |row: &Row| {
        let told: Option<Value> =
            row.env.get("__json").and_then(Value::as_str).and_then(|s| serde_json::from_str(s).ok());
        let structured = told.as_ref().unwrap_or(&row.structured_attrs);
        match row.env.get("requiredSystemFeatures").or_else(|| structured.get("requiredSystemFeatures")) {
            Some(Value::String(words)) => words.split_whitespace().map(ToOwned::to_owned).collect(),
            Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect(),
            _ => Vec::new(),
        }
    };
    // Newer ones leave the store's folder out.
    let file = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    Ok(rows
        .iter()
        .map(|(path, row)| (file(path), Needs { system: row.system.clone(), features: features(row) }))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(ToOwned::to_owned).collect()
    }

    fn builders(max_jobs: u64, lines: &str) -> Vec<Builder> {
        let json = format!(
            r#"{{"system":{{"value":"x86_64-linux"}},"extra-platforms":{{"value":["i686-linux"]}},"system-features":{{"value":["nixos-test"]}},
               "max-jobs":{{"value":{max_jobs}}},"builders":{{"value":{lines:?}}},"sandbox":{{"value":true}}}}"#
        );
        let read = |file: &str| (file == "/etc/nix/machines").then(|| "ssh://b - - 4\n@/etc/nix/machines\n".to_owned());
        of_settings(serde_json::from_str(&json).unwrap(), &read)
    }

    fn needs_of(system: &str, features: &str) -> Needs {
        Needs { system: system.to_owned(), features: words(features) }
    }

    #[test]
    fn machines_are_read_as_nix_reads_them() {
        let line = "# a comment\n ssh-ng://a aarch64-linux,armv7l-linux /key 8 2 nixos-test,kvm big-parallel ; @/etc/nix/machines\n@/missing";
        let all = builders(1, line);
        assert_eq!(
            all[1],
            Builder {
                name: "ssh-ng://a".to_owned(),
                systems: words("aarch64-linux armv7l-linux"),
                features: words("nixos-test kvm"),
                mandatory: words("big-parallel"),
            }
        );
        assert_eq!(all[2].systems, ["x86_64-linux"]);
        assert_eq!(all.iter().skip(2).filter(|b| b.name == "ssh://b").count(), all.len() - 2);
        assert_eq!(all[0].to_string(), "this machine builds x86_64-linux, i686-linux with {nixos-test}");
        assert!(builders(0, "").is_empty());
    }

    #[test]
    fn what_nobody_can_build_is_told_with_what_is_missing() {
        let kvm = || needs_of("x86_64-linux", "kvm nixos-test");
        assert_eq!(lack(&builders(1, ""), &kvm()), Some(Lack::Features(words("kvm"))));
        assert_eq!(lack(&builders(1, ""), &needs_of("x86_64-linux", "nixos-test")), None);
        assert_eq!(lack(&builders(1, ""), &needs_of("i686-linux", "")), None);
        assert_eq!(lack(&builders(1, ""), &needs_of("builtin", "")), None);
        assert_eq!(lack(&builders(1, ""), &needs_of("aarch64-linux", "kvm")), Some(Lack::System));
        // A farm has what is missing here, but takes only what asks for its mandatory feature.
        let farm = "ssh://farm x86_64-linux - 1 1 nixos-test,kvm";
        assert_eq!(lack(&builders(1, farm), &kvm()), None);
        assert_eq!(lack(&builders(0, &format!("{farm} gpu")), &kvm()), Some(Lack::Features(Vec::new())));
        assert_eq!(lack(&builders(0, &format!("{farm} gpu")), &needs_of("x86_64-linux", "kvm gpu")), None);
        assert_eq!(lack(&[], &kvm()), Some(Lack::System));
    }

    #[test]
    fn needs_of_old_and_new_derivations() {
        let rows = [
            r#"{"/nix/store/x-a.drv":{"system":"x86_64-linux","env":{"requiredSystemFeatures":"kvm nixos-test"}}}"#,
            r#"{"/nix/store/x-a.drv":{"system":"x86_64-linux","env":{"__json":"{\"requiredSystemFeatures\":[\"kvm\",\"nixos-test\"]}"}}}"#,
            r#"{"version":4,"derivations":{"x-a.drv":{"system":"x86_64-linux","env":{},"structuredAttrs":{"requiredSystemFeatures":["kvm","nixos-test"]}}}}"#,
        ];
        for row in rows {
            assert_eq!(needs(row).unwrap()["x-a.drv"], needs_of("x86_64-linux", "kvm nixos-test"), "{row}");
        }
        assert_eq!(needs(r#"{"/s/x-a.drv":{"system":"s","env":{}}}"#).unwrap()["x-a.drv"], needs_of("s", ""));
        assert!(needs("").is_err());
    }
}
