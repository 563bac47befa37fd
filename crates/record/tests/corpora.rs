//! Replays the corpus of the fuzz target `record_reader`, and every damage of one byte to one of its files.

mod reader;

use std::fs;
use std::path::Path;

#[test]
fn the_corpus_holds_and_so_does_each_file_with_any_one_byte_damaged() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/record_reader");
    let mut files = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is there") {
        let text = fs::read(entry.expect("an entry").path()).expect("a file");
        reader::check(&text);
        for at in 0..text.len() {
            for byte in [0, b'\n', b'"', 0xff] {
                let mut damaged = text.clone();
                damaged[at] = byte;
                reader::check(&damaged);
            }
        }
        files += 1;
    }
    assert!(files > 0, "{} is empty", folder.display());
}
