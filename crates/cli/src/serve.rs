//! `c10k serve`.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use c10k_event::{Mechanism, OnOverflow};
use c10k_record::{ServeRecord, ServeSummary};
use c10k_server::{AcceptPolicy, AcceptSharing, Config, Confinement, Model, Root, Server, Stop, Submission};

use crate::Outcome;

/// Serves HTTP/1.1 with a chosen event mechanism and concurrency model, until SIGTERM or SIGINT.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The concurrency model; `c10k list` shows them.
    #[arg(long, value_name = "NAME", default_value = "event-loop")]
    model: String,
    /// The event mechanism of models that have one; `c10k list` shows them.
    #[arg(long, value_name = "NAME", default_value = "epoll-edge")]
    mechanism: String,
    /// Connections to accept each time the listener is ready: `one`, `all`, or a number.
    #[arg(long, value_name = "one|all|N", default_value = "all", value_parser = accept_policy)]
    accept: AcceptPolicy,
    /// CPU time to spend on every request, such as `250us`.
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = duration)]
    work: Duration,
    /// Length of the queue of real-time signals (RLIMIT_SIGPENDING); only the signal mechanisms have one.
    #[arg(long, value_name = "N")]
    signal_queue: Option<u64>,
    /// What to do when that queue has overflowed; `none` hangs, as the paper says.
    #[arg(long, value_name = "ACTION", default_value = "rescan-poll", value_parser = on_overflow)]
    on_overflow: OnOverflow,
    /// Number of worker threads or processes, for models that can have several.
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// How the workers of `loop-per-core` share connections.
    #[arg(long, value_name = "WAY", default_value = "reuseport", value_parser = accept_sharing)]
    accept_sharing: AcceptSharing,
    /// How `io-uring` submits requests: `enter`, by the call that waits, or `sqpoll`, by a kernel thread.
    #[arg(long, value_name = "WHO", default_value = "enter", value_parser = submission)]
    submission: Submission,
    /// Serve the files below this directory at `/`.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Become this user when the server listens; only root can.
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
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    c10k_server::raise_descriptor_limit();
    let model = Model::named(&args.model)?;
    let mut config = Config::new(Mechanism::named(&args.mechanism)?);
    config.listen = args.listen;
    config.accept = args.accept;
    config.work = args.work;
    config.event_options.signal_queue = args.signal_queue;
    config.event_options.on_overflow = args.on_overflow;
    config.workers = args.workers;
    config.accept_sharing = args.accept_sharing;
    config.submission = args.submission;
    config.root = args.root.as_deref().map(Root::open).transpose()?;
    config.user.clone_from(&args.user);
    if args.landlock {
        config.confinement = Confinement::Landlock;
    }
    config.max_connections = args.max_connections.map(NonZeroUsize::get);
    config.deadlines.idle = args.idle_timeout;
    config.deadlines.drain = args.drain_timeout;
    // Before any thread is started: threads keep the privileges that the server gives up afterwards.
    let server = Server::bind(model, config)?;
    let stop = Stop::new();
    stop.on_signals()?;
    let address = server.address();
    if args.json {
        let record = ServeRecord::Listening {
            schema: c10k_record::SCHEMA,
            address: address.to_string(),
            pid: std::process::id(),
        };
        println!("{}", serde_json::to_string(&record)?);
    } else {
        eprintln!(
            "listening on http://{address}/ with {} on {}",
            args.model, args.mechanism
        );
    }
    let summary = server.run(&stop)?;
    if args.json {
        println!("{}", serde_json::to_string(&ServeRecord::Summary(Box::new(summary)))?);
    } else {
        print_summary(&summary);
    }
    Ok(ExitCode::SUCCESS)
}

fn print_summary(summary: &ServeSummary) {
    println!(
        "connections     {} accepted, {} at once",
        summary.accepted, summary.open_connections_max
    );
    println!(
        "requests        {} well-formed, {} refused",
        summary.requests, summary.bad_requests
    );
    println!("replies         {}", summary.replies);
    println!("timeouts        {}", summary.timeouts);
    println!("waits, events   {}, {}", summary.waits, summary.events);
    if summary.signals > 0 {
        println!(
            "signals         {}, {} overflows, {} rescans",
            summary.signals, summary.overflows, summary.rescans
        );
    }
    let (user_ms, system_ms) = (summary.cpu_user_ns / 1_000_000, summary.cpu_system_ns / 1_000_000);
    println!("CPU             {user_ms} ms user, {system_ms} ms system");
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
