use super::super::{Alarm, Kind, Update};
use super::*;

fn span(name: &str, subtest: bool, depth: u32, start: f64, end: f64) -> Span {
    Span { subtest, name: name.into(), depth, start, end: Some(end), ok: true }
}

#[test]
fn steps_belong_to_the_subtest_around_them() {
    let spans = [
        span("run", false, 1, 0.0, 5.0),
        span("start", false, 2, 0.0, 1.0),
        span("a", true, 2, 1.0, 4.0),
        span("wait", false, 3, 1.0, 3.0),
        span("inner", false, 4, 1.0, 2.0),
        span("cleanup", false, 1, 5.0, 5.5),
    ];
    let (nobody, script) = (Owner::Nobody, Owner::Script);
    assert_eq!(owners(&spans), [nobody, script, nobody, nobody, Owner::Subtest(2), script]);
}

#[test]
fn what_the_script_names_and_what_went_into_alarm_is_always_drawn() {
    let update = |time, alarm| Update { time, value: Kind::Number(time), alarm };
    let pv = |name: &str, count: u32, alarm| Pv {
        name: name.into(),
        updates: (0..count).map(|n| update(f64::from(n), if n == 1 { alarm } else { Alarm::None })).collect(),
        ..Pv::default()
    };
    let pvs = vec![
        pv("A:NOISE", 9, Alarm::None),
        pv("B:STILL", 1, Alarm::None),
        pv("C:NAMED", 1, Alarm::None),
        pv("D:ALARM", 99, Alarm::Major),
        pv("E:ONCE", 2, Alarm::None),
    ];
    let recording = Recording { pvs, ..Recording::default() };
    let named = |most| {
        let (drawn, others) = chosen(&recording, most, "caget C:NAMED.VAL");
        let names = |pvs: Vec<&Pv>| pvs.iter().map(|pv| pv.name.clone()).collect::<Vec<_>>().join(" ");
        (names(drawn), names(others))
    };
    assert_eq!(named(3), ("C:NAMED D:ALARM E:ONCE".into(), "A:NOISE B:STILL".into()));
    assert_eq!(named(0).0, "C:NAMED D:ALARM");
    assert_eq!(named(9).0, "C:NAMED D:ALARM A:NOISE E:ONCE");
}

#[test]
fn ticks_are_round() {
    let all: Vec<String> = ticks(1.4).into_iter().map(trim).collect();
    assert_eq!(all, ["0", "0.5", "1"]);
    assert_eq!(ticks(60.0).len(), 6);
    assert!(ticks(0.001).len() > 2);
    assert!(ticks(86400.0).len() > 2);
}
