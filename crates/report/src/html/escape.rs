//! Text from data never becomes markup.

use std::fmt;

/// Characters that break a page or hide what a text really says.
pub(crate) fn is_disguise(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}')
}

/// Text made safe for element content and for double-quoted attributes.
pub(crate) struct Escaped<'a>(&'a str);

/// Escapes markup, and replaces characters that break a page or disguise what it says: control characters other than
/// line breaks and tabs, and the marks that turn the direction of text around.
pub(crate) fn esc(text: &str) -> Escaped<'_> {
    Escaped(text)
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\n' | '\t' => f.write_char(c)?,
                c if is_disguise(c) => f.write_char('\u{fffd}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// At most `max` characters; the middle makes room for an ellipsis so that both ends stay readable.
pub(crate) fn shorten(text: &str, max: usize) -> String {
    let n = text.chars().count();
    if n <= max {
        return text.to_string();
    }
    let tail = max.saturating_sub(1) / 3;
    let head = max.saturating_sub(1) - tail;
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(n - tail).collect();
    format!("{}\u{2026}{}", start.trim_end(), end.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_disguises_are_defused() {
        assert_eq!(
            esc("<a b='\"'>&\u{202e}\u{0}").to_string(),
            "&lt;a b=&#39;&quot;&#39;&gt;&amp;\u{fffd}\u{fffd}"
        );
    }

    #[test]
    fn both_ends_of_a_long_name_stay() {
        assert_eq!(shorten("abcdefghijkl", 12), "abcdefghijkl");
        assert_eq!(shorten("abcdefghijklm", 7), "abcd\u{2026}lm");
        assert_eq!(shorten("ab", 0), "\u{2026}");
    }
}
