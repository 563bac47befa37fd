//! Work that may block: what the machine asks for, and what it replies.

use c10k_http::{
    BlockingWork, Cache, Date, Disk, Ending, Host, Machine, Output, Phase, Resources, Stage, Step, WorkFailure,
};

/// A host with a disk.
fn with_disk() -> Host {
    Host {
        disk: Disk::Present,
        resources: Resources::Lab,
        ..Host::new(Date::from_unix(784_111_777))
    }
}

fn without_disk() -> Host {
    Host {
        disk: Disk::None,
        ..with_disk()
    }
}

#[test]
fn work_that_blocks_is_described_and_its_answer_comes_before_what_follows() {
    let host = with_disk();
    let (mut machine, mut output) = (Machine::new(), Output::default());
    let input = b"GET /file/7/cold HTTP/1.1\r\nHost: a\r\n\r\nGET /bytes/1 HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(machine.feed(input, &host, &mut output), Step::Block);
    assert_eq!(machine.phase(), Phase::Work, "although a request waits behind it");
    let work = BlockingWork::File {
        number: 7,
        cache: Cache::Cold,
    };
    assert_eq!(machine.blocking_work(), Some(work));
    assert_eq!(machine.blocking_work(), None, "it is taken once");
    assert_eq!((output.replies, output.bytes.len()), (0, 0));
    assert_eq!(machine.answer_work(Ok(b"seven"), &host, &mut output), Step::Read);
    let text = String::from_utf8_lossy(&output.bytes);
    let (first, second) = text.split_once("seven").expect("the bytes");
    assert!(first.contains("Content-Length: 5\r\n"), "{first}");
    assert!(second.starts_with("HTTP/1.1 200 OK\r\n"), "{second}");
    assert_eq!((output.replies, machine.phase()), (2, Phase::Idle));
}

#[test]
fn a_mailbox_takes_the_body_of_a_post() {
    let host = with_disk();
    let (mut machine, mut output) = (Machine::new(), Output::default());
    let input = b"POST /mail/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(machine.feed(input, &host, &mut output), Step::Block);
    assert_eq!(machine.kept_of_body(), 5, "until the driver takes it");
    let work = BlockingWork::Mail {
        mailbox: 2,
        message: b"hello".to_vec(),
    };
    assert_eq!(machine.blocking_work(), Some(work));
    assert_eq!(machine.kept_of_body(), 0);
    assert_eq!(machine.answer_work(Ok(b"hello"), &host, &mut output), Step::Read);
    assert!(output.bytes.ends_with(b"\r\n\r\nhello"));
    let get = b"GET /mail/2 HTTP/1.1\r\nHost: a\r\n\r\n";
    output.bytes.clear();
    assert_eq!(machine.feed(get, &host, &mut output), Step::Read);
    assert!(output.bytes.starts_with(b"HTTP/1.1 405 "));
}

#[test]
fn a_message_for_which_there_is_no_memory_is_refused() {
    let (mut machine, mut output) = (Machine::new(), Output::default());
    let input = b"POST /mail/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(machine.feed(input, &with_disk(), &mut output), Step::Block);
    assert_eq!(machine.shed(&with_disk(), &mut output), Step::Close(Ending::Lingering));
    assert!(output.bytes.starts_with(b"HTTP/1.1 503 "));
    assert_eq!((machine.phase(), output.refused), (Phase::Idle, 1));
    assert_eq!(machine.blocking_work(), None);
}

#[test]
fn each_failure_of_work_has_its_status() {
    for (failure, status) in [
        (WorkFailure::Missing, "404"),
        (WorkFailure::Full, "507"),
        (WorkFailure::Shortage, "503"),
        (WorkFailure::Unsupported, "501"),
        (WorkFailure::Failed, "500"),
    ] {
        let (mut machine, mut output) = (Machine::new(), Output::default());
        let request = b"GET /sleep/1ms HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        assert_eq!(machine.feed(request, &without_disk(), &mut output), Step::Block);
        let step = machine.answer_work(Err(failure), &without_disk(), &mut output);
        assert_eq!(step, Step::Close(Ending::Agreed));
        assert_eq!(output.bytes.get(9..12), Some(status.as_bytes()), "{failure:?}");
    }
}

#[test]
fn a_drain_that_begins_while_work_is_out_makes_its_answer_the_last() {
    let host = without_disk();
    let draining = Host {
        stage: Stage::Draining,
        ..without_disk()
    };
    let (mut machine, mut output) = (Machine::new(), Output::default());
    let input = b"GET /sleep/1ms HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(machine.feed(input, &host, &mut output), Step::Block);
    let step = machine.answer_work(Ok(b"."), &draining, &mut output);
    assert_eq!(step, Step::Close(Ending::Lingering));
    let text = String::from_utf8_lossy(&output.bytes);
    assert!(text.contains("\r\nConnection: close\r\n"), "{text}");
}

#[test]
fn a_server_without_a_disk_has_no_files_of_a_number_and_no_mailboxes() {
    for (host, path) in [(without_disk(), "/file/1"), (without_disk(), "/mail/1")] {
        let (mut machine, mut output) = (Machine::new(), Output::default());
        let request = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(machine.feed(request.as_bytes(), &host, &mut output), Step::Read);
        assert!(output.bytes.starts_with(b"HTTP/1.1 404 "), "{path}");
    }
}
