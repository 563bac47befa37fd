//! One variant at one combination of levels, as the flags of the processes that run it.

use std::collections::BTreeMap;

use c10k_host::network::NetworkSetting;
use c10k_record::ProbeOption;
use c10k_units::duration;

use super::axis::Axis;
use super::background::{self, BackgroundLoad};
use super::mix;
use super::network;
use super::overload::{self, OverloadTime};
use super::variant::Variant;
use crate::experiment::options::{self, Side};
use crate::rows;

/// One variant at one combination of levels.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    /// The variant's name and the levels as written: the cell's identity in the records.
    pub(crate) id: String,
    pub(crate) variant: usize,
    /// Index of the level on each axis, in the order of [`Plan::axes`].
    pub(crate) levels: Vec<usize>,
    /// Flags of `c10k serve`, without `--listen`, `--json` and `--disk`.
    pub(crate) server_flags: Vec<String>,
    /// Whether the server gets a directory of files, `--disk`.
    pub(crate) needs_disk: bool,
    /// Flags of `c10k load`, without the URL, those of its output and those of how it is driven.
    pub(crate) load_flags: Vec<String>,
    /// The path of the URL; empty if the flags have a mix of requests.
    pub(crate) path: String,
    /// The requests of a second generator, which disturb and are not measured.
    pub(crate) background: Option<BackgroundLoad>,
    /// Settings of the network namespace in which the cell runs; that of the lab if there are none.
    pub(crate) network: Vec<NetworkSetting>,
    /// When the load is another one than before and after.
    pub(crate) overload: Option<OverloadTime>,
    /// The probe that runs in place of a server and a generator.
    pub(crate) probe: Option<String>,
    /// Flags of the probe, without `--json` and `--cpus`.
    pub(crate) probe_flags: Vec<String>,
    /// Connections that are open at once.
    pub(crate) connections: u64,
    /// Those of them that send nothing.
    pub(crate) idle: u64,
    /// Requests that are due at once.
    pub(crate) burst: u64,
    /// Warm-up, measured time and time limit, seconds.
    pub(crate) time: CellTime,
    /// The same cell as a window of a server that runs for the whole study, if the experiment has windows.
    pub(crate) window: Option<Box<Self>>,
}

/// The idle timeout of a server of ours that runs for the whole study: longer than any study.
const IDLE_TIMEOUT: &str = "240h";

/// How long the parts of a cell take, seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct CellTime {
    pub(crate) warmup_s: f64,
    pub(crate) duration_s: f64,
    pub(crate) timeout_s: f64,
}

/// A low estimate of the connections that the generator opens per second. It is used for the expected duration only.
const CONNECTS_PER_S: f64 = 12_000.0;

/// Time to start and stop two processes and to read the meters, seconds. It is used for the expected duration only.
const CELL_OVERHEAD_S: f64 = 0.2;

/// Time to read the meters, to wait for the last replies, and to watch the CPU without a server from time to time, seconds.
/// It is used for the expected duration only.
const WINDOW_OVERHEAD_S: f64 = 0.03;

impl CellTime {
    /// Expected duration of a cell with that many connections.
    pub(crate) fn expected_s(&self, connections: u64) -> f64 {
        start_s(connections) + self.warmup_s + self.duration_s
    }

    /// Expected duration of a window.
    pub(super) fn window_s(&self) -> f64 {
        WINDOW_OVERHEAD_S + self.warmup_s + self.duration_s
    }
}

/// What it takes to start a server and a generator with that many connections, and to end them, seconds.
pub(super) fn start_s(connections: u64) -> f64 {
    CELL_OVERHEAD_S + connections as f64 / CONNECTS_PER_S
}

/// The cell of a variant at these levels. `of_window` are the options of the load that differ in a window.
pub(super) fn cell(
    axes: &[Axis],
    index: usize,
    variant: &Variant,
    levels: &[usize],
    of_window: Option<&BTreeMap<String, String>>,
) -> Cell {
    let window = of_window.map(|own| {
        let mut window = variant.clone();
        window.load.extend(own.clone());
        // The default would close the connections of a server that waits for its next turn.
        if window.external.is_none() {
            window.server.insert("idle-timeout".to_owned(), IDLE_TIMEOUT.to_owned());
        }
        Box::new(cell(axes, index, &window, levels, None))
    });
    let mut server = variant.server.clone();
    let mut load = variant.load.clone();
    let mut probe = variant.probe.clone();
    let mut id = variant.name.clone();
    for (axis, &level) in axes.iter().zip(levels) {
        let level = &axis.levels[level];
        id.push_str(&format!(" {}={}", axis.name, level.written));
        let side = match axis.row.side {
            Side::Server => &mut server,
            Side::Load => &mut load,
            Side::Probe => &mut probe,
        };
        side.insert(axis.row.name.to_owned(), level.flag.clone());
    }
    let network = network::take_from(&mut server);
    let background = background::take_from(&mut load);
    let overload = overload::replace_in(&mut load);
    let path = match (load.remove("path"), load.remove("reply")) {
        (Some(path), _) => path,
        (None, Some(bytes)) => format!("/bytes/{bytes}"),
        (None, None) => "/bytes/1".to_owned(),
    };
    let mix = mix::take_from(&mut load, &path);
    let count = |name: &str| number(&load, name) as u64;
    let name = probe.remove("name");
    let time = match &name {
        None => CellTime {
            warmup_s: seconds_of(&load, "warmup", 0.0),
            duration_s: seconds_of(&load, "duration", 1.0),
            timeout_s: seconds_of(&load, "timeout", 5.0),
        },
        Some(name) => probe_time(name, &probe),
    };
    Cell {
        id,
        variant: index,
        levels: levels.to_vec(),
        connections: count("connections") + count("idle"),
        idle: count("idle"),
        burst: count("burst").max(1),
        time,
        needs_disk: needs_disk(&server),
        server_flags: flags(&server),
        load_flags: flags(&load).into_iter().chain(mix.iter().flatten().cloned()).collect(),
        path: if mix.is_some() { String::new() } else { path },
        background,
        network,
        overload,
        probe: name,
        probe_flags: flags(&probe),
        window,
    }
}

/// Whether the server works on a directory, which the lab makes.
fn needs_disk(server: &BTreeMap<String, String>) -> bool {
    options::DISK.iter().any(|name| server.contains_key(*name))
}

fn seconds_of(options: &BTreeMap<String, String>, name: &str, default: f64) -> f64 {
    let text = options.get(name);
    text.and_then(|text| duration::parse(text).ok())
        .map_or(default, |duration| duration.as_secs_f64())
}

/// The measured time, and the time to set up what the options request, as the probe's row gives it.
fn probe_time(name: &str, settings: &BTreeMap<String, String>) -> CellTime {
    let options = rows::probe(name).map_or(&[][..], |probe| &probe.options);
    let setup_us = |option: &ProbeOption| number(settings, &option.name) * option.setup_us as f64;
    let time = settings.get("time").map(String::as_str).or_else(|| {
        let option = options.iter().find(|option| option.name == "time")?;
        option.default.as_deref()
    });
    CellTime {
        warmup_s: options.iter().map(setup_us).sum::<f64>() / 1e6,
        duration_s: time
            .and_then(|text| duration::parse(text).ok())
            .unwrap_or_default()
            .as_secs_f64(),
        timeout_s: 0.0,
    }
}

/// The numeric value of an option; 0 if it is not given.
fn number(settings: &BTreeMap<String, String>, name: &str) -> f64 {
    let text = settings.get(name);
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn flags(settings: &BTreeMap<String, String>) -> Vec<String> {
    settings
        .iter()
        .flat_map(|(name, value)| [format!("--{name}"), value.clone()])
        .collect()
}
