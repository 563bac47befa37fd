//! What a program needs to start: its interpreter, its shared libraries, and of each file the part that is loaded.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::Endianness;
use object::elf;
use object::read::elf::{FileHeader as _, ProgramHeader as _};

use crate::error::VmError;

/// The files that `program` needs to start; none for a static executable.
pub(crate) fn libraries(program: &Path, image: &[u8]) -> Result<Vec<PathBuf>, VmError> {
    let unfit = |why: String| VmError::Program {
        path: program.to_owned(),
        why,
    };
    let Some(interpreter) = interpreter(image).map_err(|error| unfit(error.to_string()))? else {
        return Ok(Vec::new());
    };
    // Like ldd(1): `ld.so --list` does not run the program.
    let output = Command::new(&interpreter)
        .arg("--list")
        .arg(program)
        .output()
        .map_err(|error| unfit(format!("{}: {error}", interpreter.display())))?;
    if !output.status.success() {
        return Err(unfit(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let mut files = vec![interpreter];
    files.extend(listed(&String::from_utf8_lossy(&output.stdout)));
    Ok(files)
}

/// The path in `PT_INTERP`.
fn interpreter(image: &[u8]) -> Result<Option<PathBuf>, object::read::Error> {
    let header = elf::FileHeader64::<Endianness>::parse(image)?;
    let endian = header.endian()?;
    for segment in header.program_headers(endian, image)? {
        if let Some(path) = segment.interpreter(endian, image)? {
            return Ok(Some(PathBuf::from(String::from_utf8_lossy(path).into_owned())));
        }
    }
    Ok(None)
}

/// Drops what follows the segments of an ELF file: symbols, debug lines and the table of sections, which no loader reads. A guest
/// copies its files into memory at each boot; of a program with debug lines four fifths are not needed to run it.
pub(crate) fn keep_loaded(mut image: Vec<u8>) -> Vec<u8> {
    let Ok(end) = end_of_segments(&image) else {
        return image;
    };
    image.truncate(end);
    let without_sections = elf::FileHeader64::<Endianness>::parse(image.as_slice()).map(|header| {
        let mut header = *header;
        header.e_shoff = Default::default();
        header.e_shnum = Default::default();
        header.e_shstrndx = Default::default();
        header
    });
    if let Ok(header) = without_sections {
        let bytes = object::bytes_of(&header);
        image[..bytes.len()].copy_from_slice(bytes);
    }
    image
}

/// Where the last segment of an ELF file ends, or its program headers.
fn end_of_segments(image: &[u8]) -> Result<usize, object::read::Error> {
    let header = elf::FileHeader64::<Endianness>::parse(image)?;
    let endian = header.endian()?;
    let segments = header.program_headers(endian, image)?;
    let headers = header.e_phoff.get(endian) + (size_of_val(segments)) as u64;
    let ends = segments
        .iter()
        .map(|segment| segment.p_offset(endian).saturating_add(segment.p_filesz(endian)));
    Ok(ends.fold(headers, u64::max).min(image.len() as u64) as usize)
}

/// Lines are `name => /path (address)`; the virtual library of the kernel has no path.
fn listed(text: &str) -> impl Iterator<Item = PathBuf> {
    text.lines().filter_map(|line| {
        let path = line.split_once("=> ")?.1.split(" (").next()?.trim();
        path.starts_with('/').then(|| PathBuf::from(path))
    })
}

/// Reads a file; an error names it.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, VmError> {
    fs::read(path).map_err(|error| VmError::Unreadable {
        path: path.to_owned(),
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_needs_the_c_library_and_its_interpreter() {
        let program = std::env::current_exe().expect("it runs");
        let image = read(&program).expect("it is readable");
        let files = libraries(&program, &image).expect("it started");
        let names: Vec<_> = files.iter().map(|path| path.to_string_lossy()).collect();
        assert!(names[0].contains("ld-"), "{names:?}");
        assert!(names.iter().any(|name| name.contains("libc.so")), "{names:?}");
    }

    #[test]
    fn what_is_loaded_of_this_test_runs_and_is_smaller() {
        let image = read(&std::env::current_exe().expect("it runs")).expect("it is readable");
        let kept = keep_loaded(image.clone());
        assert!(kept.len() < image.len(), "{} of {}", kept.len(), image.len());
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("kept");
        fs::write(&path, kept).expect("it is written");
        // Its interpreter starts it: a file that was just written may still be open in a child of another test.
        let loader = interpreter(&image)
            .expect("an executable")
            .expect("with an interpreter");
        let output = Command::new(loader)
            .arg(&path)
            .arg("--list")
            .output()
            .expect("it starts");
        assert!(output.status.success(), "{output:?}");
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("what_is_loaded_of_this_test"),
            "{output:?}"
        );
    }

    #[test]
    fn what_is_no_program_is_kept_whole() {
        assert_eq!(keep_loaded(b"#!/bin/sh\n".to_vec()), b"#!/bin/sh\n");
    }

    #[test]
    fn a_script_is_not_a_program_for_the_guest() {
        let error = libraries(Path::new("run.sh"), b"#!/bin/sh\n").expect_err("not an executable");
        assert!(
            error.to_string().starts_with("run.sh cannot run in the guest"),
            "{error}"
        );
    }
}
