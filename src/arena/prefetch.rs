//! A hint to the processor. The one place with `unsafe`, for what it saves: a flow's slot is a cache
//! miss of some 100 ns, and many at once cost little more than one.

#![expect(unsafe_code, reason = "the prefetch instruction has no safe form in std")]

/// Asks for the cache line at the start of `value`. Changes nothing but the time the next access takes.
#[inline(always)]
pub fn prefetch<T>(value: &T) {
    prefetch_at(std::ptr::from_ref(value).cast());
}

/// Asks for all cache lines of `value`.
#[inline(always)]
pub fn prefetch_whole<T>(value: &T) {
    let start: *const i8 = std::ptr::from_ref(value).cast();
    for line in 0..size_of::<T>().div_ceil(LINE) {
        prefetch_at(start.wrapping_add(line * LINE));
    }
    // What does not start with a line ends in one more.
    prefetch_at(start.wrapping_add(size_of::<T>().saturating_sub(1)));
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn prefetch_at(at: *const i8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: the instruction reads nothing into the program and never faults, whatever the address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at) };
}

/// Elsewhere the processor's own foresight has to do.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn prefetch_at(_: *const i8) {}

const LINE: usize = 64;
