//! A power supply on a TCP port, in place of EPNix's `psu-simulator`.
//!
//! One line asks, one line answers, LF ends both. All clients talk to the one supply.

mod noise;
mod supply;
mod text;

use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use supply::Supply;

const USAGE: &str = "\
A simulated power supply on a TCP port

Usage: psu-simulator [OPTIONS]

Options:
  --port PORT        listen on this port, 0 for a free one [default: 9999]
  --address ADDRESS  listen on this address [default: 127.0.0.1]
  --seed NUMBER      draw the noise of measured values from this seed [default: another each time]
  -h, --help         print this help
  -V, --version      print the version

It prints the address it listens on. Connect with `nc localhost 9999` and type help.
";

/// Exit statuses, as in all programs here.
const USAGE_ERROR: u8 = 2;
const HOST_NOT_READY: u8 = 5;

/// How long the supply takes to answer: no device answers at once, and a client that forgets to
/// read a reply must not be spared what that does to its next question. lewis takes 0.5 to 5 ms.
const REPLY_TIME: Duration = Duration::from_millis(2);

/// A line longer than this, in bytes, ends the connection.
const LONGEST_LINE: u64 = 4096;

#[derive(Debug, PartialEq, Eq)]
enum Request {
    Help,
    Version,
    Serve { address: SocketAddr, seed: Option<u64> },
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)) {
        Ok(Request::Help) => say(USAGE),
        Ok(Request::Version) => say(concat!("psu-simulator ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Request::Serve { address, seed }) => {
            let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
            serve(address, seed)
        }
        Err(problem) => fail(USAGE_ERROR, &format!("{problem}\n\nhint: psu-simulator --help")),
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Request, String> {
    let mut port: u16 = 9999;
    let mut address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut seed = None;
    while let Some(arg) = args.next() {
        let (name, given) = match arg.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (arg.as_str(), None),
        };
        match name {
            "-h" | "--help" => return Ok(Request::Help),
            "-V" | "--version" => return Ok(Request::Version),
            "--port" | "--address" | "--seed" => {}
            _ => return Err(format!("unknown argument `{arg}`")),
        }
        let value = given.or_else(|| args.next()).ok_or(format!("`{name}` needs a value"))?;
        let wrong = |why: &str| format!("`{name} {value}`: {why}");
        match name {
            "--port" => port = value.parse().map_err(|_| wrong("not a port, 0 to 65535"))?,
            "--address" => address = value.parse().map_err(|_| wrong("not an IP address"))?,
            _ => seed = Some(value.parse().map_err(|_| wrong("not a whole number"))?),
        }
    }
    Ok(Request::Serve { address: SocketAddr::new(address, port), seed })
}

fn serve(address: SocketAddr, seed: u64) -> ExitCode {
    let listener = match TcpListener::bind(address) {
        Ok(listener) => listener,
        Err(cause) => {
            let problem = format!("cannot listen on {address}: {cause}\n\nhint: --port 0");
            return fail(HOST_NOT_READY, &problem);
        }
    };
    let address = listener.local_addr().unwrap_or(address);
    say(&format!("psu-simulator: listening on {address}\n"));
    let supply = Arc::new(Mutex::new(Supply::new(seed)));
    for client in listener.incoming() {
        let supply = Arc::clone(&supply);
        match client {
            Ok(client) => {
                // The end of a connection is no event of the device, whatever the reason.
                std::thread::spawn(move || converse(client, &supply).ok());
            }
            // Out of descriptors, say: the next client may be luckier.
            Err(cause) => note(&format!("cannot accept a client: {cause}")),
        }
    }
    ExitCode::SUCCESS
}

fn converse(mut client: TcpStream, supply: &Mutex<Supply>) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut lines = BufReader::new(client.try_clone()?);
    let mut line = Vec::new();
    loop {
        line.clear();
        std::io::Read::take(&mut lines, LONGEST_LINE).read_until(b'\n', &mut line)?;
        let Some(request) = line.strip_suffix(b"\n") else {
            return Ok(());
        };
        let request = String::from_utf8_lossy(request);
        let reply = supply.lock().unwrap_or_else(PoisonError::into_inner).answer(&request);
        if let Some(reply) = reply {
            std::thread::sleep(REPLY_TIME);
            client.write_all(format!("{reply}\n").as_bytes())?;
        }
    }
}

/// Writes to standard output; a reader that went away is no reason to stop.
fn say(text: &str) -> ExitCode {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    ExitCode::SUCCESS
}

fn note(problem: &str) {
    let _ = writeln!(std::io::stderr(), "psu-simulator: {problem}");
}

fn fail(status: u8, problem: &str) -> ExitCode {
    note(problem);
    ExitCode::from(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Request, String> {
        parse(args.iter().map(ToString::to_string))
    }

    #[test]
    fn listens_on_9999_of_this_machine_by_default() {
        let address = "127.0.0.1:9999".parse().unwrap();
        assert_eq!(parsed(&[]), Ok(Request::Serve { address, seed: None }));
    }

    #[test]
    fn takes_values_with_and_without_an_equal_sign() {
        let address = "0.0.0.0:0".parse().unwrap();
        let expected = Ok(Request::Serve { address, seed: Some(5) });
        assert_eq!(parsed(&["--port", "0", "--seed=5", "--address", "0.0.0.0"]), expected);
    }

    #[test]
    fn names_the_argument_that_is_wrong() {
        for (args, named) in [
            (&["--prot"][..], "`--prot`"),
            (&["--port"][..], "`--port` needs"),
            (&["--port", "70000"][..], "`--port 70000`: not a port"),
            (&["--seed", "-1"][..], "`--seed -1`: not a whole number"),
            (&["--address", "here"][..], "`--address here`: not an IP"),
            (&["7"][..], "`7`"),
        ] {
            let problem = parsed(args).unwrap_err();
            assert!(problem.contains(named), "{problem}");
        }
    }
}
