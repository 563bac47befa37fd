//! The cost of one competitor in the guest of `c10k vm`, where the clock counts instructions: for `c10k vm study vm/peers`.
//!
//! `--competitors` prints all cells, name and load separated by a tab. `--count NAME` measures one competitor and prints one
//! [`CostRecord`] per line. Outside the guest the figures are times.

use crate::{
    Candidate,
    loops::by_hand,
    statistics::median,
    workload::{Ring, SIZES, Size, Waiting},
};
use c10k_competitors::Libevent;
use c10k_event::Mechanism;
use c10k_record::{CostCell, CostRecord};
use std::time::Instant;

/// The suffix of a mechanism's name that names its hand-written loop.
const BY_HAND: &str = "/by-hand";

/// Runs of the workload; the median is printed.
const RUNS: usize = 3;

/// Runs what the arguments ask for; `None` if they ask for a benchmark.
pub(crate) fn run() -> Option<Result<(), String>> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next()?.as_str() {
        "--competitors" => {
            for name in names() {
                SIZES.iter().for_each(|size| println!("{name}\t{}", load(*size)));
            }
            Some(Ok(()))
        }
        "--count" => Some(match arguments.next() {
            Some(name) => count(&name),
            None => Err("--count needs one of the names that --competitors prints".to_owned()),
        }),
        _ => None,
    }
}

fn names() -> Vec<String> {
    let ours = Mechanism::all().map(|mechanism| mechanism.name().to_owned());
    let hand = Mechanism::all().map(|mechanism| format!("{mechanism}{BY_HAND}"));
    let others = ["mio", "polling", "libevent"].map(str::to_owned);
    ours.chain(hand).chain(others).collect()
}

fn load(size: Size) -> String {
    format!("pairs={} active={}", size.pairs, size.active)
}

fn count(name: &str) -> Result<(), String> {
    let print = |record: CostRecord| {
        let line = serde_json::to_string(&record).map_err(|error| format!("printing a record: {error}"))?;
        println!("{line}");
        Ok(())
    };
    let candidate = match candidate(name) {
        Ok(candidate) => candidate,
        Err(reason) => {
            return print(CostRecord::Unavailable {
                subject: name.to_owned(),
                reason,
            });
        }
    };
    for size in SIZES {
        print(CostRecord::Cell(cell(name, candidate, size)?))?;
    }
    Ok(())
}

/// The competitor with this name, or why it cannot run here.
fn candidate(name: &str) -> Result<Candidate, String> {
    let mechanism = |name: &str| {
        let mechanism = Mechanism::named(name).map_err(|error| error.to_string())?;
        mechanism.probe().map_err(|reason| reason.to_string())?;
        Ok::<_, String>(mechanism)
    };
    match name {
        "mio" => Ok(Candidate::Mio),
        "polling" => Ok(Candidate::Polling),
        "libevent" => Libevent::load().map(Candidate::Libevent),
        _ => match name.strip_suffix(BY_HAND) {
            None => mechanism(name).map(Candidate::Ours),
            Some(name) => {
                let mechanism = mechanism(name)?;
                let ring = Ring::open(1)?;
                match by_hand(mechanism, &ring) {
                    Some(_) => Ok(Candidate::ByHand(mechanism)),
                    None => Err("the benchmark has no hand-written loop for this mechanism".to_owned()),
                }
            }
        },
    }
}

/// Counts three rounds of the ring's active pairs, at least 100 writes, several times.
fn cell(name: &str, candidate: Candidate, size: Size) -> Result<CostCell, String> {
    let size = Size {
        writes: (3 * size.active).max(100),
        ..size
    };
    let ring = Ring::open(size.pairs)?;
    let mut competitor = candidate.open(&ring);
    let mut run = || {
        let started = Instant::now();
        ring.start(size);
        while !ring.is_done() {
            competitor.turn(&ring, Waiting::Blocking);
        }
        started.elapsed().as_secs_f64() * 1e9
    };
    // The first warms up.
    run();
    let runs = (0..RUNS).map(|_| run()).collect();
    Ok(CostCell {
        subject: name.to_owned(),
        load: load(size),
        work: size.writes as u64,
        instructions: median(runs) as u64,
        events: 0,
        signals: 0,
        overflows: 0,
        scan: None,
        curve: None,
    })
}
