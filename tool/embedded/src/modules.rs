//! Commands of support modules that are generic: autosave, which epics-base-rs has, and caPutLog, which logs nothing here.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use epics_base_rs::server::autosave::format::ARRAY_MARKER;
use epics_base_rs::server::autosave::macros::MacroContext;
use epics_base_rs::server::autosave::save_file::{SaveFileContents, read_save_file};
use epics_base_rs::server::autosave::{AutosaveStartupConfig, BootRestore};
use epics_base_rs::server::database::PvDatabase;
use epics_base_rs::server::ioc_app::IocApplication;
use epics_base_rs::server::iocsh::registry::{ArgDesc, ArgType, ArgValue, CommandContext, CommandDef, CommandOutcome};
use epics_base_rs::types::{EpicsValue, PvString};

/// Commands of caPutLog.
const LOG: [&str; 6] =
    ["caPutLogInit", "caPutLogReconf", "caPutLogShow", "caPutJsonLogInit", "caPutJsonLogReconf", "caPutJsonLogShow"];

/// An application that has them, autosave's where its definitions bring these.
pub fn provide(app: IocApplication, has_autosave: bool) -> IocApplication {
    let app = LOG.iter().fold(app, |app, name| app.register_startup_command(accepted(name)));
    if !has_autosave {
        return app;
    }
    let autosave: Arc<Mutex<AutosaveStartupConfig>> = Arc::default();
    let app = app.autosave_startup(Arc::clone(&autosave));
    app.register_after_init_database(move |db, _| long_strings(db, autosave))
}

/// Their names.
pub fn commands() -> impl Iterator<Item = String> {
    of_autosave().chain(LOG.map(str::to_owned))
}

/// The names of autosave's.
pub fn of_autosave() -> impl Iterator<Item = String> {
    let autosave: Arc<Mutex<AutosaveStartupConfig>> = Arc::default();
    let autosave = AutosaveStartupConfig::register_startup_commands(autosave);
    autosave.into_iter().map(|command| command.name)
}

/// Restores long strings of lsi and lso. The crate saves them as C does, as an array of characters, which is restored in
/// pass 1 only, and takes the first one back.
async fn long_strings(db: Arc<PvDatabase>, autosave: Arc<Mutex<AutosaveStartupConfig>>) {
    let files = autosave.lock().map(|config| config.boot_restores(true)).unwrap_or_default();
    for file in files {
        let Some(saved) = whole(&file).await else { continue };
        let macros = MacroContext::from_macrostring(&file.macrostring);
        // C stops at the line that says what could not be saved.
        let end = saved.incomplete_at.filter(|_| !file.settings.incomplete_sets_ok());
        for entry in saved.entries.iter().take(end.unwrap_or(usize::MAX)).filter(|entry| entry.connected) {
            let name = if macros.has_handle() { macros.expand(&entry.pv_name) } else { entry.pv_name.clone() };
            let record = db.get_record(name.trim_end_matches(".VAL"));
            let kind = record.map(|record| record.read().record.record_type());
            let Some(elements) = entry.value.strip_prefix(ARRAY_MARKER) else { continue };
            if matches!(kind, Some("lsi" | "lso")) {
                // C's characters have a sign.
                let numbers = elements.split('"').filter_map(|number| number.parse::<i16>().ok());
                let characters = numbers.map(|number| number.to_le_bytes()[0]);
                let text: Vec<u8> = characters.take_while(|character| *character != 0).collect();
                let text = EpicsValue::String(PvString::from_bytes(text));
                if let Err(error) = db.put_pv_no_process(&name, text).await {
                    let _ = writeln!(std::io::stderr(), "autosave: {name} is not restored: {error}");
                }
            }
        }
    }
}

/// The file that C restores from: itself, or else the backup, or else the newest numbered one; none that is cut off.
async fn whole(file: &BootRestore) -> Option<SaveFileContents> {
    let other = |suffix: &str| PathBuf::from([file.path.as_os_str(), suffix.as_ref()].join(OsStr::new("")));
    let mut numbered: Vec<PathBuf> = (0..file.settings.seq_files()).map(|number| other(&number.to_string())).collect();
    numbered.sort_by_key(|path| Reverse(path.metadata().and_then(|data| data.modified()).ok()));
    for path in [other(""), other("B")].into_iter().chain(numbered) {
        if let Ok(Some(saved)) = read_save_file(&path).await {
            return Some(saved);
        }
    }
    None
}

/// A command that takes what C's takes, and says that it does nothing.
fn accepted(name: &'static str) -> CommandDef {
    let text = |name| ArgDesc { name, arg_type: ArgType::String };
    CommandDef::new(
        name,
        vec![text("address"), text("config"), text("")],
        "",
        move |_: &[ArgValue], _: &CommandContext| {
            let _ = writeln!(std::io::stdout(), "{name}: ignored, a soft IOC logs no puts");
            Ok(CommandOutcome::Continue)
        },
    )
}
