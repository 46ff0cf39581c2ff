//! Rewrites templates so that operators have Python's semantics.
//!
//! minijinja writes `true` where Jinja writes `True`, has no `%` for strings, and lets a string double without limit.
//! Filters and functions can be replaced; operators cannot. So `a + b`, `a ~ b`, `a * b` and `a % b` become calls of
//! functions in [`super::python`], with the precedence of Jinja's own parser. A tag without these operators is left
//! unchanged, and so is one that does not parse, for which minijinja then reports the error. `{% generation %}`, which
//! marks the assistant's output and writes nothing, becomes a `with` block.

use super::expression::{bracketed, end_of_text};

/// Rewrites a template; line numbers are preserved.
pub(super) fn rewrite(source: &str) -> String {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(source.len() + source.len() / 8);
    let mut rest = source.as_str();
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (close, statement) = match rest.as_bytes().get(1) {
            Some(b'{') => ("}}", false),
            Some(b'%') => ("%}", true),
            Some(b'#') => {
                let end = rest.find("#}").map_or(rest.len(), |end| end + 2);
                out.push_str(&rest[..end]);
                rest = &rest[end..];
                continue;
            }
            _ => {
                out.push('{');
                rest = &rest[1..];
                continue;
            }
        };
        let Some(end) = end_of_tag(&rest[2..], close) else { break };
        let (body, after) = (&rest[2..2 + end], &rest[2 + end + 2..]);
        let head =
            body.chars().next().filter(|c| matches!(c, '-' | '+')).map_or("", |c| &body[..c.len_utf8()]);
        let tail =
            if body.len() > head.len() && body.ends_with(['-', '+']) { &body[body.len() - 1..] } else { "" };
        let inner = &body[head.len()..body.len() - tail.len()];
        out.push_str(&rest[..2]);
        out.push_str(head);
        match rewritten(inner, statement) {
            Some(new) => {
                out.extend([" ", &new, " "]);
                out.extend(std::iter::repeat_n('\n', inner.matches('\n').count()));
            }
            None => out.push_str(inner),
        }
        out.extend([tail, close]);
        rest = after;
        if statement && inner.trim() == "raw" {
            let end = rest.find("endraw").unwrap_or(rest.len());
            let end = rest[end..].find("%}").map_or(rest.len(), |close| end + close + 2);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    out.push_str(rest);
    out
}

/// Position of a tag's closing mark, outside strings and brackets.
fn end_of_tag(body: &str, close: &str) -> Option<usize> {
    let bytes = body.as_bytes();
    let (mut at, mut open) = (0, 0usize);
    while at < bytes.len() {
        if open == 0 && body[at..].starts_with(close) {
            return Some(at);
        }
        match bytes[at] {
            quote @ (b'"' | b'\'') => at = end_of_text(bytes, at, quote)?,
            b'{' | b'[' | b'(' => {
                open += 1;
                at += 1;
            }
            b'}' | b']' | b')' => {
                open = open.saturating_sub(1);
                at += 1;
            }
            _ => at += 1,
        }
        while at < bytes.len() && !body.is_char_boundary(at) {
            at += 1;
        }
    }
    None
}

/// The rewritten inside of a tag; `None` if it stays unchanged.
fn rewritten(inner: &str, statement: bool) -> Option<String> {
    let name = inner.trim();
    if statement && (name == "generation" || name == "endgeneration") {
        return Some(if name == "generation" { "with".to_owned() } else { "endwith".to_owned() });
    }
    bracketed(inner, statement)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inner(text: &str) -> String {
        let out = rewrite(&format!("{{{{ {text} }}}}"));
        out.trim_start_matches("{{").trim_end_matches("}}").trim().to_owned()
    }

    #[test]
    fn operators_bind_as_jinja_binds_them() {
        for (text, expected) in [
            ("a + b ~ c", "__python_add(a, __python_concat(b, c))"),
            ("a ~ b * 2 ~ c", "__python_concat(a, __python_multiply(b, 2), c)"),
            ("a + b|upper", "__python_add(a, b|upper)"),
            ("-a + b", "__python_add((-a), b)"),
            (
                "a + b if c is defined and not d else e",
                "(__python_add(a, b) if ((c is defined) and (not d)) else e)",
            ),
            ("a.b['c'] + d(1, x=2)[1:] == e", "(__python_add(a.b['c'], d(1, x=2)[1:]) == e)"),
            ("'%s' % (a, b)", "__python_modulo('%s', [a, b])"),
            ("'x' 'y'", "'x' 'y'"),
            ("'x' 'y' + z", "__python_add(__python_add('x', 'y'), z)"),
            ("{'a': b + 1, 'c': [1, d % 2]}", "{'a': __python_add(b, 1), 'c': [1, __python_modulo(d, 2)]}"),
            ("a not in b + c", "(a not in __python_add(b, c))"),
            ("(a, ) + () + (b)", "__python_add(__python_add([a], []), (b))"),
            ("(a is divisibleby 3) + 1", "__python_add(((a is divisibleby(3))), 1)"),
        ] {
            assert_eq!(inner(text), expected, "{text}");
        }
    }

    #[test]
    fn what_has_no_operator_or_does_not_parse_is_left_alone() {
        for text in [
            "{{ a.b|tojson }} {# a + b #}",
            "{% raw %}{{ a + b }}{% endraw %}",
            "{{ a + }}",
            "{{ a",
            "{% macro f(a, b=1 + 2) %}",
            "100 % { 50 }",
            "{{ 'é }} + ' }}",
        ] {
            assert_eq!(rewrite(text), text, "{text}");
        }
    }

    #[test]
    fn tags_keep_their_marks_and_lines() {
        assert_eq!(rewrite("{%- if a\n + b -%}x"), "{%- if __python_add(a, b) \n-%}x");
        assert_eq!(rewrite("{%- generation %}a{%- endgeneration -%}"), "{%- with %}a{%- endwith -%}");
        assert_eq!(
            rewrite("{% for a, b in c + d if a ~ b %}"),
            "{% for a,b in __python_add(c, d) if __python_concat(a, b) %}"
        );
        assert_eq!(rewrite("{% set ns.a = ns.a + 1 %}"), "{% set ns.a = __python_add(ns.a, 1) %}");
        assert_eq!(rewrite("a\r\nb\rc"), "a\nb\nc");
    }
}
