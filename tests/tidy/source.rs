//! Rust text as tokens: enough to hold rules, no more.
//!
//! Comments, strings and characters are left out, so that what is written about a thing is never taken for it.

use std::ops::Range;

/// One word or sign of the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: usize,
    /// It stands in a `#[cfg(test)]` or `#[test]` item.
    pub(crate) test: bool,
}

impl Token<'_> {
    pub(crate) fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// A path with its groups opened, and the token that it ends at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path<'a> {
    pub(crate) names: Vec<&'a str>,
    pub(crate) at: usize,
}

/// The tokens of a file; items for tests are marked.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < text.len() {
        let (length, kept) = lexeme(&text[at..]);
        let lexeme = &text[at..at + length];
        if kept {
            tokens.push(Token { text: lexeme, line, test: false });
        }
        line += lexeme.matches('\n').count();
        at += length;
    }
    for item in test_items(&tokens) {
        tokens[item].iter_mut().for_each(|token| token.test = true);
    }
    tokens
}

/// The length of what stands at the front, and whether it is code.
fn lexeme(rest: &str) -> (usize, bool) {
    let Some(first) = rest.chars().next() else { return (0, false) };
    if first.is_whitespace() {
        return (first.len_utf8(), false);
    }
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), false);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), false);
    }
    if let Some(length) = raw_string(rest).or_else(|| quoted(rest)) {
        return (length, false);
    }
    if first.is_alphanumeric() || first == '_' {
        return (rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len()), true);
    }
    if rest.starts_with("::") {
        return (2, true);
    }
    (first.len_utf8(), true)
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while let Some(sign) = rest.get(at..at + 2).or_else(|| rest.get(at..at + 1)) {
        match sign {
            "/*" => depth += 1,
            "*/" => depth -= 1,
            _ => {}
        }
        at += if sign == "/*" || sign == "*/" { 2 } else { 1 };
        if depth == 0 {
            return at;
        }
        while !rest.is_char_boundary(at) {
            at += 1;
        }
    }
    rest.len()
}

fn raw_string(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r"].into_iter().find(|prefix| rest.starts_with(prefix))?;
    let hashes = rest[prefix.len()..].chars().take_while(|c| *c == '#').count();
    let body = prefix.len() + hashes + 1;
    if !rest[prefix.len() + hashes..].starts_with('"') {
        return None;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    Some(rest[body..].find(&end).map_or(rest.len(), |found| body + found + end.len()))
}

/// A string, an octet or a character; a lifetime's quote is one sign.
fn quoted(rest: &str) -> Option<usize> {
    let prefix = usize::from(rest.starts_with("b\"") || rest.starts_with("c\"") || rest.starts_with("b'"));
    let mut inside = rest[prefix..].char_indices();
    let (_, quote) = inside.next()?;
    if quote != '"' && quote != '\'' {
        return None;
    }
    if quote == '\'' && !is_character(&rest[prefix..]) {
        return None;
    }
    while let Some((at, c)) = inside.next() {
        if c == '\\' {
            inside.next();
        } else if c == quote {
            return Some(prefix + at + 1);
        }
    }
    Some(rest.len())
}

fn is_character(quoted: &str) -> bool {
    let mut chars = quoted.chars().skip(1);
    let first = chars.next();
    first == Some('\\') || chars.next() == Some('\'')
}

/// Where the bracket that opens at `open` closes.
fn closing(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len().saturating_sub(1)
}

/// From `at`, where the body or the semicolon of an item begins.
fn body(tokens: &[Token<'_>], mut at: usize) -> usize {
    while at < tokens.len() {
        match tokens[at].text {
            "{" | ";" => return at,
            "(" | "[" => at = closing(tokens, at),
            _ => {}
        }
        at += 1;
    }
    tokens.len().saturating_sub(1)
}

fn texts<'a>(tokens: &[Token<'a>], range: Range<usize>) -> Vec<&'a str> {
    tokens[range].iter().map(|token| token.text).collect()
}

fn test_items(tokens: &[Token<'_>]) -> Vec<Range<usize>> {
    let mut items = Vec::new();
    for at in 0..tokens.len().saturating_sub(2) {
        if tokens[at].text != "#" {
            continue;
        }
        let inner = tokens[at + 1].text == "!";
        let open = at + 1 + usize::from(inner);
        if tokens[open].text != "[" || !says_test(&texts(tokens, open + 1..closing(tokens, open))) {
            continue;
        }
        let mut item = closing(tokens, open) + 1;
        while tokens.get(item).is_some_and(|token| token.text == "#") {
            item = closing(tokens, item + 1) + 1;
        }
        let begin = body(tokens, item);
        let end = if inner || tokens[begin].text == ";" { begin } else { closing(tokens, begin) };
        items.push(at..if inner { tokens.len() } else { end + 1 });
    }
    items
}

fn says_test(attribute: &[&str]) -> bool {
    attribute == ["test"]
        || attribute.starts_with(&["cfg", "(", "test"])
        || attribute.starts_with(&["cfg", "(", "all", "(", "test"])
}

/// Modules of the file that are declared for tests only and live in files of their own.
pub(crate) fn test_modules<'a>(tokens: &[Token<'a>]) -> Vec<&'a str> {
    let declares = |three: &&[Token<'a>]| {
        three[0].text == "mod" && three[0].test && three[1].is_word() && three[2].text == ";"
    };
    tokens.windows(3).filter(declares).map(|three| three[1].text).collect()
}

/// Functions: name, first line, lines.
pub(crate) fn functions<'a>(tokens: &[Token<'a>]) -> Vec<(&'a str, usize, usize)> {
    let mut functions = Vec::new();
    for at in 0..tokens.len().saturating_sub(1) {
        if tokens[at].text != "fn" || !tokens[at + 1].is_word() {
            continue;
        }
        let begin = body(tokens, at);
        let end = if tokens[begin].text == "{" { closing(tokens, begin) } else { begin };
        functions.push((tokens[at + 1].text, tokens[at].line, tokens[end].line - tokens[at].line + 1));
    }
    functions
}

/// Every path, `use` groups opened: `a::{b, c::d}` is `a::b` and `a::c::d`.
pub(crate) fn paths<'a>(tokens: &[Token<'a>]) -> Vec<Path<'a>> {
    let mut paths = Vec::new();
    for at in 0..tokens.len() {
        let goes_on = at >= 2
            && tokens[at - 1].text == "::"
            && (tokens[at - 2].is_word() || matches!(tokens[at - 2].text, ">" | "}"));
        if tokens[at].is_word() && !goes_on {
            follow(tokens, at, Vec::new(), &mut paths);
        }
    }
    paths
}

fn follow<'a>(
    tokens: &[Token<'a>],
    mut at: usize,
    mut names: Vec<&'a str>,
    paths: &mut Vec<Path<'a>>,
) -> usize {
    while let Some(token) = tokens.get(at) {
        if token.text == "{" {
            return group(tokens, at, &names, paths);
        }
        if !token.is_word() && token.text != "*" {
            break;
        }
        names.push(token.text);
        let next = |ahead: usize| tokens.get(at + ahead).map_or("", |token| token.text);
        let more = next(2).starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '{' | '*'));
        if next(1) != "::" || !more {
            paths.push(Path { names, at });
            return at + 1;
        }
        at += 2;
    }
    at + 1
}

fn group<'a>(tokens: &[Token<'a>], open: usize, names: &[&'a str], paths: &mut Vec<Path<'a>>) -> usize {
    let close = closing(tokens, open);
    let mut at = open + 1;
    while at < close {
        if tokens[at].is_word() || tokens[at].text == "*" {
            at = follow(tokens, at, names.to_vec(), paths);
        } else {
            at += 1;
        }
        if tokens[at].text == "as" {
            at += 2;
        }
    }
    close + 1
}

/// How many `mod name { … }` of the file each token stands in.
pub(crate) fn nesting(tokens: &[Token<'_>]) -> Vec<usize> {
    let mut depths = vec![0; tokens.len()];
    for at in 0..tokens.len().saturating_sub(2) {
        if tokens[at].text == "mod" && tokens[at + 1].is_word() && tokens[at + 2].text == "{" {
            let inside = at + 2..closing(tokens, at + 2);
            depths[inside].iter_mut().for_each(|depth| *depth += 1);
        }
    }
    depths
}

#[test]
fn what_is_written_about_a_thing_is_not_the_thing() {
    let text = r####"
        // a /* b
        /* c /* d */ e */ let f = "g \" h"; let i = r#"j " k"#; let l: &'m str = b"n"; let o = ('p', '\'', b'q');
        r::s
    "####;
    let words: Vec<&str> =
        tokens(text).iter().filter(|token| token.is_word()).map(|token| token.text).collect();
    assert_eq!(words, ["let", "f", "let", "i", "let", "l", "m", "str", "let", "o", "r", "s"]);
    assert_eq!(tokens(text).last().map(|token| token.line), Some(4));
}

#[test]
fn items_for_tests_are_known() {
    let text = "fn a() {} #[cfg(test)] mod b { fn c() {} } #[cfg(not(test))] fn d() {} #[test] fn e() {} \
                #[cfg(test)] #[allow(x)] mod f; fn g() {}";
    let all = tokens(text);
    let in_tests: Vec<&str> =
        all.iter().filter(|token| token.test && token.is_word()).map(|t| t.text).collect();
    assert_eq!(
        in_tests,
        ["cfg", "test", "mod", "b", "fn", "c", "test", "fn", "e", "cfg", "test", "allow", "x", "mod", "f"]
    );
    assert_eq!(test_modules(&all), ["f"]);
    assert!(tokens("#![cfg(test)] fn a() {}").iter().all(|token| token.test));
}

#[test]
fn groups_open_and_turbofish_ends() {
    let all = tokens("use crate::{a, b::{c as d, self}, e::*}; x::y::<crate::f::G>(::std::h); $crate::i!()");
    let found: Vec<String> = paths(&all).iter().map(|path| path.names.join("::")).collect();
    for path in [
        "crate::a",
        "crate::b::c",
        "crate::b::self",
        "crate::e::*",
        "x::y",
        "crate::f::G",
        "std::h",
        "crate::i",
    ] {
        assert!(found.iter().any(|name| name == path), "{path} in {found:?}");
    }
    assert!(
        !found.iter().any(|name| name == "crate::c" || name == "crate::d" || name.ends_with("::d")),
        "{found:?}"
    );
}
