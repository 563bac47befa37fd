//! What the coroutines of a loop share.

use std::ops::{Deref, DerefMut};

use corosensei::stack::DefaultStack;

use super::stacks::StackPool;
use crate::accept::Shortage;
use crate::context::WorkerContext;

/// The loop's worker. Whoever runs has it: the loop, or one of its coroutines.
pub(super) struct CoroutineWorker {
    /// `None` while a coroutine runs.
    context: Option<Box<WorkerContext>>,
    stacks: StackPool,
}

/// Why the loop finds its worker: what it does itself, it does while no coroutine runs.
const LOOP_RUNS: &str = "a coroutine returned the worker when it was suspended";

impl CoroutineWorker {
    pub(super) fn new(context: WorkerContext) -> CoroutineWorker {
        CoroutineWorker {
            context: Some(Box::new(context)),
            stacks: StackPool::default(),
        }
    }

    /// Lends the worker to a coroutine that is about to run.
    pub(super) fn lend(&mut self) -> Box<WorkerContext> {
        self.context.take().expect(LOOP_RUNS)
    }

    /// Takes it back.
    pub(super) fn take_back(&mut self, context: Box<WorkerContext>) {
        self.context = Some(context);
    }

    /// Makes a stack, unless there is a spare one.
    pub(super) fn reserve_stack(&mut self) -> Result<(), Shortage> {
        let CoroutineWorker { context, stacks } = self;
        stacks.reserve(&mut context.as_mut().expect(LOOP_RUNS).core.stats.calls)
    }

    pub(super) fn take_stack(&mut self) -> Result<DefaultStack, Shortage> {
        let CoroutineWorker { context, stacks } = self;
        stacks.take(&mut context.as_mut().expect(LOOP_RUNS).core.stats.calls)
    }

    pub(super) fn give_back_stack(&mut self, stack: DefaultStack) {
        let CoroutineWorker { context, stacks } = self;
        stacks.give_back(stack, &mut context.as_mut().expect(LOOP_RUNS).core.stats.calls);
    }
}

impl Deref for CoroutineWorker {
    type Target = WorkerContext;

    fn deref(&self) -> &WorkerContext {
        self.context.as_deref().expect(LOOP_RUNS)
    }
}

impl DerefMut for CoroutineWorker {
    fn deref_mut(&mut self) -> &mut WorkerContext {
        self.context.as_deref_mut().expect(LOOP_RUNS)
    }
}
