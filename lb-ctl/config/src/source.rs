//! Reading the text of a file, up to the size that one request to the daemon can carry.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use crate::ConfigError;

/// Longest text of a configuration, counted as JSON writes it, because `lb-ctl apply` sends it to
/// the daemon in one request. `lb-ctl save` does not write a longer one.
pub const MAX_TEXT: usize = (64 << 20) - (64 << 10);

/// A configuration file as text, and what to call it in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What it says.
    pub text: String,
    /// Its path as given, or `<stdin>`.
    pub name: String,
}

/// Reads a file; `-` is standard input.
pub fn read(path: &Path) -> Result<Source, ConfigError> {
    let (name, bytes) = if path == Path::new("-") {
        ("<stdin>".to_owned(), limited(io::stdin().lock()))
    } else {
        let bytes = fs::File::open(path).and_then(limited);
        (path.display().to_string(), bytes)
    };
    let bytes = bytes.map_err(|error| unreadable(&name, error.to_string()))?;
    if is_utf16(&bytes) {
        let why = "it is UTF-16: save it as UTF-8, or convert it with \
                   `iconv -f UTF-16 -t UTF-8 OLD > NEW`";
        return Err(unreadable(&name, why.to_owned()));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
        unreadable(
            &name,
            format!("line {line} is not UTF-8: save the file as UTF-8"),
        )
    })?;
    check_size(&text, &name)?;
    Ok(Source { text, name })
}

/// UTF-16 begins with a byte order mark, or else every second byte of its first key is 0.
fn is_utf16(bytes: &[u8]) -> bool {
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => true,
        [a, b, c, d, ..] => {
            [a, b, c, d].map(|&byte| byte != 0) == [false, true, false, true]
                || [a, b, c, d].map(|&byte| byte != 0) == [true, false, true, false]
        }
        _ => false,
    }
}

/// Refuses a text that is longer than [`MAX_TEXT`].
pub fn check_size(text: &str, name: &str) -> Result<(), ConfigError> {
    if json_length(text) <= MAX_TEXT {
        return Ok(());
    }
    let most = MAX_TEXT as f64 / f64::from(1 << 20);
    Err(unreadable(
        name,
        format!("it is larger than {most:.1} MiB (line ends and quotes count twice)"),
    ))
}

fn unreadable(file: &str, why: String) -> ConfigError {
    ConfigError::Unreadable {
        file: file.to_owned(),
        why,
    }
}

/// Reads up to one byte more than the longest text has.
fn limited(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_TEXT as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// How many bytes a text has as a JSON string, without the quotes around it.
fn json_length(text: &str) -> usize {
    let byte_length = |byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | b'\x08' | b'\x0c' => 2,
        0..=0x1f => 6,
        _ => 1,
    };
    text.bytes().map(byte_length).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_in_a_request_is_what_json_makes_of_a_text() {
        let text = "a\"\\/\n\t\r\x08\x0c\x00\x1f\x7f 主页 😀";
        let json = serde_json::to_string(text).unwrap();
        assert_eq!(json_length(text), json.len() - 2);
    }

    #[test]
    fn a_text_that_no_request_can_carry_is_refused() {
        assert!(check_size(&"a".repeat(MAX_TEXT), "lb.yaml").is_ok());
        let lines = check_size(&"\n".repeat(MAX_TEXT / 2 + 1), "lb.yaml");
        assert_eq!(
            lines.unwrap_err().to_string(),
            "cannot read lb.yaml: it is larger than 63.9 MiB (line ends and quotes count twice)"
        );
    }
}
