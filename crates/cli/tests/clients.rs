//! The real clients that docs/server/README.md lists, against `c10k serve` with every model.
//!
//! If a client is not installed, the test prints its name and the reason. With `C10K_REQUIRE=all`, or with its name in that
//! list, the test fails instead.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use c10k_record::ServeRecord;

/// A server on a free port. It is stopped when this is dropped.
struct Server {
    child: Child,
    port: String,
}

impl Server {
    fn start(model: &str) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_c10k"))
            .args(["serve", "--json", "--lab", "--listen", "127.0.0.1:0", "--model", model])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the executable starts");
        let mut line = String::new();
        let mut records = BufReader::new(child.stdout.take().expect("piped"));
        records.read_line(&mut line).expect("a record");
        let Ok(ServeRecord::Listening { address, .. }) = serde_json::from_str(&line) else {
            panic!("{model} does not listen: {line:?}")
        };
        let port = address.rsplit(':').next().expect("an address with a port").to_owned();
        Server { child, port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The server may have ended by itself; then the client has failed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The models that can run here.
fn models() -> Vec<String> {
    let listed = Command::new(env!("CARGO_BIN_EXE_c10k"))
        .args(["list", "--json"])
        .output()
        .expect("it starts");
    let inventory: serde_json::Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let models = inventory["models"].as_array().expect("a list of models");
    let available = models.iter().filter(|model| model["available"] == true);
    available
        .map(|model| model["name"].as_str().expect("a name").to_owned())
        .collect()
}

/// Runs `client` against every model. `{url}` and `{port}` in its arguments stand for those of the server. The client must
/// succeed, print all of `wanted`, and pass `check`, which gets its output.
fn every_model_serves(client: &str, arguments: &[&str], wanted: &[&str]) {
    every_model_serves_and(client, arguments, wanted, |_| ());
}

fn every_model_serves_and(client: &str, arguments: &[&str], wanted: &[&str], check: fn(&str)) {
    let version = if client == "ab" { "-V" } else { "--version" };
    if let Err(error) = Command::new(client).arg(version).output() {
        let required = std::env::var("C10K_REQUIRE").unwrap_or_default();
        let named = |name: &str| required.split(',').any(|word| word == name);
        assert!(
            !(named("all") || named(client)) || named(&format!("-{client}")),
            "{client} is required (C10K_REQUIRE) and cannot be run: {error}"
        );
        return eprintln!("{client}: cannot be run here: {error}");
    }
    let models = models();
    assert!(models.len() > 5, "{models:?}");
    for model in models {
        let server = Server::start(&model);
        let url = format!("http://127.0.0.1:{}", server.port);
        let filled = arguments
            .iter()
            .map(|word| word.replace("{url}", &url).replace("{port}", &server.port));
        let output = Command::new(client)
            .args(filled)
            .stdin(Stdio::null())
            .output()
            .expect("it has run before");
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed);
        assert!(
            output.status.success(),
            "{client} against {model}: {}: {printed}",
            output.status
        );
        for text in wanted {
            assert!(
                printed.contains(text),
                "{client} against {model}: no {text:?} in {printed}"
            );
        }
        check(&printed);
    }
}

#[test]
fn curl_keeps_the_connection() {
    let arguments = [
        "-sS",
        "-o",
        "/dev/null",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} %{num_connects};",
        "{url}/bytes/5",
        "{url}/bytes/6",
    ];
    every_model_serves("curl", &arguments, &["200 1;200 0;"]);
}

#[test]
fn curl_asks_for_the_head_alone() {
    every_model_serves(
        "curl",
        &["-sS", "-I", "{url}/bytes/5"],
        &["HTTP/1.1 200 OK", "Content-Length: 5"],
    );
}

#[test]
fn curl_speaks_http_1_0() {
    let arguments = ["-sS", "-0", "-i", "{url}/spin/1us"];
    every_model_serves("curl", &arguments, &["HTTP/1.1 200 OK", "Connection: close"]);
}

#[test]
fn curl_waits_for_100_continue() {
    let arguments = ["-sS", "-i", "-H", "Expect: 100-continue", "-d", "hello", "{url}/echo"];
    every_model_serves(
        "curl",
        &arguments,
        &["HTTP/1.1 100 Continue", "HTTP/1.1 200 OK", "hello"],
    );
}

#[test]
fn wrk_finds_no_error() {
    let served = |printed: &str| {
        assert!(
            !printed.contains("Socket errors") && !printed.contains("Non-2xx"),
            "{printed}"
        );
    };
    every_model_serves_and(
        "wrk",
        &["-t1", "-c10", "-d1s", "{url}/bytes/92"],
        &["Requests/sec"],
        served,
    );
}

#[test]
fn h2load_is_answered_in_full() {
    let wanted = ["500 succeeded, 0 failed, 0 errored, 0 timeout"];
    every_model_serves(
        "h2load",
        &["--h1", "-n", "500", "-c", "10", "-t", "1", "{url}/bytes/92"],
        &wanted,
    );
    every_model_serves(
        "h2load",
        &["--h1", "-m", "8", "-n", "500", "-c", "10", "-t", "1", "{url}/bytes/92"],
        &wanted,
    );
}

#[test]
fn httperf_is_answered_in_full() {
    let calls = [
        "--hog",
        "--server",
        "127.0.0.1",
        "--port",
        "{port}",
        "--uri",
        "/bytes/6k",
        "--rate",
        "200",
        "--num-conns",
        "40",
        "--num-calls",
        "5",
    ];
    every_model_serves("httperf", &calls, &["replies 200", "2xx=200", "Errors: total 0"]);
}

#[test]
fn ab_keeps_the_connection() {
    let wanted = [
        "Complete requests:      500",
        "Failed requests:        0",
        "Keep-Alive requests:    500",
    ];
    every_model_serves("ab", &["-k", "-q", "-n", "500", "-c", "10", "{url}/bytes/92"], &wanted);
}
