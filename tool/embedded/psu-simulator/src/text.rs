//! Numbers as Python and lewis write and read them, and the help texts.

/// Command as `help` lists it, its usage, what it does, and what it answers.
const COMMANDS: [(&str, &str, &str, &str); 12] = [
    ("help (%s)", "help\nUsage: help <command>", "List the commands, or explain one.", ""),
    (":curr %f", ":curr <float>", "Set the current, in ampere.", "\"OK\""),
    (":curr?", ":curr?", "The current that is set, in ampere.", "float"),
    (":idn?", ":idn?", "The identification of the power supply.", "string"),
    (":volt %f", ":volt <float>", "Set the voltage, in volt.", "\"OK\""),
    (":volt?", ":volt?", "The voltage that is set, in volt.", "float"),
    ("meas:curr?", "meas:curr?", "The measured current, in ampere.", "float"),
    ("meas:volt?", "meas:volt?", "The measured voltage, in volt.", "float"),
    ("outp:mode %s", "outp:mode <\"CV\" | \"CC\">", "Hold the voltage or the current constant.", "\"OK\" | \"ERR\""),
    ("outp:mode?", "outp:mode?", "What is held constant.", "\"CV\" | \"CC\""),
    ("outp:pon %s", "outp:pon <\"ON\" | \"1\" | \"OFF\" | \"0\">", "Turn the output on or off.", "\"OK\" | \"ERR\""),
    ("outp:pon?", "outp:pon?", "Whether the output is on.", "\"ON\" | \"OFF\""),
];

/// The list of commands, or what `topic` does; a topic is a command without its argument.
pub fn help(topic: Option<&str>) -> String {
    let Some(topic) = topic else {
        let line = |(command, _, summary, _): &_| format!(" - '{command}': {summary}\n");
        return COMMANDS.iter().map(line).collect::<Vec<_>>().concat();
    };
    let named = |command: &str| command.split(' ').next() == Some(topic);
    match COMMANDS.iter().find(|(command, ..)| named(command)) {
        None => "Unknown command".to_owned(),
        Some((_, usage, summary, "")) => format!("{summary}\n\nUsage: {usage}\n"),
        Some((_, usage, summary, returns)) => {
            format!("{summary}\n\nUsage: {usage}\nReturns: {returns}\n")
        }
    }
}

/// Reads what lewis' `%f` matches: sign, digits with or without a point, exponent; no `inf`, no
/// `nan`.
pub fn scan_float(text: &str) -> Option<f64> {
    let numeric = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    if text.chars().all(numeric) { text.parse().ok() } else { None }
}

/// Writes a number as Python's `str` does: shortest digits that read back, with a point, and an
/// exponent of at least two digits below 1e-4 and from 1e16 on.
pub fn python_float(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() { "nan".to_owned() } else { format!("{value}") };
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    let text = format!("{value}");
    if text.contains('.') { text } else { text + ".0" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_numbers_as_python_does() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (42.0, "42.0"),
            (1.25, "1.25"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (-1.5e-7, "-1.5e-07"),
            (9_007_199_254_740_993.0, "9007199254740992.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(python_float(value), text);
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut noise = crate::noise::Noise::new(0);
        for _ in 0..100_000 {
            let value = f64::from_bits(noise.next());
            if value.is_finite() {
                let text = python_float(value);
                assert_eq!(scan_float(&text).map(f64::to_bits), Some(value.to_bits()), "{text}");
                assert!(text.contains(['.', 'e']), "{text} reads as a whole number");
            }
        }
    }

    #[test]
    fn reads_numbers_as_scanf_does() {
        for (text, value) in [("42", 42.0), ("-1.5", -1.5), ("+.5", 0.5), ("1.", 1.0), ("1e3", 1000.0)] {
            assert_eq!(scan_float(text), Some(value), "{text}");
        }
        for text in ["", "abc", "nan", "inf", "1e", "0x10", "1,5", "--1", "1_000", "e5", "."] {
            assert_eq!(scan_float(text), None, "{text}");
        }
    }
}
