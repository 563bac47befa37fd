//! The load generator's reply parser: the same replies however the stream is cut, within its limits.
#![no_main]

#[path = "../../crates/http/tests/reference/mod.rs"]
#[allow(dead_code, reason = "each target uses its half")]
mod reference;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(problem) = reference::reply(bytes) {
        panic!("{problem}");
    }
});
