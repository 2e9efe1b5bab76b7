//! What the system says of this process and thread, and which core it runs on.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use std::io;
use std::path::Path;
use std::sync::OnceLock;

/// The cores that the process was given when it began.
fn usable() -> io::Result<&'static [usize]> {
    static CORES: OnceLock<Vec<usize>> = OnceLock::new();
    let set = sched_getaffinity(None)?;
    Ok(CORES.get_or_init(|| (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()))
}

fn bind(cores: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    Ok(sched_setaffinity(None, &set)?)
}

/// This thread, and those that it starts, leave the first core alone where there are others.
pub(crate) fn beside_the_shard() -> io::Result<()> {
    let cores = usable()?;
    match cores.split_first() {
        Some((_, others)) if !others.is_empty() => bind(others),
        _ => Ok(()),
    }
}

/// This thread has the first core.
pub(crate) fn as_the_shard() -> io::Result<()> {
    match usable()?.first() {
        Some(first) => bind(&[*first]),
        None => Ok(()),
    }
}

fn number(text: &str, field: &str) -> io::Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let word = line.and_then(|rest| rest.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).ok_or_else(|| io::Error::other(format!("no {field} in /proc")))
}

/// Octets that anybody has written to the device under this folder. What /proc/self/io says of this process counts a page
/// of the page cache as one, and it may be of two megabytes with one record in it.
pub(crate) fn octets_written(folder: &Path) -> io::Result<u64> {
    let device = rustix::fs::stat(folder)?.st_dev;
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let stat = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat"))?;
    // The seventh field: sectors, which are of 512 octets whatever the device has (Documentation/block/stat.rst).
    let sectors = stat.split_whitespace().nth(6).and_then(|field| field.parse::<u64>().ok());
    sectors
        .map(|sectors| sectors * 512)
        .ok_or_else(|| io::Error::other(format!("no sectors written in {stat:?}")))
}

/// Octets of memory that this process has.
pub(crate) fn resident() -> io::Result<u64> {
    Ok(number(&std::fs::read_to_string("/proc/self/status")?, "VmRSS")? * 1024)
}

/// The most that it had.
pub(crate) fn resident_most() -> io::Result<u64> {
    Ok(number(&std::fs::read_to_string("/proc/self/status")?, "VmHWM")? * 1024)
}

/// Page faults of this thread so far, without and with reading from a disk: what getrusage(RUSAGE_THREAD) says.
pub(crate) fn faults() -> io::Result<[u64; 2]> {
    let stat = std::fs::read_to_string("/proc/thread-self/stat")?;
    // Behind the name, which may hold anything: state is the third field, minflt the tenth, majflt the twelfth.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<u64> = fields.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    match (fields.get(7), fields.get(9)) {
        (Some(minor), Some(major)) => Ok([*minor, *major]),
        _ => Err(io::Error::other("no faults in /proc")),
    }
}

/// CPU time of all threads of this process so far, milliseconds: it depends less on who else runs than the time that passes.
pub(crate) fn cpu_ms() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// How long the threads of this process were ready to run and had no core, together, milliseconds.
pub(crate) fn waited_ms() -> io::Result<f64> {
    let mut nanos = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        // A thread may end while we look.
        let said = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        let waited = said.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok());
        nanos += waited.unwrap_or_default();
    }
    Ok(nanos as f64 / 1e6)
}

/// Nanoseconds at these shares of all, in the order of size, and the largest.
pub(crate) fn quantiles(mut nanos: Vec<u32>) -> serde_json::Value {
    nanos.sort_unstable();
    let at = |share: f64| {
        let index = ((nanos.len() as f64 * share).ceil() as usize).saturating_sub(1);
        nanos.get(index).copied().unwrap_or_default()
    };
    let most = nanos.last().copied().unwrap_or_default();
    serde_json::json!({ "p50": at(0.5), "p99": at(0.99), "p99_9": at(0.999), "most": most })
}
