//! The readers of records: no text makes them panic, and damage to a line loses no other line.
#![no_main]

#[path = "../../crates/record/tests/reader/mod.rs"]
mod reader;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| reader::check(text));
