//! What a client gets first: the end of its put, or the monitor events that the put caused.

#![expect(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test stops where it fails")]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use common::{Ioc, Top};

// Commands of the Channel Access protocol.
const VERSION: u16 = 0;
const EVENT_ADD: u16 = 1;
const WRITE: u16 = 4;
const READ_NOTIFY: u16 = 15;
const CREATE_CHAN: u16 = 18;
const WRITE_NOTIFY: u16 = 19;
const CLIENT_NAME: u16 = 20;
const CREATE_CH_FAIL: u16 = 26;
const HOST_NAME: u16 = 21;

const MINOR_VERSION: u32 = 13;
const DBR_DOUBLE: u16 = 6;

/// A client that sees messages in the order in which they are sent.
struct Client(TcpStream);

impl Client {
    fn new(ioc: &Ioc) -> Self {
        let mut client = Self(TcpStream::connect(("127.0.0.1", ioc.ca_port())).unwrap());
        client.0.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        client.send(VERSION, &[], 0, MINOR_VERSION as u16, [0, 0]);
        client.send(CLIENT_NAME, b"me\0\0\0\0\0\0", 0, 0, [0, 0]);
        client.send(HOST_NAME, b"here\0\0\0\0", 0, 0, [0, 0]);
        client
    }

    fn send(&mut self, command: u16, payload: &[u8], data_type: u16, count: u16, parameters: [u32; 2]) {
        let words = [command, payload.len() as u16, data_type, count];
        let mut message: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        message.extend(parameters.iter().flat_map(|word| word.to_be_bytes()));
        message.extend(payload);
        self.0.write_all(&message).unwrap();
    }

    /// The next message: its command and second parameter.
    fn next(&mut self) -> (u16, u32) {
        let mut header = [0; 16];
        self.0.read_exact(&mut header).unwrap();
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        self.0.read_exact(&mut vec![0; word(2).into()]).unwrap();
        (word(0), u32::from_be_bytes([header[12], header[13], header[14], header[15]]))
    }

    fn until(&mut self, command: u16) -> u32 {
        loop {
            let (got, parameter) = self.next();
            assert_ne!(got, CREATE_CH_FAIL);
            if got == command {
                return parameter;
            }
        }
    }

    /// The number in the next message, which is of this kind.
    fn value_of(&mut self, command: u16) -> f64 {
        let mut message = [0; 24];
        self.0.read_exact(&mut message).unwrap();
        assert_eq!(u16::from_be_bytes([message[0], message[1]]), command);
        f64::from_be_bytes(message[16..].try_into().unwrap())
    }

    /// Opens a channel; gives the server's number of it.
    fn channel(&mut self, name: &str, id: u32) -> u32 {
        let mut padded = format!("{name}\0").into_bytes();
        padded.resize(padded.len().next_multiple_of(8), 0);
        self.send(CREATE_CHAN, &padded, 0, 0, [id, MINOR_VERSION]);
        self.until(CREATE_CHAN)
    }
}

/// Puts to `SET` with callback, this often; gives how often the end of the put came before the event of `watched`.
fn late_events(ioc: &Ioc, watched: &str, puts: u32) -> u32 {
    let mut client = Client::new(ioc);
    let set = client.channel("SET", 1);
    let seen = client.channel(watched, 2);
    // Values and alarms.
    client.send(EVENT_ADD, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0], DBR_DOUBLE, 1, [seen, 7]);
    client.until(EVENT_ADD);
    let mut late = 0;
    for put in 1..=puts {
        client.send(WRITE_NOTIFY, &f64::from(put).to_be_bytes(), DBR_DOUBLE, 1, [set, put]);
        let (first, _) = client.next();
        assert!(first == EVENT_ADD || first == WRITE_NOTIFY, "{first}");
        late += u32::from(first == WRITE_NOTIFY);

        client.until(if first == EVENT_ADD { WRITE_NOTIFY } else { EVENT_ADD });
    }
    late
}

/// The record is processing for something else: the put waits for that, has it processed again, and ends with that (dbNotify.c).
#[test]
fn a_put_to_a_record_that_is_processing_ends_with_the_processing_after_it() {
    let top = Top::new();
    top.database(
        "busy.db",
        "record(calcout, \"BUSY\") { field(CALC, \"1\") field(ODLY, \"1\") field(OUT, \"COUNT.PROC\") }\n\
         record(calc, \"COUNT\") { field(CALC, \"VAL+1\") }\n\
         record(fanout, \"FAN\") { field(LNK1, \"BUSY\") }\n",
    );
    top.replace("iocBoot/iocExample/st.cmd", "db/example.db", "db/busy.db");
    let ioc = Ioc::start(&top, "st.cmd", None);
    ioc.wait_for("iocRun: All initialization complete");
    let mut client = Client::new(&ioc);
    let busy = client.channel("BUSY.PROC", 1);
    let fan = client.channel("FAN.PROC", 2);
    let count = client.channel("COUNT", 3);
    let one = 1_f64.to_be_bytes();
    for (start, counted) in [(busy, 2_f64), (fan, 4.0)] {
        client.send(WRITE, &one, DBR_DOUBLE, 1, [start, 0]);
        client.send(WRITE_NOTIFY, &one, DBR_DOUBLE, 1, [busy, 1]);
        client.until(WRITE_NOTIFY);
        client.send(READ_NOTIFY, &[], DBR_DOUBLE, 1, [count, 2]);
        assert_eq!(client.value_of(READ_NOTIFY).to_bits(), counted.to_bits());
    }
}

#[test]
fn events_of_a_put_come_before_its_end() {
    let top = Top::new();
    top.database(
        "order.db",
        "record(ao, \"SET\") { field(FLNK, \"NEXT\") }\n\
         record(calc, \"NEXT\") { field(INPA, \"SET\") field(CALC, \"A\") field(FLNK, \"SLOW\") }\n\
         record(calcout, \"SLOW\") { field(INPA, \"SET\") field(CALC, \"A\") field(ODLY, \"0.005\") field(OUT, \"LAST PP\") }\n\
         record(ao, \"LAST\") {}\n",
    );
    top.replace("iocBoot/iocExample/st.cmd", "db/example.db", "db/order.db");
    let ioc = Ioc::start(&top, "st.cmd", None);
    ioc.wait_for("iocRun: All initialization complete");
    // C sends both in one piece, and has 0 to 1 of 200 late. Without an order, it would be 60 to 180.
    for watched in ["SET", "NEXT", "SLOW", "LAST"] {
        let late = late_events(&ioc, watched, 100);
        assert!(late <= 2, "{watched}: {late} of 100 late");
    }
}
