//! The page: head, summary, table of executions, and each of them in full.

use std::path::{Component, Path, PathBuf};

use super::{Cause, Execution, Html, Journal, Left, Run, State, Text, compare, coverage, timeline};
use crate::terminal::duration;
use tool_base::date;

/// Nothing is fetched; styles and the script stand in the page.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// Failures that are open at first.
const OPEN: usize = 3;

/// A run as a page, which will stand in the folder `place`.
pub fn page(run: &Run, place: &Path) -> String {
    let mut html = Html::default();
    html.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    html.raw(&format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n"));
    html.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    html.raw("<meta name=\"color-scheme\" content=\"light dark\">\n<title>");
    html.text(&format!("{} {}", verdict(run).0.sign(), heading(run))).raw("</title>\n<style>\n");
    html.raw(include_str!("page.css")).raw("</style>\n</head>\n<body>\n");
    summary(&mut html, run);
    html.raw("<main>\n");
    if run.executions.len() > 1 {
        table(&mut html, run);
    }
    for (i, execution) in run.executions.iter().enumerate() {
        // What one looks for is open.
        let open = run.executions.len() == 1 || (execution.state <= State::Interrupted && i < OPEN);
        self::execution(&mut html, run, execution, open, place);
    }
    if let Some(coverage) = &run.coverage {
        coverage::section(&mut html, coverage);
    }
    html.raw("</main>\n<footer>");
    html.text(&run.dir.display().to_string()).raw("</footer>\n<script>\n");
    html.raw(include_str!("page.js")).raw("</script>\n</body>\n</html>\n");
    html.finish()
}

/// What the run comes to: a state that stands for it, and in words.
fn verdict(run: &Run) -> (State, String) {
    let counted = [
        State::Failed,
        State::TimedOut,
        State::Unfinished,
        State::HostFailed,
        State::Interrupted,
        State::Flaky,
        State::Passed,
    ];
    let count = |state| run.executions.iter().filter(|e| e.state == state).count();
    let counts: Vec<_> = counted.into_iter().map(|state| (state, count(state))).filter(|(_, n)| *n > 0).collect();
    let mut words: Vec<String> = counts.iter().map(|(state, n)| format!("{n} {}", state.word())).collect();
    if run.not_run > 0 {
        words.push(format!("{} not run", run.not_run));
    }
    let worst = counts.first().map_or(State::Unfinished, |(state, _)| *state);
    let worst = if run.not_run > 0 && worst == State::Passed { State::Unfinished } else { worst };
    (worst, words.join(", "))
}

fn heading(run: &Run) -> String {
    let mut checks: Vec<&str> = run.executions.iter().map(|e| e.check.as_str()).collect();
    checks.sort_unstable();
    checks.dedup();
    match checks[..] {
        [one] => format!("{one}: {}", verdict(run).1),
        _ => verdict(run).1,
    }
}

fn summary(html: &mut Html, run: &Run) {
    let (state, _) = verdict(run);
    html.raw(&format!("<header class=\"top {}\"><div class=\"mark\" aria-hidden=\"true\">", state.class()));
    html.raw(state.sign()).raw("</div><div><h1>").text(&heading(run)).raw("</h1><p class=\"facts\">");
    let mut facts = Vec::new();
    if let Some(started) = run.started {
        facts.push(date::iso(started).replace('T', " ").replace('Z', " UTC"));
    }
    facts.push(run.seconds.map_or("never came to its end".to_owned(), |seconds| format!("took {}", duration(seconds))));
    if !run.backend.is_empty() {
        facts.push(format!("backend {}", run.backend));
    }
    if !run.revision.is_empty() {
        facts.push(run.revision.clone());
    }
    if !run.tool.is_empty() {
        facts.push(format!("tool {}", run.tool));
    }
    if let Some(jobs) = run.jobs.filter(|_| run.executions.len() > 1) {
        facts.push(format!("{jobs} at once"));
    }
    for (i, fact) in facts.iter().enumerate() {
        html.raw(if i > 0 { " <span class=\"dot\">·</span> " } else { "" }).raw("<span>").text(fact).raw("</span>");
    }
    html.raw("</p></div></header>\n");
    if !run.trouble.is_empty() {
        html.raw("<pre class=\"trouble\">").text(&run.trouble).raw("</pre>\n");
    }
}

/// All executions, each with its place in the run.
fn table(html: &mut Html, run: &Run) {
    html.raw("<section class=\"card list\"><div class=\"tools\" hidden><input type=\"search\" class=\"filter\" ");
    html.raw("placeholder=\"Filter by name  /\" aria-label=\"Filter by name\">");
    let mut states: Vec<State> = run.executions.iter().map(|e| e.state).collect();
    states.dedup();
    for state in states {
        html.raw(&format!("<button type=\"button\" aria-pressed=\"false\" data-state=\"{}\">", state.word()));
        html.raw(&format!("<span class=\"{}\">{}</span> {}</button>", state.class(), state.sign(), state.word()));
    }
    html.raw("<span class=\"grow\"></span><button type=\"button\" class=\"all\">Open all</button></div>\n");
    html.raw("<table class=\"runs\"><thead><tr><th>Check<th class=\"where\">In the run<th class=\"num\">Took</tr></thead><tbody>\n");
    let start = run.started.unwrap_or_default();
    let end = |e: &Execution| e.started.unwrap_or(start) - start + e.seconds;
    let total = run.executions.iter().map(end).fold(run.seconds.unwrap_or(0.001), f64::max).max(0.001);
    for execution in &run.executions {
        let state = execution.state;
        html.raw("<tr data-name=\"").text(&execution.label).raw(&format!("\" data-state=\"{}\"><td>", state.word()));
        html.raw(&format!(
            "<span class=\"sign {}\" title=\"{}\">{}</span> ",
            state.class(),
            state.word(),
            state.sign()
        ));
        html.raw("<a href=\"#").text(&anchor(execution)).raw("\">").text(&execution.label).raw("</a>");
        if let Some(subtest) = execution.failure.as_ref().and_then(|f| f.subtest.as_ref()) {
            html.raw(" <span class=\"dim\">in ").text(subtest).raw("</span>");
        }
        let left = ((execution.started.unwrap_or(start) - start) / total * 100.0).clamp(0.0, 100.0);
        let width = (execution.seconds / total * 100.0).clamp(0.0, 100.0 - left);
        html.raw("<td class=\"where\"><div class=\"lane\">");
        html.raw(&format!("<i class=\"{}\" style=\"left:{left:.2}%;width:{width:.2}%\"></i></div>", state.class()));
        html.raw("<td class=\"num\">").text(&took(execution)).raw("</tr>\n");
    }
    html.raw("</tbody></table></section>\n");
}

fn took(execution: &Execution) -> String {
    if execution.cached { "passed earlier".to_owned() } else { duration(execution.seconds) }
}

/// Name of an execution within the page: of letters that need no quoting anywhere, and no other's.
fn anchor(execution: &Execution) -> String {
    let safe = |c: char| match c {
        '-' | '.' => c.to_string(),
        _ if c.is_alphanumeric() => c.to_string(),
        _ => format!("_{:x}_", u32::from(c)),
    };
    format!("x-{}", execution.label.chars().map(safe).collect::<String>())
}

fn execution(html: &mut Html, run: &Run, execution: &Execution, open: bool, place: &Path) {
    let state = execution.state;
    let open = if open { " open" } else { "" };
    html.raw("<details class=\"card run\" id=\"")
        .text(&anchor(execution))
        .raw("\" data-name=\"")
        .text(&execution.label);
    html.raw(&format!("\" data-state=\"{}\"{open}><summary><span class=\"badge {}\">", state.word(), state.class()));
    html.raw(&format!("{} {}</span><h2>", state.sign(), state.word())).text(&execution.label).raw("</h2>");
    html.raw("<span class=\"dim\">").text(&took(execution)).raw("</span></summary>\n");
    if let Some(failure) = &execution.failure {
        self::failure(html, failure);
    } else if state == State::TimedOut {
        html.raw("<p class=\"why\">It ran into its time limit.</p>");
    } else if state == State::Failed {
        html.raw("<p class=\"why\">The driver gave no reason; its log may tell.</p>");
    } else if state == State::HostFailed {
        html.raw("<p class=\"why\">The host failed while it ran, as told above: that says nothing of the check.</p>");
    } else if state == State::Unfinished {
        html.raw("<p class=\"why\">Nobody wrote down how it ended: the run was killed, or it is still under way.</p>");
    }
    compare::section(html, execution);
    timeline::figure(html, execution);
    html.raw("<div class=\"texts\"><input type=\"search\" class=\"find\" placeholder=\"Search log and journals\" ");
    html.raw("aria-label=\"Search log and journals\" hidden>");
    // The journals of services tell most about a failure, and the driver's log about the script.
    let blamed = execution.failure.as_ref().and_then(|f| f.unit.as_deref()).unwrap_or("ioc.service");
    for Journal { machine, unit, text } in &execution.journals {
        let open = state <= State::Unfinished && blamed == unit;
        self::text(html, &format!("{unit} on {machine}"), text, open);
    }
    self::text(html, "log of the driver", &execution.log, false);
    html.raw("</div>");
    files(html, run, execution, place);
    html.raw("</details>\n");
}

fn failure(html: &mut Html, failure: &Cause) {
    html.raw("<section class=\"failure\"><h3>");
    html.text(&failure.script);
    if let Some(line) = failure.line {
        html.text(&format!(":{line}"));
    }
    if let Some(subtest) = &failure.subtest {
        html.raw(" <span class=\"dim\">in subtest</span> ").text(subtest);
    }
    html.raw("</h3><pre class=\"message\">").text(&failure.message).raw("</pre>");
    if !failure.excerpt.is_empty() {
        html.raw("<pre class=\"source\">");
        for (number, line) in &failure.excerpt {
            let here = failure.line == Some(*number);
            html.raw(if here { "<mark>" } else { "<span>" });
            html.text(&format!("{} {number:>4}  {line}", if here { "▶" } else { " " }));
            html.raw(if here { "</mark>\n" } else { "</span>\n" });
        }
        html.raw("</pre>");
    }
    html.raw("</section>\n");
}

fn text(html: &mut Html, title: &str, text: &Text, open: bool) {
    if text.lines.is_empty() {
        return;
    }
    let errors = text.lines.iter().filter(|line| line.error).count();
    let open = if open { " open" } else { "" };
    let cut = if text.cut.is_some() { " data-cut" } else { "" };
    html.raw(&format!("<details class=\"text\"{open}{cut}><summary>")).text(title);
    html.raw(&format!(" <span class=\"dim\">{} lines", text.lines.len())).raw("</span>");
    if errors > 0 {
        html.raw(&format!(" <span class=\"bad\">✗ {errors}</span>"));
    }
    html.raw("<span class=\"hits\"></span></summary><pre tabindex=\"0\">");
    for (i, line) in text.lines.iter().enumerate() {
        if let Some((_, bytes)) = text.cut.filter(|(at, _)| *at == i) {
            html.raw(&format!("<em>… {} are left out here; the file has them …</em>\n", size(bytes)));
        }
        if line.error {
            html.raw("<b>").text(&line.text).raw("</b>\n");
        } else {
            html.text(&line.text).raw("\n");
        }
    }
    html.raw("</pre></details>\n");
}

fn files(html: &mut Html, run: &Run, execution: &Execution, place: &Path) {
    if execution.files.is_empty() {
        return;
    }
    let all = execution.files.len() + execution.more_files;
    html.raw(&format!("<details class=\"files\"><summary>{all} files</summary><ul>"));
    for Left { path, size: bytes, copy } in &execution.files {
        // So the page can be moved along with them.
        let target = url(&relative(&run.dir.join(path), place));
        let name = path.strip_prefix(&format!("{}/", execution.label)).unwrap_or(path);
        html.raw("<li><a href=\"").text(&target).raw("\">").text(name).raw("</a> <span class=\"dim\">");
        html.raw(&size(*bytes)).raw("</span>");
        if let Some(copy) = copy {
            let own = name.rsplit('/').next().unwrap_or(name);
            html.raw(" <a download=\"").text(own).raw("\" href=\"data:application/octet-stream;base64,");
            html.raw(&base64(copy)).raw("\">the copy in this page</a>");
        }
    }
    if execution.more_files > 0 {
        html.raw(&format!("<li class=\"dim\">and {} more in ", execution.more_files)).text(&execution.label);
    }
    html.raw("</ul></details>\n");
}

/// The way from a folder to a file; both are absolute.
fn relative(file: &Path, folder: &Path) -> String {
    let shared = file.components().zip(folder.components()).take_while(|(a, b)| a == b).count();
    let up = folder.components().skip(shared).map(|_| Component::ParentDir);
    up.chain(file.components().skip(shared)).collect::<PathBuf>().display().to_string()
}

/// A path as part of an address: what could mean anything else is a percent sign and its number (RFC 3986).
fn url(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Bytes as text (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = (bits >> (18 - 6 * place) & 63) as usize;
            text.push(if place <= group.len() { char::from(DIGITS[digit]) } else { '=' });
        }
    }
    text
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes} bytes"),
        1000..1_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

#[cfg(test)]
pub(super) mod tests;
