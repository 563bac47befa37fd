//! What a program needs to start: its interpreter and its shared libraries.

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
    fn a_script_is_not_a_program_for_the_guest() {
        let error = libraries(Path::new("run.sh"), b"#!/bin/sh\n").expect_err("not an executable");
        assert!(
            error.to_string().starts_with("run.sh cannot run in the guest"),
            "{error}"
        );
    }
}
