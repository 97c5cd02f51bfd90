//! Nix's version and settings, whichever Nix it is.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Deserialize;

use crate::process::Cmd;

/// Which Nix this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// `Nix`, `Lix` or `Determinate Nix`.
    pub flavour: &'static str,
    /// Version of Nix, or of the Nix that it is like: major and minor number.
    pub number: (u32, u32),
}

impl Version {
    /// Reads what `nix --version` prints: `nix (Nix) 2.8.0`, `nix (Lix, like Nix) 2.91.1`,
    /// `nix (Determinate Nix 3.6.2) 2.29.0`.
    pub fn parse(text: &str) -> Self {
        let flavour = match text {
            _ if text.contains("Lix") => "Lix",
            _ if text.contains("Determinate") => "Determinate Nix",
            _ => "Nix",
        };
        let last = text.split_whitespace().next_back().unwrap_or_default();
        let mut parts = last.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
        Self { flavour, number: (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) }
    }

    /// Whether it is this version or a later one.
    pub fn at_least(&self, major: u32, minor: u32) -> bool {
        self.number >= (major, minor)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}.{}", self.flavour, self.number.0, self.number.1)
    }
}

/// The settings that matter here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// What builds on this machine may ask for: `kvm`, `nixos-test`, …
    pub system_features: Vec<String>,
    /// Group of the users that build; empty where the caller builds.
    pub build_users_group: String,
}

/// Asks Nix for its settings: `config show`, or `show-config` before 2.20.
pub fn read(version: &Version) -> Result<Settings> {
    let words: &[&str] = if version.at_least(2, 20) { &["config", "show"] } else { &["show-config"] };
    let cmd = Cmd::new("nix").args(words).args(["--json", "--extra-experimental-features", "nix-command flakes"]);
    parse(&cmd.read()?)
}

/// Reads the settings from Nix's JSON.
pub fn parse(json: &str) -> Result<Settings> {
    #[derive(Deserialize)]
    struct Setting {
        value: serde_json::Value,
    }
    let settings: BTreeMap<String, Setting> = serde_json::from_str(json)?;
    let value = |name| settings.get(name).map(|setting| &setting.value);
    let mut system_features: Vec<String> = match value("system-features") {
        Some(serde_json::Value::Array(list)) => list.iter().filter_map(|v| Some(v.as_str()?.to_owned())).collect(),
        Some(serde_json::Value::String(words)) => words.split_whitespace().map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    system_features.sort();
    let build_users_group = value("build-users-group").and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    Ok(Settings { system_features, build_users_group })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_every_nix() {
        let read = |text| Version::parse(text).to_string();
        assert_eq!(read("nix (Nix) 2.8.0"), "Nix 2.8");
        assert_eq!(read("nix (Nix) 2.32pre20251020_abc"), "Nix 2.32");
        assert_eq!(read("nix (Lix, like Nix) 2.91.1"), "Lix 2.91");
        assert_eq!(read("nix (Determinate Nix 3.6.2) 2.29.0"), "Determinate Nix 2.29");
        assert_eq!(read(""), "Nix 0.0");
        assert!(Version::parse("nix (Nix) 2.15.0").at_least(2, 15));
        assert!(!Version::parse("nix (Nix) 2.8.0").at_least(2, 15));
    }

    #[test]
    fn features_are_a_list_or_words() {
        let list =
            r#"{"system-features":{"value":["nixos-test","kvm"],"aliases":[]},"build-users-group":{"value":"nixbld"}}"#;
        let words = r#"{"system-features":{"value":"nixos-test kvm"},"build-users-group":{"value":"nixbld"}}"#;
        let want =
            Settings { system_features: vec!["kvm".into(), "nixos-test".into()], build_users_group: "nixbld".into() };
        assert_eq!(parse(list).unwrap(), want);
        assert_eq!(parse(words).unwrap(), want);
        assert!(parse("warning: not json").is_err());
    }
}
