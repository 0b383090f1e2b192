//! A Rust file as the rules read it: its paths, without comments and texts.

/// A path that stands in the code, an import already unfolded: `use a::{b, c}` is two.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// Where it stands, from 1.
    pub(crate) line: usize,
    /// Its parts; a macro's name ends in `!`.
    pub(crate) path: Vec<String>,
}

/// What the rules need of a file.
#[derive(Debug)]
pub(crate) struct Source {
    /// All paths in the code, in order.
    pub(crate) names: Vec<Name>,
    /// The line at which the file's own tests begin; beyond the end if it has none.
    pub(crate) tests_from: usize,
}

impl Source {
    /// Reads a file's text.
    pub(crate) fn read(file: &str, text: &str) -> Self {
        let code = without_texts(text);
        let is_tests = file.ends_with("/tests.rs") || file.contains("/tests/");
        let tests_from = match text.lines().position(|line| line.trim() == "#[cfg(test)]") {
            _ if is_tests => 0,
            Some(index) => index + 1,
            None => usize::MAX,
        };
        Self { names: names(&tokens(&code)), tests_from }
    }
}

/// The text with every comment and every literal replaced by blanks; line ends stay.
fn without_texts(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = vec![b' '; bytes.len()];
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text.as_bytes()[at..];
        let in_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let end = match rest {
            [b'/', b'/', ..] => at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()),
            [b'/', b'*', ..] => at + block_comment(rest),
            [b'"', ..] => at + quoted(rest, b'"'),
            [b'r', b'"' | b'#', ..] if !in_word => at + raw_text(rest),
            [b'b', b'r', b'"' | b'#', ..] if !in_word => at + 1 + raw_text(&rest[1..]),
            [b'\'', b'\\', ..] => at + quoted(rest, b'\''),
            [b'\'', c, ..] if is_character(rest, *c) => at + quoted(rest, b'\''),
            _ => {
                code[at] = bytes[at];
                at += 1;
                continue;
            }
        };
        at = end.max(at + 1);
    }
    for (index, byte) in bytes.iter().enumerate() {
        if *byte == b'\n' {
            code[index] = b'\n';
        } else if !code[index].is_ascii() {
            code[index] = b'_';
        }
    }
    String::from_utf8(code).expect("ASCII")
}

/// Whether a quote opens a character and no lifetime: `'a'`, not `'a`.
fn is_character(rest: &[u8], first: u8) -> bool {
    let width = match first {
        0..0x80 => 1,
        0x80..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    };
    rest.get(1 + width) == Some(&b'\'')
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// From `r`; nothing but the `r` if it opens no text (`r#name`).
fn raw_text(rest: &[u8]) -> usize {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return 1;
    }
    let close: Vec<u8> = [b'"'].into_iter().chain(std::iter::repeat_n(b'#', hashes)).collect();
    let body = &rest[2 + hashes..];
    let end = body.windows(close.len()).position(|window| window == close);
    end.map_or(rest.len(), |end| 2 + hashes + end + close.len())
}

#[derive(Debug, PartialEq, Eq)]
struct Token {
    line: usize,
    text: String,
}

/// Words, `::`, and single signs.
fn tokens(code: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            1
        };
        if first == '\n' {
            line += 1;
        } else if !first.is_whitespace() {
            tokens.push(Token { line, text: rest[..length].to_owned() });
        }
        rest = &rest[length..];
    }
    tokens
}

/// Every path among the tokens; braces behind `::` unfold.
fn names(tokens: &[Token]) -> Vec<Name> {
    let mut names = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_word(&tokens[at]) {
            at = path(tokens, at, &[], &mut names);
        } else {
            at += 1;
        }
    }
    names
}

fn is_word(token: &Token) -> bool {
    token.text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// Reads one path that begins at `at` behind `prefix`; returns where it ends.
fn path(tokens: &[Token], mut at: usize, prefix: &[String], names: &mut Vec<Name>) -> usize {
    let line = tokens[at].line;
    let mut path = prefix.to_vec();
    loop {
        let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
        if text(at) == "{" {
            at += 1;
            while at < tokens.len() && text(at) != "}" {
                at = if is_word(&tokens[at]) || text(at) == "{" {
                    self::path(tokens, at, &path, names)
                } else {
                    at + 1
                };
            }
            return at + 1;
        }
        if !tokens.get(at).is_some_and(is_word) {
            // A turbofish or a star: the path so far is what is named.
            names.push(Name { line, path });
            return at;
        }
        path.push(tokens[at].text.clone());
        at += 1;
        if text(at) != "::" {
            if text(at) == "!" {
                let last = path.last_mut().expect("a part was just added");
                last.push('!');
            }
            names.push(Name { line, path });
            return at;
        }
        at += 1;
    }
}
