//! Makes external text safe to display: control characters, Markdown, HTML, widths.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Replaces line breaks and tabs by spaces, and other control characters and bidirectional formatting marks by their
/// code.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' | '\r' | '\u{2028}' | '\u{2029}' => out.push(' '),
            c if c.is_control() || reorders(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// Whether a character is a mark, embedding, override or isolate of bidirectional text, or the invisible byte-order
/// mark.
pub fn reorders(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The first `most` characters of cleaned text, with an ellipsis if there are more.
pub fn shortened(text: &str, most: usize) -> String {
    let head: String = text.chars().take(most + 1).collect();
    let cleaned = clean(head.trim());
    if cleaned.chars().count() <= most {
        return cleaned;
    }
    let mut cut: String = cleaned.chars().take(most.saturating_sub(1)).collect();
    cut.truncate(cut.trim_end().len());
    cut + "…"
}

/// Escapes what Markdown (with tables and inline HTML) would interpret as markup, and nothing else: `<` before a
/// space and `_` inside a word stay.
pub fn markdown(text: &str) -> String {
    let text: Vec<char> = clean(text).chars().collect();
    let mut out = String::with_capacity(text.len());
    let alphanumeric = |at: Option<usize>| at.and_then(|i| text.get(i)).is_some_and(|c| c.is_alphanumeric());
    for (i, &c) in text.iter().enumerate() {
        let next = text.get(i + 1).copied().unwrap_or(' ');
        match c {
            '<' if next.is_ascii_alphabetic() || "/!?".contains(next) => out.push_str("&lt;"),
            '>' if i == 0 => out.push_str("&gt;"),
            '&' if next.is_ascii_alphabetic() || next == '#' => out.push_str("&amp;"),
            '_' if alphanumeric(i.checked_sub(1)) && alphanumeric(Some(i + 1)) => out.push(c),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '$' | '!' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// Escapes text for HTML and SVG, in elements and in quoted attributes.
pub fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Width of text on a terminal, in columns.
pub fn width(text: &str) -> usize {
    text.width()
}

/// Cleaned text, truncated to at most `most` terminal columns.
pub fn fitted(text: &str, most: usize) -> String {
    // Bounds the number of zero-width characters in hostile text.
    let text = shortened(text, 4 * most);
    if text.width() <= most {
        return text;
    }
    let (mut out, mut used) = (String::new(), 0);
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w + 1 > most {
            break;
        }
        out.push(c);
        used += w;
    }
    out + "…"
}

/// Wraps text at spaces into lines of at most `columns`; a longer word gets its own line.
pub fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("begins with one line");
        if !line.is_empty() && line.width() + 1 + word.width() > columns {
            lines.push(word.to_owned());
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_control_characters_do_not_survive() {
        let hostile = "<script>alert('x')</script>|a\u{1b}[2J\u{202e}\nb`*_[c](d)";
        let safe = html(hostile);
        assert!(!safe.contains('<') && !safe.contains('\'') && !safe.contains('\u{1b}'), "{safe}");
        let safe = markdown(hostile);
        assert!(
            !safe.contains("<s") && !safe.contains("</") && !safe.contains('\n') && safe.contains("\\|a"),
            "{safe}"
        );
        assert_eq!(markdown("a_b < c & d_ [e]"), "a_b < c & d\\_ \\[e\\]");
    }

    #[test]
    fn shortened_text_has_its_length_and_fitted_text_its_width() {
        assert_eq!(shortened("gentle", 6), "gentle");
        assert_eq!(shortened("gentler", 6), "gentl…");
        assert_eq!(fitted("日本語の値", 6), "日本…");
        assert!(width(&fitted(&"\u{200b}".repeat(1000), 10)) <= 10);
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
    }
}
