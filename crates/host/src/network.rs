//! A network of its own for a thread, with other settings than the machine's.

use std::io;
use std::path::Path;

use c10k_sys::namespace;

/// A setting of a network, and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSetting {
    /// Its path below `/proc/sys/net`, such as `ipv4/tcp_migrate_req`.
    pub path: &'static str,
    /// What is written to it.
    pub value: String,
}

/// Moves the calling thread into a network namespace of its own, which has only a loopback interface, and changes settings there. The
/// sockets of the thread, and of the threads and processes that it starts, are in that namespace; the machine's own settings stay as they
/// are. The thread cannot return, so it has to be one that ends.
///
/// # Errors
/// One line with the cause and the remedy: the thread has not the privilege, or the kernel has not the setting. The thread has
/// to end then, too.
pub fn enter_own(settings: &[NetworkSetting]) -> Result<(), String> {
    namespace::enter_new_network().map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("a network namespace of its own needs the superuser ({error}): run the study as root")
        }
        _ => format!("a network namespace of its own cannot be made: {error}"),
    })?;
    for NetworkSetting { path, value } in settings {
        let file = Path::new("/proc/sys/net").join(path);
        std::fs::write(&file, value).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => format!("this kernel has no net.{}: use a newer one", path.replace('/', ".")),
            _ => format!("writing {value} to {} in a network namespace: {error}", file.display()),
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    const MIGRATE: &str = "/proc/sys/net/ipv4/tcp_migrate_req";

    fn migrate(value: &str) -> NetworkSetting {
        NetworkSetting {
            path: "ipv4/tcp_migrate_req",
            value: value.to_owned(),
        }
    }

    #[test]
    fn a_thread_in_a_network_of_its_own_changes_nothing_elsewhere() {
        let Ok(before) = std::fs::read_to_string(MIGRATE) else {
            eprintln!("skipped: this kernel has no tcp_migrate_req");
            return;
        };
        let outside = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = outside.local_addr().expect("it is bound");
        let other = if before.trim() == "0" { "1" } else { "0" };
        let entered = std::thread::spawn(move || {
            enter_own(&[migrate(other)])?;
            let inside = std::fs::read_to_string(MIGRATE).expect("it is there");
            assert_eq!(inside.trim(), other);
            assert!(TcpStream::connect(address).is_err(), "another network");
            // The same port is free here, and the loopback interface works.
            let listener = TcpListener::bind(address).expect("a network without ports in use");
            let reached = std::thread::spawn(move || TcpStream::connect(address).is_ok());
            assert!(
                reached.join().expect("no panic"),
                "a thread that is started later is in the same network"
            );
            drop(listener);
            Ok(())
        });
        match entered.join().expect("no panic") {
            Ok(()) => {}
            Err(reason) => {
                let reason: String = reason;
                assert!(
                    !rustix::process::geteuid().is_root() || !reason.contains("superuser"),
                    "{reason}"
                );
                eprintln!("skipped: {reason}");
                return;
            }
        }
        assert_eq!(std::fs::read_to_string(MIGRATE).expect("it is there"), before);
        assert!(TcpStream::connect(address).is_ok());
    }

    #[test]
    fn a_setting_that_the_kernel_has_not_is_named() {
        let unknown = NetworkSetting {
            path: "ipv4/tcp_teleport",
            value: "1".to_owned(),
        };
        let entered = std::thread::spawn(move || enter_own(&[unknown]));
        let reason = entered.join().expect("no panic").expect_err("no kernel has it");
        assert!(
            reason.contains("net.ipv4.tcp_teleport") || reason.contains("namespace"),
            "{reason}"
        );
    }
}
