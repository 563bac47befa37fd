//! Files below `--root`: which part of a file is sent, and which paths are refused.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::mpsc;

use c10k_server::Confinement;
use rustix::fs::{CWD, Mode, OFlags, mkfifoat};
use tempfile::TempDir;

use crate::Case;
use crate::client::{Client, Reply, pattern};
use crate::subject::{Needs, Running, Subject};

pub(crate) const CASES: &[Case] = &[
    (
        "a_file_is_sent_with_its_type_and_its_validators",
        Needs::Nothing,
        validators,
    ),
    (
        "conditions_on_several_lines_are_one_list",
        Needs::Nothing,
        several_lines,
    ),
    (
        "without_the_lab_a_server_has_its_files_or_its_bytes_and_nothing_else",
        Needs::Nothing,
        without_lab,
    ),
    ("ranges_of_a_file_are_sent", Needs::Nothing, ranges),
    (
        "a_long_file_is_sent_whole_and_the_connection_goes_on",
        Needs::Nothing,
        long,
    ),
    (
        "nothing_outside_the_root_and_no_device_is_sent",
        Needs::Nothing,
        confined,
    ),
    (
        "a_file_that_is_truncated_ends_its_connection_and_nothing_else",
        Needs::Nothing,
        truncated,
    ),
    (
        "a_confined_server_serves_and_cannot_reach_beyond_its_root",
        Needs::Nothing,
        landlocked,
    ),
    ("a_request_for_a_fifo_does_not_wake_its_writer", Needs::Nothing, fifo),
    ("a_server_gives_up_being_root", Needs::Root, user),
];

/// A directory with a page, a text of 1,000 bytes and a long file.
fn site() -> TempDir {
    let site = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, bytes: &[u8]| fs::write(site.path().join(name), bytes).expect("a new file");
    write("index.html", b"<p>here</p>\n");
    write("text.txt", &pattern(1000));
    write("empty.css", b"");
    write("a b%.bin", b"odd");
    write("long.bin", &pattern(LONG));
    fs::create_dir(site.path().join("sub")).expect("a new directory");
    write("sub/index.html", b"<p>below</p>\n");
    site
}

const LONG: usize = 3 << 20;

fn start(subject: &Subject, site: &TempDir) -> Running {
    subject.start(&[("root", site.path().to_str().expect("a path in UTF-8"))])
}

fn ask(client: &mut Client, method: &str, path: &str, fields: &str) -> Reply {
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    if method == "HEAD" {
        client.reply_without_body()
    } else {
        client.reply()
    }
}

fn field<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    let line = reply.head.lines().find(|line| line.starts_with(&format!("{name}: ")))?;
    line.split_once(": ").map(|(_, value)| value)
}

fn validators(subject: &Subject) {
    let site = site();
    let server = start(subject, &site);
    let mut client = Client::connect(server.address);
    let whole = client.get("/text.txt");
    assert_eq!((whole.status, whole.body), (200, pattern(1000)));
    let whole = ask(&mut client, "HEAD", "/text.txt?query", "");
    assert_eq!(field(&whole, "Content-Length"), Some("1000"));
    assert_eq!(field(&whole, "Content-Type"), Some("text/plain; charset=utf-8"));
    assert_eq!(field(&whole, "Accept-Ranges"), Some("bytes"));
    let tag = field(&whole, "ETag").expect("a tag").to_owned();
    let modified = field(&whole, "Last-Modified").expect("a date").to_owned();
    let early = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (fields, status) in [
        (format!("If-None-Match: {tag}\r\n"), 304),
        (format!("If-None-Match: \"x\", W/{tag}\r\n"), 304),
        ("If-None-Match: *\r\n".to_owned(), 304),
        ("If-None-Match: \"x\"\r\n".to_owned(), 200),
        (format!("If-Modified-Since: {modified}\r\n"), 304),
        (format!("If-Modified-Since: {early}\r\n"), 200),
        ("If-Modified-Since: yesterday\r\n".to_owned(), 200),
        (
            format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {modified}\r\n"),
            200,
        ),
        (format!("If-Match: {tag}\r\n"), 200),
        (format!("If-Match: W/{tag}\r\n"), 412),
        (format!("If-Unmodified-Since: {early}\r\n"), 412),
        (format!("Range: bytes=0-9\r\nIf-Range: {tag}\r\n"), 206),
        (format!("Range: bytes=0-9\r\nIf-Range: {modified}\r\n"), 206),
        ("Range: bytes=0-9\r\nIf-Range: \"x\"\r\n".to_owned(), 200),
        (format!("Range: bytes=0-9\r\nIf-Range: {early}\r\n"), 200),
    ] {
        let reply = ask(&mut client, "GET", "/text.txt", &fields);
        assert_eq!(reply.status, status, "{fields}");
        if matches!(status, 200 | 206 | 304) {
            assert_eq!(field(&reply, "ETag"), Some(tag.as_str()), "{fields}");
        }
    }
    // A new version has a new tag.
    fs::write(site.path().join("text.txt"), pattern(1001)).expect("the file");
    let reply = ask(&mut client, "GET", "/text.txt", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((reply.status, reply.body), (200, pattern(1001)));
    assert_eq!(client.get("/empty.css").body, b"");
    assert_eq!(client.get("/a%20b%25.bin").body, b"odd");
    assert_eq!(client.get("/").body, b"<p>here</p>\n");
    assert_eq!(client.get("/sub/").body, b"<p>below</p>\n");
    let moved = client.get("/sub");
    assert_eq!((moved.status, field(&moved, "Location")), (301, Some("/sub/")));
    let moved = client.get("http://a/sub?b=/c&d?");
    assert_eq!((moved.status, field(&moved, "Location")), (301, Some("/sub/?b=/c&d?")));
    assert_eq!(ask(&mut client, "DELETE", "/text.txt", "").status, 405);
    // Paths of the lab take precedence over files.
    assert_eq!(client.get("/bytes/3").body, pattern(3));
    drop(client);
    assert_eq!(server.stop().open_connections, 0);
}

fn without_lab(subject: &Subject) {
    let site = site();
    for name in ["stats", "echo", "headers"] {
        fs::write(site.path().join(name), name).expect("a new file");
    }
    let root = site.path().to_str().expect("a path in UTF-8");
    let server = subject.start(&[("root", root), ("lab", "off")]);
    let mut client = Client::connect(server.address);
    for name in ["stats", "echo", "headers"] {
        assert_eq!(client.get(&format!("/{name}")).body, name.as_bytes());
    }
    for path in ["/spin/60s", "/bytes/3"] {
        assert_eq!(client.get(path).status, 404);
    }
    assert_eq!(ask(&mut client, "POST", "/echo", "Content-Length: 0\r\n").status, 405);
    drop(client);
    server.stop();
    let server = subject.start(&[("lab", "off")]);
    let mut client = Client::connect(server.address);
    for path in ["/spin/60s", "/echo", "/headers", "/stats", "/text.txt"] {
        assert_eq!(client.get(path).status, 404);
    }
    assert_eq!(client.get("/bytes/3").body, pattern(3));
    drop(client);
    server.stop();
}

/// Several lines of a list are one list. Several lines of a field with one value have no valid value.
fn several_lines(subject: &Subject) {
    let site = site();
    let server = start(subject, &site);
    let mut client = Client::connect(server.address);
    let whole = client.get("/text.txt");
    let tag = field(&whole, "ETag").expect("a tag").to_owned();
    let modified = field(&whole, "Last-Modified").expect("a date").to_owned();
    let early = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (fields, status) in [
        (format!("If-None-Match: \"x\"\r\nIf-None-Match: {tag}\r\n"), 304),
        ("If-None-Match: \"x\"\r\nIf-None-Match: \"y\"\r\n".to_owned(), 200),
        ("If-None-Match: \"x\"\r\nIf-None-Match: *\r\n".to_owned(), 304),
        (format!("If-Match: \"x\"\r\nIf-Match: \"y\", {tag}\r\n"), 200),
        ("If-Match: \"x\"\r\nIf-Match: \"y\"\r\n".to_owned(), 412),
        (
            format!("If-Modified-Since: {modified}\r\nIf-Modified-Since: {modified}\r\n"),
            200,
        ),
        (
            format!("If-Unmodified-Since: {early}\r\nIf-Unmodified-Since: {early}\r\n"),
            200,
        ),
        (
            format!("Range: bytes=0-9\r\nIf-Range: {tag}\r\nIf-Range: {tag}\r\n"),
            200,
        ),
        ("Range: bytes=0-9\r\nRange: bytes=0-9\r\n".to_owned(), 200),
    ] {
        let reply = ask(&mut client, "GET", "/text.txt", &fields);
        assert_eq!(reply.status, status, "{fields}");
    }
    drop(client);
    server.stop();
}

fn ranges(subject: &Subject) {
    let site = site();
    let server = start(subject, &site);
    let mut client = Client::connect(server.address);
    let all = pattern(1000);
    for (range, part) in [
        ("0-0", 0..1),
        ("10-99", 10..100),
        ("-7", 993..1000),
        ("990-5000", 990..1000),
    ] {
        let reply = ask(&mut client, "GET", "/text.txt", &format!("Range: bytes={range}\r\n"));
        assert_eq!(
            (reply.status, reply.body.as_slice()),
            (206, &all[part.clone()]),
            "{range}"
        );
        let range = format!("bytes {}-{}/1000", part.start, part.end - 1);
        assert_eq!(field(&reply, "Content-Range"), Some(range.as_str()));
        assert_eq!(field(&reply, "Accept-Ranges"), Some("bytes"));
    }
    let beyond = ask(&mut client, "GET", "/text.txt", "Range: bytes=1000-\r\n");
    assert_eq!(
        (beyond.status, field(&beyond, "Content-Range")),
        (416, Some("bytes */1000"))
    );
    let several = ask(&mut client, "GET", "/text.txt", "Range: bytes=0-1, 500-502,-1\r\n");
    assert_eq!((several.status, field(&several, "Accept-Ranges")), (206, Some("bytes")));
    let kind = field(&several, "Content-Type").expect("a type");
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .expect("a boundary");
    let mut expected = Vec::new();
    for part in [0..2, 500..503, 999..1000] {
        let (first, last) = (part.start, part.end - 1);
        expected.extend_from_slice(
            format!("\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes {first}-{last}/1000\r\n\r\n")
                .as_bytes(),
        );
        expected.extend_from_slice(&all[part]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert_eq!(several.body, expected);
    // Too many ranges, a malformed one, another unit, more bytes than the file has, or not GET: the whole file is sent.
    let many = ["0-0"; 17].join(",");
    for range in [
        format!("bytes={many}"),
        "bytes=x".into(),
        "lines=1-2".into(),
        "bytes=0-,0-".into(),
    ] {
        let reply = ask(&mut client, "GET", "/text.txt", &format!("Range: {range}\r\n"));
        assert_eq!((reply.status, reply.body.len()), (200, 1000), "{range}");
    }
    assert_eq!(
        ask(&mut client, "HEAD", "/text.txt", "Range: bytes=0-1\r\n").status,
        200
    );
    drop(client);
    server.stop();
}

fn long(subject: &Subject) {
    let site = site();
    let server = start(subject, &site);
    let mut client = Client::connect(server.address);
    let request = |path: &str, fields: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let parts = "Range: bytes=0-1048575,2097152-3145727\r\n";
    client.send(
        [
            request("/bytes/20", ""),
            request("/long.bin", ""),
            request("/long.bin", parts),
            request("/bytes/2", ""),
        ]
        .concat(),
    );
    let all = pattern(LONG);
    assert_eq!(client.reply().body, pattern(20));
    assert!(client.reply().body == all);
    let several = client.reply().body;
    assert!(several.len() > 2 << 20 && several.windows(1000).any(|window| *window == all[2 << 20..][..1000]));
    assert_eq!(client.reply().body, pattern(2));
    drop(client);
    let summary = server.stop();
    assert_eq!((summary.requests, summary.replies), (4, 4));
}

fn confined(subject: &Subject) {
    let outer = tempfile::tempdir().expect("a temporary directory");
    fs::write(outer.path().join("secret"), b"secret").expect("a new file");
    let site = site();
    let below = |name: &str| site.path().join(name);
    symlink(outer.path().join("secret"), below("absolute")).expect("a link");
    symlink("../".repeat(20) + "etc/passwd", below("relative")).expect("a link");
    symlink(outer.path(), below("elsewhere")).expect("a link");
    symlink("/proc/self/root/etc/passwd", below("magic")).expect("a link");
    symlink("text.txt", below("within")).expect("a link");
    // The kernel follows no absolute link, and none that leaves the root on its way.
    symlink(below("text.txt"), below("absolute-within")).expect("a link");
    let own_name = site.path().file_name().expect("a name");
    symlink(
        std::path::Path::new("..").join(own_name).join("text.txt"),
        below("there-and-back"),
    )
    .expect("a link");
    mkfifoat(CWD, below("fifo"), Mode::RWXU).expect("a FIFO");
    symlink("/dev/zero", below("device")).expect("a link");
    let _socket = std::os::unix::net::UnixListener::bind(below("socket")).expect("a socket");
    let secret = outer.path().file_name().and_then(|name| name.to_str()).expect("a name");
    let server = start(subject, &site);
    let mut client = Client::connect(server.address);
    let inside = [
        "/../secret",
        "/..",
        "/.",
        "/./text.txt",
        "/sub/../text.txt",
        "/%2e%2e/secret",
        "/.%2e/",
        "/..%2fsecret",
        "/sub%2findex.html",
        "/text.txt%00",
        "/%00",
        "//text.txt",
        "//",
        "/sub//",
        "/absolute",
        "/relative",
        "/elsewhere/secret",
        "/elsewhere",
        "/magic",
        "/absolute-within",
        "/there-and-back",
        "/fifo",
        "/device",
        "/socket",
        "/text.txt/",
        "/nothing",
        "/sub/nothing/",
        "*",
    ];
    for path in inside
        .iter()
        .map(ToString::to_string)
        .chain([format!("/../{secret}/secret")])
    {
        let status = if path == "*" { 400 } else { 404 };
        assert_eq!(client.get(&path).status, status, "{path}");
        if status == 400 {
            client = Client::connect(server.address);
        }
    }
    assert_eq!(client.get("/within").body, pattern(1000));
    drop(client);
    server.stop();
}

fn fifo(subject: &Subject) {
    let site = site();
    let fifo = site.path().join("fifo");
    mkfifoat(CWD, &fifo, Mode::RWXU).expect("a FIFO");
    let (sender, written) = mpsc::channel();
    let path = fifo.clone();
    let writer = std::thread::spawn(move || {
        let id = rustix::thread::gettid().as_raw_nonzero();
        sender.send(Some(id)).expect("the test waits");
        // It blocks until somebody opens the FIFO to read.
        let opened = fs::OpenOptions::new().write(true).open(path);
        sender.send(None).expect("the test waits");
        opened.map(drop)
    });
    let id = written.recv().expect("a thread").expect("its ID");
    let sleeps = || {
        let stat = fs::read_to_string(format!("/proc/self/task/{id}/stat")).expect("it runs");
        stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('S'))
    };
    while !sleeps() {
        std::thread::yield_now();
    }
    let server = start(subject, &site);
    let mut client = Client::connect(server.address);
    assert_eq!(client.get("/fifo").status, 404);
    // A writer that had been woken would run, or have reported that it has opened the FIFO.
    assert!(sleeps() && written.try_recv().is_err(), "the writer was woken");
    drop(client);
    server.stop();
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let _reader = rustix::fs::open(&fifo, flags, Mode::empty()).expect("a FIFO");
    assert_eq!(written.recv(), Ok(None));
    writer
        .join()
        .expect("the writer does not panic")
        .expect("the FIFO has a reader");
}

fn truncated(subject: &Subject) {
    const SIZE: u64 = 256 << 20;
    let site = site();
    let path = site.path().join("shrinking.bin");
    let file = fs::File::create(&path).expect("a new file");
    file.set_len(SIZE).expect("a sparse file");
    let server = start(subject, &site);
    let mut client = Client::connect(server.address);
    client.send("GET /shrinking.bin HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut first = [0; 1000];
    client
        .stream
        .read_exact(&mut first)
        .expect("the beginning of the reply");
    file.set_len(0).expect("an empty file");
    let mut rest = Vec::new();
    // The connection may also end with a reset: the reply must end, and be too short.
    let _ = client.stream.read_to_end(&mut rest);
    assert!((rest.len() as u64) < SIZE);
    assert_eq!(Client::connect(server.address).get("/text.txt").body, pattern(1000));
    assert_eq!(server.stop().open_connections, 0);
}

fn landlocked(subject: &Subject) {
    if let Err(reason) = Confinement::Landlock.probe() {
        assert!(!c10k_testkit::required::is_required(&["landlock"]), "{reason}");
        return eprintln!("cannot run here: {reason}");
    }
    let site = site();
    let outer = tempfile::tempdir().expect("a temporary directory");
    fs::write(outer.path().join("secret"), b"secret").expect("a new file");
    // The subject itself tries to open the secret file and to listen on another port. It fails unless both are refused.
    let root = site.path().to_str().expect("a path in UTF-8");
    let secret = outer.path().join("secret");
    let beyond = secret.to_str().expect("a path in UTF-8");
    let server = subject.start(&[("root", root), ("landlock", "on"), ("beyond", beyond)]);
    let mut client = Client::connect(server.address);
    assert_eq!(client.get("/text.txt").body, pattern(1000));
    assert_eq!(client.get("/bytes/3").body, pattern(3));
    drop(client);
    assert_eq!(server.stop().open_connections, 0);
}

fn user(subject: &Subject) {
    let site = site();
    let root = site.path().to_str().expect("a path in UTF-8");
    fs::set_permissions(site.path(), fs::Permissions::from_mode(0o755)).expect("our own directory");
    fs::set_permissions(site.path().join("empty.css"), fs::Permissions::from_mode(0o600)).expect("our own file");
    let server = subject.start(&[("root", root), ("user", "nobody")]);
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid().as_raw_nonzero())).expect("it runs");
    let numbers = |name: &str| -> Vec<u32> {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .expect("a line of that name");
        line.split_whitespace()
            .map(|word| word.parse().expect("a number"))
            .collect()
    };
    let nobody = c10k_sys::user::named("nobody")
        .expect("a database")
        .expect("every system has it");
    assert_eq!(numbers("Uid:"), [nobody.uid; 4]);
    assert_eq!(numbers("Gid:"), [nobody.gid; 4]);
    assert!(!numbers("Groups:").contains(&0));
    assert_eq!(numbers("NoNewPrivs:"), [1]);
    let mut client = Client::connect(server.address);
    assert_eq!(client.get("/text.txt").body, pattern(1000));
    assert_eq!(client.get("/empty.css").status, 403);
    drop(client);
    assert_eq!(server.stop().open_connections, 0);
}
