//! Blocks of rows, finished in any order by any number of threads, put one behind the other.
//!
//! ```text
//! each thread:                                  number ← the next block's          (by the caller)
//!     admit(number)                             waits while it is too far ahead of what is placed
//!     rows ← spare(), filled with the block's
//!     place(number, rows)
//!         not its turn: rows wait
//!         else: it and all that waited for it are copied to the end; their memory is used again
//! ```
//!
//! Whoever closes the gap copies, the others go on with the next block: nobody spins, and nobody sleeps but who is far
//! ahead of a very long block. The block whose turn it is never waits, so there is always one that goes on.

use super::csr::Float;
use super::csr_rows::CsrRows;
use std::collections::{BTreeMap, TryReserveError};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Where blocks of rows become one.
#[derive(Debug)]
pub struct Placing<T> {
    state: Mutex<State<T>>,
    moved: Condvar,
    look_ahead: usize,
}

#[derive(Debug)]
struct State<T> {
    rows: CsrRows<T>,
    turn: usize,
    waiting: BTreeMap<usize, CsrRows<T>>,
    spare: Vec<CsrRows<T>>,
    /// The number of the first block that is not wanted any more.
    end: usize,
}

/// Memory of a block that is not kept for the next one: one very long document must not be paid for till the end.
const LARGE: usize = 1 << 20;

impl<T: Float> Placing<T> {
    /// A place without rows; blocks are admitted when fewer than `look_ahead` are missing before them.
    #[must_use]
    pub fn new(look_ahead: usize) -> Self {
        let state = State {
            rows: CsrRows::default(),
            turn: 0,
            waiting: BTreeMap::new(),
            spare: Vec::new(),
            end: usize::MAX,
        };
        Self {
            state: Mutex::new(state),
            moved: Condvar::new(),
            look_ahead: look_ahead.max(1),
        }
    }

    /// Waits until there is room for the block of this number; false if it is not wanted any more.
    pub fn admit(&self, number: usize) -> bool {
        let early = |state: &mut State<T>| {
            number < state.end && number.saturating_sub(state.turn) >= self.look_ahead
        };
        let state = self.moved.wait_while(self.lock(), early);
        number < state.unwrap_or_else(PoisonError::into_inner).end
    }

    /// No rows, in memory that was used before if there is some.
    pub fn spare(&self) -> CsrRows<T> {
        self.lock().spare.pop().unwrap_or_default()
    }

    /// Puts the rows of a block where they belong, now or when it is their turn; `all`, if it is known, is how many
    /// rows there will be in the end.
    ///
    /// # Errors
    /// If there is no memory for them.
    pub fn place(
        &self,
        number: usize,
        rows: CsrRows<T>,
        all: Option<usize>,
    ) -> Result<(), TryReserveError> {
        let mut state = self.lock();
        let state = &mut *state;
        state.waiting.insert(number, rows);
        while let Some(mut rows) = state.waiting.remove(&state.turn) {
            state.rows.append(&rows, all)?;
            state.turn += 1;
            if rows.data.capacity() <= LARGE {
                rows.clear();
                state.spare.push(rows);
            }
        }
        self.moved.notify_all();
        Ok(())
    }

    /// Works on all rows so far, and puts them back: for a thread that is alone.
    pub fn alone<R>(&self, work: impl FnOnce(CsrRows<T>) -> (CsrRows<T>, R)) -> R {
        let mut state = self.lock();
        let (rows, result) = work(std::mem::take(&mut state.rows));
        state.rows = rows;
        result
    }

    /// Nothing is wanted any more from the block of this number on; the blocks before it still are.
    pub fn end(&self, number: usize) {
        let mut state = self.lock();
        state.end = state.end.min(number);
        drop(state);
        self.moved.notify_all();
    }

    /// All rows that were placed; none are left.
    pub fn take(&self) -> CsrRows<T> {
        std::mem::take(&mut self.lock().rows)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // What another thread panicked in is at worst incomplete, never unsound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{CsrRows, Placing};
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A block of one row of one value, which is its number.
    fn block(number: usize) -> CsrRows<f64> {
        CsrRows {
            data: vec![number as f64],
            indices: vec![number as i32],
            ends: vec![1],
            n_tokens: 1,
        }
    }

    fn placed(placing: &Placing<f64>) -> Vec<f64> {
        placing.take().data
    }

    proptest! {
        #[test]
        fn blocks_come_out_in_their_order(order in Just((0..20).collect::<Vec<usize>>()).prop_shuffle()) {
            let placing = Placing::new(1);
            for &number in &order {
                placing.place(number, block(number), None).expect("memory");
            }
            let rows = placing.take();
            prop_assert_eq!(rows.data, (0..20).map(f64::from).collect::<Vec<_>>());
            prop_assert_eq!(rows.ends, (1..=20).collect::<Vec<_>>());
        }
    }

    #[test]
    fn threads_that_wait_for_each_other_all_come_to_the_end() {
        let (placing, next) = (Placing::new(2), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..5 {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= 500 {
                            return;
                        }
                        assert!(placing.admit(number));
                        placing.place(number, block(number), None).expect("memory");
                    }
                });
            }
        });
        assert_eq!(
            placed(&placing),
            (0..500).map(f64::from).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_block_too_far_ahead_waits_until_it_is_near_or_not_wanted() {
        let placing: Placing<f64> = Placing::new(3);
        assert!(placing.admit(2));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| (placing.admit(3), placing.admit(4)));
            placing.place(0, block(0), None).expect("memory");
            placing.end(4);
            assert_eq!(waiting.join().expect("no panic"), (true, false));
        });
    }

    #[test]
    fn blocks_before_the_end_are_wanted_still() {
        let placing: Placing<f64> = Placing::new(9);
        placing.end(5);
        placing.end(7);
        assert!(placing.admit(4));
        assert!(!placing.admit(5));
    }

    #[test]
    fn memory_of_blocks_is_used_again_but_for_that_of_long_ones() {
        let placing: Placing<f64> = Placing::new(9);
        placing.place(0, block(0), None).expect("memory");
        let mut long = block(1);
        long.data.reserve(super::LARGE + 1);
        placing.place(1, long, None).expect("memory");
        assert_eq!(placing.spare().data.capacity(), 1);
        assert_eq!(placing.spare().data.capacity(), 0);
    }
}
