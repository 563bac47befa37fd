//! The server under test, as a process.

use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use c10k_event::{Mechanism, OnOverflow, Trigger};
use c10k_http::Resources;
use c10k_record::{ServeRecord, ServeSummary};
use c10k_server::{
    AcceptPolicy, AcceptSharing, Concurrency, Config, Confinement, ConnectionsIn, DiskOptions, DiskStore, Dispatch,
    Model, ModelOption, Root, Server, Stop, Submission, Workers,
};
use c10k_sys::spawn::{ChildSetup, on_spawn};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, setrlimit};

use crate::disk::{FILE_SIZE, FILES};

/// The first argument that makes this executable the server.
pub(crate) const SERVE: &str = "serve-subject";

/// One model on one mechanism, or a model that needs none.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    model: Model,
    mechanism: Option<Mechanism>,
    /// Options that distinguish this subject.
    options: Vec<(&'static str, &'static str)>,
}

/// What a case needs of its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    /// One interest set or ring for any number of connections.
    OneLoop,
    /// A limit on connections of any kind, beyond which connections wait.
    Cap,
    /// One limit on connections for all workers together.
    OneLimit,
    /// A limit on connections for each worker.
    ManyLimits,
    /// No thread or process for each connection.
    Events,
    /// A loop that can poll before it sleeps.
    Spin,
    /// Threads to which work that may block is handed over.
    Helpers,
    /// A loop whose waits fetch several events.
    Batches,
    /// Workers that can be replaced.
    Recycling,
    /// A bounded queue of signals.
    SignalQueue,
    /// A limit on descriptors that bounds its connections.
    OwnDescriptors,
    /// Threads that share one interest set.
    Sharing,
    /// A pool of threads of which a limited number runs at once.
    Port,
    /// A process for each connection.
    Processes,
    /// Work that may block is done by requests on a ring.
    WorkOnRing,
    /// Superuser privileges.
    Root,
}

impl Subject {
    /// Every model on every mechanism that it fits.
    pub(crate) fn all() -> Vec<Subject> {
        Model::all().flat_map(Subject::of).collect()
    }

    fn of(model: Model) -> Vec<Subject> {
        let on = |mechanism, options: &[(&'static str, &'static str)]| Subject {
            model,
            mechanism,
            options: options.to_vec(),
        };
        let row = model.descriptor();
        // Several workers, so that there is something to balance.
        let workers: &[(&str, &str)] = match (row.workers, row.concurrency) {
            (Workers::PerCpu | Workers::Sharing, _) => &[("workers", "3")],
            (Workers::Pool(_), _) => &[("workers", "8"), ("concurrency", "3")],
            (_, Concurrency::OnePerWorker) => &[("workers", "64")],
            _ => &[],
        };
        let mut subjects: Vec<Subject> = match row.dispatch {
            Dispatch::Mechanism => Mechanism::all()
                .filter(|mechanism| model.fits(*mechanism).is_ok())
                .map(|mechanism| on(Some(mechanism), workers))
                .collect(),
            // Each way to submit is a subject, below.
            Dispatch::Own if row.options.contains(&ModelOption::Submission) => Vec::new(),
            Dispatch::Own => vec![on(None, workers)],
        };
        // The values of an option, on one mechanism.
        let mechanism = model
            .takes_mechanism()
            .then(|| Mechanism::named("epoll-edge").expect("a known mechanism"));
        let mut vary = |option, values: Vec<&'static str>| {
            subjects.extend(values.into_iter().map(|value| {
                let mut subject = on(mechanism, workers);
                subject.options.push((option, value));
                subject
            }));
        };
        for option in row.options {
            match option {
                ModelOption::Accept
                | ModelOption::Concurrency
                | ModelOption::Spin
                | ModelOption::Helpers
                | ModelOption::EventsPerWait
                | ModelOption::Recycle => {}
                ModelOption::AcceptSharing => {
                    vary(
                        "accept-sharing",
                        AcceptSharing::ALL.iter().map(|(name, _)| *name).collect(),
                    );
                }
                ModelOption::Submission => {
                    vary("submission", Submission::ALL.iter().map(|(name, _)| *name).collect());
                }
                // Those that are not the default, each alone.
                ModelOption::Ring => vary(
                    "ring",
                    vec![
                        "default-taskrun",
                        "coop-taskrun",
                        "registered-ring",
                        "direct",
                        "recv-bundle",
                        "incremental-buffers",
                        "send-zc",
                        "min-wait=200us",
                    ],
                ),
            }
        }
        subjects
    }

    /// The same with one more option.
    pub(crate) fn with(&self, name: &'static str, value: &'static str) -> Subject {
        let mut subject = self.clone();
        subject.options.push((name, value));
        subject
    }

    pub(crate) fn name(&self) -> String {
        let mut name = self.model.name().to_owned();
        if let Some(mechanism) = self.mechanism {
            name = format!("{name}::{}", mechanism.name());
        }
        let distinguishing = |(option, _): &&(&str, &str)| matches!(*option, "accept-sharing" | "submission" | "ring");
        match self.options.iter().find(distinguishing) {
            Some((_, value)) => format!("{name}::{value}"),
            None => name,
        }
    }

    pub(crate) fn model_name(&self) -> &'static str {
        self.model.name()
    }

    pub(crate) fn meets(&self, needs: Needs) -> bool {
        let row = self.model.descriptor();
        let many = row.concurrency == Concurrency::Many;
        let one_worker = !matches!(row.workers, Workers::PerCpu);
        match needs {
            Needs::Nothing => true,
            Needs::OneLoop => many && one_worker && row.options.contains(&ModelOption::Accept),
            // Once for each way to start workers; the call is the same for all.
            Needs::Root => {
                rustix::process::geteuid().is_root()
                    && (!self.model.takes_mechanism() || self.mechanism.map(Mechanism::name) == Some("epoll-edge"))
            }
            Needs::OneLimit => one_worker,
            Needs::ManyLimits => !one_worker,
            Needs::Cap => row.concurrency != Concurrency::OnePerWorker,
            Needs::OwnDescriptors => !self.meets(Needs::Processes) && row.concurrency != Concurrency::OnePerWorker,
            Needs::Processes => row.connections_in == ConnectionsIn::Children,
            Needs::Sharing => matches!(row.workers, Workers::Sharing | Workers::Pool(_)),
            Needs::Port => row.options.contains(&ModelOption::Concurrency),
            Needs::Events => many,
            Needs::WorkOnRing => row.options.contains(&ModelOption::Ring),
            Needs::Spin => row.options.contains(&ModelOption::Spin),
            Needs::Helpers => row.options.contains(&ModelOption::Helpers),
            Needs::Recycling => row.options.contains(&ModelOption::Recycle),
            Needs::Batches => row.options.contains(&ModelOption::EventsPerWait),
            Needs::SignalQueue => {
                many && one_worker
                    && self
                        .mechanism
                        .is_some_and(|mechanism| mechanism.name().starts_with("rt-signal"))
            }
        }
    }

    /// Whether each worker has a listener of its own.
    pub(crate) fn has_listeners_of_their_own(&self) -> bool {
        self.options
            .iter()
            .all(|(name, value)| *name != "accept-sharing" || *value == "reuseport")
    }

    /// How its workers serve connections.
    pub(crate) fn concurrency(&self) -> Concurrency {
        self.model.descriptor().concurrency
    }

    /// Whether a runtime serves its connections and moves them between threads.
    pub(crate) fn has_runtime(&self) -> bool {
        matches!(self.model.descriptor().workers, Workers::Runtime(_))
    }

    /// How its event mechanism, if it has one, triggers.
    pub(crate) fn trigger(&self) -> Option<Trigger> {
        self.mechanism.map(Mechanism::default_trigger)
    }

    /// The system call that its mechanism, if it has one, waits with.
    pub(crate) fn waits_with(&self) -> Option<&'static str> {
        self.mechanism.and_then(|mechanism| mechanism.waits().first().copied())
    }

    /// Whether its events are queued signals, whose limit is shared by all processes of the user.
    pub(crate) fn queues_signals(&self) -> bool {
        self.mechanism
            .is_some_and(|mechanism| mechanism.name().contains("signal"))
    }

    /// Why it cannot run here.
    pub(crate) fn unavailable(&self) -> Option<String> {
        let mechanism = || {
            self.mechanism
                .and_then(|mechanism| mechanism.probe().err())
                .map(|reason| reason.to_string())
        };
        self.model.availability().err().or_else(mechanism)
    }

    /// Whether `C10K_REQUIRE` names its model or its mechanism, so that its absence is a failure.
    pub(crate) fn is_required(&self) -> bool {
        let model = self.model.name();
        c10k_testkit::required::is_required(&[model, self.mechanism.map_or(model, Mechanism::name)])
    }

    /// Whether a reset may never be reported: a multishot receive misses the end of the input if it comes right behind
    /// data, on kernels with the fault of liburing's issue 1549.
    pub(crate) fn may_miss_a_reset(&self) -> bool {
        self.model.descriptor().options.contains(&ModelOption::Submission)
    }

    /// Whether its sockets are places in a table of its ring, so that requests close them and no calls.
    pub(crate) fn has_direct_sockets(&self) -> bool {
        self.options.contains(&("ring", "direct"))
    }

    /// Starts the server with options of [`apply`].
    pub(crate) fn start(&self, options: &[(&str, &str)]) -> Running {
        Running::of(self.command(options))
    }

    /// Like [`start`](Self::start), with the lines that the server prints on standard error.
    pub(crate) fn start_with_messages(&self, options: &[(&str, &str)]) -> (Running, Receiver<String>) {
        let mut command = self.command(options);
        command.stderr(Stdio::piped());
        let mut server = Running::of(command);
        let printed = BufReader::new(server.child.stderr.take().expect("standard error is piped"));
        let (sender, messages) = mpsc::channel();
        std::thread::spawn(move || {
            // A send fails once the test has dropped the receiver.
            printed
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        (server, messages)
    }

    /// The command that starts the server. The server does not outlive the process that starts it.
    pub(crate) fn command(&self, options: &[(&str, &str)]) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("a test has an executable"));
        command.args([
            SERVE,
            self.model.name(),
            self.mechanism.map_or("epoll-level", Mechanism::name),
        ]);
        command.args(
            self.options
                .iter()
                .chain(options)
                .map(|(name, value)| format!("{name}={value}")),
        );
        let setup = ChildSetup {
            cpus: Vec::new(),
            on_parent_death: Signal::KILL,
        };
        on_spawn(&mut command, &setup);
        command.stdout(Stdio::piped());
        command
    }

    /// Starts the server as a service manager does, with a listener as descriptor 3.
    pub(crate) fn start_inheriting(&self, listener: &TcpListener) -> Running {
        // The shell gets the listener as its standard input, because every shell can redirect from that number.
        let handed = listener.try_clone().expect("a descriptor is left");
        let script = r#"LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&0 </dev/null"#;
        let mut command = Command::new("sh");
        command.stdin(OwnedFd::from(handed));
        command
            .args(["-c", script, "sh"])
            .arg(std::env::current_exe().expect("a test has an executable"));
        command.args([
            SERVE,
            self.model.name(),
            self.mechanism.map_or("epoll-level", Mechanism::name),
        ]);
        Running::of(command)
    }
}

/// A running server. It is killed when this is dropped before it was stopped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    child: Child,
    records: BufReader<ChildStdout>,
    ended: bool,
}

impl Running {
    fn of(mut command: Command) -> Running {
        // A test run that is killed leaves no server behind.
        let setup = ChildSetup {
            cpus: Vec::new(),
            on_parent_death: Signal::KILL,
        };
        on_spawn(&mut command, &setup);
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the executable starts again");
        let mut records = BufReader::new(child.stdout.take().expect("standard output is piped"));
        match record(&mut records) {
            ServeRecord::Listening { address, .. } => Running {
                address: address.parse().expect("an address"),
                child,
                records,
                ended: false,
            },
            other => panic!("the server does not listen: {other:?}"),
        }
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).expect("the server is running");
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for the end of a server that was terminated: exit code 0, and the summary.
    pub(crate) fn wait(mut self) -> ServeSummary {
        let summary = match record(&mut self.records) {
            ServeRecord::Summary(summary) => *summary,
            other => panic!("the server printed no summary: {other:?}"),
        };
        let status = self.child.wait().expect("the server is our child");
        self.ended = true;
        assert!(status.success(), "the server ended with {status}");
        summary
    }

    /// Terminates the server and waits for its end.
    pub(crate) fn stop(self) -> ServeSummary {
        self.terminate();
        self.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            // The server may have ended by itself; then the test has failed for that reason already.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

pub(crate) fn record(records: &mut impl BufRead) -> ServeRecord {
    let mut line = String::new();
    records
        .read_line(&mut line)
        .expect("the server's standard output can be read");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
}

/// The server side: `serve-subject MODEL MECHANISM [OPTION=VALUE]…`.
pub(crate) fn serve() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    let [model, mechanism, options @ ..] = arguments.as_slice() else {
        panic!("a model and a mechanism")
    };
    let model = Model::named(model).expect("a known model");
    let mut config = Config::new(Mechanism::named(mechanism).expect("a known mechanism"));
    config.resources = Resources::Lab;
    c10k_server::raise_descriptor_limit();
    for option in options {
        let (name, value) = option.split_once('=').expect("NAME=VALUE");
        apply(&mut config, name, value);
    }
    let beyond = options.iter().find_map(|option| option.strip_prefix("beyond="));
    let server = Server::bind(model, config).expect("a free port");
    if let Some(secret) = beyond {
        std::thread::scope(|scope| scope.spawn(|| find_no_way_out(secret)).join()).expect("no way out");
    }
    let stop = Stop::new();
    stop.on_signals().expect("signals can be waited for");
    print(&ServeRecord::Listening {
        schema: c10k_record::SCHEMA,
        address: server.address().to_string(),
        pid: std::process::id(),
    });
    match server.run(&stop) {
        Ok(summary) => {
            print(&ServeRecord::Summary(Box::new(summary)));
            ExitCode::SUCCESS
        }
        // As `c10k serve` does.
        Err(error) => {
            eprintln!("c10k: {error}");
            ExitCode::from(2)
        }
    }
}

/// Asserts that a thread of a confined server cannot open or write files outside its root, and cannot listen or connect.
fn find_no_way_out(secret: &str) {
    let refused = |error: Option<std::io::Error>| error.map(|error| error.kind()) == Some(ErrorKind::PermissionDenied);
    assert!(refused(std::fs::File::open(secret).err()));
    assert!(refused(std::fs::write(secret, b"").err()));
    assert!(refused(std::fs::read_dir("/").err()));
    assert!(refused(TcpListener::bind("127.0.0.1:0").err()));
    assert!(refused(std::net::TcpStream::connect("127.0.0.1:1").err()));
}

fn print(record: &ServeRecord) {
    println!("{}", serde_json::to_string(record).expect("records are plain data"));
}

/// A directory to work on, with a few files.
fn disk(path: &str, delay: Duration) -> DiskStore {
    let options = DiskOptions {
        files: FILES,
        file_size: FILE_SIZE,
        delay,
    };
    DiskStore::open(path.as_ref(), options).expect("a directory")
}

fn apply(config: &mut Config, name: &str, value: &str) {
    let time = || -> Duration { c10k_units::duration::parse(value).expect("a duration") };
    let number = || -> u64 { value.parse().expect("a number") };
    match name {
        "accept" => {
            config.accept = match value {
                "all" => AcceptPolicy::All,
                most => AcceptPolicy::UpTo(most.parse().expect("a number from 1")),
            };
        }
        "workers" => config.workers = value.parse().ok(),
        "concurrency" => config.concurrency = value.parse().ok(),
        "accept-sharing" => {
            let sharing = AcceptSharing::ALL.iter().find(|(name, _)| *name == value);
            config.accept_sharing = sharing.expect("a known sharing").1;
        }
        "helpers" => config.helpers = value.parse().expect("a number from 1"),
        "helper-queue" => config.helper_queue = usize::try_from(number()).expect("a number"),
        "spin" => config.spin = value.parse().expect("a spin"),
        "recycle" => config.recycle = Some(value.parse().expect("a time")),
        "events-per-wait" => config.events_per_wait = value.parse().expect("a number from 1"),
        "submission" => {
            let submission = Submission::ALL.iter().find(|(name, _)| *name == value);
            config.submission = submission.expect("a known way to submit").1;
        }
        "ring" => config.ring = value.parse().expect("known options"),
        "root" => config.root = Some(Root::open(value.as_ref()).expect("a directory")),
        "disk" => config.disk = Some(disk(value, Duration::ZERO)),
        "slow-disk" => config.disk = Some(disk(value, Duration::from_millis(30))),
        "lab" => {
            config.resources = if value == "on" {
                Resources::Lab
            } else {
                Resources::Plain
            }
        }
        "held-bodies" => config.held_bodies = number(),
        "user" => config.user = Some(value.to_owned()),
        // Read by the server side.
        "beyond" => {}
        "landlock" => config.confinement = Confinement::Landlock,
        "spare" => config.deadlines.spare = time(),
        "work" => config.work = time(),
        "head" => config.deadlines.head = time(),
        "body" => config.deadlines.body = time(),
        "send" => config.deadlines.send = time(),
        "idle" => config.deadlines.idle = time(),
        "linger" => config.deadlines.linger = time(),
        "back-off" => config.deadlines.back_off = time(),
        "drain" => config.deadlines.drain = time(),
        "signal-queue" => config.event_options.signal_queue = Some(number()),
        "on-overflow" => {
            config.event_options.on_overflow = match value {
                "none" => OnOverflow::None,
                "rescan-select" => OnOverflow::RescanSelect,
                _ => OnOverflow::RescanPoll,
            };
        }
        "connections" => config.max_connections = usize::try_from(number()).ok(),
        "nofile" => {
            let limit = Rlimit {
                current: Some(number()),
                maximum: Some(number()),
            };
            setrlimit(Resource::Nofile, limit).expect("a limit can be lowered");
        }
        _ => panic!("no option is called {name}"),
    }
}
