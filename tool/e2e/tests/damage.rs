//! Files of an IOC and of a project with damage at random: what reads them ends, and in no panic.
//!
//! `XTASK_TRIES` and `XTASK_SEED` repeat one; `XTASK_SLOW_TESTS=1` has more of them.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests run programs")]

mod common;

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

/// Brackets for the stack, values that double, what takes the square of its length.
#[test]
fn nothing_grows_without_end() {
    let scratch = Scratch::new();
    let chain = |format: &dyn Fn(usize) -> String| -> String { (0..40).map(format).collect() };
    let (db, proto, script) =
        ("ioc/exampleApp/Db/example.db", "ioc/exampleApp/Db/example.proto", "ioc/iocBoot/iocExample/st.cmd");
    let (makefile, rows) = ("ioc/exampleApp/Db/Makefile", "ioc/exampleApp/Db/more.substitutions");
    let row = chain(&|n| format!("\"$(A{})$(A{})\" ", n + 1, n + 1));
    let names = chain(&|n| format!("A{n} "));
    let cases: [(&str, String, &str); 9] = [
        (db, format!("record(ai, \"X\") {{ field(INP, {}) }}\n", "[".repeat(9000)), "not-in-soft-ioc"),
        (db, format!("record(ai, \"X{}\") {{}}\n", "$(A=".repeat(3000)), "not-in-soft-ioc"),
        (db, format!("record(calc, \"X\") {{ field(CALC, \"{}\") }}\n", "A?".repeat(7000)), "bad-expression"),
        (proto, format!("get {{ out \"%{}f\"; }}\n", "9".repeat(42_000)), "not-in-soft-ioc"),
        (proto, "${".repeat(8000), "not-in-soft-ioc"),
        (proto, format!("v = \"abc\";\n{}", chain(&|_| "v = $v $v;\n".to_owned())), "not-in-soft-ioc"),
        (
            script,
            format!("epicsEnvSet(A, abc)\n{}", chain(&|_| "epicsEnvSet(A, $(A)$(A))\n".to_owned())),
            "endless-macro",
        ),
        (makefile, "ifdef A\n".repeat(20_000), "make-stops"),
        (rows, format!("file \"example.db\" {{ pattern {{ {names} }} {{ {row} }} }}\n"), "make-stops"),
    ];
    scratch.edit(makefile, "DB += example.proto", "DB += example.proto more.db");
    scratch.write(rows, "file \"example.db\" { pattern { A0 } { a } }\n");
    for (file, more, code) in cases {
        let whole = fs::read_to_string(scratch.root.join(file)).unwrap();
        // A script is over at its end, a protocol at its first mistake.
        fs::write(
            scratch.root.join(file),
            if file == script { whole.replace("iocInit", &(more + "iocInit")) } else { more + &whole },
        )
        .unwrap();
        let mut command = Command::new(scratch.program("soft-ioc"));
        scratch.environment(&mut command);
        command.args(["--lint", "[{}]", "--app", "example", "st.cmd"]);
        let output = run(command.current_dir(scratch.root.join("ioc/iocBoot/iocExample")));
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains(code), "{file}: {} {said}", output.status);
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
