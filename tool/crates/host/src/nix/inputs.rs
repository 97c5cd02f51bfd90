//! Whether the flake's inputs can be had: from the store, or over the network. Quick, and without evaluating the flake.
//!
//! Nix fetches only the inputs that it comes to use, and the lock file does not tell which these are. So an evaluation
//! that worked leaves a note of those that it could do without.

use std::collections::BTreeSet;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use tool_base::process::Cmd;
use tool_project::Project;

/// How long a server may take to answer, name service included.
const PATIENCE: Duration = Duration::from_millis(400);

/// File of the note in the target folder.
const NOTE: &str = "nix-inputs.json";
/// A hash of nothing that exists.
const NOBODYS: &str = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// Where the inputs can be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Inputs {
    /// All are in the store, or there are none.
    InStore,
    /// Some must be fetched, and their servers answer.
    Reachable,
    /// This input is not in the store, and its server does not answer: input and server.
    Missing(String, String),
    /// Nix cannot say: why.
    Unknown(String),
}

/// An input as the lock file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// Name of its node in the lock file.
    pub name: String,
    /// Hash of its files.
    pub hash: String,
    /// Server to fetch it from; none where it is fetched by other means than HTTP.
    pub host: Option<String>,
}

/// What an evaluation that worked leaves behind.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// Text of flake.lock.
    lock: String,
    /// Inputs that were not in the store even so.
    unused: Vec<String>,
}

/// Looks where the inputs of a project can be had. Takes a small part of a second.
pub fn look(project: &Project) -> Inputs {
    let look = || -> Result<Inputs> {
        let text = lock_file(&project.root)?;
        let inputs = locked(&text)?;
        let mut missing = missing(&inputs)?;
        if let Some(note) = note(&project.target).filter(|note| note.lock == text) {
            missing.retain(|input| !note.unused.contains(&input.name));
        }
        let hosts: BTreeSet<&str> = missing.iter().filter_map(|input| input.host.as_deref()).collect();
        let dead = unreachable(&hosts);
        let lost = missing.iter().find(|i| i.host.as_ref().is_none_or(|host| dead.contains(host)));
        Ok(match lost {
            _ if missing.is_empty() => Inputs::InStore,
            None => Inputs::Reachable,
            Some(input) => {
                Inputs::Missing(input.name.clone(), input.host.clone().unwrap_or_else(|| "its server".to_owned()))
            }
        })
    };
    // The command line, which has a line for each input, helps nobody.
    let first =
        |e: anyhow::Error| e.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    look().unwrap_or_else(|e| Inputs::Unknown(first(e)))
}

/// Notes which inputs an evaluation that has just worked could do without; once for each lock file.
pub fn remember(root: &Path, target: &Path) -> Result<()> {
    let lock = lock_file(root)?;
    if note(target).is_some_and(|note| note.lock == lock) {
        return Ok(());
    }
    let unused = missing(&locked(&lock)?)?.into_iter().map(|input| input.name.clone()).collect();
    std::fs::write(target.join(NOTE), serde_json::to_vec(&Note { lock, unused })?).context(NOTE)
}

fn note(target: &Path) -> Option<Note> {
    serde_json::from_slice(&std::fs::read(target.join(NOTE)).ok()?).ok()
}

fn lock_file(root: &Path) -> Result<String> {
    match std::fs::read_to_string(root.join("flake.lock")) {
        // Without inputs there is no lock file.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(r#"{"nodes":{}}"#.to_owned()),
        text => text.context("flake.lock"),
    }
}

/// Reads flake.lock.
pub fn locked(text: &str) -> Result<Vec<Locked>> {
    let lock: Value = serde_json::from_str(text).context("flake.lock is not JSON")?;
    let nodes = lock["nodes"].as_object().context("flake.lock has no nodes")?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Ok(nodes
        .iter()
        .filter_map(|(name, node)| {
            let locked = &node["locked"];
            // Of the root, and of inputs that are folders of the project, there is no hash.
            let hash = text(&locked["narHash"])?;
            let host = match locked["type"].as_str().unwrap_or_default() {
                "github" => text(&locked["host"]).or(Some("github.com".to_owned())),
                "gitlab" => text(&locked["host"]).or(Some("gitlab.com".to_owned())),
                "sourcehut" => text(&locked["host"]).or(Some("git.sr.ht".to_owned())),
                _ => host(locked["url"].as_str().unwrap_or_default()),
            };
            Some(Locked { name: name.clone(), hash, host })
        })
        .collect())
}

/// The server in an http or https URL.
fn host(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let place = rest.split(['/', '?', '#']).next()?.rsplit('@').next()?;
    let port = if scheme.ends_with("https") { "443" } else { "80" };
    match scheme {
        _ if place.is_empty() => None,
        "http" | "https" | "git+http" | "git+https" => {
            Some(if place.contains(':') { place.to_owned() } else { format!("{place}:{port}") })
        }
        _ => None,
    }
}

/// Which inputs are not in the store. Their hash settles their place in it, so that Nix need not fetch them to tell.
fn missing(inputs: &[Locked]) -> Result<Vec<&Locked>> {
    // One more, which nobody has: so the store is asked even where there are no inputs, and a dead daemon is noticed.
    let hashes: Vec<&str> = inputs.iter().map(|i| i.hash.as_str()).chain([NOBODYS]).collect();
    let list = serde_json::to_string(&hashes)?.replace("\",\"", "\" \"");
    let place = "hash: builtins.unsafeDiscardStringContext (derivation { name = \"source\"; system = \"x\"; \
                 builder = \"x\"; outputHash = hash; outputHashAlgo = \"sha256\"; outputHashMode = \"recursive\"; }).outPath";
    let json = Cmd::new("nix-instantiate")
        .args(["--eval", "--strict", "--json", "-E"])
        .arg(format!("map ({place}) {list}"))
        .read()?;
    let paths: Vec<String> = serde_json::from_str(&json)?;
    let invalid = Cmd::new("nix-store").args(["--check-validity", "--print-invalid"]).args(&paths).read()?;
    let invalid: BTreeSet<&str> = invalid.lines().collect();
    Ok(inputs.iter().zip(&paths).filter(|(_, path)| invalid.contains(path.as_str())).map(|(input, _)| input).collect())
}

/// Which servers do not answer in time. Asked all at once; a proxy answers for all of them.
fn unreachable(hosts: &BTreeSet<&str>) -> BTreeSet<String> {
    let proxy = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"].iter().find_map(|v| std::env::var(v).ok());
    let proxy = proxy.as_deref().and_then(host);
    let deadline = Instant::now() + PATIENCE;
    let (sender, answers) = channel();
    for name in hosts {
        let (name, sender) = ((*name).to_owned(), sender.clone());
        let target =
            proxy.clone().unwrap_or_else(|| if name.contains(':') { name.clone() } else { format!("{name}:443") });
        // Name service has no limit of its own: who comes too late is not waited for.
        std::thread::spawn(move || {
            let answers = |target: String| {
                target.to_socket_addrs().ok()?.find(|a| TcpStream::connect_timeout(a, PATIENCE).is_ok())
            };
            if answers(target).is_some() {
                let _ = sender.send(name);
            }
        });
    }
    drop(sender);
    let mut dead: BTreeSet<String> = hosts.iter().map(|name| (*name).to_owned()).collect();
    while !dead.is_empty()
        && let Ok(name) = answers.recv_timeout(deadline.saturating_duration_since(Instant::now()))
    {
        dead.remove(&name);
    }
    dead
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_templates_own_lock_file() {
        let inputs = locked(include_str!("flake.lock")).unwrap();
        let names: Vec<&str> = inputs.iter().map(|i| i.name.as_str()).collect();
        assert!(names.contains(&"epnix") && names.contains(&"nixpkgs"), "{names:?}");
        assert!(inputs.iter().all(|i| i.hash.starts_with("sha256-") && i.host.as_deref() == Some("github.com")));
        assert!(locked("{}").is_err() && locked("").is_err());
    }

    #[test]
    fn servers_of_urls() {
        assert_eq!(host("https://git.example.org/a/b?ref=c").as_deref(), Some("git.example.org:443"));
        assert_eq!(host("git+http://user@git.example.org:8080/a").as_deref(), Some("git.example.org:8080"));
        for other in ["ssh://git@example.org/a", "file:///a", "nonsense", "https://"] {
            assert_eq!(host(other), None, "{other}");
        }
    }

    #[test]
    fn a_server_that_answers_is_told_from_one_that_does_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let alive = listener.local_addr().unwrap().to_string();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap();
        let dead = closed.local_addr().unwrap().to_string();
        drop(closed);
        let hosts = BTreeSet::from([alive.as_str(), dead.as_str()]);
        assert_eq!(unreachable(&hosts), BTreeSet::from([dead.clone()]));
    }
}
