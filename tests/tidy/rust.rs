//! Rust text as the checks see it: without comments and literals, without tests, as paths, as functions.
//!
//! A reader of tokens and no parser: it knows as much of the language as the checks ask for. The rule: every line keeps
//! its number, so that a finding names the place.

use std::collections::HashMap;

/// One Rust file.
pub(crate) struct Source {
    /// Where it lies, from the root of the repository, with `/`.
    pub(crate) path: String,
    /// As it was written.
    pub(crate) text: String,
    /// Comments and literals blanked.
    pub(crate) code: String,
    /// The code without what is compiled for tests alone.
    pub(crate) product: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = masked(text);
        let is_test = code.contains("#![cfg(test)]") || path.starts_with("tests/");
        let product = if is_test {
            String::new()
        } else {
            without_tests(&code)
        };
        Self {
            path: path.into(),
            text: text.into(),
            code,
            product,
        }
    }

    /// The `//!` lines at its top, joined by spaces.
    pub(crate) fn job(&self) -> String {
        let lines = self.text.lines().map_while(|line| line.strip_prefix("//!"));
        lines.map(str::trim).collect::<Vec<_>>().join(" ")
    }

    /// The files that it declares as modules of its tests.
    pub(crate) fn test_files(&self) -> Vec<String> {
        let folder = match self.path.rsplit_once('/') {
            Some((folder, "lib.rs" | "main.rs" | "mod.rs")) => folder.to_owned(),
            _ => self.path.trim_end_matches(".rs").to_owned(),
        };
        let items = self.code.split(TEST_ATTRIBUTE).skip(1);
        items
            .filter_map(|item| item.split_once(';'))
            .filter(|(declaration, _)| !declaration.contains('{'))
            .filter_map(|(declaration, _)| declaration.rsplit_once("mod "))
            .map(|(_, name)| format!("{folder}/{}.rs", name.trim()))
            .collect()
    }
}

/// A word, `::`, or one other character.
#[derive(Clone, Copy)]
pub(crate) struct Token<'c> {
    pub(crate) text: &'c str,
    /// From 1.
    pub(crate) line: usize,
}

/// The tokens of masked code.
pub(crate) fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = match rest.find(|letter| !is_word(letter)) {
                _ if rest.starts_with("::") => 2,
                _ if !is_word(first) => first.len_utf8(),
                Some(length) => length,
                None => rest.len(),
            };
            let (text, after) = rest.split_at(length);
            tokens.push(Token {
                text,
                line: index + 1,
            });
            rest = after.trim_start();
        }
    }
    tokens
}

/// Every path that masked code names, imported or written out, in full as far as its own imports tell.
pub(crate) fn paths(code: &str) -> Vec<String> {
    let mut imports = HashMap::new();
    let mut written_out = String::new();
    let mut rest = code;
    while let Some((before, after)) = rest.split_once("use ") {
        written_out.push_str(before);
        rest = after;
        if let (false, Some((tree, after))) = (before.ends_with(is_word), after.split_once(';')) {
            flatten(tree, "", &mut imports);
            rest = after;
        }
    }
    written_out.push_str(rest);
    let mut paths: Vec<String> = imports.values().cloned().collect();
    let tokens = tokens(&written_out);
    let mut rest = tokens.as_slice();
    while let [token, after @ ..] = rest {
        let mut path = token.text.to_owned();
        rest = after;
        while let [colons, next, after @ ..] = rest
            && colons.text == "::"
            && next.text.starts_with(is_word)
        {
            path = format!("{path}::{}", next.text);
            rest = after;
        }
        if let Some((first, after)) = path.split_once("::") {
            let first = imports.get(first).map_or(first, String::as_str);
            paths.push(format!("{first}::{after}"));
        }
    }
    paths.sort();
    paths.dedup();
    paths
}

/// Spreads the tree of one import into full paths by local name.
fn flatten(tree: &str, prefix: &str, imports: &mut HashMap<String, String>) {
    let tree = tree.trim();
    if let Some((head, inner)) = tree.split_once('{') {
        let inner = inner.rsplit_once('}').map_or(inner, |(inner, _)| inner);
        let prefix = format!("{prefix}{}", head.trim());
        let mut depth = 0;
        let mut is_between = |letter| {
            depth += i32::from(letter == '{') - i32::from(letter == '}');
            letter == ',' && depth == 0
        };
        for branch in inner.split(&mut is_between) {
            flatten(branch, &prefix, imports);
        }
        return;
    }
    let (path, alias) = tree.split_once(" as ").unwrap_or((tree, ""));
    let path = format!("{prefix}{}", path.trim());
    let path = path.trim_end_matches("::self");
    let last = path.rsplit("::").next().unwrap_or_default();
    let name = if alias.is_empty() { last } else { alias.trim() };
    if !path.is_empty() {
        imports.insert(name.to_owned(), path.to_owned());
    }
}

/// One function with a body.
pub(crate) struct Function {
    pub(crate) name: String,
    /// Where its name stands, from 1.
    pub(crate) line: usize,
    /// The lines between its braces, from 1, the end not included.
    pub(crate) body: std::ops::Range<usize>,
}

/// The functions of masked code that have a body.
pub(crate) fn functions(code: &str) -> Vec<Function> {
    let tokens = tokens(code);
    let named = tokens.windows(2).enumerate();
    let named = named.filter(|(_, pair)| pair[0].text == "fn" && pair[1].text.starts_with(is_word));
    named
        .filter_map(|(at, pair)| {
            let (open, close) = body(&tokens[at..])?;
            Some(Function {
                name: pair[1].text.to_owned(),
                line: pair[1].line,
                body: open.line + 1..close.line,
            })
        })
        .collect()
}

/// The braces around the first body; `None` if a `;` comes first.
fn body<'c>(tokens: &[Token<'c>]) -> Option<(Token<'c>, Token<'c>)> {
    let mut nesting = 0;
    let mut open = None;
    for token in tokens {
        match token.text {
            "(" | "[" | "{" => {
                nesting += 1;
                if token.text == "{" && nesting == 1 {
                    open = Some(*token);
                }
            }
            ")" | "]" | "}" => {
                nesting -= 1;
                if let (Some(open), "}", 0) = (open, token.text, nesting) {
                    return Some((open, *token));
                }
            }
            ";" if nesting == 0 => return None,
            _ => {}
        }
    }
    None
}

/// How many lines of masked code are not blank.
pub(crate) fn lines(code: &str) -> usize {
    code.lines().filter(|line| !line.trim().is_empty()).count()
}

/// The words of a name in snake, kebab or camel case, in lower case.
pub(crate) fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for letter in name.chars() {
        if !letter.is_alphanumeric() || letter.is_uppercase() {
            words.push(String::new());
        }
        if let (true, Some(word)) = (letter.is_alphanumeric(), words.last_mut()) {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Blanks comments and literals; lines keep their numbers.
pub(crate) fn masked(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let hidden = hidden_bytes(rest, code.ends_with(is_word));
        let (head, tail) = rest.split_at(hidden.max(first.len_utf8()));
        match hidden {
            0 => code.push_str(head),
            _ => code.extend(head.chars().map(|it| if it == '\n' { it } else { ' ' })),
        }
        rest = tail;
    }
    code
}

/// How long the comment or literal at the front is; 0 if there is none.
fn hidden_bytes(text: &str, is_inside_word: bool) -> usize {
    let length = |found: Option<usize>| found.unwrap_or(text.len());
    if text.starts_with("//") {
        return length(text.find('\n'));
    }
    if text.starts_with("/*") {
        return block_comment_bytes(text);
    }
    if text.starts_with('"') {
        return length(end_of_quoted(text, '"'));
    }
    if let Some(inside) = text.strip_prefix('\'') {
        // A lifetime has no second quote where a letter has it.
        let is_literal = inside.starts_with('\\') || inside.chars().nth(1) == Some('\'');
        return if is_literal {
            length(end_of_quoted(text, '\''))
        } else {
            0
        };
    }
    if is_inside_word {
        return 0;
    }
    let raw = text.trim_start_matches(['b', 'c']);
    let Some(quoted) = raw.strip_prefix('r') else {
        return 0;
    };
    let hashes = &quoted[..quoted.len() - quoted.trim_start_matches('#').len()];
    let Some(inside) = quoted[hashes.len()..].strip_prefix('"') else {
        return 0;
    };
    let end = format!("\"{hashes}");
    let before = text.len() - inside.len();
    length(inside.find(&end).map(|at| before + at + end.len()))
}

fn block_comment_bytes(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        match () {
            () if rest.starts_with(b"/*") => (depth, at) = (depth + 1, at + 2),
            () if rest.starts_with(b"*/") => (depth, at) = (depth - 1, at + 2),
            () => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Where a literal that begins with `quote` is over.
fn end_of_quoted(text: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    text.char_indices().skip(1).find_map(|(at, letter)| {
        let is_end = letter == quote && !is_escaped;
        is_escaped = letter == '\\' && !is_escaped;
        is_end.then_some(at + 1)
    })
}

/// Blanks each item of masked code that is compiled for tests alone.
fn without_tests(code: &str) -> String {
    let mut product = String::with_capacity(code.len());
    let mut rest = code;
    while let Some((before, item)) = rest.split_once(TEST_ATTRIBUTE) {
        product.push_str(before);
        let (item, after) = item.split_at(item_bytes(item));
        product.extend(item.chars().filter(|letter| *letter == '\n'));
        rest = after;
    }
    product.push_str(rest);
    product
}

/// How long the item at the front is: to its `;`, or to the end of its braces.
fn item_bytes(code: &str) -> usize {
    let mut nesting = 0;
    for (at, letter) in code.char_indices() {
        match letter {
            '(' | '[' | '{' => nesting += 1,
            ')' | ']' | '}' => nesting -= 1,
            _ => {}
        }
        if nesting == 0 && matches!(letter, ';' | '}') {
            return at + 1;
        }
    }
    code.len()
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

const TEST_ATTRIBUTE: &str = "#[cfg(test)]";
