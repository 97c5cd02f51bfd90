//! Files of an IOC and of a project with damage at random: what reads them ends, and in no panic.
//!
//! `XTASK_TRIES` and `XTASK_SEED` repeat one; `XTASK_SLOW_TESTS=1` has more of them.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests run programs")]

mod common;
#[path = "../../embedded/tests/common/port.rs"]
mod port;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use common::dice::{Dice, number, seed};
use common::{Scratch, tell};

/// What readers look for.
const WORDS: [&[u8]; 24] = [
    b"\"",
    b"{",
    b"}",
    b"(",
    b")",
    b"$(",
    b"${A=${A}}",
    b"\\",
    b"\n",
    b"\r\n",
    b"\0",
    b"\xff\xfe",
    b"#",
    b",",
    b"%",
    b"%s",
    b"%(A)f",
    b"include \"x\"",
    b"record(ai, \"A\")",
    b"field(VAL, \"",
    b"pattern {",
    b"file x {",
    b"[[",
    b"999999999999999999999",
];

/// Takes away, doubles, moves, changes, and puts in words.
fn damage(dice: &mut Dice, bytes: &mut Vec<u8>) {
    for _ in 0..=dice.below(4) {
        let (a, b) = (dice.below(bytes.len() + 1), dice.below(bytes.len() + 1));
        let (from, to) = (a.min(b), a.max(b).min(a.min(b) + 200));
        let part = bytes[from..to].to_vec();
        match dice.below(6) {
            0 => drop(bytes.drain(from..to)),
            1 => drop(bytes.splice(b..b, part.repeat(1 + dice.below(50)))),
            2 => drop(bytes.splice(b..b, dice.of(&WORDS).repeat(1 + dice.below(3)))),
            3 => drop(bytes.splice(b..b, dice.of(&WORDS).repeat(200))),
            4 if from < bytes.len() => bytes[from] = u8::try_from(dice.below(256)).unwrap(),
            _ => bytes.truncate(to),
        }
    }
}

/// Within a minute, by itself.
fn run(command: &mut Command) -> Output {
    let mut limited = Command::new("timeout");
    limited.args(["--signal=KILL", "60"]).arg(command.get_program()).args(command.get_args());
    limited.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited.current_dir(command.get_current_dir().unwrap()).output().unwrap()
}

/// Brackets for the stack, values and files that double, what takes the square of its length: lint tells it, and the IOC does not
/// start, or goes on where C's does.
#[test]
fn nothing_grows_without_end() {
    const READ_NO_MORE: &str = "the soft IOC does not read this: ioc/";
    let scratch = Scratch::new();
    let chain = |format: &dyn Fn(usize) -> String| -> String { (0..40).map(format).collect() };
    let (db, proto, script) =
        ("ioc/exampleApp/Db/example.db", "ioc/exampleApp/Db/example.proto", "ioc/iocBoot/iocExample/st.cmd");
    let (makefile, rows, template) =
        ("ioc/exampleApp/Db/Makefile", "ioc/exampleApp/Db/rows.substitutions", "ioc/exampleApp/Db/more.template");
    let row = chain(&|n| format!("\"$(A{})$(A{})\" ", n + 1, n + 1));
    let names = chain(&|n| format!("A{n} "));
    let (included, called) = ("ioc/exampleApp/Db/a0.db", "ioc/iocBoot/iocExample/a0.cmd");
    let load = "< a0.cmd\ncd \"${TOP}/db\"\ndbLoadRecords(\"a0.db\")\ndbLoadTemplate(\"rows.substitutions\")\n";
    let cases: [(&str, String, &str, Option<&str>); 14] = [
        (
            db,
            format!("record(ai, \"X\") {{ field(INP, {}) }}\n", "[".repeat(9000)),
            "not-in-soft-ioc",
            Some(READ_NO_MORE),
        ),
        (db, format!("record(ai, \"X{}\") {{}}\n", "$(A=".repeat(3000)), "not-in-soft-ioc", Some(READ_NO_MORE)),
        (db, format!("record(calc, \"X\") {{ field(CALC, \"{}\") }}\n", "A?".repeat(7000)), "bad-expression", None),
        (proto, format!("get {{ out \"%{}f\"; }}\n", "9".repeat(42_000)), "not-in-soft-ioc", Some(READ_NO_MORE)),
        (proto, "${".repeat(8000), "not-in-soft-ioc", Some(READ_NO_MORE)),
        (
            proto,
            format!("v = \"abc\";\n{}", chain(&|_| "v = $v $v;\n".to_owned())),
            "not-in-soft-ioc",
            Some(READ_NO_MORE),
        ),
        (
            script,
            format!("epicsEnvSet(A, abc)\n{}", chain(&|_| "epicsEnvSet(A, $(A)$(A))\n".to_owned())),
            "endless-macro",
            Some(READ_NO_MORE),
        ),
        // Brackets that no file has.
        (
            script,
            format!(
                "epicsEnvSet(A, [)\n{}dbLoadRecords(\"${{TOP}}/db/brackets.db\", \"A=$(A)\")\n",
                "epicsEnvSet(A, $(A)$(A))\n".repeat(12)
            ),
            "not-in-soft-ioc",
            Some(READ_NO_MORE),
        ),
        (included, "include \"a0.db\"\ninclude \"a1.db\"\n".to_owned(), "includes-itself", Some(READ_NO_MORE)),
        (called, "< a1.cmd\n< a0.cmd\n".to_owned(), "includes-itself", Some(READ_NO_MORE)),
        (
            rows,
            format!("file \"example.db\" {{ pattern {{ {names} }} {{ {row} }} }}\n"),
            "endless-macro",
            Some(READ_NO_MORE),
        ),
        (
            template,
            "include \"more.template\"\ninclude \"more.template\"\n".to_owned(),
            "make-stops",
            Some("make stops"),
        ),
        (template, format!("{}\n", "$(A=".repeat(3000)), "make-stops", Some("make stops")),
        (makefile, "ifdef A\n".repeat(20_000), "make-stops", Some("Makefile:101: more than 100 conditions")),
    ];
    scratch.edit(
        makefile,
        "DB += example.proto",
        "DB += example.proto rows.substitutions more.db a0.db a1.db brackets.db",
    );
    scratch.edit(script, "iocInit()", &format!("{load}iocInit()"));
    scratch.write(template, "record(ai, \"MORE\") {}\n");
    scratch.write("ioc/exampleApp/Db/brackets.db", "record(ai, \"B\") { field(INP, $(A)) }\n");
    scratch.write(included, "record(ai, \"A0\") {}\n");
    scratch.write("ioc/exampleApp/Db/a1.db", "include \"a0.db\"\ninclude \"a0.db\"\n");
    scratch.write(called, "echo a0\n");
    scratch.write("ioc/iocBoot/iocExample/a1.cmd", "< a0.cmd\n< a0.cmd\n");
    scratch.write(rows, "file \"example.db\" { pattern { PREFIX } { a } }\n");
    for (file, more, code, refused) in cases {
        let whole = fs::read_to_string(scratch.root.join(file)).unwrap();
        // A script is over at its end, a protocol at its first mistake.
        fs::write(
            scratch.root.join(file),
            if file == script { whole.replace("iocInit", &(more + "iocInit")) } else { more + &whole },
        )
        .unwrap();
        let soft_ioc = |words: &[&str]| {
            let mut command = Command::new(scratch.program("soft-ioc"));
            scratch.environment(&mut command);
            command
                .args(words)
                .args(["--app", "example", "st.cmd"])
                .env("EPICS_CA_SERVER_PORT", port::free().to_string());
            run(command.current_dir(scratch.root.join("ioc/iocBoot/iocExample")))
        };
        let output = soft_ioc(&["--lint", "[{}]"]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains(code), "{file}: {} {said}", output.status);
        // It ends at the end of its input.
        let output = soft_ioc(&[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(if refused.is_some() { 5 } else { 0 }), "{file}: {said}");
        assert!(refused.is_none_or(|why| said.contains(why) && said.contains("\n\nhint: ")), "{file}: {said}");
        fs::write(scratch.root.join(file), whole).unwrap();
    }
}

#[test]
fn damaged_files_are_read_to_the_end() {
    let scratch = Scratch::new();
    let (seed, tries) = (seed(), number("XTASK_TRIES", || if common::slow() { 3000 } else { 60 }));
    let mut dice = Dice(seed);
    scratch.write(
        "ioc/exampleApp/Db/more.substitutions",
        "file \"example.db\" {\n    pattern { PREFIX, PORT }\n    { \"A:\", PS1 }\n    { B:, \"PS1\" }\n}\n",
    );
    scratch.edit(
        "ioc/iocBoot/iocExample/st.cmd",
        "iocInit()",
        "dbLoadTemplate(\"../../exampleApp/Db/more.substitutions\")\niocInit()",
    );
    let files = [
        "ioc/exampleApp/Db/example.db",
        "ioc/exampleApp/Db/example.proto",
        "ioc/exampleApp/Db/more.substitutions",
        "ioc/exampleApp/Db/Makefile",
        "ioc/iocBoot/iocExample/st.cmd",
        "ioc.toml",
    ];
    let lint = scratch.program("soft-ioc");
    for n in 1..=tries {
        let file = dice.of(&files);
        let whole = fs::read(scratch.root.join(file)).unwrap();
        let mut bytes = whole.clone();
        damage(&mut dice, &mut bytes);
        fs::write(scratch.root.join(file), &bytes).unwrap();
        let output = if file == "ioc.toml" {
            run(&mut scratch.command(&["list"]))
        } else {
            let mut command = Command::new(&lint);
            scratch.environment(&mut command);
            command.args(["--lint", "[{}]", "--app", "example", "st.cmd"]);
            run(command.current_dir(scratch.root.join("ioc/iocBoot/iocExample")))
        };
        let said = String::from_utf8_lossy(&output.stderr);
        let ended = output.status.signal().is_none() && output.status.code() != Some(137) && !said.contains("panicked");
        if !ended {
            let kept = std::env::temp_dir().join(format!("damaged-{seed}-{n}"));
            fs::write(&kept, &bytes).unwrap();
            panic!("{file}, try {n}, seed {seed}, kept as {}: {} {said}", kept.display(), output.status);
        }
        fs::write(scratch.root.join(file), whole).unwrap();
    }
    tell(&format!("damaged files, seed {seed}: {tries} tried, all survived"));
}
