//! Giving up privileges that a listening server does not need: it becomes another user, and confines itself.

use std::os::fd::OwnedFd;

use c10k_sys::user;
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError,
};
use rustix::process::geteuid;
use rustix::thread::set_no_new_privs;

use crate::completion_port::{TASKS, open_tasks};
use crate::{Confinement, Root, ServeError};

/// The first version that knows TCP ports: Linux 6.7.
const LEAST: ABI = ABI::V4;

/// Becomes the user of that name. There is no way back.
pub(crate) fn become_user(name: &str) -> Result<(), ServeError> {
    let refused = |reason: String| ServeError::User {
        name: name.to_owned(),
        reason,
    };
    let user = user::named(name)
        .map_err(|error| refused(format!("{error}: see getpwnam(3)")))?
        .ok_or_else(|| refused("there is no such user: see 'getent passwd'".to_owned()))?;
    if user.uid == 0 {
        return Err(refused("it is the superuser: name one that may do less".to_owned()));
    }
    if !geteuid().is_root() {
        return Err(refused(
            "only the superuser can become another user: start as root, or leave --user out".to_owned(),
        ));
    }
    user::become_user(name, user).map_err(|error| refused(format!("{error}: see setuid(2)")))?;
    set_no_new_privs(true).map_err(|errno| refused(format!("{errno}: see prctl(2)")))
}

/// Whether a server looks at what its own threads do, which it has to read in `/proc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnThreads {
    Watched,
    Unwatched,
}

impl OwnThreads {
    /// Where they are read.
    fn files(self) -> Result<Option<OwnedFd>, ServeError> {
        match self {
            OwnThreads::Unwatched => Ok(None),
            OwnThreads::Watched => open_tasks().map(Some).map_err(|errno| ServeError::Confine {
                cause: format!("opening {TASKS}: {errno}"),
            }),
        }
    }
}

/// Confines this thread, and those that it starts, to reading files below the root and listening on the port, if there is
/// one, and to reading what `/proc` shows of the threads of this process if they are watched.
pub(crate) fn confine(
    confinement: Confinement,
    root: Option<&Root>,
    port: Option<u16>,
    own_threads: OwnThreads,
) -> Result<(), ServeError> {
    match confinement {
        Confinement::None => Ok(()),
        Confinement::Landlock => landlock(root, port, own_threads.files()?.as_ref()).map_err(|error| refused(&error)),
    }
}

impl Confinement {
    /// Checks whether this kernel can do it.
    ///
    /// # Errors
    /// The reason, and what to do about it.
    pub fn probe(self) -> Result<(), ServeError> {
        match self {
            Confinement::None => Ok(()),
            Confinement::Landlock => handled()
                .and_then(Ruleset::create)
                .map(drop)
                .map_err(|error| refused(&error)),
        }
    }
}

fn refused(cause: &RulesetError) -> ServeError {
    ServeError::Confine {
        cause: cause.to_string(),
    }
}

/// What is refused unless a rule allows it. It is an error if the kernel does not support all of it.
fn handled() -> Result<Ruleset, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(LEAST))?
        .handle_access(AccessNet::from_all(LEAST))
}

fn landlock(root: Option<&Root>, port: Option<u16>, own_threads: Option<&OwnedFd>) -> Result<(), RulesetError> {
    let mut rules = handled()?.create()?;
    if let Some(port) = port {
        rules = rules.add_rule(NetPort::new(port, AccessNet::BindTcp))?;
    }
    if let Some(root) = root {
        let reading = AccessFs::ReadFile | AccessFs::ReadDir;
        rules = rules.add_rule(PathBeneath::new(root, reading))?;
    }
    if let Some(own_threads) = own_threads {
        rules = rules.add_rule(PathBeneath::new(own_threads, AccessFs::ReadFile))?;
    }
    rules.restrict_self().map(drop)
}
