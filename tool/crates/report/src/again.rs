//! Commands that run a check again, or open it, as this run had it.

use tool_base::process::Cmd;

/// The options of this run that matter then.
#[derive(Debug, Clone, Default)]
pub struct Again {
    /// Where it runs: they matter when a check is opened, too. What follows `--` is for Nix.
    pub machine: Vec<String>,
    /// What its verdict depends on.
    pub limits: Vec<String>,
}

impl Again {
    /// Runs checks again.
    pub fn test(&self, names: &[&str], more: &[&str]) -> String {
        let more: Vec<&str> = self.limits.iter().map(String::as_str).chain(more.iter().copied()).collect();
        self.command("test", names, &more)
    }

    /// Opens a check.
    pub fn interactive(&self, name: &str) -> String {
        self.command("interactive", &[name], &[])
    }

    fn command(&self, verb: &str, names: &[&str], more: &[&str]) -> String {
        // What follows `--` comes last.
        let split = self.machine.iter().position(|word| word == "--").unwrap_or(self.machine.len());
        let (options, rest) = self.machine.split_at(split);
        Cmd::new("cargo").args(["xtask", verb]).args(names).args(options).args(more).args(rest).to_string()
    }
}
