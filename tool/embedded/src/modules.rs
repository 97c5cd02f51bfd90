//! Commands of support modules that are generic: autosave, which epics-base-rs has, and caPutLog, which logs nothing here.

use std::io::Write;
use std::sync::{Arc, Mutex};

use epics_base_rs::server::autosave::AutosaveStartupConfig;
use epics_base_rs::server::autosave::format::ARRAY_MARKER;
use epics_base_rs::server::autosave::save_file::read_save_file;
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

/// Restores long strings of lsi and lso. The crate saves them as an array of characters, and takes the first one back.
async fn long_strings(db: Arc<PvDatabase>, autosave: Arc<Mutex<AutosaveStartupConfig>>) {
    let files: Vec<_> =
        autosave.lock().map(|config| [false, true].map(|late| config.boot_restores(late)).concat()).unwrap_or_default();
    for file in files {
        let Ok(Some(saved)) = read_save_file(&file.path).await else { continue };
        for entry in saved.entries {
            let record = db.get_record(entry.pv_name.trim_end_matches(".VAL"));
            let kind = record.map(|record| record.read().record.record_type());
            let Some(elements) = entry.value.strip_prefix(ARRAY_MARKER) else { continue };
            if matches!(kind, Some("lsi" | "lso")) {
                let characters = elements.split('"').filter_map(|number| number.parse::<u8>().ok());
                let text: Vec<u8> = characters.take_while(|character| *character != 0).collect();
                let text = EpicsValue::String(PvString::from_bytes(text));
                let _refused = db.put_pv_no_process(&entry.pv_name, text).await;
            }
        }
    }
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
