//! A mix of requests (`--mix`) against a server: every output has a part for each row, and mistakes are refused.

use std::collections::BTreeMap;
use std::fs;

use c10k_record::{LoadRow, LoadSearch, LoadSummary};

use crate::support::{Server, load, refused, relaxed, summary};

/// Nine of ten requests are answered at once, one is answered with an error, and one takes long.
const MIX: [&str; 6] = [
    "--mix",
    "80=/bytes/{zipf:100}",
    "--mix",
    "10=/nothing/{uniform:5}",
    "--mix",
    "10=/spin/{uniform:3}ms",
];

fn mixed(server: &Server, arguments: &[&str]) -> LoadSummary {
    let url = server.url("");
    summary(&load(&relaxed(&[&[url.as_str()][..], &MIX, arguments].concat())))
}

#[test]
fn each_row_has_its_own_counts_and_the_record_has_the_rows_in_their_order() {
    let server = Server::start(&[]);
    let run = mixed(&server, &["--duration", "1s"]);
    let [bytes, nothing, spin] = &run.rows[..] else {
        panic!("three rows: {:?}", run.rows)
    };
    assert_eq!(
        [bytes, nothing, spin].map(|row| (row.request.as_str(), row.weight)),
        [
            ("/bytes/{zipf:100}", 80.0),
            ("/nothing/{uniform:5}", 10.0),
            ("/spin/{uniform:3}ms", 10.0)
        ]
    );
    let statuses = |row: &LoadRow| row.statuses.clone();
    let only = |name: &str, count| BTreeMap::from([(name.to_owned(), count)]);
    assert_eq!(statuses(bytes), only("200", bytes.intended));
    assert_eq!(statuses(nothing), only("404", nothing.intended));
    // What counts as a failure is the same with and without a mix.
    assert_eq!(nothing.errors, only("bad-status", nothing.intended));
    assert_eq!(run.errors, nothing.errors);
    assert_eq!(spin.completed, spin.intended);
    assert!(spin.latency_ns.max >= 2_000_000, "{:?}", spin.latency_ns);
    assert_eq!(run.intended, 200);
}

#[test]
fn the_seed_decides_how_many_requests_each_row_has_whatever_the_number_of_threads() {
    let server = Server::start(&[]);
    let intended = |arguments: &[&str]| -> Vec<u64> {
        let run = mixed(&server, arguments);
        run.rows.iter().map(|row| row.intended).collect()
    };
    let alone = intended(&["--seed", "5"]);
    assert_eq!(intended(&["--seed", "5", "--threads", "4"]), alone);
    let others = (6..10).map(|seed| intended(&["--seed", &seed.to_string()]));
    assert!(others.into_iter().any(|other| other != alone));
}

#[test]
fn the_outputs_have_a_part_for_each_row() {
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (csv, metrics) = (path("csv"), path("metrics"));
    let run = mixed(&server, &["--csv", &csv, "--openmetrics", &metrics]);
    let csv = fs::read_to_string(csv).expect("written");
    let mut due: BTreeMap<&str, u64> = BTreeMap::new();
    for line in csv.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        *due.entry(fields[7]).or_default() += fields[2].parse::<u64>().expect("a number");
    }
    let of_rows = run.rows.iter().map(|row| (row.request.as_str(), row.intended));
    assert_eq!(due, of_rows.chain([("", run.intended)]).collect());
    let metrics = fs::read_to_string(metrics).expect("written");
    for row in &run.rows {
        let sample = format!(
            "c10k_load_row_requests_intended_total{{request=\"{}\"}} {}\n",
            row.request, row.intended
        );
        assert!(metrics.contains(&sample), "{sample} is missing in:\n{metrics}");
    }
    let url = server.url("");
    for (format, is_in_it) in [("--text", true), ("--httperf", false)] {
        let arguments = [
            &[url.as_str(), format, "--duration", "200ms", "--max-lag", "60s"][..],
            &MIX,
        ]
        .concat();
        let text = String::from_utf8(load(&arguments).stdout).expect("text");
        assert_eq!(
            text.contains("80.0000% /bytes/{zipf:100}"),
            is_in_it,
            "{format}: {text}"
        );
    }
    // Without a mix nothing says anything about rows.
    let plain = server.url("/bytes/92");
    let plain = String::from_utf8(load(&relaxed(&[&plain])).stdout).expect("text");
    assert!(!plain.contains("rows"), "{plain}");
}

#[test]
fn a_mix_can_be_searched_and_sent_in_sessions_and_in_a_closed_loop() {
    let server = Server::start(&[]);
    let url = server.url("");
    let good = ["--mix", "3=/bytes/{zipf:100}", "--mix", "1=/spin/100us"];
    let run = |arguments: &[&str]| load(&relaxed(&[&[url.as_str()], &good[..], arguments].concat()));
    for arguments in [
        &["--wsess", "20,5,1ms", "--burst", "2"][..],
        &["--rate", "max", "--threads", "2"],
        &["--pipeline", "4", "--rate", "500"],
        &["--requests-per-connection", "1"],
    ] {
        let run = summary(&run(arguments));
        assert_eq!((run.completed, run.rows.len()), (run.intended, 2), "{arguments:?}");
        assert!(run.rows.iter().all(|row| row.intended > 0), "{arguments:?}");
    }
    let output = run(&[
        "--find-max",
        "p99<59s",
        "--rate",
        "20",
        "--duration",
        "100ms",
        "--clock",
        "monotonic",
    ]);
    let found: LoadSearch = serde_json::from_slice(&output.stdout).expect("a search");
    assert_eq!(found.best.expect("a rate holds").rows.len(), 2);
}

#[test]
fn files_and_mailboxes_of_a_server_are_requested_by_number() {
    let disk = tempfile::tempdir().expect("a folder");
    let path = disk.path().to_str().expect("UTF-8");
    let server = Server::start(&[
        "--model",
        "thread-per-connection",
        "--disk",
        path,
        "--disk-files",
        "100",
    ]);
    let url = server.url("");
    let rows = [
        "--mix",
        "80=/file/{zipf:100}",
        "--mix",
        "10=/file/{uniform:200}",
        "--mix",
        "10=POST /mail/{uniform:4} 1k",
    ];
    let arguments = [&[url.as_str()], &rows[..], &["--duration", "1s", "--threads", "2"]].concat();
    let run = summary(&load(&relaxed(&arguments)));
    let [files, too_many, mail] = &run.rows[..] else {
        panic!("three rows: {:?}", run.rows)
    };
    assert_eq!((files.completed, mail.completed), (files.intended, mail.intended));
    assert!(files.intended > mail.intended && mail.intended > 0);
    // Half of these numbers have no file.
    let statuses: Vec<&str> = too_many.statuses.keys().map(String::as_str).collect();
    assert_eq!(statuses, ["200", "404"]);
    assert_eq!(too_many.errors.get("bad-status"), too_many.statuses.get("404"));
    // Each message was appended to one of four mailboxes, those of the test requests not among them.
    let boxes = fs::read_dir(disk.path().join("mail")).expect("mailboxes");
    let bytes = boxes.map(|entry| entry.and_then(|entry| entry.metadata()).expect("a file").len());
    assert_eq!(bytes.sum::<u64>(), 1024 * mail.completed);
}

#[test]
fn a_mistake_in_a_mix_is_refused_in_one_line() {
    let url = "http://127.0.0.1:1";
    for (rows, words) in [
        (&["/bytes/92"][..], &["/bytes/92", "WEIGHT=REQUEST"][..]),
        (&["1=bytes"], &["--mix", "GET, POST"]),
        (&["1=/{zipf:0}"], &["{zipf:COUNT:EXPONENT}"]),
        (&["1=/{zipf:5}{zipf:5}"], &["one number"]),
        (&["1=/a 1k"], &["no body"]),
        (&["1=POST /a 1g"], &["0 to 1m"]),
        (&["0=/a"], &["above 0"]),
        (&["1=/a", "2=/a"], &["same request"]),
        (&[""], &["weight"]),
    ] {
        let arguments: Vec<&str> = rows.iter().flat_map(|row| ["--mix", row]).collect();
        refused(&[&[url], &arguments[..]].concat(), words);
    }
    refused(&["http://127.0.0.1:1/bytes/92", "--mix", "1=/"], &["omit the path"]);
    refused(&[url, "--mix", "1=/", "--verify-bodies"], &["--verify-bodies", "--mix"]);
}
