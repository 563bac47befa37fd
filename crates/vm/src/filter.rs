//! Which cells of a study are asked for.

use std::fmt;
use std::str::FromStr;

/// Cells by their name, which is the subject and the load: `epoll-edge idle=10 active=1`.
///
/// A cell is asked for when its name has all words of one of the alternatives between commas. A word with `=` stands for
/// itself only, so that `idle=10` is not `idle=100`; any other matches wherever it is found. The empty filter asks for all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    text: String,
}

impl Filter {
    /// Whether the cell of this name is asked for.
    #[must_use]
    pub fn asks_for(&self, subject: &str, load: &str) -> bool {
        let has = |word: &str| {
            if word.contains('=') {
                load.split_whitespace().any(|part| part == word)
            } else {
                subject.contains(word) || load.contains(word)
            }
        };
        let mut alternatives = self.text.split(',');
        alternatives.any(|alternative| alternative.split_whitespace().all(has))
    }

    /// Whether any of a subject's loads is asked for.
    #[must_use]
    pub fn asks_for_any(&self, subject: &str, loads: &[String]) -> bool {
        loads.iter().any(|load| self.asks_for(subject, load))
    }
}

impl FromStr for Filter {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self { text: text.to_owned() })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(filter: &str, subject: &str, load: &str) -> bool {
        let filter: Filter = filter.parse().expect("any text is a filter");
        filter.asks_for(subject, load)
    }

    #[test]
    fn all_words_of_one_alternative_must_be_found() {
        assert!(asks("", "poll", "idle=10 active=1"));
        assert!(asks("epoll active=1", "epoll-edge", "idle=10 active=1"));
        assert!(!asks("epoll active=1", "select", "idle=10 active=1"));
        assert!(asks("epoll,select", "select", "idle=10 active=1"));
        assert!(!asks("epoll idle=10,select idle=100", "select", "idle=10 active=1"));
    }

    #[test]
    fn a_level_stands_for_itself_only() {
        assert!(asks("idle=10", "poll", "idle=10 active=1"));
        assert!(!asks("idle=10", "poll", "idle=100 active=1"));
    }
}
