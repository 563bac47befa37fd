//! The request machine against a second parser and httparse, the input whole and cut.
#![no_main]

#[path = "../../crates/http/tests/reference/mod.rs"]
#[allow(dead_code, reason = "each target uses its half")]
mod reference;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(problem) = reference::machine(bytes) {
        panic!("{problem}");
    }
});
