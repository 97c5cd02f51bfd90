//! What `systemctl` does to unit files: enabling, masking, the default target.

use serde_json::{Value, json};

use super::super::{Options, print, say};
use super::{ask, jobs, mangle_all, too_few};
use tool_base::glob;

/// `systemctl is-enabled`.
pub(super) fn is_enabled(words: &[String], given: &Options) -> Result<u8, String> {
    too_few(words)?;
    let names = mangle_all(words)?;
    let mut status = 1;
    for name in names.iter().filter(|n| !glob::is_pattern(n)) {
        let answer = ask(&json!({ "op": "file-state", "unit": name }))?;
        let state = answer["state"].as_str().unwrap_or_default();
        if state.is_empty() {
            return Err(format!("Failed to get unit file state for {name}: No such file or directory"));
        }
        if matches!(state, "enabled" | "enabled-runtime" | "static" | "alias" | "indirect" | "generated" | "transient")
        {
            status = 0;
        }
        if !given.has(&["--quiet", "-q"]) {
            print(format!("{state}\n").as_bytes());
            for link in answer["links"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                if given.has(&["--full", "-l"]) {
                    print(format!("  {link}\n").as_bytes());
                }
            }
        }
    }
    Ok(status)
}

const NO_INSTALL: &str = "\
The unit files have no installation config (WantedBy=, RequiredBy=, Also=,
Alias= settings in the [Install] section, and DefaultInstance= for template
units). This means they are not meant to be enabled using systemctl.
 
Possible reasons for having this kind of units are:
• A unit may be statically enabled by being symlinked from another unit's
  .wants/ or .requires/ directory.
• A unit's purpose may be to act as a helper for some other unit which has
  a requirement dependency on it.
• A unit may be started when needed via activation (socket, path, timer,
  D-Bus, udev, scripted systemctl call, ...).
• In case of template units, the unit is meant to be enabled with some
  instance name specified.";

/// `enable`, `disable`, `mask` and the like.
pub(super) fn enable(verb: &str, words: &[String], given: &Options) -> Result<u8, String> {
    too_few(words)?;
    let names = mangle_all(words)?;
    let steps: &[&str] = match verb {
        "reenable" => &["disable", "enable"],
        // The machine has no presets: all is enabled.
        "preset" => &["enable"],
        _ => &[verb],
    };
    for step in steps {
        let answer = ask(&json!({ "op": step, "units": names, "runtime": given.has(&["--runtime"]) }))?;
        let quiet = given.has(&["--quiet", "-q"]);
        for line in answer["said"].as_array().into_iter().flatten().filter_map(Value::as_str).filter(|_| !quiet) {
            say(line);
        }
        if let Some(error) = answer["error"].as_str() {
            return Err(error.to_owned());
        }
        if answer["no_install"] == true && !quiet && verb != "preset" {
            say(NO_INSTALL);
        }
    }
    match verb {
        "enable" if given.has(&["--now"]) => jobs::job("start", words, given),
        "disable" | "mask" if given.has(&["--now"]) => jobs::job("stop", words, given),
        _ => Ok(0),
    }
}

/// `systemctl get-default`: what the link says, not what is loaded.
pub(super) fn get_default() -> Result<u8, String> {
    let answer = ask(&json!({ "op": "default" }))?;
    print(format!("{}\n", answer["target"].as_str().unwrap_or_default()).as_bytes());
    Ok(0)
}

/// `systemctl set-default`.
pub(super) fn set_default(words: &[String], given: &Options) -> Result<u8, String> {
    too_few(words)?;
    let name = words.first().map_or(String::new(), |w| if w.contains('.') { w.clone() } else { format!("{w}.target") });
    let answer = ask(&json!({ "op": "set-default", "target": name }))?;
    if let Some(error) = answer["error"].as_str() {
        return Err(format!("Failed to set default target: {error}"));
    }
    for line in answer["said"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !given.has(&["--quiet", "-q"]) {
            say(line);
        }
    }
    Ok(0)
}
