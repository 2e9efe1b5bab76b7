//! How many octets of the heap this thread holds.
#![allow(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<i64> = const { Cell::new(0) };
}

struct Counting;

fn note(octets: i64) {
    // A thread that ends has no cell any more, and is none that is counted.
    let _ = HELD.try_with(|cell| cell.set(cell.get() + octets));
}

// SAFETY: every call is the system allocator's; counting touches a cell of this thread and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: it passes everything on.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as i64);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: it passes everything on.
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        note(-(layout.size() as i64));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }

    // SAFETY: it passes everything on.
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size as i64 - layout.size() as i64);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Octets that this thread has allocated and not given back.
pub(crate) fn held() -> i64 {
    HELD.with(Cell::get)
}
