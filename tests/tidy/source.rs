//! A Rust file as the rules see it: the code alone, without comments, literals and tests.
//!
//! What is taken out is overwritten with spaces, so that every position and every line number
//! stays what it was.

use std::ops::Range;

/// One file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to the repository, with forward slashes.
    pub(crate) path: String,
    /// As it is.
    pub(crate) text: String,
    /// Without comments and literals.
    pub(crate) code: String,
    /// [`Source::code`] without the items behind `#[cfg(test)]` too.
    pub(crate) product: String,
}

impl Source {
    /// Takes the text apart.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = blank_comments_and_literals(text);
        let mut product = code.clone().into_bytes();
        for range in items_of_tests(&code) {
            blank(&mut product, range);
        }
        let product = String::from_utf8(product).expect("blanked code is ASCII");
        Self { path: path.to_owned(), text: text.to_owned(), code, product }
    }

    /// Whether the whole file is a test, by its place.
    pub(crate) fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/") || self.path.starts_with("tests/")
    }

    /// How many lines there are, without the items behind `#[cfg(test)]`.
    pub(crate) fn product_lines(&self) -> usize {
        let lines = |text: &str| text.lines().count();
        let tests: usize = items_of_tests(&self.code).into_iter().map(|range| lines(&self.code[range])).sum();
        lines(&self.text) - tests
    }

    /// `path:line` of a position, for a message.
    pub(crate) fn place(&self, at: usize) -> String {
        format!("{}:{}", self.path, 1 + self.code[..at].matches('\n').count())
    }
}

/// Every identifier and keyword with its position.
pub(crate) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut start = None;
    code.bytes().chain([b' ']).enumerate().filter_map(move |(at, byte)| {
        match (is_word(byte), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                start = None;
                return Some((from, &code[from..at]));
            }
            _ => {}
        }
        None
    })
}

/// The position after the bracket that closes the one at `open`; the end of the text if none does.
pub(crate) fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// The brace that opens the body of the item that goes on at `from`, or the semicolon that ends it;
/// the end of the text if there is neither. Brackets of signatures and attributes are passed over.
pub(crate) fn body_or_end(code: &str, from: usize) -> usize {
    let mut next = from;
    while let Some(found) = code[next..].find(['{', '(', '[', ';']) {
        next += found;
        if matches!(code.as_bytes()[next], b'{' | b';') {
            return next;
        }
        next = closing(code, next);
    }
    code.len()
}

pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The items that only tests are compiled with.
fn items_of_tests(code: &str) -> Vec<Range<usize>> {
    let mut items: Vec<Range<usize>> = Vec::new();
    for (at, _) in code.match_indices("#[cfg(test)]") {
        if items.last().is_some_and(|item| at < item.end) {
            continue;
        }
        // Either `mod tests;` or something with a body.
        let next = body_or_end(code, at + "#[cfg(test)]".len());
        let end =
            if code[next..].starts_with('{') { closing(code, next) } else { (next + 1).min(code.len()) };
        items.push(at..end);
    }
    items
}

fn blank_comments_and_literals(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_or_comment(&bytes, at);
        if end > at {
            blank(&mut bytes, at..end);
            at = end;
        } else {
            // Outside of literals and comments other bytes occur in no code of ours.
            if !bytes[at].is_ascii() {
                bytes[at] = b' ';
            }
            at += 1;
        }
    }
    String::from_utf8(bytes).expect("blanked code is ASCII")
}

/// Where the comment or literal that starts at `at` ends; `at` itself if none does.
fn literal_or_comment(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let inside_word = at > 0 && is_word(bytes[at - 1]);
    match rest {
        [b'/', b'/', ..] => at + position(rest, b"\n").unwrap_or(rest.len()),
        [b'/', b'*', ..] => at + block_comment(rest),
        [b'"', ..] => at + string(rest),
        [b'r', b'"' | b'#', ..] if !inside_word => at + raw_string(rest),
        [b'b' | b'c', b'r', b'"' | b'#', ..] if !inside_word => match raw_string(&rest[1..]) {
            0 => at,
            len => at + 1 + len,
        },
        [b'\'', ..] => at + character(rest),
        _ => at,
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    rest.len()
}

fn string(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// 0 for a raw identifier, such as `r#type`.
fn raw_string(rest: &[u8]) -> usize {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let end = [&b"\""[..], &b"#".repeat(hashes)].concat();
    let body = 2 + hashes;
    body + position(&rest[body..], &end).map_or(rest.len() - body, |at| at + end.len())
}

/// 0 for a lifetime.
fn character(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        return position(&rest[3.min(rest.len())..], b"'").map_or(rest.len(), |at| at + 4);
    }
    // One character of up to four bytes.
    (2..=5)
        .find(|end| rest.get(*end) == Some(&b'\'') && (*end == 2 || !rest[1].is_ascii()))
        .map_or(0, |end| end + 1)
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn blank(bytes: &mut [u8], range: Range<usize>) {
    for byte in bytes[range].iter_mut().filter(|byte| **byte != b'\n') {
        *byte = b' ';
    }
}

#[test]
fn comments_and_literals_are_blanked_and_lifetimes_are_not() {
    let text =
        "fn a<'x>() { /* b /* c */ */ let d = \"e\\\"f\"; 'g'; '\\''; r#\"h\"i\"#; r#type; b'j' } // k";
    let source = Source::new("a.rs", text);
    let found: Vec<_> = words(&source.code).map(|(_, word)| word).collect();
    assert_eq!(found, ["fn", "a", "x", "let", "d", "r", "type", "b"]);
    assert_eq!(source.code.len(), text.len());
}

#[test]
fn items_of_tests_are_left_out_whether_they_have_a_body_or_not() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests;\nfn b() {}\n#[cfg(test)]\nfn more(x: [u8; 2]) {\n    fn c() {}\n}\nfn d() {}\n";
    let source = Source::new("a.rs", text);
    let found: Vec<_> = words(&source.product).map(|(_, word)| word).filter(|word| *word != "fn").collect();
    assert_eq!(found, ["a", "b", "d"]);
    assert_eq!(source.product_lines(), 3);
    assert_eq!(source.place(text.find("fn d").unwrap()), "a.rs:9");
}
