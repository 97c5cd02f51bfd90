//! The ways to run checks, by name.

use serde::Serialize;

/// A backend to run checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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

    /// The backend of that name; `None` for `auto`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.name() == name)
    }

    /// The name that `--backend` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nixos => "nixos",
            Self::Driver => "driver",
            Self::Sandbox => "sandbox",
        }
    }
}
