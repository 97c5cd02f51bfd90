//! PV Access beside Channel Access: the same records, as PVXS serves them. Groups of records (`Q:group`) are not there.

use epics_base_rs::server::ioc_app::{IocApplication, IocRunConfig};
use epics_pva_rs::server::{PvaServer, iocsh};

/// What PVXS does before the start-up script runs: its commands, and the ports of its server.
pub fn register(app: IocApplication) -> IocApplication {
    iocsh::pvxs_base_registrar(app)
}

/// Serves the records for as long as the process lives.
pub fn serve(config: &mut IocRunConfig) {
    let server = PvaServer::from_parts(config.db.clone(), None, config.acf.clone(), None, None);
    let server = server.bound_at_registrar(&mut config.servers);
    tokio::spawn(async move {
        if let Err(error) = server.run().await {
            crate::complain(&format!("no PV Access: {error}"));
        }
    });
}
