//! A hash of a reply's body, to check that every reply has the same one.

/// FNV-1a with 64 bits: cheap and incremental. It detects accidental changes, not deliberate ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    /// The fingerprint of an empty body.
    pub(crate) const EMPTY: Self = Self(0xcbf2_9ce4_8422_2325);

    /// Appends bytes to the body.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_test_vectors_match_however_the_bytes_are_split() {
        // From the test vectors of the FNV reference code.
        let of = |pieces: &[&str]| {
            let mut fingerprint = Fingerprint::EMPTY;
            pieces.iter().for_each(|piece| fingerprint.update(piece.as_bytes()));
            fingerprint.0
        };
        assert_eq!(of(&["a"]), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(of(&["foobar"]), 0x8594_4171_f739_67e8);
        assert_eq!(of(&["foo", "", "bar"]), of(&["foobar"]));
    }
}
