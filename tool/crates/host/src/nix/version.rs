//! Which Nix this is.

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
}
