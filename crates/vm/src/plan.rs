//! What a guest is to do.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where the plan stands in the guest.
pub(crate) const PATH: &str = "/plan.json";

/// Commands that are run one after the other, each to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The commands.
    pub steps: Vec<Step>,
    /// Open descriptors that a process may have, soft and hard limit.
    pub nofile: u64,
    /// Kernel parameters beside those that every guest gets, such as `lsm=…`.
    #[serde(skip)]
    pub kernel_parameters: Vec<String>,
    /// Host time within which the guest must finish.
    #[serde(skip, default = "default_limit")]
    pub time_limit: Duration,
}

fn default_limit() -> Duration {
    Duration::from_secs(60)
}

impl Plan {
    /// A plan of these steps with 20,000 descriptors a process and a limit of one minute.
    pub fn of(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            nofile: 20_000,
            kernel_parameters: Vec::new(),
            time_limit: default_limit(),
        }
    }
}

/// One command in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The program, by its path in the guest; `/c10k` is the program that made the guest.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its environment, and nothing else.
    pub environment: BTreeMap<String, String>,
}

impl Step {
    /// A step without arguments.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        self.arguments.extend(arguments.into_iter().map(str::to_owned));
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }
}
