//! Tests the work of `stream_ring` on files.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use c10k_sys::ring::{MinWait, Setup, Submission};
use c10k_sys::stream_ring::{Completion, Placement, SendMemory, Shape, Sockets, StreamRing};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

fn ring() -> Option<StreamRing> {
    ring_of(Setup::default())
}

fn open_ring(setup: Setup) -> Result<StreamRing, Errno> {
    StreamRing::open(Shape {
        submissions: 8,
        completions: 64,
        buffers: 4,
        buffer_size: 64,
        setup,
        sockets: Sockets::Descriptors,
        placement: Placement::Whole,
        send_memory: SendMemory::Copied,
    })
}

fn ring_of(setup: Setup) -> Option<StreamRing> {
    match open_ring(setup) {
        Ok(ring) => Some(ring),
        Err(errno) => {
            let required = std::env::var("C10K_REQUIRE").unwrap_or_default();
            let wanted = required.split(',').any(|word| matches!(word, "all" | "io-uring"));
            assert!(!wanted || required.contains("-io-uring"), "no io_uring: {errno}");
            eprintln!("unavailable here: io_uring_setup: {errno}");
            None
        }
    }
}

fn next(ring: &mut StreamRing) -> Completion {
    loop {
        if let Some(completion) = ring.pop() {
            return completion;
        }
        ring.enter(Some(Duration::from_secs(60)))
            .expect("a completion within 60 seconds");
    }
}

fn worked(ring: &mut StreamRing) -> (Result<u64, Errno>, Vec<u8>) {
    match next(ring) {
        Completion::Worked {
            data: 3,
            outcome,
            bytes,
        } => (outcome, bytes),
        other => panic!("{other:?}"),
    }
}

fn open(ring: &mut StreamRing, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = CString::new(path).expect("no NUL");
    ring.open_file(CWD.as_raw_fd(), path, flags, Mode::from_raw_mode(0o600), 3);
    match next(ring) {
        Completion::Opened { data: 3, file } => file,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_is_made_written_synced_measured_read_and_closed() {
    let Some(mut ring) = ring() else { return };
    let folder = std::env::temp_dir().join(format!("c10k-ring-work-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("file").display().to_string();
    let missing = open(&mut ring, &path, OFlags::RDONLY);
    assert_eq!(missing.expect_err("it is missing"), Errno::NOENT);
    let file = open(&mut ring, &path, OFlags::RDWR | OFlags::CREATE | OFlags::APPEND).expect("it is made");
    ring.write(file.as_raw_fd(), 0, b"hello world".to_vec(), 6, 3);
    assert_eq!(worked(&mut ring), (Ok(5), b"hello world".to_vec()));
    ring.write(file.as_raw_fd(), 0, b" again".to_vec(), 0, 3);
    assert_eq!(worked(&mut ring).0, Ok(6));
    ring.sync_data(file.as_raw_fd(), 3);
    assert_eq!(worked(&mut ring).0, Ok(0));
    ring.drop_pages(file.as_raw_fd(), 3);
    assert_eq!(worked(&mut ring).0, Ok(0));
    ring.file_size(file.as_raw_fd(), 3);
    assert_eq!(worked(&mut ring).0, Ok(11));
    ring.read(file.as_raw_fd(), 0, Vec::new(), 11, 3);
    match next(&mut ring) {
        Completion::Read {
            outcome: Ok(11), bytes, ..
        } => assert_eq!(bytes, b"world again"),
        other => panic!("{other:?}"),
    }
    let number = file.as_raw_fd();
    ring.close_file(file, 3);
    assert_eq!(worked(&mut ring).0, Ok(0));
    ring.file_size(number, 3);
    assert_eq!(worked(&mut ring).0, Err(Errno::BADF));
    std::fs::remove_dir_all(&folder).expect("our folder");
}

#[test]
fn a_sleep_lasts_its_time_unless_it_is_cancelled() {
    let Some(mut ring) = ring() else { return };
    let (began, time) = (Instant::now(), Duration::from_millis(20));
    ring.sleep(time, 3);
    assert_eq!(worked(&mut ring).0, Ok(0));
    assert!(began.elapsed() >= time);
    let sleep = ring.sleep(Duration::from_secs(3600), 3);
    ring.cancel_sleep(sleep);
    assert_eq!(worked(&mut ring).0, Err(Errno::CANCELED));
}

#[test]
fn a_minimum_wait_collects_completions_of_requests_that_a_kernel_thread_submits() {
    let Some(mut ring) = ring_of(Setup {
        // Longer than the test: a kernel thread that sleeps is woken by a call, which waits in any case.
        submission: Submission::KernelThread { idle_ms: 60_000 },
        min_wait: MinWait {
            time: Duration::from_secs(60),
            completions: 3,
        },
        ..Setup::default()
    }) else {
        return;
    };
    ring.sleep(Duration::ZERO, 3);
    // Ends with one completion, most likely, which stays in the ring.
    let _ = ring.enter(Some(Duration::from_millis(50)));
    for _ in 0..2 {
        ring.sleep(Duration::from_millis(20), 3);
    }
    ring.enter(Some(Duration::from_secs(60)))
        .expect("three completions within 60 seconds");
    for _ in 0..3 {
        let completion = ring.pop();
        assert!(
            matches!(completion, Some(Completion::Worked { outcome: Ok(0), .. })),
            "{completion:?}"
        );
    }
}

#[test]
fn a_minimum_wait_for_nothing_is_refused() {
    for (time, completions) in [(Duration::from_nanos(999), 3), (Duration::from_secs(1), 0)] {
        let setup = Setup {
            min_wait: MinWait { time, completions },
            ..Setup::default()
        };
        assert_eq!(open_ring(setup).err(), Some(Errno::INVAL));
    }
}

#[test]
fn a_file_that_is_to_be_closed_is_closed_with_the_ring() {
    let Some(mut ring) = ring() else { return };
    let file = OwnedFd::from(std::fs::File::open("/dev/null").expect("it is there"));
    let number = file.as_raw_fd();
    ring.close_file(file, 3);
    drop(ring);
    assert!(
        std::fs::read_link(format!("/proc/self/fd/{number}")).map_or(true, |path| path.as_os_str() != "/dev/null"),
        "the file is still open"
    );
}
