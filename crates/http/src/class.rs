//! Classes of bytes, one table for all of them.

/// `tchar` (RFC 9110, section 5.6.2).
pub(crate) const TOKEN: u8 = 1;
/// Visible ASCII: what the words of a request line are made of.
pub(crate) const GRAPHIC: u8 = 2;
/// What a host's name, a path and a query may hold besides percent-encodings (RFC 3986, appendix A).
pub(crate) const NAME: u8 = 4;
pub(crate) const PATH: u8 = 8;
pub(crate) const QUERY: u8 = 16;

static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = classes_of(byte as u8);
        byte += 1;
    }
    classes
};

const fn classes_of(byte: u8) -> u8 {
    let alphanumeric = byte.is_ascii_alphanumeric();
    let token = alphanumeric
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        );
    let unreserved = alphanumeric || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let sub_delim = matches!(
        byte,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
    );
    let uri = match byte {
        _ if unreserved || sub_delim => NAME | PATH | QUERY,
        b':' | b'@' | b'/' => PATH | QUERY,
        b'?' => QUERY,
        _ => 0,
    };
    let mut classes = uri;
    if token {
        classes |= TOKEN;
    }
    if byte.is_ascii_graphic() {
        classes |= GRAPHIC;
    }
    classes
}

/// Whether a byte is of a class.
pub(crate) fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// How many bytes from the front of `text` are of a class.
pub(crate) fn run(text: &[u8], class: u8) -> usize {
    text.iter().position(|byte| !is(*byte, class)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_visible_bytes_are_those_of_the_rfc() {
        for byte in 0..=255_u8 {
            let token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert_eq!(is(byte, TOKEN), token, "{byte}");
            assert_eq!(is(byte, GRAPHIC), (0x21..=0x7e).contains(&byte), "{byte}");
        }
    }

    #[test]
    fn a_run_ends_before_the_first_other_byte() {
        assert_eq!(run(b"GET /", TOKEN), 3);
        assert_eq!(run(b"GET", TOKEN), 3);
        assert_eq!(run(b"", TOKEN), 0);
    }
}
