//! What make makes of Makefiles, and that nothing stops the reader.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use proptest::prelude::*;

use super::Makefile;

/// A folder with a Makefile and files `a.db`, `b.db` and `c.txt` beside it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(text: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("soft-ioc-make-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        for file in ["a.db", "b.db", "c.txt"] {
            fs::write(path.join(file), "").unwrap();
        }
        fs::write(path.join("Makefile"), text).unwrap();
        fs::write(path.join("more.mk"), "X += more\n").unwrap();
        Self(path)
    }

    fn read(&self) -> Makefile {
        let preset = [("OS_CLASS", "Linux"), ("FILE_TYPE", "ADL")];
        Makefile::read(&self.0.join("Makefile"), &self.0, &self.0, &preset, &[("TOP", ".")])
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// `X` when all is read: its words, those in doubt with a `?`; or why make stops, with the line.
fn x(text: &str) -> String {
    let scratch = Scratch::new(text);
    let mut makefile = scratch.read();
    if let Some(stopped) = &makefile.stopped {
        return format!("{}: {}", stopped.line, stopped.what);
    }
    let words = makefile.words("X").into_iter().map(|word| word.text + if word.doubt.is_some() { "?" } else { "" });
    words.collect::<Vec<_>>().join(" ")
}

/// `X` as GNU make has it; `None` where it is not installed.
fn real(text: &str) -> Option<String> {
    let tail = "\n$(info X is $(strip $(X)))\n.PHONY: nothing_more\nnothing_more: ; @:\n";
    let scratch = Scratch::new(&format!("OS_CLASS = Linux\nFILE_TYPE = ADL\n{text}{tail}"));
    let mut make = std::process::Command::new("make");
    make.args(["--no-print-directory", "TOP=.", "nothing_more"]).env_clear().current_dir(&scratch.0);
    let output = make.env("PATH", std::env::var_os("PATH")?).output().ok()?;
    let told = String::from_utf8(output.stdout).unwrap();
    let value = told.lines().find_map(|line| line.strip_prefix("X is "));
    Some(value.unwrap_or_else(|| panic!("{text}: {}", String::from_utf8_lossy(&output.stderr))).to_owned())
}

/// Ours is as given, and make's own is, too.
fn is_both(text: &str, value: &str) {
    assert_eq!(x(text), value, "{text}");
    if let Some(real) = real(text).filter(|_| !value.contains('?')) {
        assert_eq!(real, value, "make itself, for {text}");
    }
}

#[test]
fn variables_are_those_of_make() {
    for (text, value) in [
        ("X = a b\nX += c \\\n   d\n", "a b c d"),
        ("A = 1\nX := $(A)\nA = 2\nX += $(A)\n", "1 2"),
        ("A = 1\nX = $(A)\nA = 2\n", "2"),
        ("X ?= a\nX ?= b\n", "a"),
        ("FILE_TYPE ?= B\nX = $(FILE_TYPE)\n", "ADL"),
        ("TOP = elsewhere\nX = $(TOP)\noverride TOP += there\n", ". there"),
        ("export X = a # comment\n", "a"),
        ("X = a\\#b$(patsubst %,%,#c)\n", "a#b#c"),
        ("define X\na\nb\nendef\n", "a b"),
        ("N = X\n$(N) = via\n", "via"),
        ("A = a.c b.c\nX = $(A:.c=.o) $(A:%.c=%.d)\n", "a.o b.o a.d b.d"),
        ("include more.mk\n-include none.mk\nX += own\n", "more own"),
        ("$(foreach n,1 2,$(eval X += n$(n)))\n", "n1 n2"),
        ("f = <$(1)-$(2)>\nX = $(call f,a,b)\n", "<a-b>"),
        ("all: x\n\tX = recipe\nX = own\n\nx: X = target\n", "own"),
        ("X = $$(A) $x\nx = y\n", "$(A) y"),
        ("X=a\nundefine X\nX+=b\n", "b"),
    ] {
        is_both(text, value);
    }
}

#[test]
fn functions_are_those_of_make() {
    for (call, value) in [
        ("$(subst a,b,aXa)", "bXb"),
        ("$(patsubst ../%,%,../a.db b)", "a.db b"),
        ("$(filter %.db x,a.db x y)", "a.db x"),
        ("$(filter-out %.db,a.db x)", "x"),
        ("$(sort b a b)", "a b"),
        ("$(word 2,a b c) $(wordlist 2,3,a b c) $(firstword a b) $(lastword a b) $(words a b)", "b b c a b 2"),
        ("$(dir d/a b) $(notdir d/a.x b) $(basename d.e/a.x b) $(suffix a.x b)", "d/ ./ a.x b d.e/a b .x"),
        ("$(addsuffix .db,a b) $(addprefix p/,a b) $(join a b,1 2 3)", "a.db b.db p/a p/b a1 b2 3"),
        ("$(wildcard *.db none.db ./c.*)", "a.db b.db ./c.txt"),
        ("$(notdir $(wildcard ../nowhere/*.db [ab].??))", "? a.db b.db"),
        ("$(if $(OS_CLASS),yes,no) $(if ,yes,no) $(or ,a,b) $(and a,,b)", "yes no a"),
        ("$(findstring a,bab) $(strip  a   b ) $(origin OS_CLASS)", "a a b file"),
        ("$(info hello)$(warning hello)$(file >x,y)", ""),
    ] {
        is_both(&format!("X = {call}\n"), value);
    }
}

#[test]
fn conditions_are_those_of_make() {
    for (text, value) in [
        ("ifeq ($(OS_CLASS),Linux)\nX = a\nelse\nX = b\nendif\n", "a"),
        ("ifeq \"$(OS_CLASS)\" 'WIN'\nX = a\nelse ifneq (a , b)\nX = b\nelse\nX = c\nendif\n", "b"),
        ("ifdef OS_CLASS\n ifndef OS_CLASS\n X = a\n else\n X = b\n endif\nendif\n", "b"),
        ("ifdef DIRS\nX = a\nendif\n", ""),
        ("A =\nifdef A\nX = a\nelse\nX = b\nendif\n", "b"),
        ("ifeq (a,b)\ndefine X\nendif\nendef\nelse\nX = c\nendif\n", "c"),
    ] {
        is_both(text, value);
    }
}

#[test]
fn what_is_not_known_is_in_doubt_and_nothing_else() {
    for (text, value) in [
        ("X = a $(CALC)/b c\n", "a /b? c"),
        ("X = a\nifdef CALC\nX += b\nelse\nX += c\nendif\nX += d\n", "a b? c? d"),
        ("X = a\nifeq ($(CALC),)\nX = b\nendif\n", "a? b?"),
        ("ifdef CALC\nX += b\nelse ifeq (a,a)\nX += c\nelse\nX += d\nendif\n", "b? c?"),
        ("ifeq (a,a)\nX += b\nelse ifdef CALC\nX += c\nendif\n", "b"),
        ("X = $(shell ls) a\nA != ls\nX += $(A)\n", "? a ?"),
        ("X = $(if $(CALC),a,b) c\n", "a? b? c"),
        ("X = $(filter %.db,a.db $(CALC)) $(filter $(CALC),a b)\n", "a.db ? a? b?"),
        ("X = $(filter-out $(CALC),a b)\n", "a? b?"),
        ("X = $(firstword a $(CALC)) $(firstword $(CALC) a) $(words $(CALC))\n", "a ? ?"),
        ("ifdef CALC\nA = a.db\nendif\nX = $(basename $(A)) $(addsuffix .x,$(A)) $(A:.db=.y)\n", "a? a.db.x? a.y?"),
        ("ifdef CALC\nA = 1\nendif\nifdef A\nX = a\nendif\n", "a?"),
        ("ifdef CALC\n$(error no)\nX = a\nendif\nX += b\n", "a? b"),
        ("ifdef CALC\ninclude none.mk\nendif\nX = b\n", "b"),
        ("include $(ADCORE)/x.mk\nX = a\n", "a"),
    ] {
        assert_eq!(x(text), value, "{text}");
    }
}

#[test]
fn make_stops_where_it_must() {
    for (text, value) in [
        ("X = a\nifdef X\n", "2: this condition has no `endif`"),
        ("endif\n", "1: `endif` without a condition"),
        ("X = a\n\n$(error not $(X))\n", "3: make stops: not a"),
        ("include none.mk\n", "1: there is no file `none.mk` to include"),
        ("DB =\nDB x.db\n", "2: make does not understand `DB x.db`: missing separator"),
        ("X := $(X\n", "1: `$(X` is not closed"),
        ("X = $(X)\nY := $(X)\n", "2: a variable leads to itself"),
    ] {
        assert_eq!(x(text), value, "{text}");
    }
}

#[test]
fn a_doubt_has_its_place() {
    let scratch = Scratch::new("X = a\nifdef CALC\nX += b\nendif\nX += $(D)\nX += e\n");
    let mut makefile = scratch.read();
    let doubts: Vec<(u32, String)> =
        makefile.words("X").into_iter().filter_map(|word| word.doubt).map(|doubt| (doubt.line, doubt.what)).collect();
    assert_eq!(doubts[0], (2, "whether `ifdef CALC` holds is not known here".to_owned()));
    assert_eq!(doubts[1], (5, "`$(D)` is set by nothing in this top".to_owned()));
}

#[test]
fn what_would_never_end_ends() {
    let doubling = "X := aaaaaaaa\n".to_owned() + &"X := $(X) $(X)\n".repeat(60);
    assert!(x(&doubling).contains("too long"), "{}", x(&doubling));
    assert!(x("include Makefile\n").contains("include each other"));
    assert!(x("f = $(call f,$(1))$(call f,$(1))\nX := $(call f,a)\n").contains("leads to itself"));
    assert!(x("f = $(eval $(f))\n$(f)\n").contains("leads to itself"));
    let stars = "*".repeat(200) + "z";
    assert_eq!(x(&format!("X = $(wildcard {stars})\n")), "");
}

proptest! {
    #[test]
    fn any_makefile_ends(text in "(ifdef |ifeq |else|endif|define |endef|include |X|A|B|[ =:+?!#,()\n\t\\\\$%./]|\\$\\(|\\)|\\$\\((foreach|eval|call|if|filter|patsubst|word|wildcard|subst|or) |Makefile|more\\.mk|CALC){0,60}") {
        let scratch = Scratch::new(&text);
        let mut makefile = scratch.read();
        let _words = makefile.words("X");
    }

    #[test]
    fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let scratch = Scratch::new("");
        fs::write(scratch.0.join("Makefile"), bytes).unwrap();
        let _words = scratch.read().words("X");
    }
}
