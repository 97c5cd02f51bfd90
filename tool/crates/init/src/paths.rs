//! Where things lie inside the machine.

use std::path::{Path, PathBuf};

/// The journal: one JSON object per line. Where nobody looks: what a script does to /var/log/journal is done to plain files.
pub const JOURNAL: &str = "/machine/journal.jsonl";

/// Places on the machine; tests put them below a scratch folder.
#[derive(Debug, Clone)]
pub(super) struct Paths {
    root: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self::below("/")
    }
}

impl Paths {
    /// The same places below another root.
    pub(super) fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Folders of unit files, the strongest first.
    pub(super) fn unit_dirs(&self) -> [PathBuf; 3] {
        [self.transient_units(), self.etc_units(), self.run_units()]
    }

    /// Units of `systemd-run`.
    pub(super) fn transient_units(&self) -> PathBuf {
        self.run().join("systemd/transient")
    }

    /// The folder of unit files that go with the machine's present run.
    pub(super) fn run_units(&self) -> PathBuf {
        self.run().join("systemd/system")
    }

    /// The folder of unit files that `systemctl enable` writes to.
    pub(super) fn etc_units(&self) -> PathBuf {
        self.at("etc/systemd/system")
    }

    /// `/run`.
    pub(super) fn run(&self) -> PathBuf {
        self.at("run")
    }

    /// Where services say that they are ready.
    pub(super) fn notify(&self) -> PathBuf {
        self.at("run/systemd/notify")
    }

    /// Where `systemctl` speaks to the manager. Not at systemd's own place: its tools, such as the host's
    /// `systemd-run`, would wait there for 90 s instead of failing at once.
    pub(super) fn control(&self) -> PathBuf {
        self.at("run/systemd/xtask")
    }

    /// Streams of lines for the journal.
    pub(super) fn journal_stdout(&self) -> PathBuf {
        self.at("run/systemd/journal/stdout")
    }

    /// Entries for the journal, in journald's own form.
    pub(super) fn journal_socket(&self) -> PathBuf {
        self.at("run/systemd/journal/socket")
    }

    /// Entries for the journal from `logger` and `syslog(3)`.
    pub(super) fn dev_log(&self) -> PathBuf {
        self.at("dev/log")
    }

    /// Text for the console.
    pub(super) fn console(&self) -> PathBuf {
        self.at("dev/console")
    }

    /// The journal.
    pub(super) fn journal(&self) -> PathBuf {
        self.at(&JOURNAL[1..])
    }

    /// There once the units' `[Install]` sections have been followed for the first time.
    pub(super) fn preset_done(&self) -> PathBuf {
        self.at("var/lib/systemd/preset-done")
    }

    /// `/etc/machine-id`.
    pub(super) fn machine_id(&self) -> PathBuf {
        self.at("etc/machine-id")
    }

    /// A path on the machine.
    pub(super) fn path(&self, absolute: impl AsRef<Path>) -> PathBuf {
        let path = absolute.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }
}
