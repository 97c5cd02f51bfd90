use super::journals::{Kept, shorten};
use super::*;
use tool_project::Check;
use tool_runner::{Begun, Summary};

fn ended(verdict: Verdict, attempt: u32) -> Outcome {
    let check = Check { name: "a".into(), ..Check::default() };
    Outcome::new(&Exec { id: 0, check, repetition: 1, attempt, dir: PathBuf::new() }, verdict, None, 0.5)
}

#[test]
fn a_long_log_keeps_its_begin_and_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("log");
    let text: String = (0..100_000).map(|n| format!("line {n} \u{1b}[31mred\u{1b}[0m\0\n")).collect();
    fs::write(&file, &text).unwrap();
    let log = log(dir.path(), 10_000);
    let (at, cut) = log.cut.unwrap();
    assert_eq!(log.lines[0].text, "line 0 red");
    assert_eq!(log.lines.last().unwrap().text, "line 99999 red");
    assert!((50..200).contains(&at), "{at}");
    assert_eq!(cut, text.len() as u64 - 10_000);
}

#[test]
fn long_journals_lose_their_middle() {
    let line = |n: u32| Line { text: format!("{n:099}"), error: false };
    let text = shorten((0..100).map(line).collect(), 2000);
    assert_eq!((text.lines.len(), text.cut), (20, Some((5, 8000))));
    assert_eq!(text.lines.last(), Some(&line(99)));
    assert_eq!(shorten(vec![line(1)], 2000).cut, None);
}

/// What is kept while a journal is read is what is shown of it in the end.
#[test]
fn a_journal_that_is_read_bit_by_bit_is_shortened_as_a_whole_one() {
    for (count, width) in [(0, 1), (3, 9), (100, 99), (100, 3000), (3000, 0)] {
        let lines = || (0..count).map(move |n| Line { text: format!("{n:0width$}"), error: false });
        let mut kept = Kept::default();
        lines().for_each(|line| kept.push(line, 2000));
        assert!(kept.sizes[0] + kept.sizes[1] <= 4000, "{count} {width}");
        for room in [2000, 500] {
            assert_eq!(kept.clone().shorten(room), shorten(lines().collect(), room), "{count} {width} {room}");
        }
    }
}

/// A machine wrote for hours: the page takes no longer than for a short journal.
#[test]
fn a_journal_without_end_is_read_at_both_ends() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("machine")).unwrap();
    let entry = |text: &str| format!("{{\"_SYSTEMD_UNIT\":\"ioc.service\",\"MESSAGE\":\"{text}\"}}\n");
    let file = fs::File::create(dir.path().join("machine/journal.jsonl")).unwrap();
    let mut file = std::io::BufWriter::new(file);
    std::io::Write::write_all(&mut file, entry("first").as_bytes()).unwrap();
    // A hole stands for what lies between.
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(1 << 40)).unwrap();
    std::io::Write::write_all(&mut file, format!("\n{}", entry("last")).as_bytes()).unwrap();
    drop(file);
    let journals = journals(dir.path(), None, 10_000);
    let lines: Vec<&str> = journals[0].text.lines.iter().map(|line| line.text.trim()).collect();
    assert_eq!((lines.len(), lines[0], lines[2]), (3, "first", "last"));
    assert!(lines[1].ends_with("bytes of the journal are left out …"), "{lines:?}");
}

#[test]
fn an_empty_folder_is_a_run_without_executions() {
    let dir = tempfile::tempdir().unwrap();
    assert!(run(dir.path(), dir.path()).executions.is_empty());
}

/// Many executions that left files and failed: the copies share the page, failures first, and all stand beside one pass.
#[test]
fn many_executions_share_the_copies_and_the_pass() {
    let dir = tempfile::tempdir().unwrap();
    let write = |folder: &str, verdict: Verdict| {
        let folder = dir.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        let result = ResultFile { version: tool_runner::VERSION, result: ended(verdict, 1) };
        fs::write(folder.join("result.json"), serde_json::to_vec(&result).unwrap()).unwrap();
        fs::write(folder.join("data"), vec![b'x'; 150_000]).unwrap();
    };
    write("1/a", Verdict::Passed);
    for number in 2..=30 {
        write(&format!("2/a/{number}"), if number > 20 { Verdict::Failed(1) } else { Verdict::Passed });
    }
    for number in 0..249 {
        fs::write(dir.path().join(format!("2/a/30/left{number}")), "x").unwrap();
    }
    let Run { executions, .. } = run(&dir.path().join("2"), dir.path());
    let copied = |own: &&Execution| own.files.iter().any(|file| file.copy.is_some());
    assert_eq!(executions.iter().filter(copied).count(), 13);
    assert!(executions.iter().take(10).all(|own| own.state == State::Failed && copied(&own)));
    let named = |own: &Execution| (own.files.len(), own.more_files);
    assert!(executions.iter().all(|own| named(own) == if own.label == "a/30" { (200, 50) } else { (1, 0) }));
    let pass = |at: usize| executions[at].pass.as_ref().unwrap();
    assert!(Rc::ptr_eq(pass(0), pass(9)) && pass(0).run == "1");
    // A test program of the same name is no check.
    let begun = Begun {
        checks: Vec::new(),
        skipped: Vec::new(),
        jobs: None,
        repeat: None,
        backend: tool_runner::UNIT.to_owned(),
        dir: PathBuf::new(),
        tool: String::new(),
    };
    let file = RunFile { version: tool_runner::VERSION, run: begun, summary: Summary::default() };
    fs::write(dir.path().join("2/run.json"), serde_json::to_vec(&file).unwrap()).unwrap();
    assert!(run(&dir.path().join("2"), dir.path()).executions[0].pass.is_none());
}

#[test]
fn verdicts_are_read() {
    let of = |verdict, attempt| state(Some(&ended(verdict, attempt)));
    assert_eq!((of(Verdict::Passed, 1), of(Verdict::Passed, 2)), (State::Passed, State::Flaky));
    assert_eq!((of(Verdict::TimedOut(60), 1), of(Verdict::HostFailed, 1)), (State::TimedOut, State::HostFailed));
    assert_eq!(state(Some(&Outcome { retried: true, ..ended(Verdict::Failed(1), 1) })), State::Retried);
    assert_eq!(state(None), State::Unfinished);
}
