//! `a - b` between times, `'%02d' % n`.
//!
//! minijinja's operators know numbers, strings and lists, and an object cannot teach them more. Templates of Airflow users are full of
//! `execution_date - macros.timedelta(days=1)`, so a template is rewritten before it is compiled: inside `{{ }}` and `{% %}`, `a + b` becomes
//! `__add__(a, b)`, and so with every operator of [`super::arithmetic`]. No line break is added or taken, so the lines of errors stay true.
//! What binds how closely is Jinja's: `+ -`, then `~`, then `* / // %`.

use std::borrow::Cow;

use super::arithmetic::function_of;

/// The template with its sums turned into calls; the template itself when it has none.
pub(super) fn sums(source: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut done = 0;
    let mut at = 0;
    while let Some(open) = find(source, at, &["{{", "{%", "{#"]) {
        let close = match &source[open..open + 2] {
            "{{" => "}}",
            "{%" => "%}",
            _ => "#}",
        };
        let body_start = open + 2;
        let tokens = if close == "#}" { None } else { tokens(source, body_start, close) };
        let Some((tokens, end)) = tokens else {
            match source[body_start..].find(close) {
                Some(length) => at = body_start + length + 2,
                None => break,
            }
            continue;
        };
        at = end + 2;
        if close == "%}" && tokens.first().is_some_and(|t| t.text(source) == "raw") {
            at = source[at..].find("endraw").map_or(source.len(), |length| at + length);
            continue;
        }
        if tokens.iter().any(|t| function_of(t.text(source)).is_some()) {
            let mut body = String::new();
            write(source, &tokens, &mut body);
            if let (Some(first), Some(last)) = (tokens.first(), tokens.last()) {
                out.push_str(&source[done..first.start]);
                out.push_str(&body);
                done = last.end;
            }
        }
    }
    if done == 0 {
        return Cow::Borrowed(source);
    }
    out.push_str(&source[done..]);
    Cow::Owned(out)
}

fn find(source: &str, from: usize, what: &[&str]) -> Option<usize> {
    what.iter().filter_map(|w| source[from..].find(w)).min().map(|length| from + length)
}

#[derive(Debug, Clone, Copy)]
struct Token {
    start: usize,
    end: usize,
    /// A value ends here, so that a `-` after it takes away instead of negating.
    ends_value: bool,
}

impl Token {
    fn text(self, source: &str) -> &str {
        &source[self.start..self.end]
    }
}

/// Words that end one operand and begin another.
const SEPARATORS: &[&str] =
    &["if", "elif", "else", "and", "or", "not", "in", "is", "set", "for", "recursive", "==", "!=", "<", ">", "<=", ">=", "=", ",", ":"];

/// Brackets in brackets beyond this are left to the engine, which refuses them with an error of its own.
const DEEPEST: usize = 64;

/// The tokens up to `close`, and where it is. Nothing when the body does not end.
fn tokens(source: &str, start: usize, close: &str) -> Option<(Vec<Token>, usize)> {
    let bytes = source.as_bytes();
    let mut tokens: Vec<Token> = Vec::new();
    let mut at = start;
    // `{{-` and `{%+` are about white space.
    if matches!(bytes.get(at), Some(b'-' | b'+')) {
        at += 1;
    }
    let mut depth = 0usize;
    loop {
        let c = *bytes.get(at)?;
        if depth == 0 {
            if source[at..].starts_with(close) {
                return Some((tokens, at));
            }
            if matches!(c, b'-' | b'+') && source[at + 1..].starts_with(close) {
                return Some((tokens, at + 1));
            }
        }
        let begin = at;
        let mut ends_value = false;
        match c {
            _ if c.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            b'\'' | b'"' => {
                at += 1;
                while *bytes.get(at)? != c {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
                ends_value = true;
            }
            b'(' | b'[' | b'{' => {
                depth += 1;
                at += 1;
                if depth > DEEPEST {
                    return None;
                }
            }
            b')' | b']' | b'}' => {
                depth = depth.checked_sub(1)?;
                at += 1;
                ends_value = true;
            }
            _ if c.is_ascii_alphanumeric() || c == b'_' || !c.is_ascii() => {
                while bytes.get(at).is_some_and(|c| c.is_ascii_alphanumeric() || *c == b'_' || !c.is_ascii()) {
                    at += 1;
                }
                // `1e-5` is one number.
                let exponent = c.is_ascii_digit() && matches!(bytes[at - 1], b'e' | b'E') && !source[begin..at].starts_with("0x");
                if exponent && matches!(bytes.get(at), Some(b'-' | b'+')) && bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
                    at += 1;
                    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                        at += 1;
                    }
                }
                let attribute = tokens.last().is_some_and(|before| before.text(source) == ".");
                ends_value = attribute || !SEPARATORS.contains(&&source[begin..at]);
            }
            _ => {
                at += 1;
                if let Some(next) = bytes.get(at)
                    && matches!((c, *next), (b'=' | b'!' | b'<' | b'>', b'=') | (b'*', b'*') | (b'/', b'/'))
                {
                    at += 1;
                }
            }
        }
        tokens.push(Token { start: begin, end: at, ends_value });
    }
}

/// Writes the tokens with the text between them, sums as calls.
fn write(source: &str, tokens: &[Token], out: &mut String) {
    let mut depth = 0i32;
    let mut segment = 0;
    for i in 0..=tokens.len() {
        let text = tokens.get(i).map(|t| t.text(source));
        match text {
            Some("(" | "[" | "{") => depth += 1,
            Some(")" | "]" | "}") => depth -= 1,
            _ => {}
        }
        let after_dot = i > 0 && tokens[i - 1].text(source) == ".";
        let separates = depth == 0 && !after_dot && text.is_some_and(|t| SEPARATORS.contains(&t));
        if separates || text.is_none() {
            write_sum(source, &tokens[segment..i], out);
            if i > segment
                && let (Some(last), Some(next)) = (tokens.get(i - 1), tokens.get(i))
            {
                out.push_str(&source[last.end..next.start]);
            }
            if let (Some(text), Some(token)) = (text, tokens.get(i)) {
                out.push_str(text);
                if let Some(next) = tokens.get(i + 1) {
                    out.push_str(&source[token.end..next.start]);
                }
            }
            segment = i + 1;
        }
    }
}

/// Operators that bind equally, the loosest first.
const LEVELS: &[&[&str]] = &[&["+", "-"], &["~"], &["*", "/", "//", "%"]];

/// Writes tokens between two separators: `a - b + c` as `__add__(__sub__(a, b), c)`.
fn write_sum(source: &str, tokens: &[Token], out: &mut String) {
    write_level(source, tokens, LEVELS, out);
}

fn write_level(source: &str, tokens: &[Token], levels: &[&[&str]], out: &mut String) {
    let Some((operators, tighter)) = levels.split_first() else { return write_term(source, tokens, out) };
    let mut depth = 0i32;
    let mut signs = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        match token.text(source) {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            sign if depth == 0 && i > 0 && operators.contains(&sign) && tokens[i - 1].ends_value => signs.push(i),
            _ => {}
        }
    }
    for sign in signs.iter().rev() {
        if let Some(function) = function_of(tokens[*sign].text(source)) {
            out.push_str(function);
            out.push('(');
        }
    }
    let mut from = 0;
    let mut closes = false;
    for sign in signs.iter().copied().chain([tokens.len()]) {
        write_level(source, &tokens[from..sign], tighter, out);
        if closes {
            out.push(')');
        }
        if let (Some(before), Some(token), Some(after)) = (tokens.get(sign.wrapping_sub(1)), tokens.get(sign), tokens.get(sign + 1)) {
            closes = function_of(token.text(source)).is_some();
            out.push_str(&source[before.end..token.start]);
            out.push_str(if closes { "," } else { token.text(source) });
            out.push_str(&source[token.end..after.start]);
        }
        from = sign + 1;
    }
}

/// Writes a term: what is in brackets is looked at in its turn.
fn write_term(source: &str, tokens: &[Token], out: &mut String) {
    let mut i = 0;
    while let Some(token) = tokens.get(i) {
        // A `+` that adds nothing, as in `days=+1`, is none of the engine's words.
        if token.text(source) != "+" {
            out.push_str(token.text(source));
        }
        let mut next = i + 1;
        if matches!(token.text(source), "(" | "[" | "{") {
            let mut depth = 1;
            while next < tokens.len() {
                match tokens[next].text(source) {
                    "(" | "[" | "{" => depth += 1,
                    ")" | "]" | "}" => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
                next += 1;
            }
            let inner = &tokens[i + 1..next];
            if let (Some(first), Some(last)) = (inner.first(), inner.last()) {
                out.push_str(&source[token.end..first.start]);
                write(source, inner, out);
                if let Some(close) = tokens.get(next) {
                    out.push_str(&source[last.end..close.start]);
                }
            } else if let Some(close) = tokens.get(next) {
                out.push_str(&source[token.end..close.start]);
            }
        } else if let Some(following) = tokens.get(next) {
            out.push_str(&source[token.end..following.start]);
        }
        i = next;
    }
}

#[cfg(test)]
mod tests {
    use super::sums;

    #[test]
    fn sums_become_calls_and_nothing_else_changes() {
        for (source, expect) in [
            ("a - b", "a - b"),
            ("{{ ds }} - {{ ts }}", "{{ ds }} - {{ ts }}"),
            ("{{ a - b }}", "{{ __sub__(a , b) }}"),
            ("{{- a -}}", "{{- a -}}"),
            ("{{- a-b -}}", "{{- __sub__(a,b) -}}"),
            ("{{ a - b + c*2 }}", "{{ __add__(__sub__(a , b) , __mul__(c,2)) }}"),
            ("{{ -1 }} {{ a ** -b }} {{ f(*a, **b) }}", "{{ -1 }} {{ a ** -b }} {{ f(*a, **b) }}"),
            ("{{ 'a' ~ 1 + 2 ~ b }} {{ a * -b }}", "{{ __add__('a' ~ 1 , 2 ~ b) }} {{ __mul__(a , -b) }}"),
            ("{{ '%02d' % n // 2 / x|int }}", "{{ __truediv__(__floordiv__(__mod__('%02d' , n) , 2) , x|int) }}"),
            ("{{ f(days=+1, hours=-2) + +3 }}", "{{ __add__(f(days=1, hours=-2) , 3) }}"),
            ("{{ 1e-5 + 1.5e+3 }} {{ 0x1e-5 }}", "{{ __add__(1e-5 , 1.5e+3) }} {{ __sub__(0x1e,5) }}"),
            ("{{ (a - b(c + 1)).x('-', y=1-2) }}", "{{ (__sub__(a , b(__add__(c , 1)))).x('-', y=__sub__(1,2)) }}"),
            ("{% for i in range(n - 1) %}{{ i }}{% endfor %}", "{% for i in range(__sub__(n , 1)) %}{{ i }}{% endfor %}"),
            ("{% set d = a -\n b if c > d - 1 else x['-'] %}", "{% set d = __sub__(a ,\n b) if c > __sub__(d , 1) else x['-'] %}"),
            ("{# a - b #}{% raw %}{{ a - b }}{% endraw %}", "{# a - b #}{% raw %}{{ a - b }}{% endraw %}"),
            ("{{ {'a': 1 - 2, 'b': [x - 1]} }}", "{{ {'a': __sub__(1 , 2), 'b': [__sub__(x , 1)]} }}"),
            ("{{ x | int - 1 }}", "{{ __sub__(x | int , 1) }}"),
            ("{{ ds[:n - 1] }} {{ a.not - 1 }}", "{{ ds[:__sub__(n , 1)] }} {{ __sub__(a.not , 1) }}"),
            ("{{ unfinished - ", "{{ unfinished - "),
        ] {
            assert_eq!(sums(source), expect, "{source}");
        }
    }
}
