//! The ways to run checks, by name.

use serde::de::IntoDeserializer;
use serde::{Deserialize, Deserializer, Serialize};

/// A backend to run checks. Where one may be named, `None` is `auto`: the best that this host can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// NixOS test in a build.
    Nixos,
    /// NixOS test as the user.
    Driver,
    /// Namespaces.
    Sandbox,
}

impl Choice {
    /// All of them, the best first.
    pub const ALL: [Self; 3] = [Self::Nixos, Self::Driver, Self::Sandbox];

    /// The name that `--backend` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nixos => "nixos",
            Self::Driver => "driver",
            Self::Sandbox => "sandbox",
        }
    }

    /// Reads the name of a backend, or `auto`.
    pub(crate) fn or_auto<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Self>, D::Error> {
        let name = String::deserialize(value)?;
        if name == "auto" { Ok(None) } else { Self::deserialize(name.into_deserializer()).map(Some) }
    }
}
