//! Why a probe has no figures.

use std::io;

use rustix::io::Errno;
use thiserror::Error;

/// Why a probe has no figures. Each message is one line with the cause and the remedy.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// There is no probe of that name.
    #[error("no probe is called '{name}'; there are: {known}")]
    Unknown {
        /// The name given.
        name: String,
        /// All names.
        known: String,
    },
    /// The probe does not have this option.
    #[error("{probe} has no option --{option}; it takes {known}")]
    UnknownOption {
        /// The probe.
        probe: &'static str,
        /// The option given.
        option: String,
        /// All options of the probe.
        known: String,
    },
    /// A value does not fit its option.
    #[error("--{option} '{value}' is not {expected}")]
    Value {
        /// The option.
        option: &'static str,
        /// The value given.
        value: String,
        /// What it must be.
        expected: String,
    },
    /// An option without a default is missing.
    #[error("--{option} is missing; give {expected}")]
    Missing {
        /// The option.
        option: &'static str,
        /// What it must be.
        expected: String,
    },
    /// The monitoring daemon, which is the executable that runs the probe, did not say where it listens.
    #[error("c10k monitor serve did not start: {0}; start the probe as c10k probe")]
    NoDaemon(String),
    /// What is measured ran and did not do what it should, which says something about it and nothing about the machine.
    #[error("{0}")]
    Broken(String),
    /// This machine cannot do it.
    #[error("{0}")]
    Impossible(String),
    /// A call failed.
    #[error("{call}: {source}")]
    Call {
        /// What was called, and for what.
        call: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl ProbeError {
    /// Whether what is measured failed, and not what it needs: there may be figures on another try or with other values.
    #[must_use]
    pub fn is_finding(&self) -> bool {
        matches!(self, Self::Broken(_))
    }

    pub(crate) fn call(call: impl Into<String>) -> impl FnOnce(Errno) -> Self {
        let call = call.into();
        move |errno| Self::Call {
            call,
            source: errno.into(),
        }
    }

    pub(crate) fn io(call: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let call = call.into();
        move |source| Self::Call { call, source }
    }
}
