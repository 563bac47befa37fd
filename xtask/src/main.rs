//! Chores of the workspace: `cargo xtask NAME`. One chore is one file and one row of [`CHORES`].
#![forbid(unsafe_code)]

mod bpf;
mod dev_poll;
mod fuzz;
mod matrix;
mod package;
mod paper;
mod signal_per_fd;
mod tables;
mod tidy;
mod trial;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A chore: its name, one line for the listing, and what it does to the tree at a given root.
struct Chore {
    name: &'static str,
    summary: &'static str,
    run: fn(root: &Path) -> Result<(), String>,
}

const CHORES: &[Chore] = &[
    Chore {
        name: "bpf",
        summary: "compile the BPF program again and compare it with the committed object",
        run: bpf::check,
    },
    Chore {
        name: "bpf-build",
        summary: "compile the BPF program over the committed object",
        run: bpf::build,
    },
    Chore {
        name: "dev-poll",
        summary: "--headers DIR: build the kernel module of /dev/poll for a kernel of which DIR has the headers",
        run: dev_poll::run,
    },
    Chore {
        name: "fuzz",
        summary: "[TARGET]… [--minutes M] [--merge]: run the fuzz targets, 10 minutes of CPU each",
        run: fuzz::run,
    },
    Chore {
        name: "matrix",
        summary: "run the event library's contract suite and write docs/event/matrix.md",
        run: matrix::run,
    },
    Chore {
        name: "package",
        summary: "[OPTION]…: build every published crate from its packaged sources, and rehearse the uploads",
        run: package::run,
    },
    Chore {
        name: "signal-per-fd",
        summary: "--source PATH: build the kernel with signal-per-fd, and the same without it, from Debian's linux-source-6.1",
        run: signal_per_fd::run,
    },
    Chore {
        name: "tables",
        summary: "tables [--check]: write the tables of the documentation from c10k list",
        run: tables::run,
    },
    Chore {
        name: "tidy",
        summary: "[RULE]…: check structure and style; `cargo xtask tidy -h` lists the rules",
        run: tidy::run,
    },
    Chore {
        name: "trial",
        summary: "[--simulate]: run the lab on a server against itself twenty times, or on simulated blocks, and count its mistakes",
        run: trial::run,
    },
];

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    let Some(chore) = CHORES.iter().find(|chore| chore.name == name) else {
        eprintln!("usage: cargo xtask NAME, where NAME is one of");
        for chore in CHORES {
            eprintln!("  {:13} {}", chore.name, chore.summary);
        }
        return ExitCode::from(2);
    };
    match (chore.run)(&root()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("cargo xtask {name}: {message}");
            ExitCode::FAILURE
        }
    }
}

fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or_else(|| here.clone(), Path::to_path_buf)
}
