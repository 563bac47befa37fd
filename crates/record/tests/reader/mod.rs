//! What holds of the readers for any text; shared with the fuzz target `record_reader`.

use std::fmt::Debug;

use c10k_record::read::{lines, object};
use c10k_record::{
    CallRecord, CellRecord, CostTable, LoadRecord, LoadSearch, Manifest, MonitorRecord, MonitorSample, ProbeSummary,
    ServeRecord, SetManifest,
};
use serde::de::DeserializeOwned;

/// Reads `text` as everything that is read back.
///
/// # Panics
/// If damage to a line loses another line, or a line is neither read, nor blank, nor named.
pub(crate) fn check(text: &[u8]) {
    line_by_line::<CellRecord>(text);
    line_by_line::<CallRecord>(text);
    // Text that is no such object is an error; only a panic is a mistake.
    let _ = object::<Manifest>(text);
    let _ = object::<SetManifest>(text);
    let _ = object::<ServeRecord>(text);
    let _ = object::<LoadRecord>(text);
    let _ = object::<LoadSearch>(text);
    let _ = object::<ProbeSummary>(text);
    let _ = object::<CostTable>(text);
    let _ = object::<MonitorRecord>(text);
    let _ = object::<MonitorSample>(text);
}

/// A file is the sum of its lines, and what precedes a text changes only the numbers of its lines.
fn line_by_line<T: DeserializeOwned + PartialEq + Debug>(text: &[u8]) {
    let whole = lines::<T>(text);
    let ended = text.iter().filter(|&&byte| byte == b'\n').count();
    let (mut objects, mut damaged) = (Vec::new(), Vec::new());
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let alone = lines::<T>(line);
        assert!(
            alone.objects.len() <= 1 && alone.damaged.is_empty(),
            "a line without its end: {alone:?}"
        );
        let is_blank = line.iter().all(|byte| *byte == 0 || byte.is_ascii_whitespace());
        if alone.objects.is_empty() && !is_blank && index < ended {
            damaged.push(index + 1);
        }
        objects.extend(alone.objects);
    }
    assert_eq!(whole.objects, objects);
    let named: Vec<usize> = whole.damaged.iter().map(|damage| damage.line).collect();
    assert_eq!(named, damaged);
    assert!(
        whole.damaged.iter().all(|damage| !damage.cause.contains('\n')),
        "{:?}",
        whole.damaged
    );
    let after = lines::<T>(&[b"{\"\n", text].concat());
    assert_eq!(after.objects, whole.objects);
    assert_eq!(after.damaged.len(), whole.damaged.len() + 1);
}
