//! A second generator, whose requests are not measured.

use std::collections::BTreeMap;

use crate::experiment::options;

/// The requests of a second generator.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BackgroundLoad {
    pub(crate) path: String,
    /// Flags of `c10k load`, without the URL and `--json`.
    pub(crate) flags: Vec<String>,
}

/// Takes the options of the second generator out of those of the measured one.
pub(super) fn take_from(load: &mut BTreeMap<String, String>) -> Option<BackgroundLoad> {
    let [rate, spin] = options::BACKGROUND.map(|name| load.remove(name));
    let (rate, spin) = rate.zip(spin)?;
    // Longer than any cell: it is stopped when the measured generator has ended.
    let flags = [
        "--rate",
        &rate,
        "--connections",
        "4",
        "--duration",
        "1m",
        "--max-lag",
        "1s",
    ];
    Some(BackgroundLoad {
        path: format!("/spin/{spin}"),
        flags: flags.map(str::to_owned).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_options_are_taken_from_those_of_the_measured_generator() {
        let pairs = [("background-rate", "10"), ("background-spin", "20ms"), ("rate", "5")];
        let mut load = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let background = take_from(&mut load).expect("both are given");
        assert_eq!(background.path, "/spin/20ms");
        assert!(
            background.flags.join(" ").starts_with("--rate 10 "),
            "{:?}",
            background.flags
        );
        assert_eq!(load.into_keys().collect::<Vec<_>>(), ["rate"]);
    }

    #[test]
    fn there_is_none_without_a_rate() {
        let mut load = [("rate".to_owned(), "5".to_owned())].into();
        assert_eq!(take_from(&mut load), None);
    }
}
