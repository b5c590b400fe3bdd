//! Rust source as tokens, without comments and literals: as much of a lexer as it takes to read
//! `mod`, `use` and paths.

/// A word, `::`, a string literal (with its opening quote) or a single other character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    pub text: &'a str,
    pub line: usize,
}

/// The tokens of a source file.
pub fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer {
        source,
        at: 0,
        line: 1,
    };
    std::iter::from_fn(|| lexer.next()).collect()
}

/// Whether a token is a name or a keyword.
pub fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Lexer<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let rest = self.rest();
            let first = rest.chars().next()?;
            if first.is_whitespace() {
                self.skip(first.len_utf8());
            } else if rest.starts_with("//") {
                self.skip(rest.find('\n').unwrap_or(rest.len()));
            } else if rest.starts_with("/*") {
                self.skip(block_comment(rest));
            } else if first == '\'' {
                self.skip(character_or_quote(rest));
            } else {
                let length = token_length(rest);
                let (text, line) = (&rest[..length], self.line);
                self.skip(length);
                if text.starts_with(['r', 'b', 'c']) && text.contains('"') {
                    continue; // a literal with a prefix: no path is in it
                }
                return Some(Token { text, line });
            }
        }
    }

    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn skip(&mut self, length: usize) {
        self.line += self.rest()[..length].matches('\n').count();
        self.at += length;
    }
}

fn token_length(rest: &str) -> usize {
    if rest.starts_with("::") {
        return 2;
    }
    if rest.starts_with('"') {
        return string(rest);
    }
    let word = rest
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(rest.len());
    if word == 0 {
        return rest.chars().next().map_or(0, char::len_utf8);
    }
    let (prefix, after) = rest.split_at(word);
    let hashes = after.len() - after.trim_start_matches('#').len();
    match prefix {
        "r" | "br" | "cr" if after[hashes..].starts_with('"') => {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = &after[hashes + 1..];
            let body = body.find(&end).map_or(body.len(), |at| at + end.len());
            word + hashes + 1 + body
        }
        "b" | "c" if after.starts_with('"') => word + string(after),
        _ => word,
    }
}

fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn block_comment(rest: &str) -> usize {
    let (mut at, mut depth) = (2, 1);
    while depth > 0 && at < rest.len() {
        if rest[at..].starts_with("/*") {
            (at, depth) = (at + 2, depth + 1);
        } else if rest[at..].starts_with("*/") {
            (at, depth) = (at + 2, depth - 1);
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// The length of a character literal, or of the quote alone where it begins a lifetime.
fn character_or_quote(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), Some((at, escaped))) => {
            let after = at + escaped.len_utf8();
            rest[after..].find('\'').map_or(1, |end| after + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_no_code() {
        let source = r##"
            // use a::b;
            /* use a /* nested */ ::c; */
            fn f<'a>(x: &'a str) -> char { g("use \" d::e;", '"', '\'', b"x", r#"" use i"#) }
            use one::two;
        "##;
        let words: Vec<_> = tokens(source)
            .into_iter()
            .map(|token| token.text)
            .filter(|text| is_word(text))
            .collect();
        let code = "fn f a x a str char g use one two";
        assert_eq!(words.join(" "), code);
        let last = tokens(source).pop().expect("a token");
        assert_eq!((last.text, last.line), (";", 5));
    }
}
