//! Standard output and standard error that nobody reads, or that cannot be written.

use std::fs::File;
use std::io::Read as _;
use std::process::{Command, Stdio};

/// Runs the command with a standard output whose reader has left. Returns its exit code and what it said.
fn without_reader(arguments: &[&str]) -> (Option<i32>, String) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_c10k"));
    let output = command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .expect("the command starts");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn a_reader_who_has_left_is_no_error() {
    for arguments in [
        &["list"][..],
        &["list", "--json"],
        &["doctor"],
        &["doctor", "--json"],
        &["probe", "switch-cost", "--by", "eventfd", "--time", "5ms", "--json"],
    ] {
        assert_eq!(without_reader(arguments), (Some(0), String::new()), "{arguments:?}");
    }
}

#[test]
fn a_full_disk_is_one_line_and_code_2() {
    for arguments in [&["list"][..], &["list", "--json"], &["doctor"]] {
        let full = File::options().write(true).open("/dev/full").expect("Linux has it");
        let mut command = Command::new(env!("CARGO_BIN_EXE_c10k"));
        let mut child = command
            .args(arguments)
            .stdout(full)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let mut said = String::new();
        let stderr = child.stderr.as_mut().expect("piped");
        stderr.read_to_string(&mut said).expect("text");
        assert_eq!(child.wait().expect("it ends").code(), Some(2), "{said}");
        assert!(
            said.lines().count() == 1 && said.contains("writing standard output"),
            "{said}"
        );
    }
}

#[test]
fn a_closed_standard_error_does_not_change_the_exit_code() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_c10k"));
    let status = command.args(["frobnicate"]).stderr(writer).status();
    assert_eq!(status.expect("the command starts").code(), Some(2));
}
