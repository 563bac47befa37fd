//! The text of the `Date` field, made once a second by the driver.

use std::time::{Duration, UNIX_EPOCH};

const NAME: usize = b"Date: ".len();
const TEXT: usize = 29;
const LINE: usize = NAME + TEXT + b"\r\n".len();

/// An IMF-fixdate (RFC 9110, section 5.6.7) ready to be copied into a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    /// The whole field line, to be copied at once.
    line: [u8; LINE],
    seconds: u64,
}

impl Date {
    /// The date `seconds` after the Unix epoch.
    ///
    /// # Panics
    /// Beyond the year 9999, which the format cannot express.
    #[must_use]
    pub fn from_unix(seconds: u64) -> Date {
        let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
        let mut line = *b"Date: ddd, dd mmm yyyy hh:mm:ss GMT\r\n";
        line[NAME..NAME + TEXT].copy_from_slice(text.as_bytes());
        Date { line, seconds }
    }

    /// The 29 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.line[NAME..NAME + TEXT]
    }

    /// The field line with its CRLF.
    pub(crate) fn line(&self) -> &[u8; LINE] {
        &self.line
    }

    pub(crate) fn since_epoch(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_the_example_of_the_rfc() {
        assert_eq!(
            Date::from_unix(784_111_777).as_bytes(),
            b"Sun, 06 Nov 1994 08:49:37 GMT"
        );
    }
}
