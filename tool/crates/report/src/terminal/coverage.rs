//! `--coverage`: what the checks used of the IOC, in a few lines.

use tool_base::ui::{DIM, STRONG, paint};
use tool_runner::coverage::{Coverage, Function, Source, Use};

/// Names of a line.
const NAMED: usize = 8;

/// Counts, and what was never used. `file` has all of it.
pub fn coverage(coverage: &Coverage, file: &str) -> String {
    let Coverage { source, records, functions, .. } = coverage;
    let head = paint(STRONG, "coverage");
    if *source == Source::Nothing {
        return format!("{head}  nothing is known: only the sandbox follows the records of an IOC\n");
    }
    let count = |used: fn(&Use) -> bool| records.values().filter(|own| used(own)).count();
    let functions: Vec<&Function> = functions.iter().filter(|own| own.ran.is_some()).collect();
    let handlers = || functions.iter().flat_map(|own| own.handlers.values());
    let mut text =
        format!("{head}  {} of {} records processed", count(|own| own.processed == Some(true)), records.len());
    let alarmed = count(|own| own.alarmed == Some(true));
    let mut lists: Vec<(&str, Vec<String>)> = vec![
        ("never processed", named(coverage, |own| own.processed == Some(false))),
        ("never seen, so not known", named(coverage, |own| own.processed.is_none())),
    ];
    if *source == Source::SoftIoc {
        let (read, written) = (count(|own| own.read == Some(true)), count(|own| own.written == Some(true)));
        text += &format!(", {read} read, {written} written, {alarmed} in alarm");
        if !functions.is_empty() {
            let ran = functions.iter().filter(|own| own.ran == Some(true)).count();
            let handled = handlers().filter(|ran| **ran == Some(true)).count();
            text += &format!("; {ran} of {} protocols, {handled} of {} handlers", functions.len(), handlers().count());
        }
        lists.push((
            "neither read nor written",
            named(coverage, |own| own.read == Some(false) && own.written == Some(false)),
        ));
        let idle = functions.iter().filter(|own| own.ran == Some(false));
        lists.push(("protocols never run", idle.map(|own| format!("{} {}", own.file, own.name)).collect()));
        lists.push(("handlers never run", functions.iter().flat_map(|own| idle_handlers(own)).collect()));
    } else {
        text +=
            &format!(", {alarmed} in alarm, as far as Channel Access shows: a record that kept its value and alarm");
        text += " may have been processed too, and who reads, writes or runs protocols only the soft IOC knows";
    }
    text.push('\n');
    for (title, names) in lists.iter().filter(|(_, names)| !names.is_empty()) {
        let more = if names.len() > NAMED { format!(" and {} more", names.len() - NAMED) } else { String::new() };
        let shown = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        text += &format!("  {} {shown}{more}\n", paint(DIM, &format!("{title}:")));
    }
    text + &format!("  {} {file}\n", paint(DIM, "all of it:"))
}

fn named(coverage: &Coverage, which: fn(&Use) -> bool) -> Vec<String> {
    coverage.records.iter().filter(|(_, own)| which(own)).map(|(name, _)| name.clone()).collect()
}

fn idle_handlers(function: &Function) -> Vec<String> {
    let idle = function.handlers.iter().filter(|(_, ran)| **ran == Some(false));
    idle.map(|(handler, _)| format!("{} {} {handler}", function.file, function.name)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn example(source: Source) -> Coverage {
        let known = (source == Source::SoftIoc).then_some(true);
        let used = |name: &str, processed| {
            let own = Use { read: known, written: known.map(|_| false), processed, ..Use::default() };
            (name.to_owned(), if processed == Some(true) { own } else { Use { read: known.map(|_| false), ..own } })
        };
        let function = Function {
            file: "p.proto".into(),
            name: "get".into(),
            ran: known,
            handlers: BTreeMap::from([("@init".into(), known), ("@mismatch".into(), known.map(|_| false))]),
            ..Function::default()
        };
        let records = BTreeMap::from([used("A", Some(true)), used("B", Some(false)), used("C", known.map(|_| false))]);
        let spare = Function { file: "p.proto".into(), name: "spare".into(), ..Function::default() };
        Coverage { version: 1, source, records, functions: vec![function, spare] }
    }

    #[test]
    fn what_was_never_used_is_named() {
        let text = |source| anstream::adapter::strip_str(&coverage(&example(source), "x/coverage.json")).to_string();
        insta::assert_snapshot!(text(Source::SoftIoc), @r"
        coverage  1 of 3 records processed, 1 read, 0 written, 0 in alarm; 1 of 1 protocols, 1 of 2 handlers
          never processed: B, C
          neither read nor written: B, C
          handlers never run: p.proto get @mismatch
          all of it: x/coverage.json
        ");
        insta::assert_snapshot!(text(Source::ChannelAccess), @r"
        coverage  1 of 3 records processed, 0 in alarm, as far as Channel Access shows: a record that kept its value and alarm may have been processed too, and who reads, writes or runs protocols only the soft IOC knows
          never processed: B
          never seen, so not known: C
          all of it: x/coverage.json
        ");
        assert!(text(Source::Nothing).contains("only the sandbox"));
    }
}
