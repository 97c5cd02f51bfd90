//! Lines of a Makefile, and what kind each is.

/// The lines of a text, those that a backslash continues as one.
pub struct Lines<'a> {
    lines: std::iter::Enumerate<std::str::Lines<'a>>,
}

impl<'a> Lines<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { lines: text.lines().enumerate() }
    }

    /// The next line and its number, from 1 on.
    pub fn next(&mut self) -> Option<(u32, String)> {
        let (number, first) = self.lines.next()?;
        let mut line = first.to_owned();
        while line.ends_with('\\') && (line.len() - line.trim_end_matches('\\').len()) % 2 == 1 {
            line.pop();
            let Some((_, more)) = self.lines.next() else { break };
            let kept = line.trim_end_matches([' ', '\t']).len();
            line.truncate(kept);
            line.push(' ');
            line.push_str(more.trim_start_matches([' ', '\t']));
        }
        Some((u32::try_from(number).unwrap_or(u32::MAX - 1) + 1, line))
    }

    /// The lines up to the `endef` of a definition; `None` where there is none.
    pub fn definition(&mut self) -> Option<String> {
        let mut body = Vec::new();
        let mut depth = 0;
        for (_, line) in self.lines.by_ref() {
            let word = line.split_whitespace().next().unwrap_or_default();
            match word {
                "define" => depth += 1,
                "endef" if depth == 0 => return Some(body.join("\n")),
                "endef" => depth -= 1,
                _ => {}
            }
            body.push(line);
        }
        None
    }
}

/// Goes over the characters of a line that stand outside of references to variables.
fn outside(line: &str) -> impl Iterator<Item = (usize, char)> {
    let mut closers: Vec<char> = Vec::new();
    let mut before = ' ';
    line.char_indices().filter(move |(_, c)| {
        let inside = !closers.is_empty();
        match c {
            '(' if before == '$' || inside => closers.push(')'),
            '{' if before == '$' || inside => closers.push('}'),
            c if closers.last() == Some(c) => drop(closers.pop()),
            _ => {}
        }
        // `$$` is a dollar.
        before = if before == '$' && *c == '$' { ' ' } else { *c };
        !inside && closers.is_empty()
    })
}

/// A line without its comment.
pub fn without_comment(line: &str) -> String {
    let mut out = String::new();
    let mut copied = 0;
    for (at, _) in outside(line).filter(|(_, c)| *c == '#') {
        let before = &line[copied..at];
        let slashes = before.len() - before.trim_end_matches('\\').len();
        out.push_str(&before[..before.len() - slashes + slashes / 2]);
        copied = at;
        if slashes.is_multiple_of(2) {
            return out;
        }
    }
    out + &line[copied..]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Recursive,
    Simple,
    Add,
    Default,
    Shell,
}

#[derive(Debug)]
pub struct Assignment {
    pub name: String,
    pub operator: Operator,
    pub value: String,
    /// It holds against the command line, too.
    pub overriding: bool,
}

/// A line as an assignment, if it is one.
pub fn assignment(line: &str) -> Option<Assignment> {
    let line = line.trim_start();
    for word in ["override", "export", "private"] {
        if let Some(rest) = line.strip_prefix(word).filter(|rest| rest.starts_with([' ', '\t'])) {
            let found = assignment(rest)?;
            return Some(Assignment { overriding: found.overriding || word == "override", ..found });
        }
    }
    let (at, _) = outside(line).find(|(_, c)| matches!(c, '=' | ':' | '+' | '?' | '!' | ' ' | '\t'))?;
    let rest = line[at..].trim_start_matches([' ', '\t']);
    let operators = [
        (":::=", Operator::Simple),
        ("::=", Operator::Simple),
        (":=", Operator::Simple),
        ("+=", Operator::Add),
        ("?=", Operator::Default),
        ("!=", Operator::Shell),
        ("=", Operator::Recursive),
    ];
    let found = operators.iter().find_map(|(sign, operator)| Some((rest.strip_prefix(sign)?, *operator)));
    let Some((value, operator)) = found else {
        // `a+b = c` is the variable `a+b`.
        let next = at + line[at..].chars().next().map_or(1, char::len_utf8);
        let odd = matches!(line.as_bytes()[at], b'+' | b'?' | b'!').then(|| assignment(&line[next..])).flatten()?;
        return Some(Assignment { name: line[..next].to_owned() + &odd.name, ..odd });
    };
    let value = value.trim_start_matches([' ', '\t']).to_owned();
    Some(Assignment { name: line[..at].to_owned(), operator, value, overriding: false })
}

/// The targets of a rule, if the line is one.
pub fn targets(line: &str) -> Option<&str> {
    outside(line).find(|(_, c)| *c == ':').map(|(at, _)| &line[..at])
}
