//! Builds the small kernel of `kernel/signal-per-fd`, with and without signal-per-fd.
//!
//! Both are built from the patched source, where one option decides. So the second build only compiles what depends on the option,
//! and the kernels differ in nothing else but the end of the release. Nothing of the machine is in the files: the time, the user and
//! the host are fixed, and paths are written as if the source were in the current folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// From the root of the repository.
const OURS: &str = "kernel/signal-per-fd";
const BUILT: &str = "target/signal-per-fd";

/// The option in the configuration, and the end of the release.
const KERNELS: [(&str, &str); 2] = [
    ("CONFIG_SIGNAL_PER_FD=y", "-c10k-signal-per-fd"),
    ("# CONFIG_SIGNAL_PER_FD is not set", "-c10k"),
];

/// What a kernel says about its build.
const IDENTITY: [(&str, &str); 4] = [
    ("KBUILD_BUILD_TIMESTAMP", "Mon Jun 25 00:00:00 UTC 2001"),
    ("KBUILD_BUILD_USER", "c10k"),
    ("KBUILD_BUILD_HOST", "c10k"),
    ("KBUILD_BUILD_VERSION", "1"),
];

/// `signal-per-fd --source PATH`
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    let source = match arguments.as_slice() {
        [flag, source] if flag == "--source" => Path::new(source),
        _ => {
            return Err(
                "signal-per-fd needs --source PATH: Debian's package linux-source-6.1, the archive that is in it, or a \
                 folder into which that was extracted"
                    .to_owned(),
            );
        }
    };
    let source = fs::canonicalize(source).map_err(|error| format!("--source {}: {error}", source.display()))?;
    let (ours, target) = (root.join(OURS), root.join(BUILT));
    let tree = target.join("source");
    extract(&source, &tree)?;
    let patch = ours.join("signal-per-fd.patch");
    finish(
        Command::new("patch")
            .args(["--strip=1", "--silent", "--directory"])
            .arg(&tree)
            .arg("--input")
            .arg(patch),
    )?;
    let small = fs::read_to_string(ours.join("small.config")).map_err(|error| format!("small.config: {error}"))?;
    for (option, ending) in KERNELS {
        configure(&tree, &format!("{small}\n{option}\n"))?;
        let release = build(&tree, ending)?;
        let file = target.join(format!("vmlinuz-{release}"));
        fs::copy(tree.join("arch/x86/boot/bzImage"), &file).map_err(|error| format!("{}: {error}", file.display()))?;
        println!("{}", file.display());
    }
    Ok(())
}

/// Makes `tree` a fresh copy of the source.
fn extract(source: &Path, tree: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("preparing {}: {error}", tree.display());
    if tree.exists() {
        fs::remove_dir_all(tree).map_err(failed)?;
    }
    fs::create_dir_all(tree).map_err(failed)?;
    let mut unpack = Command::new("tar");
    unpack
        .args(["--extract", "--strip-components=1", "--directory"])
        .arg(tree)
        .arg("--file");
    if source.is_dir() {
        return finish(
            Command::new("cp")
                .args(["--archive", "--no-target-directory"])
                .arg(source)
                .arg(tree),
        );
    }
    if source.extension().is_none_or(|extension| extension != "deb") {
        return finish(unpack.arg(source));
    }
    let package = tree.with_file_name("package");
    finish(Command::new("dpkg-deb").arg("--extract").arg(source).arg(&package))?;
    finish(unpack.arg(archive(&package)?))?;
    fs::remove_dir_all(&package).map_err(failed)
}

/// The archive in an extracted package.
fn archive(package: &Path) -> Result<PathBuf, String> {
    let folder = package.join("usr/src");
    let entries = fs::read_dir(&folder).map_err(|error| format!("--source: {}: {error}", folder.display()))?;
    let mut archives = entries.flatten().map(|entry| entry.path());
    archives
        .find(|path| path.to_string_lossy().ends_with(".tar.xz"))
        .ok_or_else(|| "--source: this is not a package linux-source-VERSION: there is no archive in it".to_owned())
}

/// The smallest configuration, and these options. An option that this kernel does not have is an error.
fn configure(tree: &Path, options: &str) -> Result<(), String> {
    finish(make(tree).arg("tinyconfig").stdout(Stdio::null()))?;
    let file = tree.with_file_name("options");
    fs::write(&file, options).map_err(|error| format!("{}: {error}", file.display()))?;
    let merge = tree.join("scripts/kconfig/merge_config.sh");
    finish(
        Command::new(merge)
            .current_dir(tree)
            .args(["-m", ".config"])
            .arg(&file)
            .stdout(Stdio::null()),
    )?;
    finish(make(tree).arg("olddefconfig"))?;
    let made = tree.join(".config");
    let made = fs::read_to_string(&made).map_err(|error| format!("{}: {error}", made.display()))?;
    let is_option = |line: &&str| line.starts_with("CONFIG_") || line.ends_with(" is not set");
    let is_taken = |option: &str| made.lines().any(|line| line == option);
    match options.lines().filter(is_option).find(|option| !is_taken(option)) {
        None => Ok(()),
        Some(refused) => Err(format!("this kernel does not take `{refused}`")),
    }
}

/// Builds the kernel and returns its release.
fn build(tree: &Path, ending: &str) -> Result<String, String> {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let local = format!("LOCALVERSION={ending}");
    let prefix = format!("-ffile-prefix-map={}=.", tree.display());
    let flags = [format!("KCFLAGS={prefix}"), format!("KAFLAGS={prefix}")];
    finish(
        make(tree)
            .arg(format!("--jobs={jobs}"))
            .args(&flags)
            .arg(&local)
            .arg("bzImage")
            .stdout(Stdio::null()),
    )?;
    let output = make(tree).arg(&local).arg("kernelrelease").output();
    let output = output.map_err(|error| format!("cannot run make: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn make(tree: &Path) -> Command {
    let mut command = Command::new("make");
    command
        .envs(IDENTITY)
        .env("LC_ALL", "C")
        .arg("--silent")
        .arg("--directory")
        .arg(tree);
    command
}

fn finish(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .map_err(|error| format!("cannot run {name}: {error}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("{name} ended with {status}")),
    }
}
