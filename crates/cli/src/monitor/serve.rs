//! `c10k monitor serve`.

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;

use c10k_event::Mechanism;
use c10k_monitor::{Config, Descriptor, Dispatch, MODELS, Model, Monitor, Stop, Workers};
use c10k_record::{MonitorRecord, MonitorSummary, SCHEMA};

use crate::Outcome;
use crate::print::{errln, outln};

/// Sample this host once a period and send the sample to all subscribers, until SIGTERM or SIGINT.
///
/// It offers /sample (one JSON object), /stream (one a line, one a period) and /metrics (OpenMetrics) over HTTP, to everybody who can
/// connect. A sample has the host's name and counters of the whole host, nothing about processes or users.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Where to listen: an address or a name, with a port (0: any free port) or without (7010).
    #[arg(long, value_name = "HOST[:PORT]", default_value = "127.0.0.1:7010")]
    listen: String,
    /// The time from one sample to the next, 1ms to 24h.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    period: Duration,
    /// The concurrency model: `loop`, `fork` or `pool`; `c10k list` describes them.
    #[arg(long, value_name = "NAME", default_value = "loop")]
    model: String,
    /// The event mechanism of models that have one; `c10k list` shows them [default: epoll-edge].
    #[arg(long, value_name = "NAME")]
    mechanism: Option<String>,
    /// The most subscribers at once. With `loop` and `pool`, further ones get status 503; with `fork`, further connections wait
    /// [default: as many as the descriptor limit allows].
    #[arg(long, value_name = "N")]
    max_subscribers: Option<NonZeroUsize>,
    /// Number of threads, for models with a fixed number.
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// How long the drain after SIGTERM may take.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    drain_timeout: Duration,
    /// Print one JSON object when listening and one after draining.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    c10k_monitor::raise_descriptor_limit();
    let model = Model::named(&args.model)?;
    args.check(model)?;
    let mut config = match &args.mechanism {
        Some(name) => Config::new(Mechanism::named(name)?),
        None => Config::default(),
    };
    config.listen = c10k_monitor::address_of(&args.listen)?;
    config.period = args.period;
    config.max_subscribers = args.max_subscribers;
    config.workers = args.workers;
    config.deadlines.drain = args.drain_timeout;
    let mechanism = model.takes_mechanism().then(|| config.mechanism.name());
    let monitor = Monitor::bind(model, config)?;
    let stop = Stop::new()?;
    stop.on_signals()?;
    let address = monitor.address();
    if args.json {
        let record = MonitorRecord::Listening {
            schema: SCHEMA,
            address: address.to_string(),
            pid: std::process::id(),
        };
        outln!("{}", serde_json::to_string(&record)?);
    } else {
        let on = mechanism.map(|name| format!(" on {name}")).unwrap_or_default();
        errln!("listening on http://{address}/ with {}{on}", model.name());
    }
    let summary = monitor.run(&stop)?;
    if args.json {
        outln!("{}", serde_json::to_string(&MonitorRecord::Summary(Box::new(summary)))?);
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
        let options: [(&str, bool, HasIt); 2] = [
            ("--mechanism", self.mechanism.is_some(), |row| {
                row.dispatch == Dispatch::Mechanism
            }),
            ("--workers", self.workers.is_some(), |row| {
                matches!(row.workers, Workers::Fixed(_))
            }),
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
}

fn print_summary(summary: &MonitorSummary) {
    outln!(
        "connections     {} accepted, {} timed out",
        summary.accepted,
        summary.timeouts
    );
    outln!(
        "requests        {} answered, {} refused",
        summary.requests,
        summary.refused
    );
    outln!(
        "subscribers     {}, {} at once",
        summary.subscribers,
        summary.subscribers_max
    );
    outln!(
        "samples         {} made, {} periods missed",
        summary.samples,
        summary.periods_missed
    );
    outln!(
        "lines           {} due: {} sent, {} skipped, {} cut",
        summary.lines_due,
        summary.lines_sent,
        summary.lines_skipped,
        summary.lines_cut
    );
    if summary.lost_children > 0 {
        outln!("children        {} died", summary.lost_children);
    }
    let (user_ms, system_ms) = (summary.cpu_user_ns / 1_000_000, summary.cpu_system_ns / 1_000_000);
    outln!("CPU             {user_ms} ms user, {system_ms} ms system");
}

fn duration(text: &str) -> Result<Duration, String> {
    c10k_units::duration::parse(text).map_err(|error| error.to_string())
}
