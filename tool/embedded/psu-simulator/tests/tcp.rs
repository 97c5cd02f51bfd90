//! The program itself, over TCP.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_psu-simulator");

/// A running simulator on a free port; ends with the test.
struct Simulator {
    child: Child,
    address: String,
}

impl Simulator {
    fn start(args: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM).args(["--port", "0"]).args(args).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().rsplit(' ').next().unwrap().to_owned();
        Self { child, address }
    }

    fn connect(&self) -> Client {
        Client(BufReader::new(TcpStream::connect(&self.address).unwrap()))
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn receive(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    fn ask(&mut self, request: &str) -> String {
        self.send(&format!("{request}\n"));
        self.receive()
    }
}

#[test]
fn all_clients_talk_to_one_supply() {
    let simulator = Simulator::start(&[]);
    let (mut one, mut two) = (simulator.connect(), simulator.connect());
    assert_eq!(one.ask(":volt 42"), "OK\n");
    assert_eq!(two.ask(":volt?"), "42.0\n");
    drop(one);
    assert_eq!(two.ask("outp:pon OFF"), "OK\n");
    assert_eq!(simulator.connect().ask("outp:pon?"), "OFF\n");
}

#[test]
fn a_line_counts_when_it_ends_however_it_arrives() {
    let simulator = Simulator::start(&[]);
    let mut client = simulator.connect();
    client.send(":vo");
    client.send("lt?\n:curr?\n:id");
    assert_eq!(client.receive(), "0.0\n");
    assert_eq!(client.receive(), "0.0\n");
    client.send("n?\n");
    assert_eq!(client.receive(), "psu-simulator 0.1.0\n");
}

#[test]
fn noise_of_the_input_line_ends_neither_the_program_nor_the_connection() {
    let simulator = Simulator::start(&[]);
    let mut client = simulator.connect();
    client.0.get_mut().write_all(b"\xff\xfe\n\n\0\n").unwrap();
    assert_eq!(client.ask(":volt?"), "0.0\n");
    let mut endless = simulator.connect();
    // The connection may be closed while this is still being written.
    let _ = endless.0.get_mut().write_all(&[b'x'; 10_000]);
    let mut rest = Vec::new();
    let _ = endless.0.read_to_end(&mut rest);
    assert!(rest.is_empty());
    assert_eq!(client.ask(":volt?"), "0.0\n");
}

#[test]
fn the_seed_repeats_the_noise() {
    let series = |seed: &str| {
        let simulator = Simulator::start(&["--seed", seed]);
        let mut client = simulator.connect();
        (0..5).map(|_| client.ask("meas:volt?")).collect::<Vec<_>>()
    };
    assert_eq!(series("1"), series("1"));
    assert_ne!(series("1"), series("2"));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let simulator = Simulator::start(&[]);
    let port = simulator.address.rsplit(':').next().unwrap();
    let output = Command::new(PROGRAM).args(["--port", port]).output().unwrap();
    let problem = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(problem.contains(&format!("cannot listen on 127.0.0.1:{port}: ")), "{problem}");
    assert!(problem.contains("hint: --port 0"), "{problem}");
}

#[test]
fn wrong_usage_is_status_2_and_help_is_data() {
    let output = Command::new(PROGRAM).arg("--nonsense").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let output = Command::new(PROGRAM).arg("--help").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().contains("--seed NUMBER"));
}
