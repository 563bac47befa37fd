//! The plan of a guest: the commands that it runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The path of the plan in the guest.
pub(crate) const PATH: &str = "/plan.json";

/// Commands to run one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The commands.
    pub steps: Vec<Step>,
    /// The soft and the hard limit of open descriptors per process.
    pub nofile: u64,
    /// Modules of the guest's kernel, files of the host, which it loads in this order before the first step.
    #[serde(skip)]
    pub modules: Vec<PathBuf>,
    /// The same, by their paths in the guest.
    pub(crate) modules_in_guest: Vec<PathBuf>,
    /// Kernel parameters in addition to those of every guest, such as `lsm=…`.
    #[serde(skip)]
    pub kernel_parameters: Vec<String>,
    /// The most host time that the guest may take.
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
            modules: Vec::new(),
            modules_in_guest: Vec::new(),
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
    /// Its whole environment.
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
