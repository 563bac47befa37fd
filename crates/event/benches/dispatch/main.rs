//! `cargo bench -p c10k-event`: libevent's dispatch workload on every mechanism, compared with a hand-written loop with the
//! same system calls, mio, polling and the system's libevent.
//!
//! Competitors are compared in pairs, in one process: the two take turns in random order, and each turn gives a ratio. The
//! report has the medians of the ratios with bootstrap intervals. Registering and dispatching are timed separately.
//!
//! Arguments: `--blocks N` (default 15), `--only NAME` (a mechanism), `--pairs N` (a size), `--out FILE` (also writes the
//! tables as Markdown); or `--alone NAME` (a mechanism, `NAME/by-hand`, `mio`, `polling`, `libevent`), which runs one
//! competitor 100 times, blocking, without timing it: for a profiler.
#![forbid(unsafe_code)]

mod count;
mod libraries;
mod loops;
mod statistics;
mod workload;

use c10k_competitors::Libevent;
use c10k_event::Mechanism;
use libraries::{Mio, Polling, libevent};
use loops::{Competitor, Ours, by_hand};
use rand_pcg::{Pcg64, rand_core::SeedableRng};
use statistics::{below, estimate, median};
use std::{fmt::Write as _, io::Write as _, time::Instant};
use workload::{Ring, SIZES, Size, Waiting};

/// A competitor before it is opened.
#[derive(Clone, Copy)]
enum Candidate {
    Ours(Mechanism),
    ByHand(Mechanism),
    Mio,
    Polling,
    Libevent(Libevent),
}

impl Candidate {
    fn named(name: &str) -> Result<Self, String> {
        match name {
            "mio" => Ok(Self::Mio),
            "polling" => Ok(Self::Polling),
            "libevent" => Libevent::load().map(Self::Libevent),
            name => {
                let (mechanism, candidate): (_, fn(Mechanism) -> Self) = match name.strip_suffix("/by-hand") {
                    Some(mechanism) => (mechanism, Self::ByHand),
                    None => (name, Self::Ours),
                };
                let mechanism = Mechanism::named(mechanism).map_err(|unknown| unknown.to_string())?;
                Ok(candidate(mechanism))
            }
        }
    }

    fn open<'a>(self, ring: &'a Ring) -> Box<dyn Competitor + 'a> {
        match self {
            Self::Ours(mechanism) => Box::new(Ours::open(mechanism, ring)),
            Self::ByHand(mechanism) => by_hand(mechanism, ring).expect("listed only if there is one"),
            Self::Mio => Box::new(Mio::open(ring)),
            Self::Polling => Box::new(Polling::open(ring)),
            Self::Libevent(library) => libevent(library, ring),
        }
    }
}

/// One timing.
#[derive(Clone, Copy, Default)]
struct Timing {
    register_ns: f64,
    dispatch_ns: f64,
}

/// Two candidates and the ratio of the first one's time to the second one's, block by block.
struct Pair {
    label: String,
    candidates: [Candidate; 2],
    timings: Vec<[Timing; 2]>,
    ratios: Vec<f64>,
}

struct Arguments {
    blocks: usize,
    only: Option<String>,
    out: Option<String>,
    alone: Option<String>,
    pairs: Option<String>,
}

impl Arguments {
    fn sizes(&self) -> impl Iterator<Item = Size> {
        let wanted = |size: &Size| self.pairs.as_ref().is_none_or(|pairs| *pairs == size.pairs.to_string());
        SIZES.into_iter().filter(wanted)
    }
}

fn main() -> Result<(), String> {
    if let Some(counted) = count::run() {
        return counted;
    }
    let arguments = arguments()?;
    if let Some(name) = &arguments.alone {
        return alone(Candidate::named(name)?, arguments.sizes().next().unwrap_or(SIZES[0]));
    }
    let files = raise_file_limit(2 * SIZES.iter().map(|size| size.pairs).max().unwrap_or(0) + 100)?;
    // Opened before the measurement. Cargo starts a benchmark in the folder of its crate; paths are relative to the
    // repository.
    let root = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let out = arguments.out.as_ref().map(|path| {
        // The old content stays until there is a new one.
        let mut how = std::fs::OpenOptions::new();
        how.write(true)
            .create(true)
            .truncate(false)
            .open(root.join(path))
            .map_err(|error| format!("--out {path}: {error}: name a file that can be written"))
    });
    let out = out.transpose()?;
    let mut text = String::new();
    for waiting in [Waiting::Blocking, Waiting::Polling] {
        for size in arguments.sizes() {
            let mut pairs = pairs(&arguments);
            measure(&mut pairs, size, waiting, arguments.blocks, files)?;
            report(&mut text, &pairs, size, waiting);
        }
    }
    print!("{text}");
    if let Some(mut out) = out {
        let page = page(&text, arguments.blocks);
        let written = out.set_len(0).and_then(|()| out.write_all(page.as_bytes()));
        written.map_err(|error| format!("writing the page: {error}"))?;
    }
    Ok(())
}

fn arguments() -> Result<Arguments, String> {
    let mut parsed = Arguments {
        blocks: 15,
        only: None,
        out: None,
        alone: None,
        pairs: None,
    };
    let mut given = std::env::args().skip(1);
    while let Some(option) = given.next() {
        let mut value = || given.next().ok_or_else(|| format!("{option} needs a value"));
        match option.as_str() {
            // Cargo passes this to every benchmark.
            "--bench" => {}
            "--blocks" => {
                let value = value()?;
                let count = value.parse().ok().filter(|&count| count > 0);
                parsed.blocks = count.ok_or_else(|| format!("--blocks {value} is not a number above 0"))?;
            }
            "--only" => parsed.only = Some(value()?),
            "--out" => parsed.out = Some(value()?),
            "--pairs" => parsed.pairs = Some(value()?),
            "--alone" => parsed.alone = Some(value()?),
            other => {
                return Err(format!(
                    "{other} is not an option: use --blocks N, --only MECHANISM, --pairs N, --out FILE, --alone NAME"
                ));
            }
        }
    }
    Ok(parsed)
}

fn alone(candidate: Candidate, size: Size) -> Result<(), String> {
    let ring = Ring::open(size.pairs)?;
    let (mut competitor, _) = register(candidate, &ring);
    for _ in 0..100 {
        dispatch(&mut *competitor, &ring, size, Waiting::Blocking);
    }
    Ok(())
}

fn pairs(arguments: &Arguments) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let mut add = |label: String, candidates| {
        pairs.push(Pair {
            label,
            candidates,
            timings: Vec::new(),
            ratios: Vec::new(),
        });
    };
    let wanted = |name: &str| arguments.only.as_deref().is_none_or(|only| only == name);
    for mechanism in Mechanism::all().filter(|mechanism| wanted(mechanism.name())) {
        if let Err(reason) = mechanism.probe() {
            eprintln!("{mechanism}: unavailable here: {reason}");
        } else if has_loop(mechanism) {
            let candidates = [Candidate::Ours(mechanism), Candidate::ByHand(mechanism)];
            add(format!("{mechanism} / hand-written loop"), candidates);
        } else {
            eprintln!("{mechanism}: no hand-written loop to compare with");
        }
    }
    let usual = Mechanism::default();
    if wanted(usual.name()) {
        add(format!("{usual} / mio"), [Candidate::Ours(usual), Candidate::Mio]);
        add(
            format!("{usual} / polling"),
            [Candidate::Ours(usual), Candidate::Polling],
        );
        match Libevent::load() {
            Ok(library) => {
                let label = format!("{usual} / libevent {}", library.version());
                add(label, [Candidate::Ours(usual), Candidate::Libevent(library)]);
            }
            Err(reason) => eprintln!("libevent: unavailable here: {reason}"),
        }
    }
    pairs
}

fn has_loop(mechanism: Mechanism) -> bool {
    mechanism.descriptor().hand_written.is_some()
}

/// Times all pairs. If the limit of descriptors allows two rings at a time, both candidates of a pair are open at once and
/// take turns in slices of a few milliseconds. Then they swap rings; a ratio is the geometric mean of the ratios of the same
/// slice on both rings. With the largest ring, they take turns in registering all its sockets and running.
fn measure(pairs: &mut [Pair], size: Size, waiting: Waiting, blocks: usize, files: u64) -> Result<(), String> {
    let mut random = Pcg64::seed_from_u64(size.pairs as u64);
    if 4 * size.pairs as u64 + 200 > files {
        let ring = Ring::open(size.pairs)?;
        for block in 0..=blocks {
            for pair in &mut *pairs {
                let timings = one_after_the_other(pair.candidates, &ring, size, waiting, below(&mut random, 2));
                // The first block warms up.
                if block > 0 {
                    pair.ratios.push(timings[0].dispatch_ns / timings[1].dispatch_ns);
                    pair.timings.push(timings);
                }
            }
        }
        return Ok(());
    }
    let rings = [Ring::open(size.pairs)?, Ring::open(size.pairs)?];
    for pair in pairs {
        for _ in 0..blocks.div_ceil(10) {
            let there = by_turns(pair.candidates, [&rings[0], &rings[1]], size, waiting, &mut random);
            let back = by_turns(pair.candidates, [&rings[1], &rings[0]], size, waiting, &mut random);
            for ([a, b], [c, d]) in there.iter().zip(&back) {
                pair.ratios
                    .push((a.dispatch_ns / b.dispatch_ns * (c.dispatch_ns / d.dispatch_ns)).sqrt());
            }
            pair.timings.extend(there);
            pair.timings.extend(back);
        }
    }
    Ok(())
}

fn one_after_the_other(
    candidates: [Candidate; 2],
    ring: &Ring,
    size: Size,
    waiting: Waiting,
    first: usize,
) -> [Timing; 2] {
    let mut timings = [Timing::default(); 2];
    for turn in [first, 1 - first] {
        let (mut competitor, register_ns) = register(candidates[turn], ring);
        timings[turn] = Timing {
            register_ns,
            dispatch_ns: dispatch(&mut *competitor, ring, size, waiting),
        };
    }
    timings
}

fn by_turns(
    candidates: [Candidate; 2],
    rings: [&Ring; 2],
    size: Size,
    waiting: Waiting,
    random: &mut Pcg64,
) -> Vec<[Timing; 2]> {
    let mut competitors = [register(candidates[0], rings[0]), register(candidates[1], rings[1])];
    let mut slices = Vec::new();
    for slice in 0..=size.slices {
        let mut timings = [Timing::default(); 2];
        let first = below(random, 2);
        for turn in [first, 1 - first] {
            let (competitor, register_ns) = &mut competitors[turn];
            let dispatch_ns = dispatch(&mut **competitor, rings[turn], size, waiting);
            timings[turn] = Timing {
                register_ns: *register_ns,
                dispatch_ns,
            };
        }
        // The first slice warms up.
        if slice > 0 {
            slices.push(timings);
        }
    }
    slices
}

/// Opens a competitor. Returns it and the time for that, in nanoseconds per source.
#[expect(clippy::cast_precision_loss, reason = "a number of sockets")]
fn register(candidate: Candidate, ring: &Ring) -> (Box<dyn Competitor + '_>, f64) {
    let started = Instant::now();
    let competitor = candidate.open(ring);
    (competitor, nanoseconds(started) / ring.readers().count() as f64)
}

/// Runs the workload once. Returns the time in nanoseconds per event.
#[expect(clippy::cast_precision_loss, reason = "a number of events")]
fn dispatch(competitor: &mut dyn Competitor, ring: &Ring, size: Size, waiting: Waiting) -> f64 {
    let started = Instant::now();
    ring.start(size);
    while !ring.is_done() {
        competitor.turn(ring, waiting);
    }
    nanoseconds(started) / size.writes as f64
}

#[expect(clippy::cast_precision_loss, reason = "a measurement of less than a hundred days")]
fn nanoseconds(since: Instant) -> f64 {
    since.elapsed().as_nanos() as f64
}

fn report(text: &mut String, pairs: &[Pair], size: Size, waiting: Waiting) {
    let Size {
        pairs: count,
        active,
        writes,
        ..
    } = size;
    let waits = if waiting == Waiting::Blocking {
        "blocking"
    } else {
        "not blocking"
    };
    let _ = writeln!(text, "\n### {count} pairs, {active} active, {writes} writes, {waits}\n");
    let _ = writeln!(
        text,
        "| pair | ns/event | ns/event | ratio | 95 % interval | registering, ns/source |"
    );
    let _ = writeln!(text, "|---|---:|---:|---:|---:|---:|");
    for pair in pairs {
        let of = |which: usize, what: fn(&Timing) -> f64| {
            median(pair.timings.iter().map(|block| what(&block[which])).collect())
        };
        let ratio = estimate(&pair.ratios);
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.0} | **{:.3}** | {:.3} – {:.3} | {:.0} / {:.0} |",
            pair.label,
            of(0, |timing| timing.dispatch_ns),
            of(1, |timing| timing.dispatch_ns),
            ratio.median,
            ratio.low,
            ratio.high,
            of(0, |timing| timing.register_ns),
            of(1, |timing| timing.register_ns),
        );
    }
}

fn page(tables: &str, blocks: usize) -> String {
    let kernel = rustix::system::uname();
    let kernel = kernel.release().to_string_lossy();
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!(
        "# Dispatch\n\nWritten by `cargo bench -p c10k-event -- --out docs/event/dispatch.md`; Linux {kernel}, {processors} \
         processors, `--blocks {blocks}`.\n\nThe workload is libevent's: a ring of socket pairs, in which each \
         event reads a byte and writes one to the next pair. Each row compares two competitors that took turns. It has the \
         median time of each, the median of the ratios of the turns, and its bootstrap interval. A ratio below 1 means that \
         the first competitor is faster. The times include the reads and the writes, as in libevent's own benchmark.\n{tables}"
    )
}

fn raise_file_limit(wanted: usize) -> Result<u64, String> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    if maximum.is_some_and(|maximum| maximum < wanted as u64) {
        return Err(format!(
            "the benchmark opens {wanted} descriptors, RLIMIT_NOFILE allows {maximum:?}: raise it"
        ));
    }
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )
    .map_err(|errno| format!("raising RLIMIT_NOFILE: {errno}"))?;
    Ok(maximum.unwrap_or(u64::MAX))
}
