//! Process: what the system lets this process do, and what it must not keep of it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// How many files the server itself has open at most, beside its connections to the database and to clients.
const OWN_FILES: usize = 64;
/// How many files a connection to the database has open.
const FILES_A_READER: usize = 3;

/// Has no image of the memory, with its keys and passwords, written to the disk when the process ends in a crash.
pub fn forbid_core_dumps() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let mut done = setrlimit(Resource::Core, none);
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        // The limit does not hold where a program takes the image.
        done = done.and(set_dumpable_behavior(DumpableBehavior::NotDumpable));
    }
    if let Err(error) = done {
        tracing::warn!("core dumps cannot be forbidden: {error}");
    }
}

/// Whether whoever started this process had it ignore SIGHUP, as `nohup` does. Where the system does not tell, it is taken
/// not to: under `nohup` there is no terminal either, and then the signal ends nothing.
pub fn ignores_hang_up() -> bool {
    // A mask in hexadecimal digits: the first signal is the lowest bit (proc(5)).
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask & (1 << (rustix::process::Signal::HUP.as_raw() - 1)) != 0
}

/// Lets the process open as many files as the system allows it, and takes connections only for as many.
pub fn raise_open_files(config: &mut Config) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
    {
        tracing::warn!("the limit of open files cannot be raised: {error}");
    }
    let Some(limit) = getrlimit(Resource::Nofile).current else { return };
    let (wanted, possible) = (config.server.max_connections, connections(limit, config));
    if possible < wanted {
        tracing::warn!(
            "this process may have {limit} files open: it takes {possible} connections at one time, and not the {wanted} \
             of server.max_connections; raise the limit (`ulimit -Hn`, systemd's LimitNOFILE=)"
        );
        config.server.max_connections = possible;
    }
}

/// How many connections there is room for with so many open files; at least one.
fn connections(limit: u64, config: &Config) -> usize {
    let readers = config.server.workers() + config.db.scan_threads + 1;
    let own = OWN_FILES + readers * FILES_A_READER;
    usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(own).max(1)
}
