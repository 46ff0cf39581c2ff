//! Python's formatting of values, and the template operations and filters that build longer values, within a memory
//! bound.

use std::cell::Cell;
use std::fmt::Write as _;

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::expression::{ADD, CONCAT, MODULO, MULTIPLY};
use super::tojson::tojson;

/// Maximum number of bytes that one rendering may allocate over all its strings and lists: a hundred times what the
/// longest context holds, and little enough for any machine. Fuel counts steps, and a single step may double a string.
pub(super) const MOST: usize = 128 << 20;

/// Maximum number of spaces that a filter may put before a line, and maximum width of a padded field.
const WIDEST: usize = 1 << 10;

thread_local! {
    static MADE: Cell<usize> = const { Cell::new(0) };
}

/// Resets the byte counter at the start of a rendering.
pub(super) fn begin() {
    MADE.set(0);
}

/// Counts bytes that are about to be allocated.
pub(super) fn make(bytes: usize) -> Result<(), Error> {
    let made = MADE.get().saturating_add(bytes);
    MADE.set(made);
    if made > MOST { Err(too_much()) } else { Ok(()) }
}

fn too_much() -> Error {
    wrong(format!("the template makes more than {} MiB of text", MOST >> 20))
}

pub(super) fn wrong(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, what.into())
}

/// Installs Python's formatting, operators and JSON in an environment.
pub(super) fn install(environment: &mut Environment<'static>) {
    environment.set_formatter(|out, _, value| {
        out.write_str(&text(value)?)
            .map_err(|_| Error::new(ErrorKind::WriteFailure, "the text cannot be written"))
    });
    environment.add_function(ADD, |a: Value, b: Value| add(&a, &b));
    environment.add_function(CONCAT, |parts: Rest<Value>| concat(&parts));
    environment.add_function(MULTIPLY, |a: Value, b: Value| multiply(&a, &b));
    environment.add_function(MODULO, modulo);
    environment.add_filter("string", |value: Value| text(&value));
    environment.add_filter("tojson", tojson);
    environment.add_filter("join", join);
    environment.add_filter("replace", |value: Value, from: Value, to: Value, most: Option<usize>| {
        replace(&text(&value)?, &text(&from)?, &text(&to)?, most)
    });
    environment.add_filter("format", |state: &State, pattern: Value, args: Rest<Value>| {
        format(state, &pattern, args)
    });
    environment.add_filter("indent", indent);
    environment.add_filter("round", round);
    for name in ["batch", "slice"] {
        // Used by no chat template, and its output is as long as its argument says.
        environment.remove_filter(name);
    }
    environment.add_test("sequence", |value: Value| {
        matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map | ValueKind::Iterable)
    });
    environment
        .add_test("iterable", |value: Value| value.kind() == ValueKind::String || value.try_iter().is_ok());
    environment.set_unknown_method_callback(method);
}

/// Methods of Python's strings and dictionaries.
fn method(state: &State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    match (name, value.as_str(), args) {
        ("replace", Some(own), [from, to]) => {
            return replace(own, &text(from)?, &text(to)?, None).map(Value::from);
        }
        ("join", Some(own), [list]) => return join(list.clone(), Some(own.into()), None).map(Value::from),
        ("format", Some(own), _) => bounded_fields(own)?,
        // Python counts characters.
        ("find" | "rfind", Some(own), [part]) => {
            let part = text(part)?;
            let at = if name == "find" { own.find(&part) } else { own.rfind(&part) };
            let at = at.map_or(Some(-1), |at| i64::try_from(own[..at].chars().count()).ok());
            return Ok(Value::from(at));
        }
        _ => {}
    }
    let out = minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args)?;
    make(out.as_str().map_or(0, str::len))?;
    Ok(out)
}

/// `str(value)`; empty for an undefined value.
pub(super) fn text(value: &Value) -> Result<String, Error> {
    if value.is_undefined() {
        return Ok(String::new());
    }
    let mut out = Text(String::new());
    match value.as_str() {
        Some(text) => out.push(text)?,
        None => repr(value, &mut out)?,
    }
    make(out.0.len())?;
    Ok(out.0)
}

/// A string whose length counts towards the limit of the rendering.
pub(super) struct Text(pub(super) String);

impl Text {
    pub(super) fn push(&mut self, text: &str) -> Result<(), Error> {
        if self.0.len() + text.len() > MOST {
            return Err(too_much());
        }
        self.0.push_str(text);
        Ok(())
    }
}

/// `repr(value)`.
fn repr(value: &Value, out: &mut Text) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => out.push("None"),
        ValueKind::Bool => out.push(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number if value.is_integer() => out.push(&value.to_string()),
        ValueKind::Number => out.push(&float(f64::try_from(value.clone())?)),
        ValueKind::String => quoted(value.as_str().unwrap_or_default(), out),
        ValueKind::Map => {
            out.push("{")?;
            for (i, key) in value.try_iter()?.enumerate() {
                out.push(if i == 0 { "" } else { ", " })?;
                repr(&key, out)?;
                out.push(": ")?;
                repr(&value.get_item(&key)?, out)?;
            }
            out.push("}")
        }
        ValueKind::Seq | ValueKind::Iterable => {
            out.push("[")?;
            for (i, element) in value.try_iter()?.enumerate() {
                out.push(if i == 0 { "" } else { ", " })?;
                repr(&element, out)?;
            }
            out.push("]")
        }
        _ => out.push(&value.to_string()),
    }
}

/// A quoted string: single quotes, unless the string contains single quotes only.
fn quoted(text: &str, out: &mut Text) -> Result<(), Error> {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut new = String::with_capacity(text.len() + 2);
    new.push(quote);
    for c in text.chars() {
        match c {
            '\\' => new.push_str("\\\\"),
            '\n' => new.push_str("\\n"),
            '\r' => new.push_str("\\r"),
            '\t' => new.push_str("\\t"),
            c if c == quote => new.extend(['\\', c]),
            c if !is_printable(c) => {
                let _ = match c as u32 {
                    code @ ..0x100 => write!(new, "\\x{code:02x}"),
                    code @ 0x100..0x10000 => write!(new, "\\u{code:04x}"),
                    code => write!(new, "\\U{code:08x}"),
                };
            }
            c => new.push(c),
        }
    }
    new.push(quote);
    out.push(&new)
}

/// `str.isprintable`, except for characters that Unicode has not assigned.
fn is_printable(c: char) -> bool {
    const OTHERS: [(u32, u32); 13] = [
        (0x00, 0x1f),
        (0x7f, 0xa0),
        (0xad, 0xad),
        (0x600, 0x605),
        (0x61c, 0x61c),
        (0x1680, 0x1680),
        (0x2000, 0x200f),
        (0x2028, 0x202f),
        (0x205f, 0x206f),
        (0x3000, 0x3000),
        (0xe000, 0xf8ff),
        (0xfeff, 0xfeff),
        (0xfff0, 0xfffb),
    ];
    let code = c as u32;
    !OTHERS.iter().any(|(first, last)| (*first..=*last).contains(&code)) && code < 0xe0000
}

/// Python's notation of a float: shortest digits, with an exponent below 1e-4 and from 1e16 on.
pub(super) fn float(x: f64) -> String {
    if !x.is_finite() {
        return if x.is_nan() {
            "nan"
        } else if x > 0.0 {
            "inf"
        } else {
            "-inf"
        }
        .to_owned();
    }
    let scientific = format!("{x:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if x != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    format!("{x:?}")
}

fn is_list(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

fn add(a: &Value, b: &Value) -> Result<Value, Error> {
    if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
        make(a.len() + b.len())?;
        return Ok(Value::from([a, b].concat()));
    }
    if is_list(a) && is_list(b) {
        let both: Vec<Value> = a.try_iter()?.chain(b.try_iter()?).collect();
        make(both.len() * size_of::<Value>())?;
        return Ok(Value::from(both));
    }
    numbers(a, b, "+", i64::checked_add, |x, y| x + y)
}

fn concat(parts: &[Value]) -> Result<String, Error> {
    let mut out = Text(String::new());
    for part in parts {
        match part.as_str() {
            Some(text) => out.push(text)?,
            None => out.push(&text(part)?)?,
        }
    }
    make(out.0.len())?;
    Ok(out.0)
}

fn multiply(a: &Value, b: &Value) -> Result<Value, Error> {
    let (times, repeated) = if b.is_integer() { (b, a) } else { (a, b) };
    let count = || usize::try_from(i64::try_from(times.clone())?.max(0)).map_err(|_| too_much());
    if let Some(text) = repeated.as_str().filter(|_| times.is_integer()) {
        make(text.len().saturating_mul(count()?))?;
        return Ok(Value::from(text.repeat(count()?)));
    }
    if is_list(repeated) && times.is_integer() {
        let list: Vec<Value> = repeated.try_iter()?.collect();
        make(list.len().saturating_mul(count()?).saturating_mul(size_of::<Value>()))?;
        let all: Vec<Value> = (0..count()?).flat_map(|_| list.iter().cloned()).collect();
        return Ok(Value::from(all));
    }
    numbers(a, b, "*", i64::checked_mul, |x, y| x * y)
}

fn modulo(state: &State, a: Value, b: Value) -> Result<Value, Error> {
    if a.as_str().is_some() {
        let args = if is_list(&b) { b.try_iter()?.collect() } else { vec![b] };
        return format(state, &a, Rest(args)).map(Value::from);
    }
    // The result has the divisor's sign.
    let whole = |x: i64, y: i64| {
        let rest = x.checked_rem(y)?;
        Some(if rest != 0 && (rest < 0) != (y < 0) { rest + y } else { rest })
    };
    numbers(&a, &b, "%", whole, |x, y| x - y * (x / y).floor())
}

fn numbers(
    a: &Value,
    b: &Value,
    operator: &str,
    whole: impl Fn(i64, i64) -> Option<i64>,
    real: impl Fn(f64, f64) -> f64,
) -> Result<Value, Error> {
    let is_number = |x: &Value| matches!(x.kind(), ValueKind::Number | ValueKind::Bool);
    if !is_number(a) || !is_number(b) {
        let undefined = a.is_undefined() || b.is_undefined();
        let kind = if undefined { ErrorKind::UndefinedError } else { ErrorKind::InvalidOperation };
        return Err(Error::new(
            kind,
            format!("unsupported operands for {operator}: {} and {}", a.kind(), b.kind()),
        ));
    }
    let as_whole =
        |x: &Value| if x.kind() == ValueKind::Bool { Some(i64::from(x.is_true())) } else { x.as_i64() };
    let is_float = |x: &Value| x.kind() == ValueKind::Number && !x.is_integer();
    if let (Some(x), Some(y), false) = (as_whole(a), as_whole(b), is_float(a) || is_float(b)) {
        return whole(x, y)
            .map(Value::from)
            .ok_or_else(|| wrong(format!("{x} {operator} {y} cannot be computed")));
    }
    Ok(Value::from(real(f64::try_from(a.clone())?, f64::try_from(b.clone())?)))
}

/// `%` on a string.
fn format(state: &State, pattern: &Value, args: Rest<Value>) -> Result<String, Error> {
    bounded_fields(pattern.as_str().unwrap_or_default())?;
    // `%s` writes what `str` does.
    let plain = |value: Value| match value.kind() {
        ValueKind::Number | ValueKind::String | ValueKind::Map => Ok(value),
        _ => text(&value).map(Value::from),
    };
    let args: Vec<Value> = args.0.into_iter().map(plain).collect::<Result<_, _>>()?;
    text(&minijinja::filters::format(state, pattern, Rest(args))?)
}

/// Refuses a pattern with an excessively wide field: five digits in it, or a width taken from the arguments.
fn bounded_fields(pattern: &str) -> Result<(), Error> {
    for (at, _) in pattern.match_indices(['%', '{']) {
        let field =
            pattern[at + 1..].split(|c: char| c.is_alphabetic() || c == '}' || c == '%').next().unwrap_or("");
        let digits = field.split(|c: char| !c.is_ascii_digit()).map(str::len).max();
        if digits.unwrap_or(0) > 4 || field.contains('*') {
            return Err(wrong("a format may fill a field up to 9999 characters"));
        }
    }
    Ok(())
}

fn join(list: Value, between: Option<Value>, attribute: Option<Value>) -> Result<String, Error> {
    let between = between.map_or(Ok(String::new()), |b| text(&b))?;
    let mut out = Text(String::new());
    let elements: Vec<Value> = match list.as_str() {
        Some(text) => text.chars().map(|c| Value::from(c.to_string())).collect(),
        None => list.try_iter()?.collect(),
    };
    for (i, element) in elements.iter().enumerate() {
        if i > 0 {
            out.push(&between)?;
        }
        let element = match &attribute {
            Some(name) => element.get_item(name)?,
            None => element.clone(),
        };
        out.push(&text(&element)?)?;
    }
    make(out.0.len())?;
    Ok(out.0)
}

fn replace(own: &str, from: &str, to: &str, most: Option<usize>) -> Result<String, Error> {
    let found = own.matches(from).count().min(most.unwrap_or(usize::MAX));
    make(own.len().saturating_add(found.saturating_mul(to.len())))?;
    Ok(match most {
        Some(most) => own.replacen(from, to, most),
        None => own.replace(from, to),
    })
}

fn indent(
    value: Value,
    width: Option<Value>,
    first: Option<bool>,
    blank: Option<bool>,
    kwargs: Kwargs,
) -> Result<String, Error> {
    let width = match width {
        Some(width) => Some(width),
        None => kwargs.get::<Option<Value>>("width")?,
    };
    let first = first.map_or_else(|| kwargs.get::<Option<bool>>("first"), |f| Ok(Some(f)))?.unwrap_or(false);
    let blank = blank.map_or_else(|| kwargs.get::<Option<bool>>("blank"), |b| Ok(Some(b)))?.unwrap_or(false);
    kwargs.assert_all_used()?;
    let space = unit(width.unwrap_or_else(|| Value::from(4)))?;
    let own = text(&value)?;
    let lines = lines(&own);
    make(own.len().saturating_add(lines.len().saturating_mul(space.len())))?;
    let indented = lines.iter().enumerate().map(|(i, line)| {
        let goes_in = if i == 0 { first } else { blank || !line.is_empty() };
        if goes_in { format!("{space}{line}") } else { (*line).to_owned() }
    });
    Ok(indented.collect::<Vec<_>>().join("\n"))
}

/// `(text + "\n").splitlines()`.
fn lines(text: &str) -> Vec<&str> {
    let is_break = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let (mut out, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find(is_break) {
        out.push(&rest[..at]);
        let length = if rest[at..].starts_with("\r\n") {
            2
        } else {
            rest[at..].chars().next().map_or(1, char::len_utf8)
        };
        rest = &rest[at + length..];
    }
    out.push(rest);
    out
}

/// `round`: ties go to the even neighbour, as in Python.
fn round(value: Value, precision: Option<i32>, method: Option<String>) -> Result<f64, Error> {
    let x = f64::try_from(value)?;
    let precision = precision.unwrap_or(0);
    let scale = 10f64.powi(precision);
    match method.as_deref().unwrap_or("common") {
        "ceil" => Ok((x * scale).ceil() / scale),
        "floor" => Ok((x * scale).floor() / scale),
        "common" if (1..=17).contains(&precision) => {
            let digits = usize::try_from(precision).unwrap_or(0);
            format!("{x:.digits$}").parse().map_err(|_| wrong("the number cannot be rounded"))
        }
        "common" => Ok((x * scale).round_ties_even() / scale),
        other => Err(wrong(format!("`{other}` is no way to round"))),
    }
}

/// An indentation: a string, or a number of spaces.
pub(super) fn unit(width: Value) -> Result<String, Error> {
    if let Some(text) = width.as_str() {
        return if text.len() > WIDEST {
            Err(wrong("the indentation is too wide"))
        } else {
            Ok(text.to_owned())
        };
    }
    match usize::try_from(width) {
        Ok(width) if width <= WIDEST => Ok(" ".repeat(width)),
        _ => Err(wrong(format!("the indentation is no number from 0 to {WIDEST}"))),
    }
}
