//! Runs executions in threads, side by side.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use anyhow::Result;

use super::{DriverEvent, Exec, Job, Outcome, Verdict};

/// How long a Ctrl-C may go unseen.
const STEP: Duration = Duration::from_millis(50);

/// Lines of an execution's log that may wait to be told.
const WAITING: usize = 4096;

/// How one execution talks to the run.
#[derive(Debug)]
pub struct Watch {
    id: usize,
    sender: Sender<(usize, Said)>,
    /// Says when to end: once to clean up, twice at once.
    pub interrupts: Receiver<()>,
}

#[derive(Debug)]
enum Said {
    Driver(DriverEvent),
    Line(String),
    Flush(Sender<()>),
    Ended(Box<Result<Outcome>>),
}

impl Watch {
    /// The driver says something.
    pub fn driver(&self, event: DriverEvent) {
        let _ = self.sender.send((self.id, Said::Driver(event)));
    }

    /// Waits until all that was said so far has been reported.
    pub fn flush(&self) {
        flush(self.id, &self.sender);
    }

    /// Passes on lines of the log, for a thread that may wait for whoever reads them.
    pub fn lines(&self) -> impl FnMut(String) + Send + 'static {
        let (id, sender) = (self.id, self.sender.clone());
        let mut waiting = 0;
        move |line| {
            let _ = sender.send((id, Said::Line(line)));
            waiting += 1;
            if waiting == WAITING {
                flush(id, &sender);
                waiting = 0;
            }
        }
    }
}

/// Runs what the schedule gives, each execution in a thread.
///
/// # Errors
/// The first error of `run_one`, after the others were ended.
pub fn side_by_side(
    job: &mut Job,
    interrupts: &Receiver<()>,
    run_one: impl Fn(&Exec, &Watch) -> Result<Outcome> + Sync,
) -> Result<()> {
    let (sender, said) = channel();
    let mut running: BTreeMap<usize, (Exec, Sender<()>)> = BTreeMap::new();
    let mut times = 0;
    let mut trouble = None;
    std::thread::scope(|scope| {
        loop {
            while trouble.is_none()
                && let Some(exec) = job.schedule.start()
            {
                if let Err(error) = job.started(&exec) {
                    trouble = Some(error);
                    break;
                }
                let (interrupt, interrupts) = channel();
                let watch = Watch { id: exec.id, sender: sender.clone(), interrupts };
                running.insert(exec.id, (exec.clone(), interrupt));
                let run_one = &run_one;
                scope.spawn(move || {
                    let result = run_one(&exec, &watch);
                    let _ = watch.sender.send((watch.id, Said::Ended(Box::new(result))));
                });
            }
            if running.is_empty() {
                break;
            }
            match said.recv_timeout(STEP) {
                Ok((id, Said::Ended(result))) => {
                    running.remove(&id);
                    match *result {
                        Ok(mut outcome) => {
                            if trouble.is_some() && outcome.verdict == Verdict::Interrupted {
                                outcome.verdict = Verdict::HostFailed;
                            }
                            job.ended(outcome);
                        }
                        Err(error) => {
                            // It will not be better for the others.
                            end_all(&running);
                            trouble.get_or_insert(error);
                        }
                    }
                }
                Ok((id, Said::Driver(event))) => {
                    if let Some((exec, _)) = running.get(&id) {
                        job.driver(exec, &event);
                    }
                }
                Ok((id, Said::Line(line))) => {
                    if let Some((exec, _)) = running.get(&id) {
                        job.line(exec, &line);
                    }
                }
                Ok((_, Said::Flush(done))) => drop(done),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            if interrupts.try_recv().is_ok() {
                times += 1;
                end_all(&running);
                job.interrupted(times);
            }
        }
    });
    trouble.map_or(Ok(()), Err)
}

fn flush(id: usize, sender: &Sender<(usize, Said)>) {
    let (done, told) = channel();
    let _ = sender.send((id, Said::Flush(done)));
    let _ = told.recv();
}

/// Passes an interrupt on to all that run.
fn end_all(running: &BTreeMap<usize, (Exec, Sender<()>)>) {
    for (_, interrupt) in running.values() {
        // What has just ended does not hear it.
        let _ = interrupt.send(());
    }
}
