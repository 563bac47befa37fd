//! The viewer on a terminal: what it shows, and that it leaves the terminal as it was, however it ends.
//!
//! The viewer runs in a process of its own, this test program with another test selected, whose terminal is a pseudo-terminal.

mod support;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command};

use c10k_monitor::Stop;
use c10k_monitor::watch::{Until, Watcher, screen};
use rustix::fs::OFlags;
use rustix::pty::OpenptFlags;
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use support::{Daemon, until};

/// Has the addresses of the hosts in the process of the viewer.
const HOSTS: &str = "C10K_TEST_VIEWER";

/// Has the path of a file; when it exists, the process of the viewer panics.
const PANICS: &str = "C10K_TEST_VIEWER_PANICS";

/// The viewer itself, if this is its process.
#[test]
fn viewer() {
    let Ok(hosts) = std::env::var(HOSTS) else {
        return;
    };
    let stop = Stop::new().expect("a descriptor");
    let hosts: Vec<String> = hosts.split(' ').map(ToOwned::to_owned).collect();
    let mut watcher = Watcher::open(&hosts, &stop).expect("epoll");
    if let Ok(file) = std::env::var(PANICS) {
        std::thread::spawn(move || {
            until("the file", || std::fs::exists(&file).is_ok_and(|exists| exists));
            // The hook restores the terminal, whichever thread panics.
            let _ = std::thread::spawn(|| panic!("on purpose")).join();
            std::process::abort();
        });
    }
    screen(&mut watcher, Until::Stopped, &stop).expect("a terminal");
}

/// A viewer on a pseudo-terminal of 80 columns and 24 lines.
struct Viewer {
    process: Child,
    controller: File,
    terminal: OwnedFd,
    before: Termios,
    shown: Vec<u8>,
}

impl Viewer {
    fn start(hosts: &str, panics: Option<&Path>) -> Viewer {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let controller = rustix::pty::openpt(flags).expect("a pseudo-terminal");
        rustix::pty::unlockpt(&controller).expect("its other side");
        let terminal = rustix::pty::ioctl_tiocgptpeer(&controller, flags).expect("its other side");
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&terminal, size).expect("a terminal");
        let before = tcgetattr(&terminal).expect("a terminal");
        rustix::fs::fcntl_setfl(&controller, OFlags::RDWR | OFlags::NONBLOCK).expect("a descriptor");
        let side = || terminal.try_clone().expect("a descriptor");
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command
            .args(["--exact", "viewer", "--nocapture", "--test-threads", "1"])
            .env(HOSTS, hosts)
            .stdin(side())
            .stdout(side())
            .stderr(side());
        if let Some(file) = panics {
            command.env(PANICS, file);
        }
        Viewer {
            process: command.spawn().expect("it starts"),
            controller: controller.into(),
            before,
            terminal,
            shown: Vec::new(),
        }
    }

    /// Reads what the viewer has written. Whether it contains the text.
    fn shows(&mut self, text: &str) -> bool {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = self.controller.read(&mut buffer) {
            self.shown.extend_from_slice(&buffer[..count]);
        }
        String::from_utf8_lossy(&self.shown).contains(text)
    }

    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        let this = std::cell::RefCell::new(self);
        until(&format!("'{text}'"), || this.borrow_mut().shows(text));
    }

    /// Waits for the end. The terminal has its modes again, its first screen and its cursor.
    #[track_caller]
    fn is_restored(&mut self) {
        self.wait_for("\u{1b}[?1049l");
        self.wait_for("\u{1b}[?25h");
        let status = self.process.wait().expect("our child");
        let after = tcgetattr(&self.terminal).expect("a terminal");
        assert_eq!(after.input_modes, self.before.input_modes, "{status}");
        assert_eq!(after.output_modes, self.before.output_modes);
        assert_eq!(after.local_modes, self.before.local_modes);
        assert_eq!(after.control_modes, self.before.control_modes);
    }
}

#[test]
fn keys_end_the_viewer_and_the_terminal_is_as_before() {
    let daemon = Daemon::start(20, |_| {});
    // Ctrl-C is a key while the terminal is raw.
    for key in ["q", "\u{3}"] {
        let mut viewer = Viewer::start(&daemon.address.to_string(), None);
        viewer.wait_for("\u{1b}[?1049h");
        viewer.wait_for("STATE");
        viewer.controller.write_all(key.as_bytes()).expect("room");
        viewer.is_restored();
        assert!(viewer.process.wait().expect("our child").success(), "{key:?}");
    }
    daemon.end();
}

#[test]
fn a_panic_leaves_the_terminal_as_it_was_and_its_message_can_be_read() {
    let daemon = Daemon::start(20, |_| {});
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("panic");
    let mut viewer = Viewer::start(&daemon.address.to_string(), Some(&file));
    viewer.wait_for("STATE");
    std::fs::write(&file, "").expect("a temporary file");
    viewer.is_restored();
    viewer.wait_for("on purpose");
    let shown = String::from_utf8_lossy(&viewer.shown).into_owned();
    let (_, after) = shown.split_once("\u{1b}[?1049l").expect("the first screen again");
    assert!(after.contains("on purpose"), "{shown}");
    daemon.end();
}
