//! The Channel Access server, with answers and monitor events in C's order.
//!
//! C's server has one task per client for both, so the events that a put causes go out in one piece with its answer. That of
//! `epics-ca-rs` writes the answer at once, from the task that reads requests or from one that waits for records, while the
//! task that sends events has only been woken. A client that follows a PV by a monitor (pyepics) then reads the old value
//! after `caput(wait=True)`.
//!
//! Here the server's tasks have a thread of their own, where they run in the order in which they were woken: events come
//! before the end of a put. And the server tells a listener that a put has ended before it queues the answer. The listener
//! lets the tasks that wait for the thread run.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use epics_base_rs::error::CaError;
use epics_base_rs::runtime::task::Reactor;
use epics_base_rs::server::access_security::{
    TrapWriteListenerHandle, TrapWriteMessage, TrapWriteOp, register_trap_write_listener,
};
use epics_base_rs::server::ioc_app::{IocApplication, IocRunConfig};
use epics_ca_rs::server::{iocsh, run_ca_ioc};
use tokio::runtime::{Builder, Handle};
use tokio::task::{block_in_place, yield_now};

/// How often the task behind the events lets others run: some were woken from other threads, and queue elsewhere.
const TURNS: u32 = 4;

/// An answer is not held longer, whatever keeps the thread busy.
const PATIENCE: Duration = Duration::from_millis(20);

/// Runs an IOC and serves it until its shell ends; `beside` serves it in other ways.
pub async fn run(app: IocApplication, beside: fn(&mut IocRunConfig)) -> Result<(), String> {
    let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("CAS-client").enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start threads: {error}"))?;
    let server = runtime.handle().clone();
    let _listener = events_before_answers(server.clone());
    // What `run_ca_ioc_app` does, but for the threads of the server.
    let links = Reactor::current().ok_or("no reactor for links")?;
    let app = iocsh::register_rsrv_commands(app)
        .register_link_type("ca", move |db| epics_ca_rs::calink::calink_link_set_install(db, links));
    let running = app.run(move |mut config| async move {
        beside(&mut config);
        let ended = server.spawn(run_ca_ioc(config)).await;
        ended.unwrap_or_else(|error| Err(CaError::InvalidValue(error.to_string())))
    });
    let ended = running.await;
    runtime.shutdown_background();
    ended.map_err(|error| error.to_string())
}

/// Holds the answers of puts until the events before them are queued, for as long as the handle lives.
fn events_before_answers(server: Handle) -> TrapWriteListenerHandle {
    register_trap_write_listener(Arc::new(move |put: &TrapWriteMessage<'_>| {
        if put.op != TrapWriteOp::AfterWrite {
            return;
        }
        let (done, ended) = channel();
        server.spawn(async move {
            for _ in 0..TURNS {
                yield_now().await;
            }
            let _gone = done.send(());
        });
        // We are in one of the server's tasks: another thread goes on with the others.
        let _late = block_in_place(|| ended.recv_timeout(PATIENCE));
    }))
}
