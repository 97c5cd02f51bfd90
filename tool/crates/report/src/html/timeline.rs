//! The time line of an execution: subtests, and below them, on the same axis, its process variables.

use super::{Execution, Html, Pv, Recording, Room, Span, chart};
use crate::terminal::duration;
use tool_runner::record::names;

/// Subtests that have a row.
const ROWS: usize = 60;
/// Outermost subtests that all rows show, as bands; more of them are too narrow.
const MOST_BANDS: usize = 40;

/// The length of the axis in seconds.
fn total(execution: &Execution) -> f64 {
    let spans = execution.spans.iter().map(|span| span.end.unwrap_or(span.start));
    spans.fold(execution.seconds, f64::max).max(0.001)
}

/// When the script failed: where the innermost block was left.
fn failed_at(execution: &Execution) -> Option<f64> {
    execution.failure.as_ref()?;
    let ends = execution.spans.iter().filter(|span| !span.ok).filter_map(|span| span.end);
    ends.min_by(f64::total_cmp)
}

/// Writes the time line and the process variables.
pub fn figure(html: &mut Html, execution: &Execution) {
    let total = total(execution);
    let recorded = execution.recordings.iter().any(|recording| !recording.pvs.is_empty());
    for Recording { machine, notes, .. } in &execution.recordings {
        for note in notes {
            html.raw("<p class=\"note\">Process variables of ").text(&format!("{machine}: {note}")).raw("</p>\n");
        }
    }
    if execution.spans.is_empty() && !recorded {
        return;
    }
    let named = said(execution);
    let charts = execution.room.charts;
    let chosen: Vec<_> = execution.recordings.iter().map(|recording| chosen(recording, charts, &named)).collect();
    tools(html, chosen.iter().flat_map(|(drawn, _)| drawn));
    html.raw(&format!(
        "<div class=\"figure\" tabindex=\"0\" data-total=\"{total:.4}\" role=\"group\" aria-label=\"Time line; arrow keys \
         move the cursor from change to change, Enter shows the journals then, + and - zoom, &lt; and &gt; pan, 0 shows all\">"
    ));
    let frame = Frame { total, bands: bands(&execution.spans), failed_at: failed_at(execution) };
    frame.axis(html);
    frame.subtests(html, execution);
    for (recording, (drawn, _)) in execution.recordings.iter().zip(&chosen) {
        frame.recording(html, recording, drawn, execution.room);
    }
    html.raw("</div>");
    for (recording, (_, others)) in execution.recordings.iter().zip(&chosen) {
        quiet(html, recording, others);
    }
    steps(html, &execution.spans, execution.room.steps);
}

/// What zooms and pans the time line, and picks process variables; the script shows it.
fn tools<'a>(html: &mut Html, drawn: impl Iterator<Item = &'a &'a Pv>) {
    html.raw("<div class=\"timetools\" hidden>");
    let buttons = [("+", "+", "Zoom in"), ("-", "−", "Zoom out"), ("&lt;", "‹", "Earlier"), ("&gt;", "›", "Later")];
    for (key, sign, word) in buttons {
        html.raw(&format!("<button type=\"button\" data-zoom=\"{key}\" aria-label=\"{word}\">{sign}</button>"));
    }
    html.raw("<button type=\"button\" data-zoom=\"0\" class=\"whole\">All</button>");
    let mut drawn = drawn.peekable();
    if drawn.peek().is_some() {
        html.raw("<input type=\"search\" class=\"pvs\" placeholder=\"Filter process variables\" ");
        html.raw("aria-label=\"Filter process variables\"><details><summary>Pick</summary><ul tabindex=\"0\" ");
        html.raw("aria-label=\"Process variables\">");
        for pv in drawn {
            html.raw("<li><label><input type=\"checkbox\" checked> ").text(&pv.name).raw("</label>");
        }
        html.raw("</ul></details>");
    }
    html.raw("<span class=\"dim\">Arrow keys move the cursor. Enter, or a click, marks that moment in the journals; a double click ");
    html.raw("there leads back.</span></div>");
}

/// What all rows share.
struct Frame {
    total: f64,
    /// Outermost subtests.
    bands: Vec<(f64, f64)>,
    failed_at: Option<f64>,
}

fn bands(spans: &[Span]) -> Vec<(f64, f64)> {
    let outer = spans.iter().filter(|span| span.subtest).map(|span| span.depth).min();
    let outer = spans.iter().filter(|span| span.subtest && Some(span.depth) == outer);
    let bands: Vec<_> = outer.filter_map(|span| Some((span.start, span.end?))).collect();
    if bands.len() > MOST_BANDS { Vec::new() } else { bands }
}

impl Frame {
    fn percent(&self, time: f64) -> f64 {
        (time / self.total * 100.0).clamp(0.0, 100.0)
    }

    fn place(&self, from: f64, to: f64) -> String {
        let left = self.percent(from);
        format!("left:{left:.3}%;width:{:.3}%", (self.percent(to) - left).max(0.0))
    }

    fn axis(&self, html: &mut Html) {
        html.raw(
            "<div class=\"row axis\"><div class=\"name\"><output class=\"now\"></output></div><div class=\"plot\">",
        );
        for tick in ticks(self.total) {
            html.raw(&format!("<i class=\"tick\" style=\"left:{:.3}%\"><b>", self.percent(tick)));
            html.text(&format!("{} s", trim(tick))).raw("</b></i>");
        }
        html.raw("</div></div>");
    }

    fn open_row(&self, html: &mut Html, class: &str, data: &str) {
        html.raw(&format!("<div class=\"plot {class}\" data-points=\"")).text(data).raw("\">");
        for (i, (from, to)) in self.bands.iter().enumerate() {
            html.raw(&format!("<i class=\"band b{}\" style=\"{}\"></i>", i % 2, self.place(*from, *to)));
        }
    }

    fn close_row(&self, html: &mut Html) {
        if let Some(time) = self.failed_at {
            html.raw(&format!("<i class=\"fail\" style=\"left:{:.3}%\"></i>", self.percent(time)));
        }
        html.raw("</div></div>");
    }

    fn subtests(&self, html: &mut Html, execution: &Execution) {
        let (spans, failed) = (&execution.spans, execution.failure.is_some());
        let owners = owners(spans);
        let outer = spans.iter().filter(|span| span.subtest).map(|span| span.depth).min().unwrap_or_default();
        // What went wrong is near the end.
        let subtests = spans.iter().filter(|span| span.subtest).count();
        let left_out = subtests.saturating_sub(ROWS);
        if left_out > 0 {
            html.raw(&format!("<p class=\"dim\">The first {left_out} of {subtests} subtests are not drawn.</p>"));
        }
        let rows = (0..spans.len()).filter(|i| spans[*i].subtest).skip(left_out).map(Some);
        let rows = std::iter::once(None).chain(rows);
        let mut room = execution.room.steps;
        for row in rows {
            let steps: Vec<&Span> = spans
                .iter()
                .zip(&owners)
                .filter(|(_, owner)| **owner == row.map_or(Owner::Script, Owner::Subtest))
                .map(|(span, _)| span)
                .collect();
            let subtest = row.map(|i| &spans[i]);
            // What the driver does around the script is only worth a row where something was done there.
            if subtest.is_none() && !steps.iter().any(|step| step.depth > 1) {
                continue;
            }
            let (name, indent) = subtest.map_or(("outside of subtests", 0), |s| (s.name.as_str(), s.depth - outer));
            html.raw(&format!("<div class=\"row sub\"><div class=\"name\" style=\"--indent:{}\">", indent.min(6)));
            match subtest {
                None => html.raw("<span class=\"dim\">").text(name).raw("</span>"),
                Some(span) => {
                    let (class, sign) = judge(span, failed);
                    html.raw(&format!("<span class=\"{class}\">{sign}</span> ")).text(name)
                }
            };
            if let Some(end) = subtest.and_then(|span| span.end.map(|end| end - span.start)) {
                html.raw(" <span class=\"dim\">").text(&duration(end)).raw("</span>");
            }
            html.raw("</div>");
            self.open_row(html, "gantt", "[]");
            if let Some(span) = subtest {
                let (class, _) = judge(span, failed);
                let style = self.place(span.start, span.end.unwrap_or(self.total));
                html.raw(&format!("<i class=\"bar {class}\" style=\"{style}\"></i>"));
            }
            let drawn = steps.len().min(room);
            room -= drawn;
            for step in &steps[..drawn] {
                let end = step.end.unwrap_or(self.total);
                let bad = if step.ok { "" } else { " bad" };
                html.raw(&format!("<i class=\"step{bad}\" style=\"{}\" title=\"", self.place(step.start, end)));
                html.text(&format!("{}, {}", step.name, duration(end - step.start))).raw("\"></i>");
            }
            self.close_row(html);
        }
    }

    fn recording(&self, html: &mut Html, recording: &Recording, pvs: &[&Pv], room: Room) {
        if pvs.is_empty() {
            return;
        }
        html.raw("<h3>Process variables of ").text(&recording.machine).raw("</h3>");
        let drawn = pvs.len();
        for pv in pvs {
            html.raw("<div class=\"row pv\" data-pv=\"")
                .text(&pv.name)
                .raw("\"><div class=\"name\"><span class=\"pvname\" title=\"");
            html.text(&format!("{} ({})", pv.description, pv.kind)).raw("\">").text(&pv.name).raw("</span>");
            let last = pv.updates.last();
            let value = last.map_or(String::new(), |last| format!("{} {}", pv.show(&last.value), last.alarm.word()));
            let value = value.trim_end();
            html.raw(" <output data-last=\"").text(value).raw("\">").text(value).raw("</output></div>");
            let mut plot = Html::default();
            let points = room.points * room.charts / drawn.max(room.charts);
            let points = chart::plot(&mut plot, pv, &recording.down, self.total, points);
            self.open_row(html, "chart", &points);
            html.raw(&plot.finish());
            self.close_row(html);
        }
    }
}

/// Class and sign of a subtest. One that was never left has failed if the script has.
fn judge(span: &Span, failed: bool) -> (&'static str, &'static str) {
    match span.end {
        Some(_) if span.ok => ("good", "✓"),
        None if !failed => ("warn", "?"),
        _ => ("bad", "✗"),
    }
}

/// Where a block of the script is drawn as a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// Nowhere: it is a subtest, or its own steps stand for it.
    Nobody,
    /// Outside of all subtests.
    Script,
    /// In the row of this subtest.
    Subtest(usize),
}

/// For each block, where it is drawn.
fn owners(spans: &[Span]) -> Vec<Owner> {
    let mut open: Vec<usize> = Vec::new();
    let mut owners = vec![Owner::Nobody; spans.len()];
    for (i, span) in spans.iter().enumerate() {
        while open.last().is_some_and(|outer| spans[*outer].depth >= span.depth) {
            open.pop();
        }
        if let Some(outer) = open.last() {
            owners[*outer] = Owner::Nobody;
        }
        if !span.subtest {
            let subtest = open.iter().rev().copied().find(|outer| spans[*outer].subtest);
            owners[i] = subtest.map_or(Owner::Script, Owner::Subtest);
        }
        open.push(i);
    }
    owners
}

/// Round times for an axis, about six.
fn ticks(total: f64) -> Vec<f64> {
    let rough = total / 6.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|step| *step >= rough).unwrap_or(rough);
    // The last one must not run into the edge.
    (0..20).map(|i| f64::from(i) * step).take_while(|tick| *tick <= total * 0.96).collect()
}

fn trim(number: f64) -> String {
    let text = format!("{number:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What the script says, as far as it is told: names of process variables are in there.
pub fn said(execution: &Execution) -> String {
    let failure = execution.failure.iter().flat_map(|f| {
        f.excerpt.iter().filter(|(number, _)| Some(*number) == f.line).map(|(_, text)| text).chain([&f.message])
    });
    let mut said: Vec<&str> = execution.spans.iter().map(|span| span.name.as_str()).collect();
    said.extend(failure.map(String::as_str));
    said.sort_unstable();
    said.dedup();
    said.join("\n")
}

/// Process variables that are drawn, and the others. First and always come those that the script names and those that went into
/// alarm; of the rest as many as there is room for: what changes all the time is noise rather than what a test is about.
fn chosen<'a>(recording: &'a Recording, most: usize, said: &str) -> (Vec<&'a Pv>, Vec<&'a Pv>) {
    let rank = |pv: &Pv| match () {
        () if names(said, &pv.name) => 0,
        () if pv.updates.windows(2).any(|pair| pair[0].alarm < pair[1].alarm) => 1,
        () if pv.changed() => 2,
        () => 3,
    };
    let mut ranked: Vec<(usize, &Pv)> = recording.pvs.iter().map(|pv| (rank(pv), pv)).collect();
    ranked.sort_by_key(|(rank, pv)| (*rank, if *rank == 2 { pv.updates.len() } else { 0 }));
    let first = ranked.partition_point(|(rank, _)| *rank < 2);
    let some = ranked.partition_point(|(rank, _)| *rank < 3).min(most.max(first));
    let (drawn, others) = ranked.split_at_mut(some);
    drawn.sort_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
    others.sort_by(|a, b| a.1.name.cmp(&b.1.name));
    let plain = |ranked: &[(usize, &'a Pv)]| ranked.iter().map(|(_, pv)| *pv).collect();
    (plain(drawn), plain(others))
}

/// Process variables that did nothing, and those that there is no room for.
fn quiet(html: &mut Html, recording: &Recording, quiet: &[&Pv]) {
    if quiet.is_empty() && recording.left_out.is_empty() {
        return;
    }
    let s = if quiet.len() == 1 { "" } else { "s" };
    html.raw(&format!("<details class=\"quiet\"><summary>{} process variable{s} of ", quiet.len()));
    let changed = quiet.iter().filter(|pv| pv.changed()).count();
    let what = if changed > 0 {
        format!(" that never changed, or changed most often and are not drawn ({changed})")
    } else {
        " that never changed".to_owned()
    };
    html.text(&recording.machine).raw(&what).raw("</summary><table><thead><tr><th>Name<th>Value<th>Alarm");
    html.raw("<th>Record<th>Description</tr></thead><tbody>");
    for pv in quiet {
        html.raw("<tr><td><code>").text(&pv.name).raw("</code><td>");
        match pv.updates.last() {
            Some(update) => html.text(&pv.show(&update.value)).raw("<td>").text(update.alarm.word()),
            None => html.raw("<span class=\"dim\">never seen</span><td>"),
        };
        html.raw("<td>").text(&pv.kind).raw("<td>").text(&pv.description);
    }
    html.raw("</tbody></table>");
    if !recording.left_out.is_empty() {
        let names = recording.left_out.join(", ");
        html.raw(&format!("<p class=\"dim\">Not recorded, as there are too many ({}): ", recording.left_out.len()));
        html.text(&names.chars().take(5000).collect::<String>()).raw("</p>");
    }
    if recording.cut {
        html.raw(
            "<p class=\"dim\">There were more updates than are shown here; the file of the recording has them all.</p>",
        );
    }
    html.raw("</details>");
}

/// All blocks as a table, for those who read.
fn steps(html: &mut Html, spans: &[Span], most: usize) {
    if spans.is_empty() {
        return;
    }
    html.raw(&format!("<details class=\"steps\"><summary>{} steps of the script</summary><table><thead>", spans.len()));
    html.raw("<tr><th class=\"num\">At<th class=\"num\">Took<th>Step</tr></thead><tbody>");
    let left_out = spans.len().saturating_sub(most);
    if left_out > 0 {
        html.raw(&format!("<tr><td><td><td>… the first {left_out} are left out here; events.jsonl has them …"));
    }
    for span in &spans[left_out..] {
        let class = if span.ok { "" } else { " class=\"bad\"" };
        html.raw(&format!("<tr{class}><td class=\"num\">{:.3} s<td class=\"num\">", span.start));
        html.text(&span.end.map_or("…".to_owned(), |end| format!("{:.3} s", end - span.start)));
        html.raw(&format!("<td style=\"--indent:{}\">", span.depth.min(9)));
        html.raw(if span.ok { "" } else { "✗ " });
        html.raw(if span.subtest { "<strong>" } else { "" }).text(&span.name);
        html.raw(if span.subtest { "</strong>" } else { "" });
    }
    html.raw("</tbody></table></details>");
}

#[cfg(test)]
mod tests;
