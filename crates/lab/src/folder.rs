//! The study folder: a manifest that is written once and records that are appended and synced one by one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use c10k_record::{CallRecord, CellRecord, Manifest, read};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{LabError, Start};

/// Where results go when nothing else is said.
const RESULTS: &str = "c10k-results";

const MANIFEST: &str = "manifest.json";
const RECORDS: &str = "records.ndjson";
const CALLS: &str = "calls.ndjson";

/// A folder that is being written.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    name: &'static str,
    records: File,
}

impl Folder {
    /// Makes the folder where it is missing and opens its records for appending, locked against another writer.
    ///
    /// A last line without an end is cut off, as a kill in the middle of a write leaves it; one that is whole gets its end.
    pub(crate) fn open(path: &Path) -> Result<Self, LabError> {
        Self::open_file(path, RECORDS)
    }

    /// The same for the records of counted system calls.
    pub(crate) fn open_calls(path: &Path) -> Result<Self, LabError> {
        Self::open_file(path, CALLS)
    }

    fn open_file(path: &Path, name: &'static str) -> Result<Self, LabError> {
        let failed = |source| LabError::Write {
            path: path.to_owned(),
            source,
        };
        fs::create_dir_all(path).map_err(failed)?;
        let file = path.join(name);
        let records = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&file)
            .map_err(failed)?;
        records.try_lock().map_err(|error| {
            failed(match error {
                fs::TryLockError::WouldBlock => io::Error::other("another study is writing to it"),
                fs::TryLockError::Error(error) => error,
            })
        })?;
        let text = fs::read(&file).map_err(failed)?;
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let mut folder = Self {
            path: path.to_owned(),
            name,
            records,
        };
        if read::is_object(&text[whole..]) {
            folder.records.write_all(b"\n").map_err(failed)?;
        } else if whole < text.len() {
            folder.records.set_len(whole as u64).map_err(failed)?;
        }
        Ok(folder)
    }

    /// Appends one record and waits until it is on the disk.
    pub(crate) fn append(&mut self, record: &impl Serialize) -> Result<(), LabError> {
        let mut line = serde_json::to_vec(record).map_err(|error| self.failed(self.name, error.into()))?;
        line.push(b'\n');
        self.records
            .write_all(&line)
            .and_then(|()| self.records.sync_data())
            .map_err(|error| self.failed(self.name, error))
    }

    /// Writes the manifest, whole or not at all.
    pub(crate) fn write_manifest(&self, manifest: &Manifest) -> Result<(), LabError> {
        let text = serde_json::to_vec_pretty(manifest).map_err(|error| self.failed(MANIFEST, error.into()))?;
        write_whole(&self.path.join(MANIFEST), &text)
    }

    fn failed(&self, name: &str, source: io::Error) -> LabError {
        LabError::Write {
            path: self.path.join(name),
            source,
        }
    }
}

/// Writes a file under another name and moves it into place, so that no reader sees half of it.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<(), LabError> {
    let failed = |source| LabError::Write {
        path: path.to_owned(),
        source,
    };
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let mut file = File::create(&part).map_err(failed)?;
    file.write_all(content)
        .and_then(|()| file.sync_data())
        .map_err(failed)?;
    fs::rename(&part, path).map_err(failed)
}

/// The manifest of a folder; `None` where there is none.
pub(crate) fn read_manifest(path: &Path) -> Result<Option<Manifest>, LabError> {
    read_json(
        path.join(MANIFEST),
        "without it the records of this folder have no meaning; restore it, or measure again with another --out",
    )
}

/// What a file of JSON holds; `None` where there is no such file. `lost` is what cannot be read without it, and how to go on.
pub(crate) fn read_json<T: DeserializeOwned>(file: PathBuf, lost: &'static str) -> Result<Option<T>, LabError> {
    let text = match fs::read(&file) {
        Ok(text) => text,
        // A file in place of the folder holds no manifest; the error comes when the study is written.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(source) => return Err(LabError::Read { path: file, source }),
    };
    read::object(&text).map(Some).map_err(|damage| LabError::Damaged {
        path: file,
        line: damage.line,
        cause: damage.cause,
        lost,
    })
}

/// Whether a folder holds a study.
pub(crate) fn is_study(path: &Path) -> bool {
    path.join(MANIFEST).is_file()
}

/// The records of a file and its damaged lines.
#[derive(Debug)]
pub(crate) struct Records<T> {
    pub(crate) records: Vec<T>,
    /// One line each: file, line, what is lost, how to go on.
    pub(crate) damage: Vec<String>,
}

/// The records of a folder, in the order in which they were written.
pub(crate) fn read_records(path: &Path) -> Result<Records<CellRecord>, LabError> {
    read_lines(
        path.join(RECORDS),
        "this record is lost and the others count; --resume runs its cell again",
    )
}

/// The records of the passes that count system calls.
pub(crate) fn read_calls(path: &Path) -> Result<Records<CallRecord>, LabError> {
    read_lines(
        path.join(CALLS),
        "this count of system calls is lost and the others count; --resume counts again",
    )
}

/// Whether a folder holds whole records. Half a line may be what a kill has left.
pub(crate) fn has_records(path: &Path) -> bool {
    let has_lines = |text: Vec<u8>| text.contains(&b'\n') || read::is_object(&text);
    [RECORDS, CALLS]
        .iter()
        .any(|name| fs::read(path.join(name)).is_ok_and(has_lines))
}

fn read_lines<T: DeserializeOwned>(file: PathBuf, lost: &'static str) -> Result<Records<T>, LabError> {
    let text = match fs::read(&file) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Vec::new(),
        Err(source) => return Err(LabError::Read { path: file, source }),
    };
    let lines = read::lines(&text);
    let damage = lines.damaged.into_iter().map(|damage| {
        let error = LabError::Damaged {
            path: file.clone(),
            line: damage.line,
            cause: damage.cause,
            lost,
        };
        error.to_string()
    });
    Ok(Records {
        damage: damage.collect(),
        records: lines.objects,
    })
}

/// `c10k-results/NAME`, or the first free one of `NAME-2`, `NAME-3`, …; to resume, the last one that is taken.
pub(crate) fn next(name: &str, start: Start, taken: impl Fn(&Path) -> bool) -> PathBuf {
    let nth = |n: u32| {
        let name = if n == 1 { name.to_owned() } else { format!("{name}-{n}") };
        Path::new(RESULTS).join(name)
    };
    let mut free = 1;
    while taken(&nth(free)) {
        free += 1;
    }
    match start {
        Start::Resume if free > 1 => nth(free - 1),
        _ => nth(free),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn what_was_appended_is_read_back_and_half_a_line_is_cut_off() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/b");
        let first = testing::record("a idle=1", 0, 0.1);
        let second = testing::record("a idle=2", 0, 0.2);
        Folder::open(&path)
            .and_then(|mut folder| folder.append(&first))
            .expect("it is written");
        let file = path.join(RECORDS);
        let mut torn = fs::read(&file).expect("it is there");
        torn.extend_from_slice(b"{\"schema\":1,\"stu");
        fs::write(&file, torn).expect("it is written");
        assert_eq!(read_records(&path).expect("whole lines are read").records.len(), 1);
        Folder::open(&path)
            .and_then(|mut folder| folder.append(&second))
            .expect("it is written");
        let read = read_records(&path).expect("whole lines are read");
        assert_eq!((read.records, read.damage), (vec![first, second], vec![]));
    }

    #[test]
    fn a_last_line_that_lacks_only_its_end_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let (first, second) = (testing::record("a idle=1", 0, 0.1), testing::record("a idle=2", 0, 0.2));
        let text = serde_json::to_string(&first).expect("a record is JSON");
        fs::write(folder.path().join(RECORDS), text).expect("it is written");
        Folder::open(folder.path())
            .and_then(|mut folder| folder.append(&second))
            .expect("it is written");
        assert_eq!(
            read_records(folder.path()).expect("it is read").records,
            [first, second]
        );
    }

    #[test]
    fn a_line_that_is_no_record_is_named_and_loses_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let good = serde_json::to_string(&testing::record("a idle=1", 0, 0.1)).expect("a record is JSON");
        fs::write(folder.path().join(RECORDS), format!("{good}\n{{}}\n{good}\n")).expect("it is written");
        let read = read_records(folder.path()).expect("it is read");
        let [damage] = read.damage.as_slice() else {
            panic!("{:?}", read.damage)
        };
        assert_eq!((read.records.len(), damage.lines().count()), (2, 1));
        for word in ["records.ndjson:2:", "missing field", "is lost", "--resume"] {
            assert!(damage.contains(word), "{damage}");
        }
        fs::write(folder.path().join(MANIFEST), b"{\"schema\": 7}").expect("it is written");
        let error = read_manifest(folder.path()).expect_err("a later schema").to_string();
        assert!(
            error.contains("manifest.json:1:") && error.contains("schema 7"),
            "{error}"
        );
    }

    #[test]
    fn a_second_writer_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = Folder::open(folder.path()).expect("it is free");
        let error = Folder::open(folder.path()).expect_err("it is taken").to_string();
        assert!(error.contains("another study"), "{error}");
        drop(first);
        assert!(Folder::open(folder.path()).is_ok());
    }

    #[test]
    fn a_manifest_is_read_back_and_may_be_missing() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(read_manifest(folder.path()).expect("missing is no error"), None);
        let manifest = Manifest {
            study: "test".to_owned(),
            ..Manifest::default()
        };
        Folder::open(folder.path())
            .and_then(|folder| folder.write_manifest(&manifest))
            .expect("it is written");
        assert_eq!(read_manifest(folder.path()).expect("it is there"), Some(manifest));
    }
}
