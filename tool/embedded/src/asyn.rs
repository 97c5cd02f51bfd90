//! asyn's own database. The crate has it where cargo keeps sources, which a sandbox machine does not see.

use std::fs::{self, File};
use std::io::Result;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use epics_base_rs::runtime::env;

/// Where it is instead.
static PLACE: OnceLock<(PathBuf, File)> = OnceLock::new();

const RECORD: &str = "record(asyn, \"$(P)$(R)\") {\n  field(DTYP, \"asynRecordDevice\")\n  field(PORT, \"$(PORT)\")\n  \
                      field(ADDR, \"$(ADDR)\")\n  field(OMAX, \"$(OMAX)\")\n  field(IMAX, \"$(IMAX)\")\n}\n";

/// The folder that `$(ASYN)` means.
pub fn folder() -> &'static str {
    PLACE.get().and_then(|(place, _)| place.to_str()).unwrap_or(asyn_rs::ASYN_DIR)
}

/// Writes `db/asynRecord.db` below a new folder, where the crate's own is out of sight.
pub fn provide(new_folder: impl FnOnce() -> Result<(PathBuf, File)>) -> Result<()> {
    if Path::new(asyn_rs::ASYN_DIR).join("db/asynRecord.db").is_file() {
        return Ok(());
    }
    let (place, lock) = new_folder()?;
    fs::create_dir(place.join("db"))?;
    fs::write(place.join("db/asynRecord.db"), RECORD)?;
    env::set("ASYN", place.to_string_lossy().into_owned());
    let _first = PLACE.set((place, lock));
    Ok(())
}

/// Removes what was written.
pub fn remove() {
    if let Some((place, _)) = PLACE.get() {
        let _ = fs::remove_dir_all(place);
    }
}
