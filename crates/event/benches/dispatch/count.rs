//! One contestant's cost in the guest of `c10k vm`, where the clock counts instructions: for `c10k vm study vm/peers`.
//!
//! `--contestants` prints the cells there are, name and load between a tab; `--count NAME` measures one contestant and
//! prints a [`CostRecord`] a line. Anywhere else the figures are time.

use crate::{
    Entrant,
    contestants::by_hand,
    statistics::median,
    workload::{Ring, SIZES, Size, Waiting},
};
use c10k_competitors::Libevent;
use c10k_event::Mechanism;
use c10k_record::{CostCell, CostRecord};
use std::time::Instant;

/// What stands behind the name of a mechanism for the loop that is written by hand.
const BY_HAND: &str = "/by-hand";

/// Runs of the workload; the median counts.
const RUNS: usize = 3;

/// Does what the arguments ask for; `None` where they ask for no count.
pub(crate) fn asked() -> Option<Result<(), String>> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next()?.as_str() {
        "--contestants" => {
            for name in names() {
                SIZES.iter().for_each(|size| println!("{name}\t{}", load(*size)));
            }
            Some(Ok(()))
        }
        "--count" => Some(match arguments.next() {
            Some(name) => count(&name),
            None => Err("--count wants one of the names that --contestants prints".to_owned()),
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
    let entrant = match entrant(name) {
        Ok(entrant) => entrant,
        Err(reason) => {
            return print(CostRecord::Unavailable {
                subject: name.to_owned(),
                reason,
            });
        }
    };
    for size in SIZES {
        print(CostRecord::Cell(cell(name, entrant, size)?))?;
    }
    Ok(())
}

/// The contestant of this name; otherwise why it cannot run here.
fn entrant(name: &str) -> Result<Entrant, String> {
    let mechanism = |name: &str| {
        let mechanism = Mechanism::named(name).map_err(|error| error.to_string())?;
        mechanism.probe().map_err(|reason| reason.to_string())?;
        Ok::<_, String>(mechanism)
    };
    match name {
        "mio" => Ok(Entrant::Mio),
        "polling" => Ok(Entrant::Polling),
        "libevent" => Libevent::load().map(Entrant::Libevent),
        _ => match name.strip_suffix(BY_HAND) {
            None => mechanism(name).map(Entrant::Ours),
            Some(name) => {
                let mechanism = mechanism(name)?;
                let ring = Ring::open(1)?;
                match by_hand(name, &ring) {
                    Some(_) => Ok(Entrant::ByHand(mechanism)),
                    None => Err("the benchmark has no loop by hand for this mechanism".to_owned()),
                }
            }
        },
    }
}

/// Counts three rounds of the ring's active pairs, 100 writes at least, several times.
fn cell(name: &str, entrant: Entrant, size: Size) -> Result<CostCell, String> {
    let size = Size {
        writes: (3 * size.active).max(100),
        ..size
    };
    let ring = Ring::open(size.pairs)?;
    let mut contestant = entrant.open(&ring);
    let mut run = || {
        let started = Instant::now();
        ring.start(size);
        while !ring.is_done() {
            contestant.turn(&ring, Waiting::Blocking);
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
    })
}
