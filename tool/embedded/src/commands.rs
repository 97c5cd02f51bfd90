//! The commands of the soft IOC's shell.

use std::collections::BTreeSet;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;

use epics_base_rs::runtime::task::{BlockingBridge, adopt_current_runtime};
use epics_base_rs::server::database::PvDatabase;
use epics_base_rs::server::iocsh::IocShell;

use crate::{ioc, modules};

/// Commands the shell handles before it looks into its table.
const OF_THE_SHELL: [&str; 7] = ["iocshLoad", "iocshCmd", "iocshRun", "on", "help", "exit", "casr"];

/// The names of all of them, for the application `app`.
pub fn all(app: &str) -> std::io::Result<BTreeSet<String>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        adopt_current_runtime();
        let application = ioc::application(app, Path::new(""));
        let own = application.startup_commands().iter().map(|command| command.name.clone());
        let mut names: BTreeSet<String> = own.collect();
        names.extend(OF_THE_SHELL.map(str::to_owned));
        names.extend(modules::commands());
        // The shell tells its commands only as text for a file: a pipe, as others may put links into /tmp.
        let (list, end) = std::io::pipe()?;
        let line = format!("help > \"/proc/self/fd/{}\"", end.as_raw_fd());
        let reader = std::thread::spawn(move || std::io::read_to_string(list));
        let bridge = BlockingBridge::capture();
        let shell = move || IocShell::new(Arc::new(PvDatabase::new()), bridge).execute_line(line).is_ok();
        let _answered = tokio::task::spawn_blocking(shell).await;
        drop(end);
        let help = reader.join().map_err(|_| std::io::Error::other("the list of commands cannot be read"))??;
        if help.is_empty() {
            // Else all that a script calls would be unknown.
            return Err(std::io::Error::other("the list of commands is empty: the limit of open files may be too low"));
        }
        let commands = help.lines().take_while(|line| !line.starts_with("Type "));
        names.extend(commands.flat_map(str::split_whitespace).map(str::to_owned));
        Ok(names)
    })
}

#[cfg(test)]
mod tests {
    /// The list comes through no file: somebody else may have put a link where it would be.
    #[test]
    fn the_commands_are_listed_without_a_file() {
        let link = std::env::temp_dir().join(format!("soft-ioc-help-{}", std::process::id()));
        std::os::unix::fs::symlink("/nonexistent/victim", &link).unwrap();
        let commands = super::all("example");
        std::fs::remove_file(&link).unwrap();
        assert!(["dbLoadRecords", "iocInit", "help"].iter().all(|name| commands.as_ref().unwrap().contains(*name)));
    }
}
