//! nix.conf of any kind: `configure-nix` adds its line and takes it out again, and the file is what it was, whoever disturbs.
//! `XTASK_TEST_CASES=10000` tries so many, as `XTASK_SLOW_TESTS=1` does.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, clippy::panic, reason = "tests")]

mod common;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tool_base::xattr::{self, Attributes};
use tool_host::nixconf::apply::{Edit, Step};
use tool_host::nixconf::plan::{self, Undone};

const STEPS: [Step; 4] = [Step::BackedUp, Step::HalfWritten, Step::Written, Step::Renamed];

/// Who disturbs, at one of the steps.
#[derive(Debug, Clone, Copy)]
enum Disturbance {
    None,
    Killed(Step),
    /// An editor that writes into the file.
    WrittenInto(Step),
    /// An editor that puts a new file in its place.
    Replaced(Step),
    Removed(Step),
}

#[derive(Debug, Clone)]
struct Conf {
    bytes: Vec<u8>,
    mode: u32,
    owner: Option<(u32, u32)>,
    note: Option<Vec<u8>>,
    /// Whom else an access control list lets in.
    acl: Option<u32>,
    /// The folder gives new files a list of their own.
    folder_acl: bool,
    link: bool,
    disturbance: Disturbance,
}

fn conf() -> impl Strategy<Value = Conf> {
    let line = proptest::sample::select(vec![
        &b"system-features = kvm"[..],
        b"system-features =",
        b"extra-system-features = uid-range # kvm",
        b"\t extra-system-features\t=  kvm kvm\r",
        b"include more.conf",
        b"!include gone.conf",
        b"# comment",
        b"\xef\xbb\xbfcores = 1",
        b"\0",
        b"not UTF-8: \xff\xfe",
        b"",
        b"# cargo xtask configure-nix added the next line; --undo removes it",
    ]);
    let lines = (proptest::collection::vec(line, 0..8), any::<bool>())
        .prop_map(|(lines, end)| [lines.join(&b'\n'), if end { b"\n".to_vec() } else { Vec::new() }].concat());
    let long = any::<u8>().prop_map(|byte| vec![byte; 100_000]);
    let bytes = prop_oneof![8 => lines, 4 => proptest::collection::vec(any::<u8>(), 0..200), 1 => long];
    let step = proptest::sample::select(STEPS.to_vec());
    let before_the_end = proptest::sample::select(STEPS[..3].to_vec());
    let disturbance = prop_oneof![
        6 => Just(Disturbance::None),
        1 => step.prop_map(Disturbance::Killed),
        1 => before_the_end.clone().prop_map(Disturbance::WrittenInto),
        1 => before_the_end.clone().prop_map(Disturbance::Replaced),
        1 => before_the_end.prop_map(Disturbance::Removed),
    ];
    let mode = proptest::sample::select(vec![0o644, 0o600, 0o640, 0o444, 0o664, 0o755]);
    let owner = proptest::option::of((0..3_u32, 0..3_u32));
    let note = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20));
    (bytes, mode, owner, note, proptest::option::of(1..9_u32), any::<bool>(), any::<bool>(), disturbance).prop_map(
        |(bytes, mode, owner, note, acl, folder_acl, link, disturbance)| Conf {
            bytes,
            mode,
            owner,
            note,
            acl,
            folder_acl,
            link,
            disturbance,
        },
    )
}

/// A list as the kernel keeps it: owner, user 1234, group, mask, others.
fn acl(perm: u32) -> Vec<u8> {
    let entry = |tag: u16, perm: u32, id: u32| {
        [&tag.to_le_bytes()[..], &u16::try_from(perm & 7).unwrap().to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let none = u32::MAX;
    let entries = [(1, 6, none), (2, perm, 1234), (4, 4, none), (0x10, 6, none), (0x20, 0, none)];
    let entries: Vec<u8> = entries.iter().flat_map(|&(tag, perm, id)| entry(tag, perm, id)).collect();
    [&2_u32.to_le_bytes()[..], &entries].concat()
}

/// All that is kept of a file.
#[derive(Debug, PartialEq)]
struct Kept(Vec<u8>, u32, u32, u32, Attributes);

fn kept(path: &Path) -> Kept {
    let meta = path.metadata().unwrap();
    // Who made it may read it, whatever its mode says then.
    let attributes = xattr::all(&File::open(path).unwrap()).unwrap();
    Kept(fs::read(path).unwrap(), meta.mode(), meta.uid(), meta.gid(), attributes)
}

impl Conf {
    fn make(&self, dir: &Path) -> PathBuf {
        let folder = File::open(dir).unwrap();
        let real = dir.join(if self.link { "real.conf" } else { "nix.conf" });
        fs::write(&real, &self.bytes).unwrap();
        if let Some((uid, gid)) = self.owner.filter(|_| unix::unistd::geteuid().is_root()) {
            chown(&real, Some(uid), Some(gid)).unwrap();
        }
        fs::set_permissions(&real, Permissions::from_mode(self.mode)).unwrap();
        let mut attributes = Attributes::new();
        attributes.extend(self.note.clone().map(|note| (c"user.note".to_owned(), note)));
        attributes.extend(self.acl.map(|perm| (c"system.posix_acl_access".to_owned(), acl(perm))));
        xattr::set_all(&File::open(&real).unwrap(), &attributes).unwrap();
        if self.folder_acl {
            xattr::set_all(&folder, &Attributes::from([(c"system.posix_acl_default".to_owned(), acl(7))])).unwrap();
        }
        let path = dir.join("nix.conf");
        if self.link {
            symlink("real.conf", &path).unwrap();
        }
        path
    }
}

fn apply(path: &Path, at: &mut dyn FnMut(Step)) -> anyhow::Result<()> {
    let mut edit = Edit::start(path)?;
    edit.after = Some(plan::added(edit.before.as_deref()));
    edit.make(UNIX_EPOCH, at).map(drop)
}

fn undo(path: &Path) {
    let mut edit = Edit::start(path).unwrap();
    edit.after = match plan::removed(edit.before.as_deref().unwrap()) {
        Undone::File(bytes) => Some(bytes),
        other => panic!("{other:?}"),
    };
    edit.make(UNIX_EPOCH, &mut |_| {}).unwrap();
}

/// Names in the folder that are neither the file nor a backup.
fn others(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|n| !["nix.conf", "real.conf"].contains(&n.as_str()) && !n.contains(".backup-")).collect()
}

fn holds(conf: &Conf) {
    let dir = tempfile::tempdir().unwrap();
    let path = conf.make(dir.path());
    let before = kept(&path);
    let real = path.canonicalize().unwrap();
    let (theirs, disturbed) = ([&conf.bytes[..], b"theirs = 1\n"].concat(), |step: Step, mut act: Box<dyn FnMut()>| {
        apply(&path, &mut |at| {
            if at == step {
                act();
            }
        })
    });
    let refused = |result: anyhow::Result<()>| {
        assert!(result.unwrap_err().to_string().ends_with("was changed by someone else meanwhile"));
        assert_eq!(others(dir.path()), [""; 0]);
        assert!(!fs::read_dir(dir.path()).unwrap().any(|e| e.unwrap().path().to_string_lossy().contains("backup")));
    };
    match conf.disturbance {
        Disturbance::None => apply(&path, &mut |_| {}).unwrap(),
        Disturbance::Killed(step) => {
            let mut child = Command::new(std::env::current_exe().unwrap());
            child.args(["--exact", "the_child_that_is_killed", "--include-ignored"]);
            let output =
                child.env("XTASK_TEST_FILE", &path).env("XTASK_TEST_STEP", format!("{step:?}")).output().unwrap();
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(9), "{step:?}");
            if step == Step::Renamed {
                assert_eq!(fs::read(&path).unwrap(), plan::added(Some(&conf.bytes)));
            } else {
                assert_eq!(kept(&path), before, "{step:?}");
                apply(&path, &mut |_| {}).unwrap();
            }
        }
        Disturbance::WrittenInto(step) => {
            let (real, theirs) = (real.clone(), theirs.clone());
            refused(disturbed(step, Box::new(move || write_into(&real, &theirs))));
            assert_eq!(fs::read(&path).unwrap(), [&conf.bytes[..], b"theirs = 1\n"].concat());
            return;
        }
        Disturbance::Replaced(step) => {
            let (real, theirs) = (real.clone(), theirs.clone());
            refused(disturbed(
                step,
                Box::new(move || {
                    fs::write(real.with_file_name("nix.conf.backup-theirs"), &theirs).unwrap();
                    fs::rename(real.with_file_name("nix.conf.backup-theirs"), &real).unwrap();
                }),
            ));
            assert_eq!(fs::read(&path).unwrap(), [&conf.bytes[..], b"theirs = 1\n"].concat());
            return;
        }
        Disturbance::Removed(step) => {
            let file = real.clone();
            refused(disturbed(step, Box::new(move || fs::remove_file(&file).unwrap())));
            assert!(!real.exists());
            return;
        }
    }
    let after = kept(&path);
    assert_eq!(after.0, plan::added(Some(&conf.bytes)));
    assert_eq!(Kept(before.0.clone(), after.1, after.2, after.3, after.4), before);
    undo(&path);
    assert_eq!(kept(&path), before);
    assert_eq!(path.is_symlink(), conf.link);
    assert_eq!(others(dir.path()), [""; 0]);
}

/// Into the file as it is, whatever its mode says to an ordinary user.
fn write_into(file: &Path, text: &[u8]) {
    let mode = file.metadata().unwrap().permissions();
    fs::set_permissions(file, Permissions::from_mode(mode.mode() | 0o600)).unwrap();
    fs::write(file, text).unwrap();
    fs::set_permissions(file, mode).unwrap();
}

#[test]
fn apply_then_undo_gives_the_file_back() {
    let dir = tempfile::tempdir().unwrap();
    let file = File::create(dir.path().join("file")).unwrap();
    if xattr::set_all(&file, &Attributes::from([(c"user.note".to_owned(), b"x".to_vec())])).is_err() {
        common::skipped(&format!("the file system of {} has no attributes", dir.path().display()));
        return;
    }
    // Each step once, then what chance brings.
    for step in STEPS {
        let bytes = b"cores = 1\n".to_vec();
        let (note, owner, acl) = (None, None, None);
        let disturbance = Disturbance::Killed(step);
        holds(&Conf { bytes, mode: 0o644, owner, note, acl, folder_acl: false, link: false, disturbance });
    }
    let cases = common::dice::number("XTASK_TEST_CASES", || if common::slow() { 10_000 } else { 200 });
    let config =
        ProptestConfig { cases: cases.try_into().unwrap(), failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&conf(), |conf| {
            holds(&conf);
            Ok(())
        })
        .unwrap();
}

/// Adds the line and kills itself with SIGKILL at a step. Does nothing unless another test starts it.
#[test]
#[ignore = "a part of another test"]
fn the_child_that_is_killed() {
    let (Ok(file), Ok(step)) = (std::env::var("XTASK_TEST_FILE"), std::env::var("XTASK_TEST_STEP")) else { return };
    apply(Path::new(&file), &mut |at| {
        if format!("{at:?}") == step {
            unix::sys::signal::kill(unix::unistd::Pid::this(), unix::sys::signal::Signal::SIGKILL).unwrap();
        }
    })
    .unwrap();
}

#[test]
fn a_file_of_two_names_keeps_them() {
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("nix.conf"), dir.path().join("other"));
    fs::write(&path, "cores = 1\n").unwrap();
    fs::hard_link(&path, &other).unwrap();
    let error = apply(&path, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("2 names (hard links)"), "{error}");
    assert_eq!((path.metadata().unwrap().nlink(), fs::read_dir(dir.path()).unwrap().count()), (2, 2));
}

#[test]
fn a_pipe_in_its_place_is_named_and_nobody_waits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nix.conf");
    unix::unistd::mkfifo(&path, unix::sys::stat::Mode::S_IRWXU).unwrap();
    let error = Edit::start(&path).unwrap_err().to_string();
    assert!(error.contains("it is no regular file"), "{error}");
}

#[test]
fn a_file_made_meanwhile_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nix.conf");
    let theirs = path.clone();
    let made = apply(&path, &mut |at| {
        if at == Step::Written {
            fs::write(&theirs, "theirs = 1\n").unwrap();
        }
    });
    assert!(made.unwrap_err().to_string().ends_with("was changed by someone else meanwhile"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "theirs = 1\n");
    assert_eq!(others(dir.path()), [""; 0]);
}
