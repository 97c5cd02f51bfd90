//! The Python that runs test scripts.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::Result;

use tool_base::process::Cmd;
use tool_base::{fail, process};
use tool_project::Project;

/// The Python that runs test scripts.
pub fn python() -> Result<PathBuf> {
    // Asked for twice before a run, by the lint and the driver.
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND.get_or_init(|| process::which("python3").map(behind_shim)).clone().ok_or_else(|| {
        fail::host("`python3` was not found: it runs the test scripts")
            .hint("install Python 3.9 or newer, for example: sudo apt-get install python3")
            .into()
    })
}

/// Where Python keeps what it compiles of the driver.
pub fn pycache(project: &Project) -> PathBuf {
    project.target.join("pycache")
}

/// What a shim stands for: those of pyenv are shell scripts that take longer than Python itself, at every start.
fn behind_shim(found: PathBuf) -> PathBuf {
    let mut start = [0; 2];
    let script = File::open(&found).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *b"#!";
    if !script {
        return found;
    }
    let asked = Cmd::new(&found).args(["-S", "-c", "import sys; print(sys.executable)"]).read();
    asked.map(|path| PathBuf::from(path.trim())).ok().filter(|path| path.is_file()).unwrap_or(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shim_is_asked_what_it_stands_for() {
        let dir = tempfile::tempdir().unwrap();
        let python = process::which("python3").unwrap();
        let shim = |name: &str, text: String| {
            let path = dir.path().join(name);
            let line = r#"printf '%s' "$1" > "$2"; chmod 755 "$2""#;
            // Written by another process: a file that is open here for writing cannot be run.
            Cmd::new("sh").args(["-c", line, "sh", &text]).arg(&path).read().unwrap();
            behind_shim(path)
        };
        let real = shim("python3", format!("#!/bin/sh\nexec '{}' \"$@\"\n", python.display()));
        assert!(real.is_file() && real.parent() != Some(dir.path()), "{}", real.display());
        let broken = shim("broken", "#!/bin/sh\nexit 3\n".to_owned());
        assert_eq!(broken, dir.path().join("broken"));
    }
}
