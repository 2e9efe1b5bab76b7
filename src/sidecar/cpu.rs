//! How long the shards' threads could have run: the kernel's account of it. Owns: the files of the threads. Takes: nothing.
//! Gives: nanoseconds that each has run, and has waited for a CPU that others had. Never: fails; where the kernel does
//! not tell, it is nothing.

use std::path::PathBuf;

const THREADS: &str = "/proc/self/task";

/// What one thread had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Had {
    /// On a CPU, nanoseconds.
    pub(super) ran: u64,
    /// Able to run, without one.
    pub(super) waited: u64,
}

impl Had {
    pub(super) const fn since(self, before: Self) -> Self {
        Self { ran: self.ran.saturating_sub(before.ran), waited: self.waited.saturating_sub(before.waited) }
    }
}

/// The files, by shard.
#[derive(Debug, Default)]
pub(super) struct Threads(Vec<Option<PathBuf>>);

impl Threads {
    /// Those of so many shards.
    pub(super) fn new(shards: usize) -> Self {
        Self(vec![None; shards])
    }

    /// What each has had until now.
    pub(super) fn look(&mut self) -> Vec<Had> {
        if self.0.iter().any(Option::is_none) {
            self.find();
        }
        let read = |file: &Option<PathBuf>| {
            let text = file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
            text.map_or_else(Had::default, |text| parse(&text))
        };
        self.0.iter().map(read).collect()
    }

    /// Threads are known by the names that they were started with.
    fn find(&mut self) {
        let Ok(threads) = std::fs::read_dir(THREADS) else { return };
        for folder in threads.flatten().map(|entry| entry.path()) {
            let Ok(name) = std::fs::read_to_string(folder.join("comm")) else { continue };
            let number =
                name.trim_end().strip_prefix("shard").and_then(|number| number.parse::<usize>().ok());
            if let Some(place) = number.and_then(|number| self.0.get_mut(number)) {
                *place = Some(folder.join("schedstat"));
            }
        }
    }
}

/// proc(5): time on a CPU, time on a run queue, slices.
fn parse(text: &str) -> Had {
    let mut numbers = text.split_ascii_whitespace().map_while(|number| number.parse().ok());
    Had { ran: numbers.next().unwrap_or(0), waited: numbers.next().unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_line_is_read_and_nonsense_is_nothing() {
        assert_eq!(parse("123 45 6\n"), Had { ran: 123, waited: 45 });
        assert_eq!(parse("x"), Had::default());
        assert_eq!(parse("7"), Had { ran: 7, waited: 0 });
    }

    #[test]
    fn a_thread_named_as_a_shard_is_found() {
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("shard3".into()).spawn(move || ended.recv().is_err());
        let mut threads = Threads::new(4);
        // The name is set by the thread itself, soon.
        while threads.0[3].is_none() {
            threads.look();
            std::thread::yield_now();
        }
        assert!(threads.0[0].is_none());
        drop(end);
        assert!(thread.unwrap().join().unwrap());
    }
}
