//! The rows of a mix of requests, as the user writes them: `WEIGHT=[METHOD ]PATH[ BODY-SIZE]`.

use c10k_units::{rate, size};

/// The most rows of a mix. Each has histograms of its own, 270 KiB each.
pub(super) const ROWS_MAX: usize = 64;

/// The largest body of a request, bytes.
const BODY_MAX: u64 = 1024 * 1024;

/// The largest exponent of a Zipf distribution. With 10, all but one request in a thousand have the number 0.
const EXPONENT_MAX: f64 = 10.0;

/// The methods of requests, and whether a request has a body. HEAD is not one of them: its replies state the length of a
/// body that they do not have.
const METHODS: [(&str, bool); 5] = [
    ("GET", false),
    ("POST", true),
    ("PUT", true),
    ("PATCH", true),
    ("DELETE", false),
];

/// A row of a mix: a kind of request, and how often it is made.
#[derive(Debug, Clone, PartialEq)]
pub struct MixRow {
    /// The request as it was written.
    pub(super) text: String,
    /// Its share is the weight divided by the sum of all weights.
    pub(super) weight: f64,
    pub(super) method: &'static str,
    /// The path up to the number.
    pub(super) path: String,
    pub(super) numbers: Numbers,
    /// The path after the number.
    pub(super) path_rest: String,
    /// The length of the body in bytes, if the method has one.
    pub(super) body_bytes: Option<usize>,
}

/// Which number a path has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Numbers {
    /// None.
    Absent,
    /// One from 0 to `count` - 1, each as often.
    Uniform {
        /// At least 1.
        count: u32,
    },
    /// One from 0 to `count` - 1; the number k is as frequent as (k + 1) to the power of -`exponent`.
    Zipf {
        /// At least 1.
        count: u32,
        /// 0 (uniform) to [`EXPONENT_MAX`].
        exponent: f64,
    },
}

/// Why a text is no row of a mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MixError {
    /// There is no `=`, or no number before it.
    #[error("the weight is missing: give WEIGHT=REQUEST, such as 90=/bytes/92")]
    Weight,
    /// The method is none of those that can be sent.
    #[error("the method is unknown: give GET, POST, PUT, PATCH or DELETE before the path")]
    Method,
    /// The path does not start with a slash, or has characters that a request line cannot have.
    #[error("the path must start with '/' and have no spaces, no '#' and only ASCII characters: percent-encode others")]
    Path,
    /// What is in braces is no choice of a number.
    #[error(
        "a number in a path is written {{uniform:COUNT}}, {{zipf:COUNT}} or {{zipf:COUNT:EXPONENT}}, with a COUNT from 1 to \
         4294967295 and an EXPONENT from 0 to 10: give one of these"
    )]
    Number,
    /// The path has several numbers.
    #[error("a path has one number at most: give one {{…}}")]
    Numbers,
    /// The size of the body cannot be read or is too large.
    #[error("the size of the body must be from 0 to 1m: give one such as 1k")]
    Body,
    /// The method has no body.
    #[error("GET and DELETE have no body: omit its size, or give POST, PUT or PATCH")]
    NoBody,
    /// More than a method, a path and a size.
    #[error("a request is [METHOD ]PATH[ BODY-SIZE], such as 'POST /mail/{{uniform:4}} 1k': omit the rest")]
    Rest,
}

impl MixRow {
    /// Parses `WEIGHT=[METHOD ]PATH[ BODY-SIZE]`, such as `90=/file/{zipf:10000}` or `1=POST /mail/{uniform:4} 1k`.
    ///
    /// The weight is a number, 0 or more; a row of weight 0 is never requested. The method is GET if absent. One number in
    /// the path may be chosen for each request: `{uniform:COUNT}`, or `{zipf:COUNT}` and `{zipf:COUNT:EXPONENT}` (Zipf's
    /// law; the exponent is 1 if absent). It is 0 to COUNT - 1, and 0 is the most frequent one. The body is as many bytes
    /// `x`.
    ///
    /// # Errors
    /// [`MixError`] if the text has another form.
    pub fn parse(text: &str) -> Result<Self, MixError> {
        let (weight, request) = text.split_once('=').ok_or(MixError::Weight)?;
        let weight = rate::parse(weight).map_err(|_| MixError::Weight)?;
        let mut words = request.split_ascii_whitespace().peekable();
        let method = words.next_if(|word| !word.starts_with('/')).unwrap_or("GET");
        let method = METHODS.iter().find(|(name, _)| *name == method);
        let &(method, has_body) = method.ok_or(MixError::Method)?;
        let (path, numbers, path_rest) = parse_path(words.next().ok_or(MixError::Path)?)?;
        let size = words.next().map(parse_body).transpose()?;
        match (words.next(), has_body, size) {
            (Some(_), _, _) => Err(MixError::Rest),
            (None, false, Some(_)) => Err(MixError::NoBody),
            (None, _, _) => Ok(Self {
                text: request.split_ascii_whitespace().collect::<Vec<_>>().join(" "),
                weight,
                method,
                path,
                numbers,
                path_rest,
                body_bytes: has_body.then_some(size.unwrap_or(0)),
            }),
        }
    }
}

/// The path before the number, the number, and the path after it.
fn parse_path(path: &str) -> Result<(String, Numbers, String), MixError> {
    let is_of_a_path = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    if !path.starts_with('/') || !path.bytes().all(is_of_a_path) {
        return Err(MixError::Path);
    }
    let Some((before, rest)) = path.split_once('{') else {
        return match path.contains('}') {
            true => Err(MixError::Number),
            false => Ok((path.to_owned(), Numbers::Absent, String::new())),
        };
    };
    let (numbers, after) = rest.split_once('}').ok_or(MixError::Number)?;
    if before.contains('}') || after.contains('}') && !after.contains('{') {
        return Err(MixError::Number);
    }
    if after.contains('{') {
        return Err(MixError::Numbers);
    }
    let numbers = parse_numbers(numbers).ok_or(MixError::Number)?;
    Ok((before.to_owned(), numbers, after.to_owned()))
}

fn parse_numbers(text: &str) -> Option<Numbers> {
    let mut parts = text.split(':');
    let (name, count, exponent) = (parts.next()?, parts.next()?, parts.next());
    let is_number = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
    let count: u32 = count.parse().ok().filter(|&count| is_number && count > 0)?;
    if parts.next().is_some() {
        return None;
    }
    match (name, exponent) {
        ("uniform", None) => Some(Numbers::Uniform { count }),
        ("zipf", None) => Some(Numbers::Zipf { count, exponent: 1.0 }),
        ("zipf", Some(exponent)) => {
            let exponent = rate::parse(exponent).ok()?;
            (exponent <= EXPONENT_MAX).then_some(Numbers::Zipf { count, exponent })
        }
        _ => None,
    }
}

fn parse_body(text: &str) -> Result<usize, MixError> {
    let bytes = size::parse(text).ok().filter(|&bytes| bytes <= BODY_MAX);
    bytes
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or(MixError::Body)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_row_has_a_weight_and_a_request_and_the_rest_has_defaults() {
        let row = MixRow::parse("90=/file/{zipf:10000}/cold").unwrap();
        assert_eq!((row.weight, row.method, row.body_bytes), (90.0, "GET", None));
        assert_eq!((row.path.as_str(), row.path_rest.as_str()), ("/file/", "/cold"));
        let zipf = |exponent| Numbers::Zipf {
            count: 10_000,
            exponent,
        };
        assert_eq!(row.numbers, zipf(1.0));
        assert_eq!(MixRow::parse("1=/{zipf:10000:0.8}").unwrap().numbers, zipf(0.8));
        let mail = MixRow::parse("0.5=POST  /mail/{uniform:4} 1k").unwrap();
        assert_eq!((mail.weight, mail.method, mail.body_bytes), (0.5, "POST", Some(1024)));
        assert_eq!(mail.numbers, Numbers::Uniform { count: 4 });
        assert_eq!(mail.text, "POST /mail/{uniform:4} 1k");
        let plain = MixRow::parse("0=/a?b=c").unwrap();
        assert_eq!((plain.path.as_str(), plain.numbers), ("/a?b=c", Numbers::Absent));
        assert_eq!(MixRow::parse("1=PUT /a").unwrap().body_bytes, Some(0));
    }

    #[test]
    fn each_mistake_is_named() {
        for (text, error) in [
            ("/bytes/92", MixError::Weight),
            ("=/a", MixError::Weight),
            ("-1=/a", MixError::Weight),
            ("many=/a", MixError::Weight),
            ("1=", MixError::Path),
            ("1=GET", MixError::Path),
            ("1=bytes", MixError::Method),
            ("1=HEAD /a", MixError::Method),
            ("1=get /a", MixError::Method),
            ("1=/a#b", MixError::Path),
            ("1=/ä", MixError::Path),
            ("1=/{zipf}", MixError::Number),
            ("1=/{zipf:0}", MixError::Number),
            ("1=/{zipf:+5}", MixError::Number),
            ("1=/{zipf:4294967296}", MixError::Number),
            ("1=/{zipf:5:11}", MixError::Number),
            ("1=/{zipf:5:1:1}", MixError::Number),
            ("1=/{uniform:5:1}", MixError::Number),
            ("1=/{normal:5}", MixError::Number),
            ("1=/{zipf:5", MixError::Number),
            ("1=/a}", MixError::Number),
            ("1=/a}{zipf:5}", MixError::Number),
            ("1=/{zipf:5}}", MixError::Number),
            ("1=/{zipf:5}/{zipf:5}", MixError::Numbers),
            ("1=POST /a 2m", MixError::Body),
            ("1=POST /a much", MixError::Body),
            ("1=/a 1k", MixError::NoBody),
            ("1=POST /a 1k more", MixError::Rest),
        ] {
            assert_eq!(MixRow::parse(text).unwrap_err(), error, "{text}");
            assert!(!error.to_string().contains('\n'));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_row_or_a_mistake(text in "[0-9]{0,3}=?(GET |POST )?/?[a-z{}:0-9/]{0,20}( [0-9]{0,9}[km]?)?") {
            if let Ok(row) = MixRow::parse(&text) {
                prop_assert!(row.path.starts_with('/'));
                prop_assert!(row.weight >= 0.0);
                let has_braces = [&row.path, &row.path_rest].iter().any(|part| part.contains(['{', '}']));
                prop_assert!(!has_braces);
            }
        }
    }
}
