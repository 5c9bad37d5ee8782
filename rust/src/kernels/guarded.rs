//! Memory with forbidden pages on both sides, for tests: a kernel that reads a byte too far ends the process.
//!
//! ```text
//! │ forbidden │ rubbish … text │ forbidden │      against the end
//! │ forbidden │ text … rubbish │ forbidden │      against the start
//! ```

use std::ops::Deref;
use std::ptr::NonNull;

/// As large as any page that this system may have.
const PAGE: usize = 1 << 16;

/// Where a text lies between its fences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// The byte before the first is forbidden.
    Start,
    /// The byte behind the last is forbidden.
    End,
}

/// A copy of some bytes between forbidden pages.
#[derive(Debug)]
pub struct Guarded {
    mapping: NonNull<u8>,
    mapped: usize,
    start: usize,
    length: usize,
}

impl Guarded {
    /// Copies the bytes.
    ///
    /// # Panics
    /// If the system gives no memory.
    #[must_use]
    pub fn new(bytes: &[u8], against: Against) -> Self {
        let inside = bytes.len().max(1).next_multiple_of(PAGE);
        let mapped = inside + 2 * PAGE;
        let (none, usable) = (libc::PROT_NONE, libc::PROT_READ | libc::PROT_WRITE);
        let how = libc::MAP_PRIVATE | libc::MAP_ANON;
        // SAFETY: a new mapping at an address of the system's choice touches no memory that anybody has.
        let mapping = unsafe { libc::mmap(std::ptr::null_mut(), mapped, none, how, -1, 0) };
        assert_ne!(mapping, libc::MAP_FAILED, "no memory for a guarded text");
        let mapping = NonNull::new(mapping.cast::<u8>()).expect("a mapping has an address");
        let start = PAGE
            + match against {
                Against::Start => 0,
                Against::End => inside - bytes.len(),
            };
        // SAFETY: the pages from PAGE to PAGE + inside lie within the mapping made above, which nobody else knows;
        // once they are writable, start + bytes.len() <= PAGE + inside keeps the copy in them.
        unsafe {
            let opened = libc::mprotect(mapping.add(PAGE).as_ptr().cast(), inside, usable);
            assert_eq!(opened, 0, "no memory for a guarded text");
            mapping.add(PAGE).write_bytes(b'a', inside);
            mapping
                .add(start)
                .copy_from(NonNull::from(bytes).cast(), bytes.len());
        }
        Self {
            mapping,
            mapped,
            start,
            length: bytes.len(),
        }
    }
}

impl Deref for Guarded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the range lies in the readable pages of the mapping, was written by `new`, and lives as long as
        // `self`; nothing writes to it again.
        unsafe { std::slice::from_raw_parts(self.mapping.add(self.start).as_ptr(), self.length) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and no slice of it outlives the borrow of `self`.
        unsafe { libc::munmap(self.mapping.as_ptr().cast(), self.mapped) };
    }
}

#[cfg(test)]
mod tests {
    use super::{Against, Guarded, PAGE};

    #[test]
    fn guarded_bytes_are_the_bytes() {
        for length in [0, 1, 15, PAGE - 1, PAGE, PAGE + 1] {
            let bytes: Vec<u8> = (0..length).map(|i| i as u8).collect();
            for against in [Against::Start, Against::End] {
                assert_eq!(&*Guarded::new(&bytes, against), bytes, "{length}");
            }
        }
    }

    #[test]
    fn guarded_bytes_touch_their_fence() {
        for length in [1, 64, PAGE + 3] {
            let bytes = vec![7; length];
            let front = Guarded::new(&bytes, Against::Start);
            let back = Guarded::new(&bytes, Against::End);
            assert_eq!(
                front.as_ptr().addr() % PAGE,
                front.mapping.addr().get() % PAGE
            );
            let end = back.as_ptr().addr() + length;
            assert_eq!(end + PAGE, back.mapping.addr().get() + back.mapped);
        }
    }
}
