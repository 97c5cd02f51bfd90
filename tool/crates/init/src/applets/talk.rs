//! `systemd-notify` and `systemd-cat`.

use std::io::{IoSlice, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;

use unix::poll::{PollFd, PollFlags, PollTimeout, poll};
use unix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};

use super::options;
use tool_base::process::Cmd;

/// `systemd-notify [--ready] [--status=TEXT] [--pid=PID] [VARIABLE=VALUE]...`
pub(super) fn notify(program: &str, args: &[String]) -> Result<u8, String> {
    let flags = "--ready --reloading --stopping --booted --no-block";
    let given = options(program, args, flags, "--status --uid", "--pid")?;
    if given.has(&["--booted"]) {
        return Ok(0);
    }
    let mut lines = Vec::new();
    for (name, value) in &given.given {
        match name.as_str() {
            "--ready" => lines.push("READY=1".to_owned()),
            "--reloading" => lines.push("RELOADING=1".to_owned()),
            "--stopping" => lines.push("STOPPING=1".to_owned()),
            "--status" => lines.push(format!("STATUS={value}")),
            "--pid" if value.is_empty() || value == "auto" || value == "parent" => {
                lines.push(format!("MAINPID={}", unix::unistd::getppid()));
            }
            "--pid" => lines.push(format!("MAINPID={value}")),
            _ => {}
        }
    }
    let waits = !given.has(&["--no-block"]);
    lines.extend(given.words);
    if lines.is_empty() {
        return Err("systemd-notify: nothing to say (hint: --ready)".to_owned());
    }
    let socket = std::env::var("NOTIFY_SOCKET").map_err(|_| {
        "Failed to notify init system: $NOTIFY_SOCKET is not set (is the service Type=notify?)".to_owned()
    })?;
    let said = || {
        let address = match socket.strip_prefix('@') {
            Some(name) => UnixAddr::new_abstract(name.as_bytes())?,
            None => UnixAddr::new(socket.as_str())?,
        };
        let from = UnixDatagram::unbound()?;
        let send = |text: &[u8], with: &[ControlMessage]| {
            sendmsg(from.as_raw_fd(), &[IoSlice::new(text)], with, MsgFlags::empty(), Some(&address))
        };
        send(lines.join("\n").as_bytes(), &[])?;
        if waits {
            // Whose message it is can be found only as long as its sender is there. As long as systemd-notify waits.
            let (ours, theirs) = unix::unistd::pipe()?;
            send(b"BARRIER=1", &[ControlMessage::ScmRights(&[theirs.as_raw_fd()])])?;
            drop(theirs);
            poll(&mut [PollFd::new(ours.as_fd(), PollFlags::empty())], PollTimeout::from(5000u16))?;
        }
        std::io::Result::Ok(())
    };
    said().map_err(|e| format!("Failed to notify init system: {}", plain(&e)))?;
    Ok(0)
}

/// `systemd-cat [-t IDENTIFIER] [-p PRIORITY] [COMMAND...]`
pub(super) fn cat(program: &str, args: &[String]) -> Result<u8, String> {
    // Options of the command that follows are not ours.
    let valued = "-t --identifier -p --priority --level-prefix --stderr-priority";
    let own = super::own_arguments(args, valued);
    let given = options(program, &args[..own], "", valued, "")?;
    let level = |names: &[&str], default: u8| match given.last(names) {
        Some(text) => super::journalctl::priority(text).map_err(|_| "Failed to parse priority value.".to_owned()),
        None => Ok(default),
    };
    let priority = level(&["-p", "--priority"], 6)?;
    let error_priority = level(&["--stderr-priority"], priority)?;
    let identifier = given.last(&["-t", "--identifier"]).unwrap_or("");
    let command = &args[own..];
    let prefix = u8::from(given.last(&["--level-prefix"]).is_none_or(|v| !matches!(v, "no" | "0" | "false" | "off")));
    let stream = |priority: u8| {
        let mut stream = UnixStream::connect("/run/systemd/journal/stdout")?;
        write!(stream, "{identifier}\n\n{priority}\n{prefix}\n0\n0\n0\n")?;
        Ok(stream)
    };
    let failed = |e: std::io::Error| format!("Failed to create stream fd: {}", plain(&e));
    let mut out = stream(priority).map_err(failed)?;
    if command.is_empty() {
        std::io::copy(&mut std::io::stdin().lock(), &mut out).map_err(|e| plain(&e))?;
        return Ok(0);
    }
    let err = if error_priority == priority { out.try_clone() } else { stream(error_priority) }.map_err(failed)?;
    let [out, err] = [out, err].map(std::os::fd::OwnedFd::from);
    // What goes wrong is said where this program was called, not into the journal.
    let said = std::io::stderr().as_fd().try_clone_to_owned().map_err(|e| plain(&e))?;
    let error = Cmd::new(&command[0]).args(&command[1..]).to_std().stdout(out).stderr(err).exec();
    let _ = writeln!(std::fs::File::from(said), "Failed to execute process: {}", plain(&error));
    Ok(1)
}

/// An error as systemd words it.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
