//! What `systemctl` does to unit files: enabling, masking, the default target.

use super::super::{Options, print, say};
use super::{ask, asked, jobs, mangle_all, odd, too_few};
use tool_base::glob;
use tool_base::protocol::control::{Install, Reply, Request, Verb};

/// `systemctl is-enabled`.
pub(super) fn is_enabled(words: &[String], given: &Options) -> Result<u8, String> {
    too_few(words)?;
    let names = mangle_all(words)?;
    let mut status = 1;
    for name in names.iter().filter(|n| !glob::is_pattern(n)) {
        let (state, links) = match ask(&Request::FileState { unit: name.clone() })? {
            Reply::FileState { state, links } => (state, links),
            other => return Err(odd(&other)),
        };
        if state.is_empty() {
            return Err(format!("Failed to get unit file state for {name}: No such file or directory"));
        }
        if matches!(
            state.as_str(),
            "enabled" | "enabled-runtime" | "static" | "alias" | "indirect" | "generated" | "transient"
        ) {
            status = 0;
        }
        if !given.has(&["--quiet", "-q"]) {
            print(format!("{state}\n").as_bytes());
            for link in links.iter().filter(|_| given.has(&["--full", "-l"])) {
                print(format!("  {}\n", link.display()).as_bytes());
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
    let steps: &[Install] = match verb {
        "reenable" => &[Install::Disable, Install::Enable],
        "disable" => &[Install::Disable],
        "mask" => &[Install::Mask],
        "unmask" => &[Install::Unmask],
        // The machine has no presets: all is enabled.
        _ => &[Install::Enable],
    };
    for step in steps {
        let request = Request::Install { verb: *step, units: names.clone(), runtime: given.has(&["--runtime"]) };
        let no_install = said(ask(&request)?, given)?;
        if no_install && !given.has(&["--quiet", "-q"]) && verb != "preset" {
            say(NO_INSTALL);
        }
    }
    match verb {
        "enable" if given.has(&["--now"]) => jobs::job(Verb::Start, words, given),
        "disable" | "mask" if given.has(&["--now"]) => jobs::job(Verb::Stop, words, given),
        _ => Ok(0),
    }
}

/// Says what was done to links; whether a unit has nothing to be enabled by.
fn said(answer: Reply, given: &Options) -> Result<bool, String> {
    match answer {
        Reply::Said { lines, error, no_install } => {
            lines.iter().filter(|_| !given.has(&["--quiet", "-q"])).for_each(|line| say(line));
            error.map_or(Ok(no_install), Err)
        }
        other => Err(odd(&other)),
    }
}

/// `systemctl get-default`: what the link says, not what is loaded.
pub(super) fn get_default() -> Result<u8, String> {
    print(format!("{}\n", asked!(Target, Request::Default)).as_bytes());
    Ok(0)
}

/// `systemctl set-default`.
pub(super) fn set_default(words: &[String], given: &Options) -> Result<u8, String> {
    too_few(words)?;
    let target =
        words.first().map_or(String::new(), |w| if w.contains('.') { w.clone() } else { format!("{w}.target") });
    let answer = ask(&Request::SetDefault { target })?;
    said(answer, given).map_err(|error| format!("Failed to set default target: {error}"))?;
    Ok(0)
}
