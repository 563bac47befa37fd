//! Where the text of an experiment comes from: a built-in study or a file.

use std::ops::Range;
use std::path::Path;

use super::builtin::BUILT_IN;
use crate::error::LabError;

/// The text of an experiment and where it is from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) file: String,
    pub(crate) text: String,
}

impl Source {
    /// The built-in study or the file called `name`.
    pub(crate) fn find(name: &str) -> Result<Self, LabError> {
        if let Some(built_in) = BUILT_IN.iter().find(|study| study.name == name) {
            return Ok(Self {
                file: built_in.file.to_owned(),
                text: built_in.text.to_owned(),
            });
        }
        let path = Path::new(name);
        if !path.is_file() {
            let known: Vec<&str> = BUILT_IN.iter().map(|study| study.name).collect();
            return Err(LabError::UnknownStudy {
                name: name.to_owned(),
                known: known.join(", "),
            });
        }
        let text = std::fs::read_to_string(path).map_err(|source| LabError::Read {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            file: name.to_owned(),
            text,
        })
    }

    pub(crate) fn error(&self, span: &Range<usize>, problem: impl Into<String>, remedy: impl Into<String>) -> LabError {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        LabError::Experiment {
            file: self.file.clone(),
            line: 1 + before.iter().filter(|&&byte| byte == b'\n').count(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_neither_a_study_nor_a_file_lists_the_studies() {
        let error = Source::find("paper/idle").expect_err("there is none").to_string();
        assert!(error.contains("paper/idle"), "{error}");
        assert!(error.contains("quick"), "{error}");
    }
}
