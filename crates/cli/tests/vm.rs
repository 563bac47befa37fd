//! `c10k vm` as a command: every error is one line with the remedy, and exit code 2.
//!
//! Tests that boot a guest need an emulator and a kernel (`C10K_KERNEL`, or one in /boot). Where they are missing the
//! reason is printed; with `C10K_REQUIRE=all` that is a failure.

use std::path::Path;
use std::process::{Command, Output};

fn vm(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_c10k"));
    command.arg("vm").args(arguments);
    command
}

/// The last line on standard error of a run that must end with exit code 2.
fn refusal(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    let own: Vec<&str> = text.lines().filter(|line| !line.starts_with("guest: ")).collect();
    assert_eq!(own.len(), 1, "one line: {text}");
    own[0].to_owned()
}

/// Runs a command that boots a guest. If no guest can be booted on this machine, prints the reason and returns `None`.
fn boot(arguments: &[&str]) -> Option<Output> {
    let missing = c10k_vm::Machine::find(std::env::var_os("C10K_KERNEL").as_ref().map(Path::new)).err();
    if let Some(reason) = missing {
        assert!(!c10k_testkit::required::is_required(&["vm"]), "required: {reason}");
        println!("unavailable here: {reason}");
        return None;
    }
    Some(vm(arguments).output().expect("it starts"))
}

#[test]
fn without_an_emulator_the_package_is_named() {
    let output = vm(&["doctor"]).env("PATH", "").output().expect("it starts");
    let line = refusal(&output);
    assert!(
        line.contains("qemu-system-x86_64") && line.contains("apt-get install"),
        "{line}"
    );
}

#[test]
fn without_a_kernel_the_option_is_named() {
    let Some(output) = boot(&["doctor", "--kernel", "/nowhere/vmlinuz"]) else {
        return;
    };
    assert!(refusal(&output).contains("cannot read /nowhere/vmlinuz"));
    let itself = env!("CARGO_BIN_EXE_c10k");
    let output = vm(&["doctor", "--kernel", itself]).output().expect("it starts");
    let line = refusal(&output);
    assert!(
        line.contains("is not a bootable x86 kernel") && line.contains("--kernel"),
        "{line}"
    );
}

#[test]
fn a_panic_is_reported_with_the_last_lines_of_the_console() {
    // The kernel finds no process 1.
    let Some(output) = boot(&["doctor", "--append", "rdinit=/nowhere"]) else {
        return;
    };
    let line = refusal(&output);
    assert!(line.contains("the guest panicked: "), "{line}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("guest: "),
        "the console is shown"
    );
}

#[test]
fn a_guest_that_does_not_finish_ends_with_its_time_limit() {
    // No guest boots within a second of emulation, and one that panicked does not end with panic=0.
    let Some(output) = boot(&[
        "doctor",
        "--time-limit",
        "1s",
        "--append",
        "panic=0",
        "--append",
        "rdinit=/nowhere",
    ]) else {
        return;
    };
    let line = refusal(&output);
    assert!(
        line.contains("did not finish within 1s") && line.contains("--time-limit"),
        "{line}"
    );
}

#[test]
fn a_mechanism_that_the_kernel_lacks_is_reported_with_the_reason() {
    // The kernel does not describe its types, as one built without CONFIG_DEBUG_INFO_BTF.
    let without = ["--append", "initcall_blacklist=btf_vmlinux_init"];
    let itself = env!("CARGO_BIN_EXE_c10k");
    for what in [
        &["study", "vm/burst-cost", "--only", "signal-per-fd"][..],
        &["test", itself],
    ] {
        let Some(output) = boot(&[what, &without].concat()) else {
            return;
        };
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        let last = text.lines().last().unwrap_or_default();
        assert!(
            last.starts_with("c10k: signal-per-fd") && last.contains("CONFIG_DEBUG_INFO_BTF"),
            "{text}"
        );
    }
}

#[test]
fn a_guest_boots_reports_and_powers_off() {
    let Some(output) = boot(&["doctor"]) else { return };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for name in ["emulator", "sha256", "booted", "clock source", "kvm"] {
        assert!(text.contains(name), "{text}");
    }
}

#[test]
fn an_unknown_study_is_refused_with_the_names_of_all() {
    let line = refusal(&vm(&["study", "vm/nap"]).output().expect("it starts"));
    assert!(line.contains("vm/request-cost") && line.contains("all"), "{line}");
    // `c10k study` with the same name refers to `c10k vm study`.
    let mut lab = Command::new(env!("CARGO_BIN_EXE_c10k"));
    let line = refusal(&lab.args(["study", "vm/peers"]).output().expect("it starts"));
    assert!(line.contains("c10k vm study vm/peers"), "{line}");
}

#[test]
fn a_filter_that_matches_nothing_is_refused_with_an_example() {
    let Some(output) = boot(&["study", "vm/burst-cost", "--only", "nonsense"]) else {
        return;
    };
    let line = refusal(&output);
    assert!(
        line.contains("no cell matches \"nonsense\"") && line.contains("epoll-edge"),
        "{line}"
    );
}

#[test]
fn a_table_of_another_study_is_refused_as_baseline() {
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/../../experiments/vm/burst-cost.json");
    let Some(output) = boot(&["study", "vm/dispatch-cost", "--baseline", table]) else {
        return;
    };
    let line = refusal(&output);
    assert!(line.contains("it is a table of vm/burst-cost"), "{line}");
}

#[test]
fn a_cell_is_written_and_is_the_same_at_the_next_boot() {
    let folder = tempfile::TempDir::new().expect("space");
    let out = folder.path().to_string_lossy().into_owned();
    let study = [
        "study",
        "vm/burst-cost",
        "vm/request-cost",
        "--only",
        "epoll-edge writes=1,bare connection=kept",
    ];
    let Some(first) = boot(&[&study[..], &["--out", &out]].concat()) else {
        return;
    };
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    for name in [
        "burst-cost.json",
        "burst-cost.csv",
        "request-cost.json",
        "request-cost.csv",
        "report.html",
    ] {
        assert!(folder.path().join(name).exists(), "{name}");
    }
    let again = [&study[..], &["--baseline", &out, "--tolerance", "0"]].concat();
    let second = vm(&again).output().expect("it starts");
    let text = String::from_utf8_lossy(&second.stderr);
    assert!(
        second.status.success() && text.contains("epoll-edge") && text.contains("bare"),
        "{text}"
    );
}

#[test]
fn the_program_of_the_guest_refuses_to_run_outside() {
    let line = refusal(&vm(&["guest"]).output().expect("it starts"));
    assert!(line.contains("process 1"), "{line}");
}
