//! A failure beside the last pass of the same check: what differs first.

use super::{Alarm, Execution, Html, Kind, Pv, Span, timeline};
use crate::terminal::duration;
use tool_runner::record::names;

/// Process variables that are named.
const MOST: usize = 10;
/// One that changes more often is noise: no two runs have the same.
const NOISE: usize = 40;

/// A change: when, to what.
type Change<'a> = (f64, &'a Kind, Alarm);

/// Where a process variable goes another way: what it does here, and there.
struct Difference<'a> {
    pv: &'a Pv,
    /// The script names it.
    named: bool,
    at: f64,
    here: Option<Change<'a>>,
    there: Option<Change<'a>>,
}

fn changes(pv: &Pv) -> Vec<Change<'_>> {
    let mut changes: Vec<Change> = pv.updates.iter().map(|update| (update.time, &update.value, update.alarm)).collect();
    changes.dedup_by(|a, b| a.1 == b.1 && a.2 == b.2);
    changes
}

fn is_noise(pv: &Pv) -> bool {
    changes(pv).len() > NOISE
}

fn difference<'a>(here: &'a Pv, there: &'a Pv, said: &str) -> Option<Difference<'a>> {
    let (ours, theirs) = (changes(here), changes(there));
    let same = ours.iter().zip(&theirs).take_while(|(a, b)| a.1 == b.1 && a.2 == b.2).count();
    let (own, other) = (ours.get(same).copied(), theirs.get(same).copied());
    let at = [own, other].into_iter().flatten().map(|change| change.0).min_by(f64::total_cmp)?;
    Some(Difference { pv: here, named: names(said, &here.name), at, here: own, there: other })
}

/// Process variables by when they differ, and how long subtests took.
pub fn section(html: &mut Html, execution: &Execution) {
    let Some(pass) = &execution.pass else { return };
    let said = timeline::said(execution);
    let mut differences: Vec<Difference> = Vec::new();
    let (mut compared, mut noise) = (0, 0);
    for recording in &execution.recordings {
        let theirs = pass.recordings.iter().filter(|other| other.machine == recording.machine);
        for there in theirs.flat_map(|other| &other.pvs) {
            let Some(here) = recording.pvs.iter().find(|pv| pv.name == there.name) else { continue };
            if is_noise(here) || is_noise(there) {
                noise += 1;
            } else if !here.updates.is_empty() && !there.updates.is_empty() {
                compared += 1;
                differences.extend(difference(here, there, &said));
            }
        }
    }
    // Others may differ by the noise of what they measure.
    differences.sort_by(|a, b| b.named.cmp(&a.named).then(a.at.total_cmp(&b.at)));
    html.raw("<details class=\"quiet against\" open><summary>Against the last pass, ")
        .text(&pass.run)
        .raw("</summary>");
    if compared == 0 {
        html.raw("<p class=\"dim\">No process variable can be compared: none was seen both here and in the pass");
        html.raw(if noise > 0 { ", but for those that change too often.</p>" } else { ".</p>" });
    } else if differences.is_empty() {
        html.raw("<p class=\"dim\">No process variable went another way.</p>");
    } else {
        html.raw("<table><thead><tr><th>What differs first<th>Here<th>In the pass</tr></thead><tbody>");
        for own in differences.iter().take(MOST) {
            html.raw("<tr><td><code>").text(&own.pv.name).raw("</code>");
            for change in [own.here, own.there] {
                html.raw("<td>");
                match change {
                    None => html.raw("<span class=\"dim\">no further change</span>"),
                    Some((time, value, alarm)) => {
                        let alarm = if alarm == Alarm::None { "" } else { alarm.word() };
                        html.text(&format!("{} {alarm}", own.pv.show(value)));
                        html.raw(" <span class=\"dim\">at ").text(&format!("{time:.3} s")).raw("</span>")
                    }
                };
            }
        }
        html.raw("</tbody></table>");
        if let Some(more) = differences.len().checked_sub(MOST).filter(|more| *more > 0) {
            html.raw(&format!("<p class=\"dim\">{more} more differ later.</p>"));
        }
    }
    if noise > 0 {
        html.raw(&format!("<p class=\"dim\">Not compared, as they change more than {NOISE} times: {noise}.</p>"));
    }
    let subtests = execution.spans.iter().filter(|span| span.subtest);
    let pairs: Vec<(&Span, &Span)> = subtests
        .filter_map(|here| Some((here, pass.spans.iter().find(|there| there.subtest && there.name == here.name)?)))
        .collect();
    if !pairs.is_empty() {
        html.raw("<table><thead><tr><th>Subtest<th>Here<th>In the pass</tr></thead><tbody>");
        for (here, there) in pairs {
            html.raw("<tr><td>").text(&here.name);
            for span in [here, there] {
                let sign = if span.ok && span.end.is_some() { "" } else { "✗ " };
                html.raw("<td>").raw(sign).text(&span.end.map_or("…".to_owned(), |end| duration(end - span.start)));
            }
        }
        html.raw("</tbody></table>");
    }
    html.raw("</details>\n");
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::super::page::tests::failed;
    use super::super::{Pass, Recording, Update};
    use super::*;

    fn pv(values: &[(f64, f64)]) -> Pv {
        let update =
            |(time, value): &(f64, f64)| Update { time: *time, value: Kind::Number(*value), alarm: Alarm::None };
        Pv { name: "VOLT".into(), updates: values.iter().map(update).collect(), ..Pv::default() }
    }

    #[test]
    fn the_first_change_that_differs() {
        let (here, there) = (pv(&[(0.1, 0.0), (0.2, 0.0), (1.0, 12.0)]), pv(&[(0.3, 0.0), (1.5, 12.0), (2.0, 42.0)]));
        let found = difference(&here, &there, "").unwrap();
        assert_eq!((found.at, found.here), (2.0, None), "it comes later, and the pass went on");
        assert_eq!(found.there, Some((2.0, &Kind::Number(42.0), Alarm::None)));
        let other = pv(&[(0.3, 0.0), (1.5, 13.0)]);
        let found = difference(&here, &other, "").unwrap();
        assert_eq!((found.at, found.here.unwrap().0, found.there.unwrap().0), (1.0, 1.0, 1.5));
        assert!(difference(&here, &here, "").is_none());
    }

    #[test]
    fn what_was_not_compared_is_told() {
        let recorded = |pvs| vec![Recording { machine: "machine".into(), pvs, ..Recording::default() }];
        let told = |here: Vec<Pv>, there: Vec<Pv>| {
            let (run, recordings) = ("1".into(), recorded(there));
            let pass = Some(Rc::new(Pass { run, spans: Vec::new(), recordings }));
            let mut html = Html::default();
            section(&mut html, &Execution { recordings: recorded(here), pass, ..failed() });
            html.finish()
        };
        let noise: Vec<(f64, f64)> = (0..99).map(|n| (f64::from(n), f64::from(n))).collect();
        let (still, noise) = (|| pv(&[(0.1, 0.0)]), || pv(&noise));
        let (same, none) = ("No process variable went another way", "none was seen both here and in the pass.");
        assert!(told(vec![still()], vec![still()]).contains(same));
        for (here, there) in [(vec![], vec![]), (vec![still()], vec![]), (vec![pv(&[])], vec![still()])] {
            let text = told(here, there);
            assert!(text.contains(none) && !text.contains(same), "{text}");
        }
        let text = told(vec![noise()], vec![still()]);
        assert!(text.contains("Not compared, as they change more than 40 times: 1.") && !text.contains(same), "{text}");
    }
}
