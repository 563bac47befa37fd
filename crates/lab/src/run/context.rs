//! What the run of a cell is given by its study.

/// What the run of a cell is given by its study.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RunContext {
    pub(super) block: u32,
    pub(super) position: u32,
    /// The best speed of the server's CPU so far, loops of the idle counter per second.
    pub(super) best_speed: Option<f64>,
    /// Idle connections that the servers of other cells hold meanwhile.
    pub(super) idle_elsewhere: u64,
}
