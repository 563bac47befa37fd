//! What every parser answers to a text that is no value.

/// A text that is not a value of its kind. The message quotes the text and says what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {expected}")]
pub struct ValueError {
    text: String,
    expected: &'static str,
}

impl ValueError {
    pub(crate) fn new(text: &str, expected: &'static str) -> ValueError {
        ValueError {
            text: text.to_owned(),
            expected,
        }
    }

    /// What would be right, such as "a duration such as 250us, 1.5ms, 10s, 2m or 1h".
    #[must_use]
    pub fn expected(&self) -> &'static str {
        self.expected
    }
}
