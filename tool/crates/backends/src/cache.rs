//! Built programs in the user's cache folder, so that no clone waits for what another one has built.
//!
//! An entry is a folder named by a key. It is made elsewhere and renamed, so it is whole or not there, whoever builds at the same time.
//! Nothing is taken that somebody else could have written.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use tool_base::fail;
use tool_base::host::Host;
use tool_base::process::{Cmd, quote};

/// Switches the cache off.
const OFF: &str = "XTASK_NO_CACHE";

/// Bytes that are kept; an entry has some 60 million.
const LIMIT: u64 = 512 << 20;

/// Hashes of an entry's files, as `sha256sum` writes and reads them.
const SUMS: &str = "SHA256SUMS";

/// What a builder left that was killed is older than this.
const STALE: Duration = Duration::from_hours(24);

/// A folder of entries, of one user.
pub(crate) struct Cache {
    folder: PathBuf,
    uid: u32,
}

impl Cache {
    /// That of the caller, where there is one and it is not switched off.
    pub(crate) fn of(host: &Host) -> Option<Self> {
        let given = host.env("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let folder = given.or_else(|| Some(Path::new(host.env("HOME")?).join(".cache")))?;
        host.env(OFF).is_none().then(|| Self { folder: folder.join("cargo-xtask-ioc"), uid: host.uid })
    }

    /// Copies an entry to a folder that is not there yet: whether there was one. What is broken is removed.
    pub(crate) fn take(&self, key: &str, to: &Path) -> Result<bool> {
        let entry = self.folder.join(key);
        if !entry.is_dir() {
            return Ok(false);
        }
        self.own(&self.folder)?;
        self.own(&entry)?;
        for name in names(&entry)? {
            self.own(&entry.join(name))?;
        }
        let check = sums().args(["--check", "--strict", "--quiet", SUMS]).cwd(to);
        let output = copy(&entry, to).and_then(|()| check.output());
        if !output.as_ref().is_ok_and(|output| output.status.success()) {
            let _ = fs::remove_dir_all(to);
        }
        // A full disk here says nothing of the entry.
        if !output?.status.success() {
            let _ = fs::remove_dir_all(&entry);
            anyhow::bail!("{} was broken, and is removed", entry.display());
        }
        used(&entry);
        Ok(true)
    }

    /// Keeps the files of a folder as an entry, and drops the least recently used ones beyond the limit.
    pub(crate) fn keep(&self, key: &str, files: &Path) -> Result<()> {
        let parent = self.folder.parent().unwrap_or(&self.folder);
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        // `sudo` with the home of another user must not leave root's folders there.
        if parent.metadata()?.uid() != self.uid {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        self.own(&self.folder)?;
        let (entry, part) = (self.folder.join(key), self.folder.join(format!("{key}.{}.part", std::process::id())));
        if !entry.exists() {
            let made = copy(files, &part).and_then(|()| {
                let names = names(&part)?;
                fs::write(part.join(SUMS), sums().args(names).cwd(&part).read()? + "\n")?;
                // Another builder may have been first.
                let _ = fs::rename(&part, &entry);
                Ok(())
            });
            let _ = fs::remove_dir_all(&part);
            made?;
        }
        used(&entry);
        self.shrink(LIMIT);
        Ok(())
    }

    /// That nobody else can have written this.
    fn own(&self, path: &Path) -> Result<()> {
        const OTHERS: u32 = 0o022;
        let data = path.symlink_metadata()?;
        if data.uid() == self.uid && data.mode() & OTHERS == 0 && !data.is_symlink() {
            return Ok(());
        }
        let what = format!("the cache is not used: others than you can write to {}", path.display());
        Err(fail::host(what).hint(format!("rm -r {}", quote(self.folder.as_os_str()))).into())
    }

    /// Removes entries until the others have no more than so many bytes.
    fn shrink(&self, limit: u64) {
        let mut left = limit;
        for (path, at, size) in self.entries() {
            let part = path.extension().is_some_and(|own| own == "part");
            if part && at.elapsed().is_ok_and(|age| age < STALE) {
                continue;
            }
            match left.checked_sub(size) {
                Some(rest) if !part => left = rest,
                _ => drop(fs::remove_dir_all(path)),
            }
        }
    }

    /// The entries with the time of their last use and their bytes, the last one first.
    fn entries(&self) -> Vec<(PathBuf, SystemTime, u64)> {
        let listed = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
        let mut all: Vec<_> = listed(&self.folder)
            .filter_map(|entry| {
                let bytes = listed(&entry.path()).filter_map(|file| Some(file.metadata().ok()?.len())).sum();
                Some((entry.path(), entry.metadata().ok()?.modified().ok()?, bytes))
            })
            .collect();
        all.sort_by_key(|(_, at, _)| std::cmp::Reverse(*at));
        all
    }

    /// What `doctor` says of it.
    pub(crate) fn told(&self) -> String {
        let (mut entries, mib) = (self.entries(), |bytes: u64| bytes.div_ceil(1 << 20));
        entries.retain(|(path, ..)| path.extension().is_none());
        let bytes = entries.iter().map(|(_, _, bytes)| bytes).sum();
        let (count, folder) = (entries.len(), self.folder.display());
        format!(
            "{count} builds of the soft IOC, {} of {} MiB, in {folder}; {OFF}=1 switches it off",
            mib(bytes),
            mib(LIMIT)
        )
    }
}

/// Copies a folder of files to a new folder.
fn copy(from: &Path, to: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).create(to).with_context(|| format!("cannot create {}", to.display()))?;
    for name in names(from)? {
        fs::copy(from.join(&name), to.join(&name))
            .with_context(|| format!("cannot copy {name} to {}", to.display()))?;
    }
    Ok(())
}

/// The names of the files in a folder.
fn names(folder: &Path) -> Result<Vec<String>> {
    let names: Result<Vec<_>, _> = fs::read_dir(folder)?.map(|entry| entry.map(|own| own.file_name())).collect();
    names?
        .into_iter()
        .map(|name| name.into_string().map_err(|name| anyhow::anyhow!("odd name {}", name.display())))
        .collect()
}

fn sums() -> Cmd {
    Cmd::new("sha256sum")
}

/// Notes that an entry has been used.
pub(crate) fn used(entry: &Path) {
    let _ = File::open(entry).and_then(|folder| folder.set_modified(SystemTime::now()));
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A cache in a folder, and a folder with a program.
    fn cache(dir: &Path) -> (Cache, PathBuf) {
        let home = dir.join("home");
        let env = [("HOME", home.to_str().unwrap()), ("XDG_CACHE_HOME", "not/absolute")];
        fs::create_dir_all(&home).unwrap();
        let cache = Cache::of(&Host::made_up(Path::new("/"), &env, home.metadata().unwrap().uid(), &[])).unwrap();
        assert_eq!(cache.folder, home.join(".cache/cargo-xtask-ioc"));
        let built = dir.join("built");
        fs::create_dir_all(&built).unwrap();
        fs::write(built.join("soft-ioc"), "program").unwrap();
        (cache, built)
    }

    #[test]
    fn what_is_kept_is_given_again() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, built) = cache(dir.path());
        assert!(!cache.take("a", &dir.path().join("to")).unwrap(), "nothing is there");
        cache.keep("a", &built).unwrap();
        cache.keep("a", &built).unwrap();
        assert!(cache.take("a", &dir.path().join("to")).unwrap());
        assert_eq!(fs::read_to_string(dir.path().join("to/soft-ioc")).unwrap(), "program");
        assert!(!cache.take("b", &dir.path().join("other")).unwrap(), "another key");
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
        assert_eq!(mode(&cache.folder), 0o700);
    }

    #[test]
    fn what_others_could_have_written_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, built) = cache(dir.path());
        cache.keep("a", &built).unwrap();
        let to = dir.path().join("to");
        let program = cache.folder.join("a/soft-ioc");
        for path in [&cache.folder, &cache.folder.join("a"), &program] {
            let mode = path.metadata().unwrap().permissions();
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
            let error = cache.take("a", &to).unwrap_err().to_string();
            assert!(error.contains("others than you"), "{error}");
            fs::set_permissions(path, mode).unwrap();
        }
        let other = Cache { folder: cache.folder.clone(), uid: cache.uid + 1 };
        assert!(other.take("a", &to).is_err());
        other.keep("b", &built).unwrap();
        assert!(!cache.folder.join("b").exists(), "as with sudo");
        assert!(!to.exists());
    }

    #[test]
    fn what_is_broken_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, built) = cache(dir.path());
        let to = dir.path().join("to");
        for breaks in ["soft-ioc", SUMS] {
            cache.keep("a", &built).unwrap();
            fs::write(cache.folder.join("a").join(breaks), "other").unwrap();
            assert!(cache.take("a", &to).is_err());
            assert!(!to.exists() && !cache.take("a", &to).unwrap());
        }
    }

    #[test]
    fn trouble_of_the_host_breaks_no_entry() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, built) = cache(dir.path());
        cache.keep("a", &built).unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(cache.take("a", &file.join("to")).is_err());
        assert!(cache.take("a", &dir.path().join("to")).unwrap());
    }

    #[test]
    fn the_least_recently_used_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, built) = cache(dir.path());
        let ago = |name: &str, seconds| {
            let file = File::open(cache.folder.join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
        };
        for (name, seconds) in [("a", 30), ("b", 20), ("c", 10)] {
            cache.keep(name, &built).unwrap();
            ago(name, seconds);
        }
        for (part, seconds) in [("d.1.part", 5), ("e.2.part", STALE.as_secs() + 5)] {
            fs::create_dir(cache.folder.join(part)).unwrap();
            ago(part, seconds);
        }
        assert!(cache.take("a", &dir.path().join("to")).unwrap(), "used, and so the last one to go");
        let size = cache.entries()[0].2;
        cache.shrink(2 * size);
        let mut left: Vec<_> = names(&cache.folder).unwrap();
        left.sort();
        assert_eq!(left, ["a", "c", "d.1.part"]);
    }

    #[test]
    fn it_can_be_switched_off() {
        let of = |env: &[(&str, &str)]| Cache::of(&Host::made_up(Path::new("/"), env, 1, &[])).is_some();
        assert!(of(&[("HOME", "/home/me")]));
        assert!(!of(&[("HOME", "/home/me"), (OFF, "1")]));
        assert!(!of(&[]));
    }
}
