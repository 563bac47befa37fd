//! The server's clock. A file of its own, because it is the clock of the whole process.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use c10k_load::{Moment, use_server_clock};

#[test]
fn the_servers_clock_stands_still_while_this_process_runs_and_not_while_it_sleeps() {
    if let Err(reason) = use_server_clock() {
        assert!(
            !c10k_testkit::required::is_required(&["server-clock"]),
            "required: {reason}"
        );
        println!("unavailable here: {reason}");
        return;
    }
    let (started, before) = (Instant::now(), Moment::now());
    let mut work = 0_u64;
    while started.elapsed() < Duration::from_millis(200) {
        work = black_box(work.wrapping_add(1));
    }
    let (ran, passed) = (started.elapsed(), Moment::now().since_ns(before));
    // Other processes run in this time only where there are more of the same class, or where the kernel limits it.
    assert!(passed < ran.as_nanos() as u64 / 2, "{passed} ns passed in {ran:?}");

    let (started, before) = (Instant::now(), Moment::now());
    std::thread::sleep(Duration::from_millis(200));
    let (slept, passed) = (started.elapsed(), Moment::now().since_ns(before));
    assert!(passed > slept.as_nanos() as u64 / 2, "{passed} ns passed in {slept:?}");
}
