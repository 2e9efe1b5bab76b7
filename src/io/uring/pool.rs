//! The buffers that the kernel receives into. Owns: one mapping: a ring of descriptors, then the buffers. Takes:
//! buffers that were read. Gives: octets that came. Never: shows the kernel a buffer before the turn has ended in
//! which it was read.
#![allow(unsafe_code, reason = "memory shared with the kernel")]

use io_uring::Submitter;
use io_uring::types::BufRingEntry;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use std::ffi::c_void;
use std::sync::atomic::{AtomicU16, Ordering};

/// Buffers of a ring. With none left a receive ends and is armed again after the turn.
const BUFFERS: u16 = 256;
/// Octets of a buffer.
pub(super) const BUFFER: usize = 32 * 1024;
/// The group that receives take from.
pub(super) const GROUP: u16 = 0;
/// The descriptors fill one page.
const HEAD: usize = 4096;
const LENGTH: usize = HEAD + BUFFERS as usize * BUFFER;

const _: () = assert!(BUFFERS.is_power_of_two());
const _: () = assert!(size_of::<BufRingEntry>() * BUFFERS as usize <= HEAD);

pub(super) struct Pool {
    base: *mut c_void,
    /// Counts every buffer ever given to the kernel; the ring index is its lower bits.
    tail: u16,
    leak: bool,
}

impl Pool {
    pub(super) fn new() -> std::io::Result<Self> {
        let (protection, flags) =
            (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::POPULATE);
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no memory that is in use.
        let base = unsafe { mmap_anonymous(std::ptr::null_mut(), LENGTH, protection, flags) }?;
        let mut pool = Self { base, tail: 0, leak: false };
        for buffer in 0..BUFFERS {
            pool.give(buffer);
        }
        pool.publish();
        Ok(pool)
    }

    pub(super) fn register(&self, submitter: &Submitter<'_>) -> std::io::Result<()> {
        // SAFETY: the mapping starts on a page, holds BUFFERS descriptors and is unmapped only by `drop`, which the
        // ring calls after the kernel has ended every request, or never.
        unsafe { submitter.register_buf_ring_with_flags(self.base as u64, BUFFERS, GROUP, 0) }
    }

    /// Where a buffer begins.
    fn start(&self, buffer: u16) -> *mut u8 {
        assert!(buffer < BUFFERS, "the kernel names buffers that it was given");
        // SAFETY: with the assertion above the place is inside the mapping.
        unsafe { self.base.cast::<u8>().add(HEAD + usize::from(buffer) * BUFFER) }
    }

    /// Puts a buffer back. The kernel learns of it with `publish`.
    pub(super) fn give(&mut self, buffer: u16) {
        let start = self.start(buffer);
        let place = usize::from(self.tail & (BUFFERS - 1));
        // SAFETY: the place is one of the BUFFERS descriptors at the mapping's start. The kernel reads descriptors
        // below the published tail only, and this one is not.
        let entry = unsafe { &mut *self.base.cast::<BufRingEntry>().add(place) };
        entry.set_addr(start as u64);
        entry.set_len(BUFFER as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel every buffer that was put back.
    pub(super) fn publish(&mut self) {
        // SAFETY: the base is that of the descriptors, which are initialised: the mapping came zeroed.
        let tail = unsafe { BufRingEntry::tail(self.base.cast()) }.cast_mut();
        // SAFETY: the tail is two aligned octets inside the mapping, and nobody but this function writes it.
        unsafe { AtomicU16::from_ptr(tail) }.store(self.tail, Ordering::Release);
    }

    /// What came in a buffer, which may be put back at once: the octets stay until `publish`.
    pub(super) fn octets(&self, buffer: u16, length: usize) -> &[u8] {
        assert!(length <= BUFFER, "the kernel fills no more than a buffer");
        // SAFETY: the octets are inside the mapping (see `start`). The kernel writes to published buffers only, and
        // publishing needs `&mut self`, so not while the slice lives.
        unsafe { std::slice::from_raw_parts(self.start(buffer), length) }
    }

    /// The kernel may still write: the mapping outlives the pool.
    pub(super) fn leak(&mut self) {
        self.leak = true;
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if !self.leak {
            // SAFETY: the mapping is ours, nothing borrowed from it outlives the pool, and the kernel has ended
            // every request that could write to it. An error would mean that it is unmapped already.
            let _ = unsafe { munmap(self.base, LENGTH) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_buffer_is_shown_once_and_a_buffer_put_back_keeps_its_octets() {
        let mut pool = Pool::new().unwrap();
        // SAFETY: no ring knows this pool: its memory is written by this test only.
        unsafe { pool.start(7).write(42) };
        for _ in 0..3 * BUFFERS {
            pool.give(7);
        }
        pool.publish();
        assert_eq!(pool.octets(7, 1), [42]);
        assert_eq!(pool.tail, 4 * BUFFERS);
        // SAFETY: the first descriptor lies at the base.
        let first = unsafe { &*pool.base.cast::<BufRingEntry>() };
        assert_eq!((first.bid(), first.len(), first.addr()), (7, BUFFER as u32, pool.start(7) as u64));
    }
}
