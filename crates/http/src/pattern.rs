//! The bytes of the bodies that `/bytes/N` sends.

/// The longest body of `/bytes/N`, bytes: 1 GiB.
pub const MAX_BYTES: u64 = 1 << 30;

/// A prime, so that a body from which a power of two of bytes is missing does not look whole.
const PERIOD: usize = 251;
const WINDOW: usize = 64 * 1024;

static PATTERN: [u8; WINDOW + PERIOD] = {
    let mut bytes = [0; WINDOW + PERIOD];
    let mut index = 0;
    while index < bytes.len() {
        bytes[index] = (index % PERIOD) as u8;
        index += 1;
    }
    bytes
};

/// Body bytes from `offset` on, at most `length` of them and at least one when `length` is not 0: the byte at offset
/// `i` of every body is `i % 251`.
#[must_use]
pub fn pattern(offset: u64, length: u64) -> &'static [u8] {
    let start = (offset % PERIOD as u64) as usize;
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(WINDOW);
    &PATTERN[start..start + length]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_goes_on_across_windows() {
        let mut body = Vec::new();
        while body.len() < 200_000 {
            let offset = body.len() as u64;
            body.extend_from_slice(pattern(offset, 200_000 - offset));
        }
        assert_eq!(body.len(), 200_000);
        assert!(
            body.iter()
                .enumerate()
                .all(|(index, byte)| usize::from(*byte) == index % 251)
        );
    }
}
