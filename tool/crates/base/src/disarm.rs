//! Text of others where a CI service takes commands out of whatever a step prints.
//!
//! GitHub's runner (and those of Gitea and Forgejo, which are its likes) obeys a line that begins with `::`, blanks before it
//! not counted, and any line that has `##[` somewhere. It reads stdout and stderr in an order that nobody knows, so each
//! line is harmless by itself.

use std::borrow::Cow;
use std::sync::LazyLock;

static WANTED: LazyLock<bool> =
    LazyLock::new(|| std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true"));

/// Whether such a service reads what we print.
pub fn wanted() -> bool {
    *WANTED
}

/// The text, none of whose lines is a command. JSON stays the JSON that it was.
pub fn text(text: &str) -> Cow<'_, str> {
    if !text.contains("::") && !text.contains("##[") {
        return text.into();
    }
    // `\r` ends a line there, too, and whatever else somebody may take for a line's end.
    let ends = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let mut out = String::with_capacity(text.len() + 8);
    for line in text.split_inclusive(ends) {
        let visible =
            line.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}'));
        if visible.starts_with("::") {
            out.push_str(&line[..line.len() - visible.len()]);
            out.push('\\');
            out.push_str(visible);
        } else {
            out.push_str(line);
        }
    }
    out.replace("##[", "#\\u0023[").into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_become_text() {
        assert_eq!(text("a :: b\n  ::error::x\r::stop-commands::y"), "a :: b\n  \\::error::x\r\\::stop-commands::y");
        assert_eq!(text("x ##[error]y"), "x #\\u0023[error]y");
        assert_eq!(text("###[a"), "##\\u0023[a");
        assert!(matches!(text("Cell::new(3)"), Cow::Owned(text) if text == "Cell::new(3)"));
        assert!(matches!(text("plain"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn no_line_is_a_command_and_json_is_what_it_was(text in "([:# \\[\\]\\r\\n\\t\\\\\"ae]|\\PC){0,40}") {
            let harmless = super::text(&text);
            prop_assert!(!harmless.contains("##["));
            prop_assert!(harmless.split(['\n', '\r']).all(|line| !line.trim_start().starts_with("::")));
            let json = serde_json::json!({ &text: [&text] });
            for written in [json.to_string(), serde_json::to_string_pretty(&json).unwrap()] {
                let harmless = super::text(&written);
                prop_assert!(!harmless.contains("##[") && !harmless.trim_start().starts_with("::"));
                prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&harmless).unwrap(), &json);
            }
        }
    }
}
