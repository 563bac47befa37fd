//! The guest's whole file system: a cpio archive in the "newc" format (the kernel's
//! `Documentation/driver-api/early-userspace/buffer-format.rst`).
//!
//! All time stamps, inodes and owners are fixed, so that the same files always make the same archive.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

const DIRECTORY: u32 = 0o040_755;
const EXECUTABLE: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;

enum Node {
    Directory,
    Executable(Vec<u8>),
    Device { major: u32, minor: u32 },
}

/// The files of a guest, by their absolute path there.
pub(crate) struct Initramfs {
    nodes: BTreeMap<PathBuf, Node>,
}

impl Initramfs {
    /// An empty tree with the mount points of the guest and `/dev/console`, which the kernel opens for process 1 before
    /// anything is mounted.
    pub(crate) fn new() -> Self {
        let mut tree = Self { nodes: BTreeMap::new() };
        for path in ["/proc", "/sys", "/dev", "/tmp"] {
            tree.nodes.insert(path.into(), Node::Directory);
        }
        tree.nodes
            .insert("/dev/console".into(), Node::Device { major: 5, minor: 1 });
        tree
    }

    /// Adds an executable file, and the directories of its path.
    pub(crate) fn add(&mut self, path: &Path, contents: Vec<u8>) {
        for directory in path
            .ancestors()
            .skip(1)
            .filter(|directory| directory.parent().is_some())
        {
            self.nodes.insert(directory.to_owned(), Node::Directory);
        }
        self.nodes.insert(path.to_owned(), Node::Executable(contents));
    }

    /// The archive.
    pub(crate) fn archive(&self) -> Vec<u8> {
        let mut archive = Vec::new();
        for (index, (path, node)) in self.nodes.iter().enumerate() {
            let name: PathBuf = path.components().filter(|part| *part != Component::RootDir).collect();
            entry(&mut archive, index as u32 + 1, &name.to_string_lossy(), node);
        }
        entry(&mut archive, 0, "TRAILER!!!", &Node::Executable(Vec::new()));
        archive
    }
}

fn entry(archive: &mut Vec<u8>, inode: u32, name: &str, node: &Node) {
    let nothing: &[u8] = &[];
    let (mode, contents, major, minor) = match node {
        Node::Directory => (DIRECTORY, nothing, 0, 0),
        Node::Executable(contents) => (EXECUTABLE, contents.as_slice(), 0, 0),
        Node::Device { major, minor } => (CHARACTER_DEVICE, nothing, *major, *minor),
    };
    // In order: inode, mode, uid, gid, links, mtime, size, device of the file (2), device that it is (2), length of the
    // name with its NUL, checksum.
    let fields = [
        inode,
        mode,
        0,
        0,
        1,
        0,
        contents.len() as u32,
        0,
        0,
        major,
        minor,
        name.len() as u32 + 1,
        0,
    ];
    archive.extend_from_slice(b"070701");
    for field in fields {
        archive.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    archive.extend_from_slice(name.as_bytes());
    archive.push(0);
    pad(archive);
    archive.extend_from_slice(contents);
    pad(archive);
}

fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_the_same_to_the_byte_and_names_every_directory() {
        let build = || {
            let mut tree = Initramfs::new();
            tree.add(Path::new("/lib/x/libc.so.6"), b"library".to_vec());
            tree.add(Path::new("/c10k"), b"program".to_vec());
            tree.archive()
        };
        let archive = build();
        assert_eq!(archive, build());
        assert_eq!(archive.len() % 4, 0);
        let text = String::from_utf8_lossy(&archive);
        for name in [
            "lib\0",
            "lib/x\0",
            "lib/x/libc.so.6\0",
            "c10k\0",
            "dev/console\0",
            "TRAILER!!!\0",
        ] {
            assert!(text.contains(name), "{name}");
        }
        assert!(!text.contains("\0/"), "names are relative");
    }
}
