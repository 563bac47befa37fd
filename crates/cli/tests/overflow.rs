//! Table 1 of the paper, end to end, with a short form of the built-in study. The study prints what its server counted; the
//! server's `/stats` and its summary agree; and both agree with the system calls that a tracer saw.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use c10k_record::{CellRecord, ServeRecord, ServeSummary};
use c10k_testkit::required::is_required;

const STUDY: &str = include_str!("../../../experiments/paper/queue-overflow.toml");

/// Rates far below and far above the limit of a server whose requests take a quarter of a millisecond each.
const RATES: [&str; 2] = ["20", "12000"];

/// The built-in study with two fixed rates, so that no saturation is measured, a shorter queue and short cells.
fn short() -> String {
    let (head, rest) = STUDY.split_once("[saturation]").expect("it measures a saturation");
    let (_, rest) = rest.split_once("[[variant]]").expect("it has a variant");
    let (variant, rest) = rest.split_once("[[variant]]").expect("and another");
    let (_, rest) = rest.split_once("[[claim]]").expect("it has claims");
    let (_, table) = rest.split_once("[[table]]").expect("it has the table");
    let (table, published) = table.split_once("published = [\n").expect("with what was published");
    let rows: Vec<&str> = published.lines().take(RATES.len()).collect();
    let (axes, _) = head.split_once("\nrate = ").expect("the rate is an axis");
    let changes = [
        ("signal-queue = 1024", "signal-queue = 256"),
        ("duration = \"1s\"", "duration = \"250ms\""),
        ("warmup = \"150ms\"", "warmup = \"50ms\""),
        ("max-lag = \"25ms\"", "max-lag = \"5s\""),
        ("timeout = \"2s\"", "timeout = \"400ms\""),
        ("idle = [252, 6000]", "idle = [10, 50]"),
    ];
    let axes = changes.iter().fold(axes.to_owned(), |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "the study has changed: {from}");
        text.replace(from, to)
    });
    format!(
        "{axes}\nrate = [{}]\n[[variant]]{variant}[[claim]]\nid = \"overflows\"\ntext = \"It overflows\"\nsource = \"this \
         test\"\nstatistic = \"value\"\nmeasure = \"overflows\"\nvariants = [\"rt-signal\"]\nwhere = {{ rate = {} }}\n\
         at-least = 1.0\n[[table]]{table}published = [\n{}\n]\n",
        RATES.join(", "),
        RATES[1],
        rows.join("\n")
    )
}

/// Runs the study and returns its folder and its table.
fn studied(folder: &Path, attempt: u32) -> (PathBuf, String) {
    let (file, out) = (folder.join("short.toml"), folder.join(format!("out-{attempt}")));
    fs::write(&file, short()).expect("it can be written");
    let output = Command::new(env!("CARGO_BIN_EXE_c10k"))
        .arg("study")
        .arg(&file)
        .arg("--out")
        .arg(&out)
        .args(["--repeats", "1", "--seed", "7"])
        .stdin(Stdio::null())
        .output()
        .expect("the command starts");
    let table = fs::read_to_string(out.join("table-1.csv"))
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (out, table)
}

fn records(out: &Path) -> Vec<CellRecord> {
    let text = fs::read_to_string(out.join("records.ndjson")).expect("the records are there");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a record"))
        .collect()
}

/// The two figures of a cell: signals read, and overflows.
fn counted(server: &ServeSummary) -> (u64, u64) {
    (server.signals - server.discarded_signals, server.overflows)
}

#[test]
fn table_1_holds_what_the_servers_counted_and_that_is_what_stats_says_and_what_the_kernel_saw() {
    let folder = tempfile::tempdir().expect("a folder");
    // If the machine is so busy that a cell is invalid twice, its figures are missing.
    let (out, table) = (0..3)
        .map(|attempt| studied(folder.path(), attempt))
        .find(|(_, table)| !table.contains(",,"))
        .expect("three times the machine was too busy to measure anything");
    let records = records(&out);
    holds_the_counters(&table, &records);
    let overflowed = |record: &&CellRecord| record.server.as_ref().is_some_and(|server| server.overflows > 0);
    counts_as_the_kernel(
        records.iter().find(overflowed).expect("a cell that overflowed"),
        folder.path(),
    );
}

/// Every figure of the table is one that a server counted.
fn holds_the_counters(table: &str, records: &[CellRecord]) {
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), RATES.len(), "{table}");
    for (rate, row) in RATES.iter().zip(&rows) {
        assert_eq!(row[0], *rate, "{table}");
        for (idle, figures) in [10.0, 50.0].into_iter().zip(row[1..5].chunks(2)) {
            let figures: (u64, u64) = (
                figures[0].parse().expect("a count"),
                figures[1].parse().expect("a count"),
            );
            let tries: Vec<&CellRecord> = records
                .iter()
                .filter(|record| record.levels["idle"] == idle && record.levels["rate"].to_string() == *rate)
                .collect();
            let servers: Vec<&ServeSummary> = tries.iter().filter_map(|record| record.server.as_ref()).collect();
            // A disturbed cell is run once more, and one of the two runs counts.
            assert!(
                servers.iter().any(|server| counted(server) == figures),
                "{idle}, {rate}: {servers:?}"
            );
            for server in servers {
                let calls = server.syscalls["rt_sigtimedwait"];
                assert!(server.signals <= calls, "a call takes one signal at most: {server:?}");
                assert!(
                    server.discarded_signals + server.overflows <= server.signals,
                    "{server:?}"
                );
                assert_eq!(
                    server.rescans, server.overflows,
                    "each overflow takes one sweep: {server:?}"
                );
            }
            // The limit on queued signals is per user: at the low rate, signals of other processes may fill the queue.
            assert!(figures.1 > 0 || *rate == RATES[0], "{idle}, {rate}: {table}");
        }
    }
}

/// Runs the commands of a cell once more, outside the study and with a trace of the system calls.
fn counts_as_the_kernel(cell: &CellRecord, folder: &Path) {
    if let Err(reason) = tracer() {
        assert!(!is_required(&["strace"]), "strace is required (C10K_REQUIRE): {reason}");
        eprintln!("skipped: strace: {reason}");
        return;
    }
    let trace = folder.join("trace");
    let mut server = Command::new("strace")
        .args(["-f", "-qq", "-e", "signal=none", "-e", "trace=rt_sigtimedwait", "-o"])
        .arg(&trace)
        .args(&cell.server_command)
        .stdout(Stdio::piped())
        .spawn()
        .expect("strace was tried");
    let mut lines = BufReader::new(server.stdout.take().expect("piped")).lines();
    let mut record = || -> ServeRecord {
        let line = lines.next().expect("another record").expect("text");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"))
    };
    let ServeRecord::Listening { address, pid, .. } = record() else {
        panic!("not the listening record")
    };
    let target = &cell.load_command[2];
    let load = cell.load_command.iter().skip(1).map(|word| match word == target {
        true => format!("http://{address}/bytes/1"),
        false => word.clone(),
    });
    let loaded = Command::new(&cell.load_command[0])
        .args(load)
        .output()
        .expect("the generator starts");
    assert!(!loaded.stdout.is_empty(), "{}", String::from_utf8_lossy(&loaded.stderr));
    let reported = stats_when_idle(&address);
    let stopped = Command::new("kill").args(["-TERM", &pid.to_string()]).status();
    assert!(stopped.expect("kill is there").success());
    let ServeRecord::Summary(summary) = record() else {
        panic!("not the summary")
    };
    assert!(server.wait().expect("our child").success());

    assert!(summary.overflows > 0, "{summary:?}");
    assert_eq!(reported.overflows, summary.overflows);
    assert_eq!(reported.rescans, summary.rescans);
    assert_eq!(reported.discarded_signals, summary.discarded_signals);
    // Two closes follow the request for the statistics: that of its own connection and that of the listener.
    let after = summary.signals - reported.signals;
    assert!(after <= 4, "{after} signals after the last reply");
    let trace = fs::read_to_string(&trace).expect("strace wrote it");
    let (rt_signals, overflows) = taken(&trace);
    assert_eq!(
        rt_signals + overflows,
        summary.signals,
        "the kernel handed out other signals"
    );
    // A SIGIO that is found while the queue is discarded is not another overflow.
    assert!(
        (summary.overflows..=summary.overflows + summary.discarded_signals).contains(&overflows),
        "the kernel saw {overflows} SIGIOs: {summary:?}"
    );
}

fn tracer() -> Result<(), String> {
    let tried = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    match tried {
        Err(error) => Err(format!("it does not start ({error}): install the package strace")),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// The server's counters once it is idle: they are requested until two replies differ only by the request itself.
fn stats_when_idle(address: &str) -> ServeSummary {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let (first, second) = (stats(address), stats(address));
        let asking = second.signals - first.signals <= 4 && second.overflows == first.overflows;
        // The connection of this request is one of them.
        if asking && second.open_connections <= 1 {
            return second;
        }
        assert!(Instant::now() < deadline, "it never came to rest: {second:?}");
    }
}

fn stats(address: &str) -> ServeSummary {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET /stats HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("it answers");
    let (_, body) = reply.split_once("\r\n\r\n").expect("a reply");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error} in {body}"))
}

/// The number of real-time signals and the number of `SIGIO`s that `rt_sigtimedwait` returned. The calls of the thread that
/// waits for SIGTERM and SIGINT do not count.
fn taken(trace: &str) -> (u64, u64) {
    let brought = |name: &str| {
        let lines = trace.lines().filter(|line| line.contains("rt_sigtimedwait"));
        let hits = lines.filter(|line| line.rsplit_once(" = ").is_some_and(|(_, result)| result.contains(name)));
        hits.count() as u64
    };
    (brought("(SIGRT"), brought("(SIGIO"))
}
