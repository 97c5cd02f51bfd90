//! A port's lock goes back, whoever's run took it.
//!
//! When a device comes back, StreamDevice runs `@init` outside of the record's processing. A record that is processed just then starts
//! its own run, and `epics-stream-rs` drops the answer that the first one waited for: were that the lock, nobody would give it back,
//! and every record of the port would time out from then on. Between StreamDevice and asyn, this lets asyn answer what the earlier run
//! asked for last, and hands its lock to the later run. Where that was a write, the device's reply is still to come: as in C, it may
//! be taken for the reply to the later run.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use asyn_rs::manager::DeviceUser;
use stream_rs::asyn::get_bus_interface;
use stream_rs::bus::{self, Client, ReadInput, StreamBusInterface, StreamIoStatus};

/// Before asyn's own: the first that knows a port has it.
pub fn register() {
    bus::register_stream_bus_interface("AsynDriverInterface", attach);
}

fn attach(client: Weak<dyn Client>, port: &str, address: i32, param: &str) -> Option<Box<dyn StreamBusInterface>> {
    let turns = Arc::new(Turns { client, asyn: OnceLock::new(), device: Mutex::default(), state: Mutex::default() });
    let client: Arc<dyn Client> = turns.clone();
    let asyn = get_bus_interface(Arc::downgrade(&client), port, address, param)?;
    lock(&turns.device).connect_device(Some(port), address).ok()?;
    turns.asyn.set(asyn).ok()?;
    Some(Box::new(Bus(turns)))
}

/// Stands between asyn and a record, whose runs take turns.
struct Turns {
    client: Weak<dyn Client>,
    asyn: OnceLock<Box<dyn StreamBusInterface>>,
    device: Mutex<DeviceUser>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// An answer of the port is awaited.
    asked: bool,
    /// The port's answer is being told.
    telling: bool,
    /// How often asyn gave its lock, which counts.
    locks: usize,
    /// A later run wants the lock that an earlier one has.
    wanted: bool,
}

/// StreamDevice's side of it.
struct Bus(Arc<Turns>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Turns {
    /// Tells an answer to the run that waits for it, or gives the lock to the one that has come since.
    fn tell(&self, answer: impl FnOnce(&dyn Client)) {
        let Some(client) = self.client.upgrade() else { return };
        let mut state = lock(&self.state);
        state.asked = false;
        state.telling = true;
        if !state.wanted {
            drop(state);
            answer(&*client);
            state = lock(&self.state);
        }
        while std::mem::take(&mut state.wanted) {
            drop(state);
            client.lock_callback(StreamIoStatus::StreamIoSuccess);
            state = lock(&self.state);
        }
        state.telling = false;
    }

    /// Makes a request, and notes that its answer is awaited.
    fn ask(&self, request: impl FnOnce(&dyn StreamBusInterface) -> bool) -> bool {
        lock(&self.state).asked = true;
        let taken = self.asyn.get().is_some_and(|asyn| request(&**asyn));
        if !taken {
            lock(&self.state).asked = false;
        }
        taken
    }

    /// The same, but what comes without the lock is nobody's turn: asynchronous input.
    fn ask_if_locked(&self, request: impl FnOnce(&dyn StreamBusInterface) -> bool) -> bool {
        if lock(&self.state).locks > 0 {
            self.ask(request)
        } else {
            self.asyn.get().is_some_and(|asyn| request(&**asyn))
        }
    }

    /// Gives all of the lock back.
    fn give_back(&self) -> bool {
        let locks = std::mem::take(&mut lock(&self.state).locks);
        (0..locks).fold(true, |all, _| self.asyn.get().is_some_and(|asyn| asyn.unlock()) && all)
    }

    /// A port that is gone answers nothing, and asyn refuses at once.
    fn is_connected(&self) -> bool {
        lock(&self.device).is_connected().unwrap_or(false)
    }
}

impl Client for Turns {
    fn lock_callback(&self, status: StreamIoStatus) {
        if status == StreamIoStatus::StreamIoSuccess {
            lock(&self.state).locks += 1;
        }
        self.tell(|client| client.lock_callback(status));
        // Who has the lock writes at once: else it came for a run that had ended.
        if !lock(&self.state).asked {
            self.give_back();
        }
    }

    fn write_callback(&self, status: StreamIoStatus) {
        self.tell(|client| client.write_callback(status));
    }

    fn read_callback(&self, status: StreamIoStatus, input: ReadInput<'_>) -> isize {
        // Asynchronous input is no answer to what was asked.
        if lock(&self.state).locks == 0 {
            return self.client.upgrade().map_or(0, |client| client.read_callback(status, input));
        }
        let mut more = 0;
        self.tell(|client| more = client.read_callback(status, input));
        let mut state = lock(&self.state);
        state.asked |= more != 0 && state.locks > 0;
        more
    }

    fn event_callback(&self, status: StreamIoStatus) {
        self.tell(|client| client.event_callback(status));
    }

    fn connect_callback(&self, status: StreamIoStatus) {
        self.tell(|client| client.connect_callback(status));
    }

    fn async_connect_callback(&self, status: StreamIoStatus) {
        if let Some(client) = self.client.upgrade() {
            client.async_connect_callback(status);
        }
    }

    fn disconnect_callback(&self, status: StreamIoStatus) {
        self.tell(|client| client.disconnect_callback(status));
    }

    fn priority(&self) -> i64 {
        self.client.upgrade().map_or(0, |client| client.priority())
    }

    fn interrupt_accept(&self) -> bool {
        self.client.upgrade().is_some_and(|client| client.interrupt_accept())
    }

    fn get_in_terminator(&self) -> Option<Vec<u8>> {
        self.client.upgrade()?.get_in_terminator()
    }

    fn get_out_terminator(&self) -> Option<Vec<u8>> {
        self.client.upgrade()?.get_out_terminator()
    }

    fn name(&self) -> String {
        self.client.upgrade().map(|client| client.name()).unwrap_or_default()
    }
}

impl StreamBusInterface for Bus {
    fn lock_request(&self, timeout_ms: u64) -> bool {
        if self.0.is_connected() {
            let mut state = lock(&self.0.state);
            if state.locks > 0 && (state.asked || state.telling) {
                state.wanted = true;
                return true;
            }
            // An earlier run asked, and does not need it any more.
            if state.asked {
                return true;
            }
        }
        self.0.ask(|asyn| asyn.lock_request(timeout_ms))
    }

    fn unlock(&self) -> bool {
        self.0.give_back()
    }

    fn write_request(&self, output: &[u8], timeout_ms: u64) -> bool {
        self.0.ask(|asyn| asyn.write_request(output, timeout_ms))
    }

    fn read_request(&self, reply_ms: u64, read_ms: u64, expected: isize, asynchronous: bool) -> bool {
        self.0.ask_if_locked(|asyn| asyn.read_request(reply_ms, read_ms, expected, asynchronous))
    }

    fn supports_event(&self) -> bool {
        self.0.asyn.get().is_some_and(|asyn| asyn.supports_event())
    }

    fn supports_async_read(&self) -> bool {
        self.0.asyn.get().is_some_and(|asyn| asyn.supports_async_read())
    }

    fn accept_event(&self, mask: u64, reply_ms: u64) -> bool {
        self.0.ask_if_locked(|asyn| asyn.accept_event(mask, reply_ms))
    }

    fn connect_request(&self, timeout_ms: u64) -> bool {
        self.0.asyn.get().is_some_and(|asyn| asyn.connect_request(timeout_ms))
    }

    fn disconnect_request(&self) -> bool {
        self.0.asyn.get().is_some_and(|asyn| asyn.disconnect_request())
    }

    fn finish(&self) {
        // After it asyn tells nothing.
        {
            let mut state = lock(&self.0.state);
            (state.asked, state.wanted) = (false, false);
        }
        self.0.give_back();
        if let Some(asyn) = self.0.asyn.get() {
            asyn.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A port that refuses to take its lock back, and a record that counts its input.
    #[derive(Default, Clone)]
    struct Counter(Arc<AtomicUsize>);

    impl StreamBusInterface for Counter {
        fn lock_request(&self, _: u64) -> bool {
            true
        }

        fn unlock(&self) -> bool {
            self.0.fetch_add(1, Ordering::Relaxed);
            false
        }
    }

    impl Client for Counter {
        fn lock_callback(&self, _: StreamIoStatus) {}

        fn read_callback(&self, _: StreamIoStatus, _: ReadInput<'_>) -> isize {
            self.0.fetch_add(1, Ordering::Relaxed);
            0
        }

        fn interrupt_accept(&self) -> bool {
            true
        }

        fn get_in_terminator(&self) -> Option<Vec<u8>> {
            None
        }

        fn get_out_terminator(&self) -> Option<Vec<u8>> {
            None
        }

        fn name(&self) -> String {
            String::new()
        }
    }

    #[test]
    fn each_lock_is_given_back_and_no_more_is_awaited() {
        let (port, record) = (Counter::default(), Counter::default());
        let client: Arc<dyn Client> = Arc::new(record.clone());
        let (asyn, state) = (OnceLock::new(), State { asked: true, telling: false, locks: 0, wanted: false });
        assert!(asyn.set(Box::new(port.clone()) as Box<dyn StreamBusInterface>).is_ok());
        let turns = Turns { client: Arc::downgrade(&client), asyn, device: Mutex::default(), state: Mutex::new(state) };
        let bus = Bus(Arc::new(turns));
        // A request for the lock is awaited, whatever comes by itself.
        bus.0.read_callback(StreamIoStatus::StreamIoSuccess, ReadInput::Bytes(b"x"));
        assert!(lock(&bus.0.state).asked);
        assert_eq!(record.0.load(Ordering::Relaxed), 1);
        (lock(&bus.0.state).locks, lock(&bus.0.state).wanted) = (3, true);
        bus.finish();
        assert_eq!(port.0.load(Ordering::Relaxed), 3);
        let state = lock(&bus.0.state);
        assert!(!state.asked && !state.wanted && state.locks == 0);
    }
}
