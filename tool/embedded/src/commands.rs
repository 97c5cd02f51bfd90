//! The commands of the soft IOC's shell.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use epics_base_rs::runtime::task::{BlockingBridge, adopt_current_runtime};
use epics_base_rs::server::database::PvDatabase;
use epics_base_rs::server::iocsh::IocShell;

use crate::ioc;

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
        // The shell tells its commands only as text.
        let list = std::env::temp_dir().join(format!("soft-ioc-help-{}", std::process::id()));
        let line = format!("help > \"{}\"", list.display());
        let bridge = BlockingBridge::capture();
        let shell = move || IocShell::new(Arc::new(PvDatabase::new()), bridge).execute_line(line).is_ok();
        let _answered = tokio::task::spawn_blocking(shell).await;
        let help = std::fs::read_to_string(&list)?;
        std::fs::remove_file(&list)?;
        let commands = help.lines().take_while(|line| !line.starts_with("Type "));
        names.extend(commands.flat_map(str::split_whitespace).map(str::to_owned));
        Ok(names)
    })
}
