//! The IOC: what `make` would have compiled into the application, and C's behaviour around it.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use epics_base_rs::runtime::env;
use epics_base_rs::runtime::exit::{at_exit, exit_by_signal};
use epics_base_rs::runtime::task::adopt_current_runtime;
use epics_base_rs::server::database::PvDatabase;
use epics_base_rs::server::ioc_app::{InitHookState, IocApplication, IocInitDecision, init_hook_register};
use epics_base_rs::server::iocsh::IocShell;
use epics_base_rs::server::iocsh::registry::{
    ArgDesc, ArgType, ArgValue, CommandContext, CommandDef, CommandOutcome, escape_arg,
};
use epics_base_rs::server::iocsh::vars::{VarAccess, VarDef, register_variable};
use epics_base_rs::server::records::{
    acalcout::AcalcoutRecord, scalcout::ScalcoutRecord, sseq::SseqRecord, swait::SwaitRecord,
    transform::TransformRecord,
};
use stream_rs::core::STREAM_ERROR_DEAD_TIME;
use stream_rs::error::{self as stream, STREAM_ERROR, STREAM_MSG_TIME_STAMPED};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::asyn;
use crate::bus;
use crate::coverage;
use crate::lint::{Outlook, is_no_variable};
use crate::modules;
use crate::numbers;
use crate::serve;
use crate::top::registration;
use crate::tree::{self, View};

/// Name of the command that stands for `iocsh(argv[1])` in the main program of a C IOC.
const RUN_SCRIPT: &str = "softIocScript";

/// How long C's `iocInit` sleeps before records are processed for the first time. The soft IOC
/// waits no longer than that for them to be through.
const C_INIT_SLEEP: Duration = Duration::from_millis(500);

/// Runs the IOC of application `app` with the start-up script `script`, as seen from the current
/// folder, until its shell ends.
pub fn run(app: &str, script: &Path) -> Result<(), String> {
    let boot = std::env::current_dir().map_err(|error| format!("the current folder: {error}"))?;
    asyn::provide(tree::new_folder).map_err(|error| format!("the folder for temporary files: {error}"))?;
    let outlook = Outlook::read(app, script).unwrap_or_else(|_| Outlook::without_top());
    if let Some(refusal) = outlook.refusals.first() {
        return Err(refusal.clone());
    }
    // The server asks for its port before the script runs; C does so in iocInit.
    let port = outlook.port();
    // The script will say only that they are not there.
    for missing in outlook.missing {
        crate::complain(&format!("ERROR: {missing}"));
    }
    for gap in outlook.gaps {
        crate::complain(&format!("WARNING: {gap}"));
    }
    coverage::start().map_err(|error| format!("the file of the coverage: {error}"))?;
    let runtime = Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start threads: {error}"))?;
    runtime.block_on(async {
        adopt_current_runtime();
        let signals = |error| format!("cannot handle signals: {error}");
        // C ignores a hang-up; a handler that does nothing does so too.
        let _hang_up = signal(SignalKind::hangup()).map_err(signals)?;
        let terminate = signal(SignalKind::terminate()).map_err(signals)?;
        let interrupt = signal(SignalKind::interrupt()).map_err(signals)?;

        let installed = |error: std::io::Error| {
            let hint = match error.kind() {
                std::io::ErrorKind::InvalidData => "cargo xtask lint shows the place",
                _ => "let TMPDIR name a folder that can be written",
            };
            format!("cannot show {} as installed: {error}\n\nhint: {hint}", boot.display())
        };
        let view = View::create(&boot, app, &outlook.unended).map_err(installed)?.map(Arc::new);
        if let Some(view) = &view {
            std::env::set_current_dir(&view.boot).map_err(installed)?;
            let view = Arc::clone(view);
            at_exit("remove the installed view", move || view.remove());
        }
        tokio::spawn(end_by_signal(terminate, interrupt, view));
        let application =
            modules::provide(application(app, script), !outlook.absent.iter().any(|own| own == "set_savefile_path"))
                .port(port);
        let application =
            outlook.absent.into_iter().fold(application, |own, name| own.register_startup_command(absent(&name)));
        #[cfg(feature = "pva")]
        if outlook.pv_access {
            return serve::run(crate::pva::register(application), crate::pva::serve).await;
        }
        serve::run(application, |_| ()).await
    })
}

/// Ends the process as the signal would. `IocApplication` does so too, but only once the script is
/// through, and a start-up script may take long.
async fn end_by_signal(mut terminate: Signal, mut interrupt: Signal, view: Option<Arc<View>>) {
    let kind = tokio::select! {
        _ = terminate.recv() => SignalKind::terminate(),
        _ = interrupt.recv() => SignalKind::interrupt(),
    };
    if let Some(view) = view {
        view.remove();
    }
    asyn::remove();
    // Not on a thread of the runtime: what runs at exit may wait for those.
    std::thread::spawn(move || exit_by_signal(kind.as_raw_value()));
}

/// The application: StreamDevice, asyn and calc, as the `dbd` of a StreamDevice IOC names them.
pub fn application(app: &str, script: &Path) -> IocApplication {
    register_stream_variables();
    numbers::provide();
    let (asyn, new_asyn) = asyn_rs::asyn_record::asyn_record_factory();
    bus::register();
    let app = stream_rs::dev::register_app(IocApplication::new())
        .register_record_type(asyn, new_asyn)
        .register_record_type("scalcout", || Box::new(ScalcoutRecord::default()))
        .register_record_type("acalcout", || Box::new(AcalcoutRecord::default()))
        .register_record_type("sseq", || Box::new(SseqRecord::default()))
        .register_record_type("swait", || Box::new(SwaitRecord::default()))
        .register_record_type("transform", || Box::new(TransformRecord::default()))
        .register_startup_command(register_record_device_driver(app))
        .register_startup_command(set_variable())
        .register_startup_command(run_script(script.to_owned()))
        .startup_line(&default_protocol_path())
        .startup_line(RUN_SCRIPT)
        // As the main program that makeBaseApp.pl writes: the script initialises the IOC, or
        // nothing does; then comes the prompt.
        .before_ioc_init(|| IocInitDecision::skip(true));
    serve_after_first_processing(app)
}

/// A line that sets StreamDevice's own default. StreamDevice warns where nothing is set, also in
/// an IOC that has no use for it, whose C application would not contain it.
fn default_protocol_path() -> String {
    const NAME: &str = "STREAM_PROTOCOL_PATH";
    match std::env::var_os(NAME) {
        None => format!("epicsEnvSet {NAME} ."),
        Some(_) => String::new(),
    }
}

/// `APP_registerRecordDeviceDriver`: all it would register is registered.
fn register_record_device_driver(app: &str) -> CommandDef {
    let name = registration(app);
    let argument = ArgDesc { name: "pdbbase", arg_type: ArgType::String };
    CommandDef::new(name, vec![argument], "", |_: &[ArgValue], _: &CommandContext| Ok(CommandOutcome::Continue))
}

/// epics-base-rs' own one panics at a name that no variable can have, where C says so and goes on (osdEnv.c).
fn set_variable() -> CommandDef {
    let text = |name| ArgDesc { name, arg_type: ArgType::String };
    CommandDef::new("epicsEnvSet", vec![text("name"), text("value")], "", |args: &[ArgValue], ctx: &CommandContext| {
        let [ArgValue::String(name), ArgValue::String(value)] = args else {
            let lacks = if matches!(args[0], ArgValue::String(_)) { "value" } else { "name" };
            ctx.eprintln(&format!("Missing environment variable {lacks} argument."));
            return Ok(CommandOutcome::Failed);
        };
        let (name, value) = (name.to_str()?, value.to_os_str()?);
        if is_no_variable(name) {
            ctx.eprintln(&format!("setenv(\"{name}\", \"{}\") -> 22", value.display()));
            return Ok(CommandOutcome::Continue);
        }
        // The macro of this name goes with it.
        let shell = IocShell::new_with_acf(Arc::clone(ctx.db()), ctx.bridge().clone(), ctx.acf().clone());
        let unset = shell.execute_line(format!("epicsEnvUnset {}", escape_arg(name)));
        env::set(name, value);
        unset
    })
}

/// In the place of a command that the definitions of the application do not bring.
fn absent(name: &str) -> CommandDef {
    let said = format!("Command {name} not found.");
    CommandDef::new(name, Vec::new(), "", move |_: &[ArgValue], _: &CommandContext| Err(said.clone()))
}

/// Runs the script in a shell of its own, so that its failure, which it has reported, leaves the
/// IOC at the prompt as in C. A script given to the application itself would end it.
fn run_script(script: PathBuf) -> CommandDef {
    CommandDef::new(RUN_SCRIPT, Vec::new(), "", move |_: &[ArgValue], ctx: &CommandContext| {
        let shell = IocShell::new_with_acf(Arc::clone(ctx.db()), ctx.bridge().clone(), ctx.acf().clone());
        let path = script.as_os_str().as_encoded_bytes();
        let _reported = shell.execute_script_with_macros(path, &std::collections::HashMap::new());
        Ok(CommandOutcome::Continue)
    })
}

/// The variables of `stream.dbd`, for `var streamError 1` and the like.
fn register_stream_variables() {
    let int = |name, get, set| {
        register_variable(VarDef { name, access: VarAccess::Int { get, set } });
    };
    int("streamDebug", || coverage::stream_debug().into(), |v| coverage::set_stream_debug(c_int(v)));
    int("streamError", || STREAM_ERROR.load(Relaxed).into(), |v| stream::set_stream_error(c_int(v)));
    int(
        "streamMsgTimeStamped",
        || STREAM_MSG_TIME_STAMPED.load(Relaxed).into(),
        |v| stream::set_stream_msg_time_stamped(c_int(v)),
    );
    int(
        "streamErrorDeadTime",
        || STREAM_ERROR_DEAD_TIME.load(Relaxed).into(),
        |v| STREAM_ERROR_DEAD_TIME.store(c_int(v), Relaxed),
    );
    int("streamDebugColored", || stream::stream_debug_colored().into(), |v| stream::set_stream_debug_colored(v != 0));
}

/// The variable as C stores it: the low bits of what the shell read.
#[expect(clippy::cast_possible_truncation, reason = "as C does")]
fn c_int(value: i64) -> i32 {
    value as i32
}

/// Lets clients in once the first processing of records, PINI, is through: a client of a C IOC
/// never sees a record before that, because its `iocInit` sleeps on the way.
fn serve_after_first_processing(app: IocApplication) -> IocApplication {
    static DATABASE: OnceLock<Arc<PvDatabase>> = OnceLock::new();
    init_hook_register(Arc::new(|state| {
        if state == InitHookState::AfterInitialProcess {
            let end = Instant::now() + C_INIT_SLEEP;
            while DATABASE.get().is_some_and(|db| busy(db)) && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }));
    app.register_after_init_database(|db, _| async {
        coverage::loaded(&db);
        let _first = DATABASE.set(db);
    })
}

fn busy(db: &PvDatabase) -> bool {
    let active = |name| db.get_record(name).is_some_and(|record| record.read().is_processing());
    db.all_record_names().into_iter().any(active)
}
