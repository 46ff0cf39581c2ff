//! Rewrites template expressions with the precedence of Jinja's own parser; Python's operators become function calls.

/// Names of the functions that replace operators.
pub(super) const ADD: &str = "__python_add";
pub(super) const CONCAT: &str = "__python_concat";
pub(super) const MULTIPLY: &str = "__python_multiply";
pub(super) const MODULO: &str = "__python_modulo";

/// Maximum nesting depth of an expression that is rewritten.
const DEEPEST: usize = 100;

/// Rewrites the inside of a tag with every operation in brackets or as a call. `None` if it contains none of the
/// operators or does not parse.
pub(super) fn bracketed(inner: &str, statement: bool) -> Option<String> {
    let tokens = tokens(inner)?;
    if !tokens.iter().any(|t| matches!(t, Token::Mark("+" | "~" | "*" | "%"))) {
        return None;
    }
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0 };
    let out = if statement { parser.statement()? } else { parser.tuple()? };
    (parser.at == tokens.len()).then_some(out)
}

/// The byte after the closing quotation mark.
pub(super) fn end_of_text(bytes: &[u8], start: usize, quote: u8) -> Option<usize> {
    let mut at = start + 1;
    while *bytes.get(at)? != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    Some(at + 1)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Token<'t> {
    Name(&'t str),
    /// A number or a string, as written.
    Literal(&'t str),
    Mark(&'t str),
}

fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    const MARKS: [&str; 26] = [
        "**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")", "[", "]",
        "{", "}", ",", ".", ":", "|", ";",
    ];
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let start = at;
        let while_ = |mut at: usize, is: &dyn Fn(u8) -> bool| {
            while at < bytes.len() && is(bytes[at]) {
                at += 1;
            }
            at
        };
        match bytes[at] {
            byte if byte.is_ascii_whitespace() => at += 1,
            quote @ (b'"' | b'\'') => {
                at = end_of_text(bytes, at, quote)?;
                out.push(Token::Literal(text.get(start..at)?));
            }
            byte if byte.is_ascii_digit() => {
                at = while_(at, &|b| b.is_ascii_alphanumeric() || b == b'_');
                // A point followed by a digit belongs to the number; otherwise it starts an attribute.
                if bytes.get(at) == Some(&b'.') && bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
                    at = while_(at + 1, &|b| b.is_ascii_alphanumeric() || b == b'_');
                }
                out.push(Token::Literal(&text[start..at]));
            }
            byte if byte.is_ascii_alphabetic() || byte == b'_' => {
                at = while_(at, &|b| b.is_ascii_alphanumeric() || b == b'_');
                out.push(Token::Name(&text[start..at]));
            }
            _ => {
                let mark = MARKS.into_iter().find(|mark| text[at..].starts_with(mark))?;
                at += mark.len();
                out.push(Token::Mark(mark));
            }
        }
    }
    Some(out)
}

/// Parses an expression and writes it with every operation in brackets; returns `None` for unknown syntax.
struct Parser<'t> {
    tokens: &'t [Token<'t>],
    at: usize,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<Token<'t>> {
        self.tokens.get(self.at).copied()
    }

    fn take(&mut self, token: Token) -> bool {
        let there = self.peek() == Some(token);
        self.at += usize::from(there);
        there
    }

    fn mark(&mut self, mark: &str) -> bool {
        self.take(Token::Mark(mark))
    }

    fn word(&mut self, word: &str) -> bool {
        self.take(Token::Name(word))
    }

    fn name(&mut self) -> Option<&'t str> {
        match self.peek() {
            Some(Token::Name(name)) => {
                self.at += 1;
                Some(name)
            }
            _ => None,
        }
    }

    fn statement(&mut self) -> Option<String> {
        match self.name()? {
            word @ ("if" | "elif") => Some(format!("{word} {}", self.tuple()?)),
            "set" => {
                let targets = self.targets("=")?;
                Some(format!("set {targets} = {}", self.tuple()?))
            }
            "for" => {
                let targets = self.targets("in")?;
                let mut out = format!("for {targets} in {}", self.list(Self::or)?);
                if self.word("if") {
                    out += &format!(" if {}", self.expression()?);
                }
                if self.word("recursive") {
                    out += " recursive";
                }
                Some(out)
            }
            "with" => {
                let mut out = "with ".to_owned();
                loop {
                    let target = self.targets("=")?;
                    out += &format!("{target} = {}", self.expression()?);
                    if !self.mark(",") {
                        return Some(out);
                    }
                    out += ", ";
                }
            }
            _ => None,
        }
    }

    /// Parses assignment targets up to `=` or `in`, which is consumed.
    fn targets(&mut self, end: &str) -> Option<String> {
        let mut out = String::new();
        loop {
            if !out.is_empty() && (self.mark(end) || self.word(end)) {
                return Some(out);
            }
            match self.peek()? {
                Token::Name(name) => out += name,
                Token::Mark(mark @ (")" | "(" | "." | ",")) => out += mark,
                _ => return None,
            }
            self.at += 1;
        }
    }

    fn tuple(&mut self) -> Option<String> {
        self.list(Self::expression)
    }

    /// Parses one expression, or several separated by commas (a list).
    fn list(&mut self, part: fn(&mut Self) -> Option<String>) -> Option<String> {
        let mut parts = vec![part(self)?];
        while self.mark(",") {
            if self.peek().is_none() {
                break;
            }
            parts.push(part(self)?);
        }
        Some(if parts.len() == 1 { parts.remove(0) } else { format!("[{}]", parts.join(", ")) })
    }

    fn expression(&mut self) -> Option<String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let mut out = self.or()?;
        while self.word("if") {
            let condition = self.or()?;
            let other =
                if self.word("else") { format!(" else {}", self.expression()?) } else { String::new() };
            out = format!("({out} if {condition}{other})");
        }
        self.depth -= 1;
        Some(out)
    }

    fn or(&mut self) -> Option<String> {
        let mut out = self.and()?;
        while self.word("or") {
            out = format!("({out} or {})", self.and()?);
        }
        Some(out)
    }

    fn and(&mut self) -> Option<String> {
        let mut out = self.not()?;
        while self.word("and") {
            out = format!("({out} and {})", self.not()?);
        }
        Some(out)
    }

    fn not(&mut self) -> Option<String> {
        if self.word("not") { Some(format!("(not {})", self.not()?)) } else { self.compare() }
    }

    fn compare(&mut self) -> Option<String> {
        let (mut out, mut chained) = (self.sum()?, false);
        loop {
            let operator = match self.peek() {
                Some(Token::Mark(mark @ ("==" | "!=" | "<" | "<=" | ">" | ">="))) => mark,
                Some(Token::Name("in")) => "in",
                Some(Token::Name("not")) if self.tokens.get(self.at + 1) == Some(&Token::Name("in")) => {
                    self.at += 1;
                    "not in"
                }
                _ => return Some(if chained { format!("({out})") } else { out }),
            };
            self.at += 1;
            out = format!("{out} {operator} {}", self.sum()?);
            chained = true;
        }
    }

    fn sum(&mut self) -> Option<String> {
        let mut out = self.concat()?;
        loop {
            if self.mark("+") {
                out = format!("{ADD}({out}, {})", self.concat()?);
            } else if self.mark("-") {
                out = format!("({out} - {})", self.concat()?);
            } else {
                return Some(out);
            }
        }
    }

    fn concat(&mut self) -> Option<String> {
        let mut parts = vec![self.product()?];
        while self.mark("~") {
            parts.push(self.product()?);
        }
        Some(if parts.len() == 1 { parts.remove(0) } else { format!("{CONCAT}({})", parts.join(", ")) })
    }

    fn product(&mut self) -> Option<String> {
        let mut out = self.power()?;
        loop {
            if self.mark("*") {
                out = format!("{MULTIPLY}({out}, {})", self.power()?);
            } else if self.mark("%") {
                out = format!("{MODULO}({out}, {})", self.power()?);
            } else if self.mark("//") {
                out = format!("({out} // {})", self.power()?);
            } else if self.mark("/") {
                out = format!("({out} / {})", self.power()?);
            } else {
                return Some(out);
            }
        }
    }

    fn power(&mut self) -> Option<String> {
        let mut out = self.unary(true)?;
        while self.mark("**") {
            out = format!("({out} ** {})", self.unary(true)?);
        }
        Some(out)
    }

    fn unary(&mut self, filters: bool) -> Option<String> {
        let mut out = if self.mark("-") {
            format!("(-{})", self.unary(false)?)
        } else if self.mark("+") {
            self.unary(false)?
        } else {
            self.primary()?
        };
        out = self.postfix(out)?;
        if filters { self.filters(out) } else { Some(out) }
    }

    fn primary(&mut self) -> Option<String> {
        match self.peek()? {
            Token::Name(name) => {
                self.at += 1;
                Some(name.to_owned())
            }
            Token::Literal(literal) => {
                self.at += 1;
                let mut out = literal.to_owned();
                let is_text = |l: &str| l.starts_with(['"', '\'']);
                // Adjacent string literals are concatenated.
                while let Some(Token::Literal(next)) = self.peek().filter(|_| is_text(literal)) {
                    if !is_text(next) {
                        return None;
                    }
                    self.at += 1;
                    out = format!("{ADD}({out}, {next})");
                }
                Some(out)
            }
            Token::Mark("(") => {
                self.at += 1;
                let parts = self.parts(")", Self::expression)?;
                // A trailing comma after a single part makes it a list.
                let single = parts.len() == 1 && self.tokens[self.at - 2] != Token::Mark(",");
                Some(if single { format!("({})", parts[0]) } else { format!("[{}]", parts.join(", ")) })
            }
            Token::Mark("[") => {
                self.at += 1;
                let parts = self.parts("]", Self::expression)?;
                Some(format!("[{}]", parts.join(", ")))
            }
            Token::Mark("{") => {
                self.at += 1;
                let parts = self.parts("}", |parser| {
                    let key = parser.expression()?;
                    parser.mark(":").then_some(())?;
                    Some(format!("{key}: {}", parser.expression()?))
                })?;
                Some(format!("{{{}}}", parts.join(", ")))
            }
            Token::Mark(_) => None,
        }
    }

    /// Parses comma-separated parts up to the closing mark, which is consumed.
    fn parts(&mut self, close: &'static str, part: fn(&mut Self) -> Option<String>) -> Option<Vec<String>> {
        let mut out = Vec::new();
        while !self.mark(close) {
            out.push(part(self)?);
            if !self.mark(",") && self.peek() != Some(Token::Mark(close)) {
                return None;
            }
        }
        Some(out)
    }

    fn arguments(&mut self) -> Option<String> {
        let parts = self.parts(")", |parser| {
            let names_one = matches!(parser.peek(), Some(Token::Name(_)))
                && parser.tokens.get(parser.at + 1) == Some(&Token::Mark("="));
            if names_one {
                let name = parser.name()?;
                parser.at += 1;
                return Some(format!("{name}={}", parser.expression()?));
            }
            let stars = if parser.mark("**") {
                "**"
            } else if parser.mark("*") {
                "*"
            } else {
                ""
            };
            Some(format!("{stars}{}", parser.expression()?))
        })?;
        Some(format!("({})", parts.join(", ")))
    }

    fn postfix(&mut self, mut out: String) -> Option<String> {
        loop {
            if self.mark(".") {
                match self.peek()? {
                    Token::Name(name) => out = format!("{out}.{name}"),
                    Token::Literal(number) => out = format!("{out}[{number}]"),
                    Token::Mark(_) => return None,
                }
                self.at += 1;
            } else if self.mark("[") {
                let mut inside = String::new();
                while !self.mark("]") {
                    if self.mark(":") {
                        inside.push(':');
                    } else {
                        inside += &self.expression()?;
                    }
                }
                out = format!("{out}[{inside}]");
            } else if self.mark("(") {
                out += &self.arguments()?;
            } else {
                return Some(out);
            }
        }
    }

    fn filters(&mut self, mut out: String) -> Option<String> {
        loop {
            if self.mark("|") {
                out = format!("{out}|{}", self.name()?);
                if self.mark("(") {
                    out += &self.arguments()?;
                }
            } else if self.word("is") {
                let not = if self.word("not") { "not " } else { "" };
                let test = self.name()?;
                let argument = match self.peek() {
                    Some(Token::Mark("(")) => {
                        self.at += 1;
                        self.arguments()?
                    }
                    Some(Token::Name("else" | "or" | "and" | "if" | "in" | "not" | "is")) => String::new(),
                    Some(Token::Name(_) | Token::Literal(_) | Token::Mark("[" | "{")) => {
                        let primary = self.primary()?;
                        format!("({})", self.postfix(primary)?)
                    }
                    _ => String::new(),
                };
                out = format!("({out} is {not}{test}{argument})");
            } else if self.mark("(") {
                out += &self.arguments()?;
            } else {
                return Some(out);
            }
        }
    }
}
