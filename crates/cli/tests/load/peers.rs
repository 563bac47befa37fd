//! A load on a server of another project.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;

use tempfile::TempDir;

use crate::ports::free_port;
use crate::support::{load, relaxed, summary};

/// nginx on a free port. It is killed when this is dropped.
struct Nginx {
    process: Child,
    address: String,
    _folder: TempDir,
}

impl Nginx {
    /// If it is not installed, prints that and returns `None`.
    fn start() -> Option<Self> {
        // Another program may take the port before nginx binds it. Then nginx ends and is started again with another port.
        for _ in 0..5 {
            let mut nginx = match Self::spawn() {
                Ok(nginx) => nginx,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let required = std::env::var("C10K_REQUIRE").unwrap_or_default();
                    let is_required = required.split(',').any(|word| word == "all" || word == "nginx");
                    assert!(
                        !is_required,
                        "nginx is required (C10K_REQUIRE) and unavailable: {error}"
                    );
                    eprintln!("not run: nginx: {error}: install nginx-light");
                    return None;
                }
                Err(error) => panic!("starting nginx: {error}"),
            };
            while nginx.process.try_wait().expect("its state").is_none() {
                if TcpStream::connect(&nginx.address).is_ok() {
                    return Some(nginx);
                }
                thread::yield_now();
            }
        }
        panic!("nginx does not start");
    }

    fn spawn() -> std::io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = format!("127.0.0.1:{}", free_port());
        let path = folder.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {path};"))
            .concat();
        let body = "x".repeat(92);
        let configuration = format!(
            "master_process off; daemon off; pid {path}/pid; error_log stderr;
             events {{ worker_connections 1000; }}
             http {{ access_log off; {temporary}
                 server {{ listen {address}; location / {{ return 200 \"{body}\"; }} }} }}"
        );
        let file = folder.path().join("nginx.conf");
        fs::write(&file, configuration)?;
        let mut command = Command::new("nginx");
        let command = command.arg("-p").arg(folder.path()).arg("-c").arg(&file);
        let process = command.stderr(Stdio::null()).spawn()?;
        Ok(Self {
            process,
            address,
            _folder: folder,
        })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn nginx_answers_every_pattern() {
    let Some(nginx) = Nginx::start() else { return };
    let url = format!("http://{}/bytes/92", nginx.address);
    for pattern in [
        &[
            "--connections",
            "20",
            "--idle",
            "100",
            "--idle-churn",
            "50",
            "--verify-bodies",
        ][..],
        &["--requests-per-connection", "1"],
        &["--requests-per-connection", "1", "--close", "reset"],
        &["--connections", "2", "--pipeline", "4", "--burst", "8"],
        &["--wsess", "1000,4,20ms", "--burst", "2"],
    ] {
        let run = summary(&load(&relaxed(&[&[url.as_str()], pattern].concat())));
        assert_eq!((run.completed, run.valid), (run.intended, true), "{pattern:?}: {run:?}");
        assert!(
            run.intended >= 30 && run.idle.open_min == run.idle.target,
            "{pattern:?}: {run:?}"
        );
    }
}
