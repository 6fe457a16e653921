//! Text files that an operator names: keys, secrets, certificates, settings.
//!
//! All of them are read here, so that what an editor adds is treated alike. A byte order mark, which some put before the
//! first character, is cut: it belongs to nothing. A file in UTF-16 is refused, as is one that is no text, or too long.

use std::fs::File;
use std::io::{Error, ErrorKind, Read};
use std::path::Path;

use crate::limits;

/// The text of a file.
///
/// # Errors
/// It cannot be read, is longer than [`TEXT_FILE_BYTES_MAX`](limits::TEXT_FILE_BYTES_MAX), or is not UTF-8.
pub(crate) fn read(path: &Path) -> Result<String, Error> {
    let mut bytes = Vec::new();
    // One more than allowed says that there is more.
    let bytes_max = limits::TEXT_FILE_BYTES_MAX;
    File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max {
        return Err(invalid(format!("it has more than {bytes_max} bytes")));
    }
    if let Some(text) = bytes.strip_prefix(UTF_8_MARK) {
        bytes = text.to_owned();
    }
    if bytes.starts_with(UTF_8_MARK) {
        return Err(invalid("it begins with two byte order marks: save it again without".to_owned()));
    }
    if UTF_16_MARKS.iter().any(|mark| bytes.starts_with(mark)) {
        return Err(invalid("it is in UTF-16: save it as UTF-8".to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| invalid("it is not UTF-8 text".to_owned()))
}

fn invalid(problem: String) -> Error {
    Error::new(ErrorKind::InvalidData, problem)
}

/// U+FEFF in UTF-8. Source: RFC 3629 section 6.
const UTF_8_MARK: &[u8] = b"\xef\xbb\xbf";

/// U+FEFF in UTF-16, of either byte order. Source: RFC 2781 section 3.2.
const UTF_16_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

#[cfg(test)]
mod tests {
    use super::*;

    fn read_of(bytes: &[u8]) -> Result<String, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        read(file.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_byte_order_mark_is_cut_once_and_only_at_the_beginning() {
        assert_eq!(read_of(b"key\n"), Ok("key\n".to_owned()));
        assert_eq!(read_of(b"\xef\xbb\xbfkey\n"), Ok("key\n".to_owned()));
        assert!(read_of(b"\xef\xbb\xbf\xef\xbb\xbfkey").unwrap_err().contains("two byte order marks"));
        assert_eq!(read_of(b"a\xef\xbb\xbf"), Ok("a\u{feff}".to_owned()));
        assert_eq!(read_of(b"\xef\xbb\xbf"), Ok(String::new()));
    }

    #[test]
    fn what_is_no_text_says_so() {
        assert!(read_of(b"\xff\xfek\0e\0y\0").unwrap_err().contains("UTF-16"));
        assert!(read_of(b"\xfe\xff\0k").unwrap_err().contains("UTF-16"));
        assert!(read_of(b"k\xffy").unwrap_err().contains("not UTF-8"));
        assert!(read_of(&vec![b'x'; limits::TEXT_FILE_BYTES_MAX + 1]).unwrap_err().contains("more than"));
        assert!(read_of(&vec![b'x'; limits::TEXT_FILE_BYTES_MAX]).is_ok());
        assert_eq!(read(Path::new("/nowhere/key")).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
