//! The oracle's scripts on every mechanism and trigger: what an interest set tells is what `poll(2)` finds.
#![no_main]

#[path = "../../crates/event/tests/oracle/script.rs"]
mod script;

use c10k_event::Mechanism;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for mechanism in Mechanism::all().filter(|mechanism| mechanism.probe().is_ok()) {
        for &trigger in mechanism.triggers() {
            if let Err(problem) = script::run(mechanism, trigger, bytes) {
                panic!("{problem}");
            }
        }
    }
});
