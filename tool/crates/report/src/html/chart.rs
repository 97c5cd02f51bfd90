//! One process variable against time: numbers as a step line, everything else as labelled bands.

use std::fmt::Write;

use super::Html;
use super::{Alarm, Kind, Pv};

/// The plot's own units; the page stretches them to its width.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 100.0;
/// Free space above and below a line.
const MARGIN: f64 = 8.0;
/// Bands of a row.
const BANDS: usize = 400;
/// Part of the width, in percent, that a short word needs.
const ROOM: f64 = 6.0;
/// Tints of bands, by value.
const TINTS: usize = 5;

/// A time during which a process variable kept its value and its alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// From, in seconds.
    pub from: f64,
    /// To, in seconds.
    pub to: f64,
    /// The value.
    pub value: Kind,
    /// The alarm.
    pub alarm: Alarm,
}

/// What a process variable did until `total`, with gaps where the IOC was not there.
pub fn segments(pv: &Pv, down: &[(f64, Option<f64>)], total: f64) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    for (i, update) in pv.updates.iter().enumerate() {
        let next = pv.updates.get(i + 1).map_or(total, |next| next.time);
        let gone = down.iter().map(|(from, _)| *from).find(|from| *from >= update.time).unwrap_or(total);
        let (from, to) = (update.time.clamp(0.0, total), next.min(gone).clamp(0.0, total));
        match segments.last_mut() {
            Some(last) if last.value == update.value && last.alarm == update.alarm && last.to >= from => last.to = to,
            _ => segments.push(Segment { from, to: to.max(from), value: update.value.clone(), alarm: update.alarm }),
        }
    }
    segments
}

/// Smallest and largest number.
fn range(segments: &[Segment]) -> Option<(f64, f64)> {
    let numbers = segments.iter().filter_map(|segment| match segment.value {
        Kind::Number(number) => Some(number),
        Kind::Text(_) => None,
    });
    numbers.fold(None, |range, n| range.map_or(Some((n, n)), |(low, high): (f64, f64)| Some((low.min(n), high.max(n)))))
}

/// The step line of the numbers, as the `d` of a path in a box of `WIDTH` by `HEIGHT`.
fn path(segments: &[Segment], total: f64) -> String {
    let Some((low, high)) = range(segments) else { return String::new() };
    // Halves: the difference of two numbers may be too large for one.
    let span = high / 2.0 - low / 2.0;
    let x = |time: f64| (time / total * WIDTH).clamp(0.0, WIDTH);
    let y = |number: f64| {
        let part = if span > 0.0 { (number / 2.0 - low / 2.0) / span } else { 0.5 };
        (HEIGHT - MARGIN) - part.clamp(0.0, 1.0) * (HEIGHT - 2.0 * MARGIN)
    };
    let mut d = String::new();
    let mut end = None;
    for segment in segments {
        let Kind::Number(number) = segment.value else {
            end = None;
            continue;
        };
        let (from, to, y) = (x(segment.from), x(segment.to), y(number));
        let _ = if end == Some(segment.from) {
            write!(d, "V{y:.1}H{to:.1}")
        } else {
            write!(d, "M{from:.1} {y:.1}H{to:.1}")
        };
        end = Some(segment.to);
    }
    d
}

/// At most about so many segments: of those that fall on one spot the first, the last, the lowest and the highest.
fn thin(segments: Vec<Segment>, total: f64, points: usize) -> Vec<Segment> {
    if segments.len() <= points {
        return segments;
    }
    let number = |segment: &Segment| match segment.value {
        Kind::Number(number) => number,
        Kind::Text(_) => 0.0,
    };
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let spot = |segment: &Segment| (segment.from / total * (points / 4) as f64).floor();
    let mut kept: Vec<Segment> = Vec::new();
    for group in segments.chunk_by(|a, b| spot(a).total_cmp(&spot(b)).is_eq()) {
        let by = |a: &&Segment, b: &&Segment| number(a).total_cmp(&number(b));
        let picks = [group.first(), group.iter().min_by(by), group.iter().max_by(by), group.last()];
        let mut picks: Vec<&Segment> = picks.into_iter().flatten().collect();
        picks.sort_by(|a, b| a.from.total_cmp(&b.from));
        picks.dedup();
        kept.extend(picks.into_iter().cloned());
    }
    // What was left out leaves no gap.
    for i in 1..kept.len() {
        kept[i - 1].to = kept[i].from;
    }
    kept
}

/// Writes what belongs between the tags of a plot, and gives the points that the pointer shows, as JSON; about `points` at
/// most.
pub fn plot(html: &mut Html, pv: &Pv, down: &[(f64, Option<f64>)], total: f64, points: usize) -> String {
    let segments = thin(segments(pv, down, total), total, points);
    let percent = |time: f64| (time / total * 100.0).clamp(0.0, 100.0);
    let place = |from: f64, to: f64| format!("left:{:.3}%;width:{:.3}%", percent(from), percent(to) - percent(from));
    // A word that does not fit is left to the pointer.
    let word = |from: f64, to: f64, word: &str| {
        let label = if percent(to) - percent(from) > ROOM { format!("<b>{word}</b>") } else { String::new() };
        format!("style=\"{}\" title=\"{word}\">{label}</i>", place(from, to))
    };
    for (from, to) in down {
        html.raw(&format!("<i class=\"down\" {}", word(*from, to.unwrap_or(total), "IOC down")));
    }
    for group in segments.chunk_by(|a, b| a.alarm == b.alarm && a.to >= b.from) {
        if let ([first, ..], [.., last]) = (group, group)
            && first.alarm != Alarm::None
        {
            let severity = first.alarm.word();
            let class = severity.to_lowercase();
            html.raw(&format!("<i class=\"alarm {class}\" {}", word(first.from, last.to, severity)));
        }
    }
    if let Some((low, high)) = range(&segments) {
        html.raw(&format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" aria-hidden=\"true\">"));
        html.raw(&format!("<path d=\"{}\"/></svg>", path(&segments, total)));
        html.raw("<span class=\"high\">").text(&pv.show(&Kind::Number(high))).raw("</span>");
        if low < high {
            html.raw("<span class=\"low\">").text(&pv.show(&Kind::Number(low))).raw("</span>");
        }
    }
    let mut known: Vec<&str> = Vec::new();
    let mut bands: Vec<&Segment> = segments.iter().filter(|s| matches!(s.value, Kind::Text(_))).collect();
    bands.sort_by(|a, b| (b.to - b.from).total_cmp(&(a.to - a.from)));
    bands.truncate(BANDS);
    bands.sort_by(|a, b| a.from.total_cmp(&b.from));
    for segment in bands {
        let Kind::Text(text) = &segment.value else { continue };
        let tint = known.iter().position(|k| k == text).unwrap_or_else(|| {
            known.push(text);
            known.len() - 1
        });
        let style = place(segment.from, segment.to);
        html.raw(&format!("<i class=\"state t{}\" style=\"{style}\"><b>", tint % TINTS));
        html.text(text).raw("</b></i>");
    }
    told(pv, &segments)
}

fn told(pv: &Pv, segments: &[Segment]) -> String {
    let point = |s: &Segment| {
        let rounded = |time: f64| (time * 1e4).round() / 1e4;
        serde_json::json!([rounded(s.from), rounded(s.to), pv.show(&s.value), s.alarm.word()])
    };
    serde_json::Value::Array(segments.iter().map(point).collect()).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Update;
    use super::*;

    fn update(time: f64, value: Kind, alarm: Alarm) -> Update {
        Update { time, value, alarm }
    }

    fn pv(updates: Vec<Update>) -> Pv {
        Pv { name: "VOLT".into(), unit: "V".into(), precision: Some(3), updates, ..Pv::default() }
    }

    #[test]
    fn a_step_line_breaks_where_the_ioc_was_down() {
        let n = Kind::Number;
        let pv = pv(vec![
            update(1.0, n(0.0), Alarm::None),
            update(2.0, n(42.0), Alarm::None),
            update(6.0, n(42.0), Alarm::Invalid),
        ]);
        let segments = segments(&pv, &[(4.0, Some(5.0))], 10.0);
        assert_eq!(path(&segments, 10.0), "M100.0 92.0H200.0V8.0H400.0M600.0 8.0H1000.0");
    }

    #[test]
    fn a_plot_of_a_number() {
        let n = Kind::Number;
        let pv = pv(vec![
            update(0.0, n(0.0), Alarm::None),
            update(1.0, n(42.0), Alarm::Major),
            update(1.5, n(41.5), Alarm::None),
        ]);
        let mut html = Html::default();
        let points = plot(&mut html, &pv, &[], 2.0, 1500);
        insta::assert_snapshot!(html.finish().replace("><", ">\n<"), @r#"
        <i class="alarm major" style="left:50.000%;width:25.000%" title="MAJOR">
        <b>MAJOR</b>
        </i>
        <svg viewBox="0 0 1000 100" preserveAspectRatio="none" aria-hidden="true">
        <path d="M0.0 92.0H500.0V8.0H750.0V9.0H1000.0"/>
        </svg>
        <span class="high">42 V</span>
        <span class="low">0 V</span>
        "#);
        assert_eq!(points, r#"[[0.0,1.0,"0 V",""],[1.0,1.5,"42 V","MAJOR"],[1.5,2.0,"41.5 V",""]]"#);
    }

    #[test]
    fn a_plot_of_states() {
        let t = |text: &str| Kind::Text(text.to_owned());
        let pv = pv(vec![
            update(0.0, t("OFF"), Alarm::None),
            update(1.0, t("<b>"), Alarm::None),
            update(1.5, t("OFF"), Alarm::None),
        ]);
        let mut html = Html::default();
        plot(&mut html, &pv, &[(1.8, None)], 2.0, 1500);
        insta::assert_snapshot!(html.finish().replace("><", ">\n<"), @r#"
        <i class="down" style="left:90.000%;width:10.000%" title="IOC down">
        <b>IOC down</b>
        </i>
        <i class="state t0" style="left:0.000%;width:50.000%">
        <b>OFF</b>
        </i>
        <i class="state t1" style="left:50.000%;width:25.000%">
        <b>&lt;b&gt;</b>
        </i>
        <i class="state t0" style="left:75.000%;width:15.000%">
        <b>OFF</b>
        </i>
        "#);
    }

    fn any_kind() -> impl Strategy<Value = Kind> {
        let finite = any::<f64>().prop_filter("numbers of JSON are finite", |n| n.is_finite());
        prop_oneof![4 => finite.prop_map(Kind::Number), 1 => "\\PC{0,5}".prop_map(Kind::Text)]
    }

    proptest! {
        #[test]
        fn a_path_stays_in_its_box(
            updates in prop::collection::vec((0.0..100.0_f64, any_kind()), 0..60),
            down in prop::collection::vec((0.0..100.0_f64, prop::option::of(0.0..100.0_f64)), 0..3),
            total in 0.001..120.0_f64,
        ) {
            let updates = updates.into_iter().map(|(time, value)| update(time, value, Alarm::None)).collect();
            let segments = segments(&pv(updates), &down, total);
            let d = path(&segments, total);
            for number in d.split(['M', 'H', 'V', ' ']).filter(|word| !word.is_empty()) {
                let number: f64 = number.parse().unwrap();
                prop_assert!((0.0..=WIDTH).contains(&number), "{}", d);
            }
            for y in d.split('V').skip(1) {
                let y: f64 = y.split('H').next().unwrap().parse().unwrap();
                prop_assert!((0.0..=HEIGHT).contains(&y), "{}", d);
            }
        }

        #[test]
        fn thinning_keeps_both_ends_and_the_extremes(numbers in prop::collection::vec(-1e6..1e6_f64, 2000..4000)) {
            let count = numbers.len();
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let updates = numbers.iter().enumerate().map(|(i, n)| update(i as f64, Kind::Number(*n), Alarm::None)).collect();
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let total = count as f64;
            let all = segments(&pv(updates), &[], total);
            let thinned = thin(all.clone(), total, 1500);
            prop_assert!(thinned.len() <= 1500 + 4);
            prop_assert_eq!(range(&thinned), range(&all));
            prop_assert_eq!(&thinned[0].value, &all[0].value);
            prop_assert_eq!(&thinned.last().unwrap().value, &all.last().unwrap().value);
        }
    }
}
