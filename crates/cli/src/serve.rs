//! `c10k serve`.

use std::error::Error;
use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use c10k_event::{Mechanism, OnOverflow};
use c10k_http::Resources;
use c10k_record::{ServeRecord, ServeSummary};
use c10k_server::{
    AcceptPolicy, AcceptSharing, Config, Confinement, Descriptor, DiskOptions, DiskStore, Dispatch, Listen, MODELS,
    Model, ModelOption, Recycle, RingOptions, Root, ServeError, Server, Spin, Stop, Submission, Workers,
};

use crate::Outcome;
use crate::print::{errln, outln};

/// Serve HTTP/1.1 with a chosen event mechanism and concurrency model, until SIGTERM or SIGINT.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to listen: an address or a name with a port (0: any free port), or `unix:PATH`.
    #[arg(long, value_name = "HOST:PORT|unix:PATH", default_value = "127.0.0.1:0")]
    listen: String,
    /// The concurrency model; `c10k list` shows them.
    #[arg(long, value_name = "NAME", default_value = "event-loop")]
    model: String,
    /// The event mechanism of models that have one; `c10k list` shows them [default: epoll-edge].
    #[arg(long, value_name = "NAME")]
    mechanism: Option<String>,
    /// Connections to accept each time the listener is ready: `one`, `all`, or a number [default: all].
    #[arg(long, value_name = "one|all|N", value_parser = accept_policy)]
    accept: Option<AcceptPolicy>,
    /// CPU time to spend on every request, such as `250us`.
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = duration)]
    work: Duration,
    /// Length of the queue of real-time signals (RLIMIT_SIGPENDING); only the signal mechanisms have one.
    #[arg(long, value_name = "N")]
    signal_queue: Option<u64>,
    /// What to do when the signal queue has overflowed; with `none` the server hangs, as the paper says [default: rescan-poll].
    #[arg(long, value_name = "ACTION", value_parser = on_overflow)]
    on_overflow: Option<OnOverflow>,
    /// Number of worker threads or processes, for models that can have several.
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// Threads of the pool that run at once; one that blocks does not count [default: the number of CPUs].
    #[arg(long, value_name = "N")]
    concurrency: Option<NonZeroUsize>,
    /// How the workers of `loop-per-core` share connections [default: reuseport].
    #[arg(long, value_name = "WAY", value_parser = accept_sharing)]
    accept_sharing: Option<AcceptSharing>,
    /// Number of threads that do work that may block, for models that hand it over [default: 32].
    #[arg(long, value_name = "N")]
    helpers: Option<NonZeroUsize>,
    /// How much of that work may wait for such a thread; what is beyond is refused (503) [default: 65536].
    #[arg(long, value_name = "N")]
    helper_queue: Option<usize>,
    /// Poll for events that long before the loop sleeps, such as `50us`; or `adaptive`: 200us, or MOST, while half of the
    /// last events or more came within that time, and not at all otherwise [default: 0].
    #[arg(long, value_name = "DURATION|adaptive[:MOST]")]
    spin: Option<Spin>,
    /// Replace each worker of `loop-per-core` after that time, one after the other, while the server runs; with `:abandon`
    /// it closes its listener without accepting what waits [default: never].
    #[arg(long, value_name = "TIME[:abandon]")]
    recycle: Option<Recycle>,
    /// The most events that a loop fetches in one wait, 1 to 4096 [default: 512].
    #[arg(long, value_name = "N", value_parser = events_per_wait)]
    events_per_wait: Option<NonZeroU16>,
    /// How `io-uring` submits requests: `enter`, by the call that waits, `sqpoll`, by a kernel thread for each worker, or
    /// `sqpoll-shared`, by one for all [default: enter].
    #[arg(long, value_name = "WHO", value_parser = submission)]
    submission: Option<Submission>,
    /// Options of the rings of `io-uring`, or of the mechanism `io-uring-poll`, such as `coop-taskrun,min-wait=50us`; `c10k list` shows them.
    #[arg(long, value_name = "OPTION,…")]
    ring: Option<RingOptions>,
    /// Serve the files below this directory at `/`.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Work on this directory for /file/N, /file/N/cold, /file/N/direct and POST /mail/N (with --lab); what it lacks is made.
    #[arg(long, value_name = "DIR", requires = "lab")]
    disk: Option<PathBuf>,
    /// The number of files below --disk, 1 to 1000000 [default: 10000].
    #[arg(long, value_name = "N", requires = "disk")]
    disk_files: Option<u32>,
    /// Bytes of each of these files, such as `4k`; at most 64k [default: 4k].
    #[arg(long, value_name = "SIZE", requires = "disk", value_parser = size)]
    disk_file_size: Option<u32>,
    /// Let each access to --disk wait that long before it begins, as on a slow disk [default: 0].
    #[arg(long, value_name = "DURATION", requires = "disk", value_parser = duration)]
    disk_delay: Option<Duration>,
    /// Offer the resources that studies need: /spin, /sleep, /echo, /headers and /stats, /bytes next to the files of --root, and
    /// those of --disk. They let any client use the server's CPU, memory and disk.
    #[arg(long)]
    lab: bool,
    /// Change to this user when the server listens; needs root.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Allow the server only to read below --root and listen on its port (Landlock).
    #[arg(long)]
    landlock: bool,
    /// The most connections that are open at once [default: as many as the descriptor limit allows].
    #[arg(long, value_name = "N")]
    max_connections: Option<NonZeroUsize>,
    /// How long a connection may be idle between requests.
    #[arg(long, value_name = "DURATION", default_value = "75s", value_parser = duration)]
    idle_timeout: Duration,
    /// How long the drain after SIGTERM may take.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    drain_timeout: Duration,
    /// Print one JSON object when listening and one after draining.
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    c10k_server::raise_descriptor_limit();
    let model = Model::named(&args.model)?;
    args.check(model)?;
    let config = args.config(model)?;
    let mechanism = model.takes_mechanism().then(|| config.mechanism.name());
    // Before any thread is started: threads keep the privileges that the server gives up afterwards.
    let server = Server::bind(model, config)?;
    let stop = Stop::new();
    stop.on_signals()?;
    let address = server.address().clone();
    if args.json {
        let record = ServeRecord::Listening {
            schema: c10k_record::SCHEMA,
            address: address.to_string(),
            pid: std::process::id(),
        };
        outln!("{}", serde_json::to_string(&record)?);
    } else {
        let on = mechanism.map(|name| format!(" on {name}")).unwrap_or_default();
        errln!("listening on {} with {}{on}", address.url(), model.name());
    }
    let summary = server.run(&stop)?;
    if args.json {
        outln!("{}", serde_json::to_string(&ServeRecord::Summary(Box::new(summary)))?);
    } else {
        print_summary(&summary);
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether a model has an option.
type HasIt = fn(&Descriptor) -> bool;

impl Args {
    /// Refuses the options that were given and that the model does not have.
    fn check(&self, model: Model) -> Result<(), String> {
        let mechanism: HasIt = |row| row.dispatch == Dispatch::Mechanism;
        let accept: HasIt = |row| row.options.contains(&ModelOption::Accept);
        let accept_sharing: HasIt = |row| row.options.contains(&ModelOption::AcceptSharing);
        let spin: HasIt = |row| row.options.contains(&ModelOption::Spin);
        let helpers: HasIt = |row| row.options.contains(&ModelOption::Helpers);
        let events_per_wait: HasIt = |row| row.options.contains(&ModelOption::EventsPerWait);
        let recycle: HasIt = |row| row.options.contains(&ModelOption::Recycle);
        let submission: HasIt = |row| row.options.contains(&ModelOption::Submission);
        let ring: HasIt = |row| row.options.contains(&ModelOption::Ring) || row.dispatch == Dispatch::Mechanism;
        let workers: HasIt = |row| row.workers != Workers::One;
        let concurrency: HasIt = |row| row.options.contains(&ModelOption::Concurrency);
        let options: [(&str, bool, HasIt); 14] = [
            ("--mechanism", self.mechanism.is_some(), mechanism),
            ("--signal-queue", self.signal_queue.is_some(), mechanism),
            ("--on-overflow", self.on_overflow.is_some(), mechanism),
            ("--accept", self.accept.is_some(), accept),
            ("--accept-sharing", self.accept_sharing.is_some(), accept_sharing),
            ("--spin", self.spin.is_some(), spin),
            ("--helpers", self.helpers.is_some(), helpers),
            ("--helper-queue", self.helper_queue.is_some(), helpers),
            ("--events-per-wait", self.events_per_wait.is_some(), events_per_wait),
            ("--recycle", self.recycle.is_some(), recycle),
            ("--submission", self.submission.is_some(), submission),
            ("--ring", self.ring.is_some(), ring),
            ("--workers", self.workers.is_some(), workers),
            ("--concurrency", self.concurrency.is_some(), concurrency),
        ];
        for (option, is_given, has_it) in options {
            if is_given && !has_it(model.descriptor()) {
                let able = MODELS.iter().filter(|row| has_it(row)).map(|row| row.name);
                return Err(format!(
                    "{option}: the model {} has no such option: leave it out, or use the model {}",
                    model.name(),
                    able.collect::<Vec<_>>().join(", ")
                ));
            }
        }
        Ok(())
    }

    fn config(&self, model: Model) -> Result<Config, Box<dyn Error>> {
        let mechanism = self.mechanism.as_deref().unwrap_or("epoll-edge");
        let mut config = Config::new(Mechanism::named(mechanism)?);
        config.listen = Listen::named(&self.listen)?;
        config.accept = self.accept.unwrap_or(config.accept);
        config.work = self.work;
        config.event_options.signal_queue = self.signal_queue;
        config.event_options.on_overflow = self.on_overflow.unwrap_or(config.event_options.on_overflow);
        config.workers = self.workers;
        config.concurrency = self.concurrency;
        config.accept_sharing = self.accept_sharing.unwrap_or(config.accept_sharing);
        config.spin = self.spin.unwrap_or(config.spin);
        config.helpers = self.helpers.unwrap_or(config.helpers);
        config.helper_queue = self.helper_queue.unwrap_or(config.helper_queue);
        config.events_per_wait = self.events_per_wait.unwrap_or(config.events_per_wait);
        config.recycle = self.recycle;
        config.submission = self.submission.unwrap_or(config.submission);
        match &self.ring {
            // The mechanism checks whether it has a ring.
            Some(ring) if model.takes_mechanism() => {
                let setup = ring.of_polls().map_err(|error| format!("--ring {error}"))?;
                config.event_options.ring = Some(setup);
            }
            Some(ring) => config.ring = ring.clone(),
            None => {}
        }
        config.root = self.root.as_deref().map(Root::open).transpose()?;
        config.disk = self.disk()?;
        if self.lab {
            config.resources = Resources::Lab;
        }
        config.user.clone_from(&self.user);
        if self.landlock {
            config.confinement = Confinement::Landlock;
        }
        config.max_connections = self.max_connections.map(NonZeroUsize::get);
        config.deadlines.idle = self.idle_timeout;
        config.deadlines.drain = self.drain_timeout;
        Ok(config)
    }

    fn disk(&self) -> Result<Option<DiskStore>, ServeError> {
        let default = DiskOptions::default();
        let options = DiskOptions {
            files: self.disk_files.unwrap_or(default.files),
            file_size: self.disk_file_size.unwrap_or(default.file_size),
            delay: self.disk_delay.unwrap_or(default.delay),
        };
        self.disk
            .as_deref()
            .map(|path| DiskStore::open(path, options))
            .transpose()
    }
}

fn print_summary(summary: &ServeSummary) {
    outln!(
        "connections     {} accepted, {} at once",
        summary.accepted,
        summary.open_connections_max
    );
    outln!(
        "requests        {} well-formed, {} refused",
        summary.requests,
        summary.bad_requests
    );
    outln!("replies         {}", summary.replies);
    outln!("timeouts        {}", summary.timeouts);
    outln!("waits, events   {}, {}", summary.waits, summary.events);
    if summary.spins_found + summary.spins_slept > 0 {
        outln!(
            "spins           {} found events, {} ended in a sleep",
            summary.spins_found,
            summary.spins_slept
        );
    }
    if summary.work_handed_over + summary.work_refused > 0 {
        outln!(
            "blocking work   {} handed over, {} waited at once, {} refused",
            summary.work_handed_over,
            summary.work_queue_max,
            summary.work_refused
        );
    }
    if summary.recycled > 0 {
        outln!("workers         {} replaced", summary.recycled);
    }
    if summary.running_max > 0 {
        outln!(
            "places          {} given up, {} taken, {} waits, {} threads at once",
            summary.places_given_up,
            summary.places_noticed,
            summary.place_waits,
            summary.running_max
        );
    }
    if summary.signals > 0 {
        outln!(
            "signals         {}, {} overflows, {} rescans",
            summary.signals,
            summary.overflows,
            summary.rescans
        );
    }
    let (user_ms, system_ms) = (summary.cpu_user_ns / 1_000_000, summary.cpu_system_ns / 1_000_000);
    outln!("CPU             {user_ms} ms user, {system_ms} ms system");
}

fn accept_policy(text: &str) -> Result<AcceptPolicy, String> {
    match text {
        "one" => Ok(AcceptPolicy::ONE),
        "all" => Ok(AcceptPolicy::All),
        number => number
            .parse::<NonZeroU32>()
            .map(AcceptPolicy::UpTo)
            .map_err(|_| "give `one`, `all`, or a number from 1".to_owned()),
    }
}

fn events_per_wait(text: &str) -> Result<NonZeroU16, String> {
    let number = text.parse::<NonZeroU16>().ok();
    number
        .filter(|number| number.get() <= 4096)
        .ok_or_else(|| "give a number from 1 to 4096".to_owned())
}

fn accept_sharing(text: &str) -> Result<AcceptSharing, String> {
    one_of(AcceptSharing::ALL, text)
}

fn submission(text: &str) -> Result<Submission, String> {
    one_of(Submission::ALL, text)
}

/// The value of that name.
fn one_of<T: Copy>(all: &[(&str, T)], text: &str) -> Result<T, String> {
    all.iter()
        .find(|(name, _)| *name == text)
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let known: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
            format!("give one of {}", known.join(", "))
        })
}

fn duration(text: &str) -> Result<Duration, String> {
    c10k_units::duration::parse(text).map_err(|error| error.to_string())
}

fn size(text: &str) -> Result<u32, String> {
    let bytes = c10k_units::size::parse(text).map_err(|error| error.to_string())?;
    u32::try_from(bytes).map_err(|_| "give at most 64k".to_owned())
}

fn on_overflow(text: &str) -> Result<OnOverflow, String> {
    match text {
        "rescan-poll" => Ok(OnOverflow::RescanPoll),
        "rescan-select" => Ok(OnOverflow::RescanSelect),
        "none" => Ok(OnOverflow::None),
        _ => Err("give rescan-select, rescan-poll or none".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn work_reaches_the_server_to_the_nanosecond() {
        for (text, nanoseconds) in [
            ("500ns", 500),
            ("1500ns", 1500),
            ("1.5ms", 1_500_000),
            ("1h", 3_600_000_000_000),
        ] {
            let command = Command::try_parse_from(["serve", "--work", text]).expect(text);
            assert_eq!(command.args.work, Duration::from_nanos(nanoseconds), "{text}");
        }
    }
}
