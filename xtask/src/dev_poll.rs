//! Builds the kernel module of `/dev/poll` (`kernel/dev-poll`) for a kernel whose headers are there.
//!
//! Debian's header packages name each other by absolute paths. Where they were only extracted, the build gets a folder of links
//! to them, in which the two files with such paths are rewritten.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// From the root of the repository.
const SOURCE: &str = "kernel/dev-poll";
const BUILT: &str = "target/dev-poll";

/// Files of the headers that contain absolute paths.
const WITH_PATHS: &[&str] = &["Makefile", ".kernelvariables"];

/// `dev-poll --headers DIR`
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    let folder = match arguments.as_slice() {
        [flag, folder] if flag == "--headers" => Path::new(folder),
        _ => {
            return Err(
                "dev-poll needs --headers DIR: a folder into which linux-headers-RELEASE, linux-headers-…-common and \
                 linux-kbuild-… were extracted, or / where they are installed"
                    .to_owned(),
            );
        }
    };
    let folder = fs::canonicalize(folder).map_err(|error| format!("--headers {}: {error}", folder.display()))?;
    let headers = headers(&folder)?;
    let name = headers.file_name().unwrap_or_default().to_string_lossy();
    let release = name.trim_start_matches("linux-headers-");
    let target = root.join(BUILT).join(release);
    let failed = |error: std::io::Error| format!("preparing {}: {error}", target.display());
    let (tree, build) = (target.join("headers"), target.join("build"));
    for old in [&tree, &build] {
        if old.exists() {
            fs::remove_dir_all(old).map_err(failed)?;
        }
        fs::create_dir_all(old).map_err(failed)?;
    }
    link(&headers, &folder, &tree).map_err(failed)?;
    let sources = fs::read_dir(root.join(SOURCE)).map_err(failed)?;
    for source in sources.flatten() {
        fs::copy(source.path(), build.join(source.file_name())).map_err(failed)?;
    }
    make(&tree, &build)?;
    let module = target.join("dev_poll.ko");
    fs::copy(build.join("dev_poll.ko"), &module).map_err(failed)?;
    println!("{}", module.display());
    Ok(())
}

/// The only folder of headers that has the symbols of a kernel.
fn headers(folder: &Path) -> Result<PathBuf, String> {
    let sources = folder.join("usr/src");
    let entries = fs::read_dir(&sources).map_err(|error| format!("--headers: {}: {error}", sources.display()))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = paths.filter(|path| path.join("Module.symvers").is_file()).collect();
    found.sort();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(format!(
            "--headers: {} has no linux-headers-RELEASE; extract that package and those that it depends on there \
             (dpkg-deb --extract)",
            sources.display()
        )),
        several => Err(format!(
            "--headers: {} has headers of {} kernels; name a folder with those of one",
            sources.display(),
            several.len()
        )),
    }
}

/// Makes `tree` the same as `headers`, with the absolute paths leading into `folder`.
fn link(headers: &Path, folder: &Path, tree: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(headers)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if !WITH_PATHS.iter().any(|with_paths| name == **with_paths) {
            symlink(path, tree.join(name))?;
            continue;
        }
        let inside = folder.join("usr/src/linux-");
        let text = fs::read_to_string(&path)?.replace("/usr/src/linux-", &inside.to_string_lossy());
        fs::write(tree.join(name), text)?;
    }
    Ok(())
}

fn make(tree: &Path, build: &Path) -> Result<(), String> {
    let mut command = Command::new("make");
    // The types of the kernel itself are not in the packages, so the module gets none.
    command.args(["--silent", "modules", "CONFIG_DEBUG_INFO_BTF_MODULES="]);
    command.arg("-C").arg(tree).arg(format!("M={}", build.display()));
    let status = command
        .status()
        .map_err(|error| format!("cannot run make: {error}; install make and gcc"))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("make of {} ended with {status}", build.display())),
    }
}
