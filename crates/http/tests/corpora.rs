//! The fuzzers' corpora, replayed: what `cargo xtask fuzz` asserts of any input holds for every committed one.

mod reference;

use std::path::Path;

fn replay(target: &str, check: fn(&[u8]) -> Result<(), String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry of the folder").path())
        .collect();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for path in files {
        let input = std::fs::read(&path).expect("a committed file");
        check(&input).unwrap_or_else(|problem| panic!("{}: {problem}", path.display()));
    }
}

#[test]
fn machine_reference_and_httparse_agree_on_the_fuzzers_corpus() {
    replay("http_machine", reference::machine);
}

#[test]
fn the_reply_parser_reads_the_fuzzers_corpus_alike_however_it_is_cut() {
    replay("reply_parser", reference::reply);
}
