//! A fingerprint of a body, to tell whether every reply brought the same one.

/// FNV-1a with 64 bits: cheap, incremental, and good against accidents; it is no protection against an adversary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Of no bytes.
    pub const EMPTY: Self = Self(0xcbf2_9ce4_8422_2325);

    /// Takes the next bytes.
    pub fn take(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_values_come_out_however_the_bytes_are_cut() {
        // From the test vectors of the FNV reference code.
        let of = |pieces: &[&str]| {
            let mut fingerprint = Fingerprint::EMPTY;
            pieces.iter().for_each(|piece| fingerprint.take(piece.as_bytes()));
            fingerprint.0
        };
        assert_eq!(of(&["a"]), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(of(&["foobar"]), 0x8594_4171_f739_67e8);
        assert_eq!(of(&["foo", "", "bar"]), of(&["foobar"]));
    }
}
