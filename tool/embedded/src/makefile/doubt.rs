//! What is not known in a value: a character of its own stands for it, from an area that no text uses.

use super::{Problem, words};

const FIRST: u32 = 0xF_0000;
const LAST: u32 = 0xF_FFFD;

/// All doubts of a Makefile.
#[derive(Debug, Default)]
pub struct Doubts(Vec<Problem>);

/// A word of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// What is known of it.
    pub text: String,
    /// Why it may not be there, or not be what it seems.
    pub doubt: Option<Problem>,
    /// A part of its text is not known.
    pub partial: bool,
}

/// A doubt that a word is there, not what it is: such a word ends with it.
const PERHAPS: char = '\u{10_FFFD}';

impl Doubts {
    pub fn add(&mut self, problem: Problem) -> char {
        let at = self.0.iter().position(|known| *known == problem).unwrap_or_else(|| {
            self.0.push(problem);
            self.0.len() - 1
        });
        let number = FIRST + u32::try_from(at).unwrap_or(u32::MAX - FIRST);
        char::from_u32(number.min(LAST)).unwrap_or('\u{F_FFFD}')
    }

    pub fn word(&self, word: &str) -> Word {
        let why = word.chars().find(|c| is_doubt(*c)).and_then(|c| self.0.get((c as u32 - FIRST) as usize));
        let certain = without_perhaps(word);
        Word { text: name(word), doubt: why.cloned(), partial: certain.contains(is_doubt) }
    }
}

fn is_doubt(c: char) -> bool {
    (FIRST..=LAST).contains(&(c as u32))
}

/// A text of the user's, without characters that would be taken for doubts.
pub fn free(text: &str) -> String {
    text.replace(|c| is_doubt(c) || c == PERHAPS, "\u{FFFD}")
}

/// Every word of a value, marked as one that may not be there.
pub fn perhaps(value: &str, why: char) -> String {
    let marked: Vec<String> = words::of(value).map(|word| format!("{word}{why}{PERHAPS}")).collect();
    marked.join(" ")
}

/// A word, and the marks at its end that it may not be there.
pub fn split(word: &str) -> (&str, &str) {
    let mut end = word.len();
    while let Some(rest) = word[..end].strip_suffix(PERHAPS) {
        end = rest.char_indices().next_back().map_or(0, |(at, _)| at);
    }
    word.split_at(end)
}

/// Every word changed, its marks kept.
pub fn each(text: &str, change: impl Fn(&str) -> String) -> String {
    let changed = words::of(text).map(|word| {
        let (own, marks) = split(word);
        change(own) + marks
    });
    changed.collect::<Vec<_>>().join(" ")
}

/// The first doubt in some texts.
pub fn first(texts: &[&str]) -> Option<char> {
    texts.iter().find_map(|text| text.chars().find(|c| is_doubt(*c)))
}

/// A word without the marks that it may not be there.
fn without_perhaps(word: &str) -> String {
    let mut out: Vec<char> = Vec::new();
    for c in word.chars() {
        if c == PERHAPS {
            out.pop();
        } else {
            out.push(c);
        }
    }
    out.into_iter().collect()
}

pub fn is_in_doubt(text: &str) -> bool {
    text.contains(is_doubt)
}

/// The known part of a word.
pub fn name(word: &str) -> String {
    word.replace(|c| is_doubt(c) || c == PERHAPS, "")
}

/// A text as people may read it.
pub fn shown(text: &str) -> String {
    text.replace(is_doubt, "…").replace(PERHAPS, "")
}

/// Whether a value has any text; `None` where that is not known.
pub fn has_text(value: &str) -> Option<bool> {
    let sure = words::of(value).any(|word| !word.contains(PERHAPS) && !name(word).is_empty());
    match sure {
        true => Some(true),
        false if is_in_doubt(value) => None,
        false => Some(false),
    }
}

/// Whether two texts are the same; `None` where that is not known.
pub fn equal(left: &str, right: &str) -> Option<bool> {
    (!is_in_doubt(left) && !is_in_doubt(right)).then(|| left == right)
}
