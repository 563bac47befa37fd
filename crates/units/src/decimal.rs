//! Decimal numbers that are counted in whole steps.

/// Splits a text after its number: `1.5ms` is `1.5` and `ms`.
pub(crate) fn split(text: &str) -> (&str, &str) {
    let end = text
        .bytes()
        .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
        .count();
    text.split_at(end)
}

/// `digits` or `digits.digits`, times `scale`. `None` for other text, for what is no whole number, and for what does not
/// fit.
pub(crate) fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let mut total = u128::from(whole.parse::<u64>().ok()?) * u128::from(scale);
    let fraction = fraction.trim_end_matches('0');
    if !fraction.is_empty() {
        let parts = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let steps = fraction.parse::<u128>().ok()?.checked_mul(u128::from(scale))?;
        if !steps.is_multiple_of(parts) {
            return None;
        }
        total += steps / parts;
    }
    u64::try_from(total).ok()
}

/// `digits` or `digits.digits` as a floating-point number.
pub(crate) fn float(number: &str) -> Option<f64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let value = (is_digits(whole) && is_digits(fraction)).then(|| number.parse::<f64>().ok())?;
    value.filter(|value| value.is_finite())
}

/// `count` of `scale` steps as a decimal number; `None` if it needs more than `places` digits after the point.
pub(crate) fn in_units(count: u64, scale: u64, places: usize) -> Option<String> {
    let (whole, rest) = (count / scale, count % scale);
    if rest == 0 {
        return Some(whole.to_string());
    }
    let parts = 10_u128.pow(u32::try_from(places).ok()?);
    let steps = u128::from(rest) * parts;
    if !steps.is_multiple_of(u128::from(scale)) {
        return None;
    }
    let fraction = format!("{:0places$}", steps / u128::from(scale));
    Some(format!("{whole}.{}", fraction.trim_end_matches('0')))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
