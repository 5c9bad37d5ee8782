//! Words that are left out, found by the hash that each word gets anyway.
//!
//! ```text
//! slots     a table with room for four times as many words, or more
//! probe     slot ← hash; while another stop word is there: next slot
//! found     the hash, the length and all bytes are equal
//! keep      every word is written where the last kept one ends; a stop word does not move that end
//! ```
//!
//! Nearly half of the words of English prose are stop words, in no order that a processor could guess: so there is
//! no jump that depends on whether a word is one, and the comparison is made for all.

use crate::kernels::{SLACK, portable::murmur3};

/// A set of words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StopWords {
    slots: Vec<Slot>,
    words: Vec<Box<[u8]>>,
}

/// One word, or none: then all is 0, and so is the length that no word has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Slot {
    /// The first bytes, 0 behind the end of the word.
    head: u128,
    hash: u32,
    length: u32,
}

/// Bytes of a head.
const HEAD: usize = 16;
/// Slots for each word: with so many nearly every search ends where it starts.
const SLOTS_PER_WORD: usize = 4;

impl StopWords {
    /// The set of these words, of which the empty one never occurs.
    pub fn new<'a>(words: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut words: Vec<Box<[u8]>> = words.into_iter().map(Box::from).collect();
        words.retain(|word| !word.is_empty() && u32::try_from(word.len()).is_ok());
        words.sort_unstable();
        words.dedup();
        if words.is_empty() {
            return Self::default();
        }
        let mut slots = vec![Slot::default(); (words.len() * SLOTS_PER_WORD).next_power_of_two()];
        for word in &words {
            let padded = [word, &[0; SLACK][..]].concat();
            let hash = murmur3(&padded, 0, word.len(), 0);
            let mut at = hash as usize & (slots.len() - 1);
            while slots[at].length > 0 {
                at = (at + 1) & (slots.len() - 1);
            }
            let length = word.len() as u32;
            slots[at] = Slot {
                head: head(&padded, 0, word.len()),
                hash,
                length,
            };
        }
        Self { slots, words }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Moves the edges and the hashes of the words of `text` that are no stop words to the front; returns how many
    /// words those are. There must be [`SLACK`] bytes behind the last word.
    pub fn remove(&self, text: &[u8], edges: &mut [u32], hashes: &mut [u32]) -> usize {
        let (edges, _) = edges.as_chunks_mut::<2>();
        let mut kept = 0;
        for i in 0..edges.len().min(hashes.len()) {
            let ([start, end], hash) = (edges[i], hashes[i]);
            (edges[kept], hashes[kept]) = ([start, end], hash);
            kept += usize::from(!self.contains(text, start as usize, end as usize, hash));
        }
        kept
    }

    /// Whether `text[start..end]`, which has this hash, is one of the words.
    #[inline(always)]
    fn contains(&self, text: &[u8], start: usize, end: usize, hash: u32) -> bool {
        let mut at = hash as usize & (self.slots.len() - 1);
        let mut slot = self.slots[at];
        // Is another word there? As one number, lest the compiler jump on each of the two conditions.
        while (slot.hash ^ hash).min(slot.length) > 0 {
            at = (at + 1) & (self.slots.len() - 1);
            slot = self.slots[at];
        }
        let length = end - start;
        let equal = (slot.hash == hash)
            & (slot.length as usize == length)
            & (slot.head == head(text, start, length));
        let certain = u32::from(equal & (length <= HEAD));
        if (slot.hash ^ hash) | certain == 0 {
            // Equal hashes of different words, or a long word: both are rare.
            return self
                .words
                .binary_search_by(|word| (**word).cmp(&text[start..end]))
                .is_ok();
        }
        equal
    }
}

/// The first bytes of the word of this length at `start`, as far as a head holds them.
#[inline(always)]
fn head(text: &[u8], start: usize, length: usize) -> u128 {
    let mut bytes = [0; HEAD];
    bytes.copy_from_slice(&text[start..start + HEAD]);
    let unused = 8 * HEAD.saturating_sub(length) as u32;
    u128::from_le_bytes(bytes).checked_shl(unused).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::StopWords;
    use crate::kernels::{SLACK, portable::murmur3};
    use proptest::prelude::*;

    /// The words that are left of those in the text, by the fast way.
    fn left(text: &[String], stop_words: &[String]) -> Vec<String> {
        let (mut joined, mut edges, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
        for word in text {
            edges.push(joined.len() as u32);
            joined.extend(word.bytes());
            edges.push(joined.len() as u32);
        }
        joined.resize(joined.len() + SLACK, b'a');
        let (words, _) = edges.as_chunks::<2>();
        hashes.extend(
            words
                .iter()
                .map(|&[start, end]| murmur3(&joined, start as usize, end as usize, 0)),
        );
        let set = StopWords::new(stop_words.iter().map(String::as_bytes));
        let kept = if set.is_empty() {
            text.len()
        } else {
            set.remove(&joined, &mut edges, &mut hashes)
        };
        let word = |&[start, end]: &[u32; 2]| {
            String::from_utf8_lossy(&joined[start as usize..end as usize]).into_owned()
        };
        edges.as_chunks::<2>().0[..kept].iter().map(word).collect()
    }

    proptest! {
        #[test]
        fn what_is_left_are_the_words_that_are_not_in_the_list(
            text in prop::collection::vec("[abé]{1,3}|[ab]{15,18}", 0..60),
            stop_words in prop::collection::vec("[abé]{0,3}|[ab]{15,18}", 0..40),
            picked in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let own = picked.iter().filter(|_| !text.is_empty()).map(|i| i.get(&text).clone());
            let stop_words: Vec<String> = stop_words.into_iter().chain(own).collect();
            let expected: Vec<_> = text.iter().filter(|word| !stop_words.contains(word)).cloned().collect();
            prop_assert_eq!(left(&text, &stop_words), expected);
        }
    }
}
