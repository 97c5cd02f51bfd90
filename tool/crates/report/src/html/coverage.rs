//! What the checks of a run used of the IOC.

use super::Html;
use tool_runner::coverage::{Coverage, Source};

/// Tables of records and protocols; what was never used comes first.
pub fn section(html: &mut Html, coverage: &Coverage) {
    let Coverage { source, records, functions, .. } = coverage;
    let processed = records.values().filter(|own| own.processed == Some(true)).count();
    html.raw("<details class=\"card quiet cover\"><summary>Coverage of the IOC: ");
    html.raw(&format!("{processed} of {} records processed", records.len()));
    if *source == Source::SoftIoc {
        let ran = functions.iter().filter(|own| own.ran == Some(true)).count();
        html.raw(&format!(", {ran} of {} protocols run", functions.iter().filter(|own| own.ran.is_some()).count()));
    }
    html.raw("</summary>");
    match source {
        Source::SoftIoc => {}
        Source::ChannelAccess => {
            html.raw("<p class=\"dim\">As far as Channel Access shows: a record that kept its value and alarm may have been ");
            html.raw("processed too, and who reads, writes or runs protocols only the soft IOC knows.</p>");
        }
        Source::Nothing => {
            html.raw("<p class=\"dim\">Nothing is known: only the sandbox follows the records of an IOC.</p>");
        }
    }
    html.raw("<table><thead><tr><th>Record<th>Type<th>Processed<th>Read<th>Written<th>Alarm</tr></thead><tbody>");
    let mut sorted: Vec<_> = records.iter().collect();
    sorted.sort_by_key(|(name, own)| ([own.processed, own.read, own.written].map(place), *name));
    for (name, own) in sorted {
        html.raw("<tr><td><code>").text(name).raw("</code><td>").text(&own.kind);
        for what in [own.processed, own.read, own.written, own.alarmed] {
            html.raw("<td>").raw(mark(what));
        }
    }
    html.raw("</tbody></table>");
    if functions.is_empty() {
        html.raw("</details>\n");
        return;
    }
    html.raw("<table><thead><tr><th>Protocol<th>Run<th>Handlers<th>Records</tr></thead><tbody>");
    let mut sorted: Vec<_> = functions.iter().collect();
    sorted.sort_by_key(|own| place(own.ran));
    for own in sorted {
        html.raw("<tr><td><code>").text(&format!("{} {}", own.file, own.name)).raw("</code><td>").raw(mark(own.ran));
        html.raw("<td>");
        for (handler, ran) in &own.handlers {
            html.text(handler).raw(" ").raw(mark(*ran)).raw(" ");
        }
        let records: Vec<&str> = own.records.iter().map(String::as_str).collect();
        html.raw("<td>").text(&records.join(", "));
    }
    html.raw("</tbody></table></details>\n");
}

/// What nobody knows stands between.
fn place(what: Option<bool>) -> u8 {
    what.map_or(1, |known| 2 * u8::from(known))
}

fn mark(what: Option<bool>) -> &'static str {
    match what {
        Some(true) => "<span class=\"good\">yes</span>",
        Some(false) => "<span class=\"warn\">no</span>",
        None => "<span class=\"dim\">not known</span>",
    }
}
