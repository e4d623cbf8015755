//! mimalloc, counted while `sekisho bench` wants to know.

#![expect(unsafe_code, reason = "the only way to count allocations is to be the allocator")]

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use libmimalloc_sys as sys;
use mimalloc::MiMalloc;
use sekisho::bench::Heap;

/// mimalloc with a counter in front. Until [`start`], an allocation costs one load of a flag more.
pub(crate) struct Counting;

static IS_COUNTING: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static LIVE_BYTES: AtomicI64 = AtomicI64::new(0);

/// Gives memory back 5 ms after it is free, where the usual is a second: what is asked for in between comes from
/// other pages, and what is given back at once is asked for again by the next batch.
pub(crate) fn give_back_soon() {
    // SAFETY: sets a number within mimalloc, which knows this option.
    unsafe { sys::mi_option_set(PURGE_DELAY, 5) };
}

/// What runs for seconds pays more for clearing huge pages than it gains by them.
pub(crate) fn go_without_huge_pages() {
    // A kernel that cannot go without them does no harm.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// `mi_option_purge_delay`, in milliseconds: the binding names only the option behind it.
const PURGE_DELAY: sys::mi_option_t = sys::mi_option_use_numa_nodes - 1;

/// Counts from now on.
pub(crate) fn start() {
    IS_COUNTING.store(true, Ordering::Relaxed);
}

/// What all threads have taken and given back since [`start`].
pub(crate) fn heap() -> Heap {
    Heap {
        allocations: ALLOCATIONS.load(Ordering::Relaxed),
        live_bytes: LIVE_BYTES.load(Ordering::Relaxed),
    }
}

/// Notes that this many bytes are asked for in place of that many.
fn note(asked: usize, given_back: usize) {
    if IS_COUNTING.load(Ordering::Relaxed) {
        ALLOCATIONS.fetch_add(u64::from(asked > 0), Ordering::Relaxed);
        LIVE_BYTES.fetch_add(asked as i64 - given_back as i64, Ordering::Relaxed);
    }
}

// SAFETY: every call is handed to mimalloc as it is, and its answer handed back. Counting neither
// allocates nor panics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 0);
        // SAFETY: the caller keeps the promises that mimalloc asks for.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 0);
        // SAFETY: as above.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size, layout.size());
        // SAFETY: as above; the block came from mimalloc, as all do.
        unsafe { MiMalloc.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        note(0, layout.size());
        // SAFETY: as above.
        unsafe { MiMalloc.dealloc(block, layout) }
    }
}
