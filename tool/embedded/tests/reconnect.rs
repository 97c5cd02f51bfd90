//! A device that comes back while its records are put.

mod common;

use common::{Ioc, Simulator, Top};

/// `@init` runs outside of the record's processing then, and a put starts the record's own run beside it.
#[test]
fn a_put_while_the_device_comes_back_leaves_the_port_to_the_others() {
    let (top, simulator) = (Top::new(), Simulator::start());
    let mut ioc = Ioc::running(&top, &simulator);
    for volt in 1..=40 {
        ioc.type_line("streamReinit PS1");
        ioc.type_line(&format!("dbpf VOLT {volt}"));
    }
    ioc.wait_for_value("VOLT-RB", "40");
}
