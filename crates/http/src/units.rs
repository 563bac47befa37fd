//! Durations and sizes as text, the same on command lines and in request targets.

use std::time::Duration;

/// `250us`, `10ms`, `5s`: digits, then one of `ns`, `us`, `ms`, `s`, `m`; or `0`. `None` for anything else, and for
/// what does not fit in 64 bits of nanoseconds.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let unit_ns: u64 = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "" if number == 0 => 0,
        _ => return None,
    };
    number.checked_mul(unit_ns).map(Duration::from_nanos)
}

/// `92`, `6k`, `1m`, `1g`: digits, then optionally a binary multiple (k = 1024). `None` for anything else.
#[must_use]
pub fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let multiple: u64 = match unit {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(multiple)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_their_unit() {
        assert_eq!(duration("250us"), Some(Duration::from_micros(250)));
        assert_eq!(duration("5s"), Some(Duration::from_secs(5)));
        assert_eq!(duration("0"), Some(Duration::ZERO));
        for bad in ["", "5", "s", "-1s", "1.5s", "+1s", "99999999999s", "1 s"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_are_binary_multiples() {
        assert_eq!(size("92"), Some(92));
        assert_eq!(size("6k"), Some(6144));
        for bad in ["", "k", "6K", "-1", "6kb", "99999999999999999999"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }
}
