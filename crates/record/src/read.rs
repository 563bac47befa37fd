//! Reads records back: objects, and files of one object a line, of which damage to one line loses no other.

use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::SCHEMA;

/// What is wrong with the text of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The line, from 1.
    pub line: usize,
    /// What was found, in one line.
    pub cause: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.cause)
    }
}

/// What a file of one object a line holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Lines<T> {
    /// The objects, in order.
    pub objects: Vec<T>,
    /// The lines that hold no such object, in order.
    pub damaged: Vec<Damage>,
}

/// Reads one object.
///
/// # Errors
/// [`Damage`] for text that is no such object, or one of a later [`SCHEMA`], whose meaning is not known here.
pub fn object<T: DeserializeOwned>(text: &[u8]) -> Result<T, Damage> {
    #[derive(Deserialize)]
    struct Header {
        #[serde(default)]
        schema: u64,
    }
    let header: Header = parse(text)?;
    if header.schema > u64::from(SCHEMA) {
        return Err(Damage {
            line: 1,
            cause: format!(
                "it has schema {}, and this version of c10k reads schemas up to {SCHEMA}: read it with a later version",
                header.schema
            ),
        });
    }
    parse(text)
}

/// Reads one object a line. Blank lines are passed over, and so are zero bytes at the ends of a line, which some file
/// systems leave after a crash. A last line without its end counts if it is an object; otherwise it is what a kill in the
/// middle of a write leaves, and is no damage.
#[must_use]
pub fn lines<T: DeserializeOwned>(text: &[u8]) -> Lines<T> {
    let mut found = Lines {
        objects: Vec::new(),
        damaged: Vec::new(),
    };
    let mut lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
    let unended = lines.pop().unwrap_or_default();
    for (index, line) in lines
        .into_iter()
        .map(trimmed)
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
    {
        match object(line) {
            Ok(object) => found.objects.push(object),
            Err(damage) => found.damaged.push(Damage {
                line: index + 1,
                cause: damage.cause,
            }),
        }
    }
    found.objects.extend(object(trimmed(unended)));
    found
}

/// Whether a text is a whole object of any kind: what a last line without its end may be.
#[must_use]
pub fn is_object(text: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Anything {}
    parse::<Anything>(trimmed(text)).is_ok()
}

fn trimmed(mut line: &[u8]) -> &[u8] {
    let is_empty = |byte: &u8| *byte == 0 || byte.is_ascii_whitespace();
    while let [rest @ .., last] = line
        && is_empty(last)
    {
        line = rest;
    }
    while let [first, rest @ ..] = line
        && is_empty(first)
    {
        line = rest;
    }
    line
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Damage> {
    serde_json::from_slice(text).map_err(|error| {
        let message = error.to_string();
        // The message ends with line and column, of which the line is said elsewhere.
        let what = message.split(" at line ").next().unwrap_or_default();
        let cause = match error.column() {
            0 => what.to_owned(),
            column => format!("{what} at column {column}"),
        };
        Damage {
            line: error.line().max(1),
            cause,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CallRecord;

    fn line(cell: &str) -> String {
        format!(
            "{{\"schema\":1,\"cell\":\"{cell}\",\"pass\":0,\"status\":\"measured\",\"reasons\":[],\"started_at\":\"\",\
             \"seconds\":1.0,\"tool\":\"\",\"window_ns\":0,\"rate_achieved\":0.0,\"by_name\":{{}}}}"
        )
    }

    fn cells(text: impl AsRef<[u8]>) -> (Vec<String>, Vec<usize>) {
        let found = lines::<CallRecord>(text.as_ref());
        let cells = found.objects.into_iter().map(|record| record.cell);
        (
            cells.collect(),
            found.damaged.iter().map(|damage| damage.line).collect(),
        )
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_damaged_line_loses_no_other() {
        let (a, b, c) = (line("a"), line("b"), line("c"));
        let whole = format!("{a}\n{b}\n{c}\n").into_bytes();
        assert_eq!(cells(&whole), (names(&["a", "b", "c"]), vec![]));
        // Whichever byte of the second line is replaced by one that fits nowhere.
        for at in a.len() + 1..a.len() + 1 + b.len() {
            let mut damaged = whole.clone();
            damaged[at] = 0xff;
            assert_eq!(cells(&damaged), (names(&["a", "c"]), vec![2]), "at {at}");
        }
        assert_eq!(
            cells(format!("{a}\n{}{c}\n", &b[..20])),
            (names(&["a"]), vec![2]),
            "an end of line is gone"
        );
        assert_eq!(
            cells(format!("\n{a}\r\n \n\0\0{b}\n\0\0\n")),
            (names(&["a", "b"]), vec![])
        );
        assert_eq!(cells(""), (vec![], vec![]));
    }

    #[test]
    fn a_last_line_without_its_end_counts_if_it_is_whole() {
        let (a, b) = (line("a"), line("b"));
        assert_eq!(cells(format!("{a}\n{b}")), (names(&["a", "b"]), vec![]));
        for length in 0..b.len() {
            assert_eq!(
                cells(format!("{a}\n{}", &b[..length])),
                (names(&["a"]), vec![]),
                "{length}"
            );
            assert!(!is_object(&b.as_bytes()[..length]));
        }
        assert!(is_object(b.as_bytes()));
    }

    #[test]
    fn a_later_schema_is_refused_with_the_remedy_and_an_earlier_one_is_not() {
        let later = line("a").replace("\"schema\":1", "\"schema\":2");
        let damage = object::<CallRecord>(later.as_bytes()).expect_err("it is not known here");
        assert!(
            damage.cause.contains("schema 2") && damage.cause.contains("later version"),
            "{damage}"
        );
        assert_eq!(cells(format!("{later}\n{}\n", line("b"))), (names(&["b"]), vec![1]));
        let earlier = line("a").replace("\"schema\":1", "\"schema\":0");
        assert_eq!(cells(earlier).0, names(&["a"]));
        let damage = object::<CallRecord>(b"{\n\n  \"schema\": 1\n").expect_err("it ends early");
        assert_eq!((damage.line, damage.to_string().lines().count()), (4, 1), "{damage}");
    }
}
