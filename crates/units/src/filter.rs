//! Which cells of a study are meant, by their names: the grammar of `--only`.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use crate::{duration, rate, share, size};

/// Selects cells by their names. A name is a subject and its levels: `epoll-edge idle=10 work=0.5us`.
///
/// A filter is a list of alternatives with commas between them. A name matches when it has all words of one alternative.
/// A word with `=` matches a whole word of the name, and its value may be written in another unit: `idle=10` does not
/// match `idle=100`, and `work=500ns` matches `work=0.5us`. Any other word matches wherever it occurs in the name. The
/// empty filter matches every name.
///
/// ```
/// use c10k_units::Filter;
///
/// let filter: Filter = "epoll idle=10,select".parse()?;
/// assert!(filter.matches("epoll-edge idle=10"));
/// assert!(!filter.matches("epoll-edge idle=100"));
/// assert!(filter.matches("select idle=100"));
/// # Ok::<(), std::convert::Infallible>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    text: String,
}

impl Filter {
    /// Whether the cell of this name is selected.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let mut alternatives = self.alternatives().peekable();
        alternatives.peek().is_none()
            || alternatives.any(|alternative| alternative.split_whitespace().all(|word| has(name, word)))
    }

    /// Whether it selects every cell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.alternatives().next().is_none()
    }

    fn alternatives(&self) -> impl Iterator<Item = &str> {
        self.text
            .split(',')
            .filter(|alternative| !alternative.trim().is_empty())
    }
}

impl FromStr for Filter {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self { text: text.to_owned() })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

fn has(name: &str, word: &str) -> bool {
    let Some((key, value)) = word.split_once('=') else {
        return name.contains(word);
    };
    let mut levels = name.split_whitespace().filter_map(|part| part.split_once('='));
    levels.any(|(name, level)| name == key && is_same_value(level, value))
}

/// Whether two texts are equal, or are the same value of one kind.
fn is_same_value(one: &str, other: &str) -> bool {
    fn agree<T: PartialEq, E>(parse: fn(&str) -> Result<T, E>, one: &str, other: &str) -> bool {
        matches!((parse(one), parse(other)), (Ok(one), Ok(other)) if one == other)
    }
    one == other
        || agree(duration::parse, one, other)
        || agree(size::parse, one, other)
        || agree(rate::parse, one, other)
        || agree(share::parse, one, other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(filter: &str, name: &str) -> bool {
        let filter: Filter = filter.parse().expect("any text is a filter");
        filter.matches(name)
    }

    #[test]
    fn all_words_of_one_alternative_must_match() {
        assert!(matches("epoll active=1", "epoll-edge idle=10 active=1"));
        assert!(!matches("epoll active=1", "select idle=10 active=1"));
        assert!(matches("epoll,select", "select idle=10 active=1"));
        assert!(!matches("epoll idle=10,select idle=100", "select idle=10 active=1"));
    }

    #[test]
    fn the_empty_filter_matches_every_name_and_an_empty_alternative_none() {
        for filter in ["", " ", ",", " , "] {
            assert!(matches(filter, "poll idle=10"), "{filter:?}");
            assert!(filter.parse::<Filter>().expect("any text is a filter").is_empty());
        }
        assert!(!matches("select,", "poll idle=10"));
    }

    #[test]
    fn a_level_matches_as_a_whole_word() {
        assert!(matches("idle=10", "poll idle=10 active=1"));
        assert!(!matches("idle=10", "poll idle=100 active=1"));
        assert!(!matches("idle=10", "poll max-idle=10"));
        assert!(matches("connection=kept", "bare connection=kept"));
    }

    #[test]
    fn a_level_matches_by_its_value_in_any_unit() {
        assert!(matches("work=500ns", "flat work=0.5us"));
        assert!(matches("work=0", "flat work=0s"));
        assert!(matches("reply=6144", "flat reply=6k"));
        assert!(matches("rate=50.0%", "flat rate=50%"));
        assert!(matches("rate=0.50", "flat rate=0.5"));
        assert!(!matches("work=500ns", "flat work=500us"));
        assert!(!matches("idle=1000", "flat idle=1k"));
    }

    #[test]
    fn a_filter_is_printed_as_it_was_written() {
        let filter: Filter = "epoll idle=10, select".parse().expect("any text is a filter");
        assert_eq!(filter.to_string(), "epoll idle=10, select");
    }
}
