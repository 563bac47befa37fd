//! Demands that cannot be met.

use c10k_record::{CellStatus, Manifest, read};

use crate::support::{OWN, Study, said};

#[test]
fn a_server_that_never_listens_is_waited_for_once_and_its_cells_fail() {
    // Nothing listens on port 1, which is not assigned to programs that ask for any free port.
    let silent = r#"{ command = ["sleep", "600"], url = "http://127.0.0.1:1" }"#;
    let study = Study::new(&[("silent", silent), ("own", OWN)]);
    let output = study.run(&["--budget", "2s"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let records = study.records();
    let failed: Vec<_> = records.iter().filter(|record| record.variant == "silent").collect();
    assert!(!failed.is_empty() && failed.len() < records.len(), "{records:?}");
    for record in failed {
        assert_eq!(record.status, CellStatus::Failed);
        assert!(
            record.reasons.concat().contains("nothing answered at 127.0.0.1:1"),
            "{record:?}"
        );
        assert!(record.server_command.is_empty(), "it was started again: {record:?}");
    }
    let text = std::fs::read(study.out().join("manifest.json")).expect("it is there");
    let manifest: Manifest = read::object(&text).expect("a manifest");
    assert!(manifest.unavailable_because.contains_key("silent"), "{manifest:?}");
    assert_eq!(manifest.failed, ["silent"]);
    assert!(
        manifest.prepared_s >= 10.0,
        "what was waited for counts: {}",
        manifest.prepared_s
    );
}

#[test]
fn amounts_of_the_command_line_that_nothing_could_meet_are_refused() {
    let study = Study::new(&[("own", OWN)]);
    let amounts = [["--budget", "0s"], ["--repeats", "0"], ["--repeats", "4000000000"]];
    for arguments in amounts.into_iter().chain([["--until", "settled"]]) {
        let output = study.run(&arguments);
        let said = said(&output);
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
        assert!(said.contains(arguments[0]), "{said}");
    }
    assert!(!study.out().exists());
}
