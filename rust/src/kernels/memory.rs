//! Hints to the processor and the system about memory that is about to be used. They change no value.

/// Asks the processor for the cache line of `cells[at]`; does nothing where there is no such cell.
#[inline(always)]
pub fn prefetch<T>(cells: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(cell) = cells.get(at) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the pointer comes from a reference; a prefetch reads nothing that the program can see.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(cell).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (cells, at);
}

/// Asks the system for large pages behind memory that is read and written all over, such as a table of weights.
///
/// A table of 32 MB has 8,192 small pages and 16 large ones: with small ones most accesses miss the processor's
/// table of pages, and a prefetch that misses it may be dropped.
pub fn prefer_large_pages<T>(memory: &mut [T]) {
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 4096;
        const WORTHWHILE: usize = 4 << 20;
        let bytes = size_of_val(memory);
        let start = memory.as_mut_ptr().addr().next_multiple_of(PAGE);
        let end = (memory.as_mut_ptr().addr() + bytes) / PAGE * PAGE;
        if bytes >= WORTHWHILE && start < end {
            let pages = memory.as_mut_ptr().with_addr(start);
            // SAFETY: the whole pages from `start` to `end` lie inside `memory`, which this call borrows
            // exclusively; MADV_HUGEPAGE changes how they are backed, never what they hold. Its failure (a system
            // without large pages) is of no consequence.
            unsafe { libc::madvise(pages.cast(), end - start, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = memory;
}

/// Room for so many numbers, in large pages where that is worth it.
pub fn roomy<T>(length: usize) -> Vec<T> {
    let mut numbers = Vec::with_capacity(length);
    prefer_large_pages(numbers.spare_capacity_mut());
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefetch_outside_does_nothing() {
        prefetch(&[1.0f32, 2.0], 2);
        prefetch::<f32>(&[], usize::MAX);
    }

    #[test]
    fn large_pages_hold_what_the_small_ones_held() {
        for length in [0, 1, 1023, 3 << 20] {
            let mut memory: Vec<u32> = (0..length).collect();
            prefer_large_pages(&mut memory[..]);
            prefer_large_pages(memory.get_mut(1..).unwrap_or_default());
            assert!(memory.iter().enumerate().all(|(i, &x)| i as u32 == x));
        }
    }
}
