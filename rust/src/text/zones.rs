//! N-grams of the parts of a text where a character may be several bytes: a table of where each starts.
//!
//! ```text
//! ASCII stretch          zone          ASCII stretch
//!            <-reach->|--------|<-reach->                reach: greatest - 1 characters, no more
//! starts ← the bytes that are no tail of a character, from reach to reach; the end
//! for n in least ..= greatest:
//!     an n-gram lies between starts[i] and starts[i + n]; it is the zone's if it touches the zone
//! ```
//!
//! Within words a zone goes from space to space, and each of its words is a zone that reaches nowhere.

use super::Sizes;
use crate::kernels::Within;
use crate::kernels::portable::grow;
use std::ops::Range;

/// The n-grams of some zones of a text.
#[derive(Debug, Default)]
pub struct Zones {
    starts: Vec<u32>,
    edges: Vec<[u32; 2]>,
}

impl Zones {
    /// Forgets all n-grams.
    pub fn clear(&mut self) {
        self.edges.clear();
    }

    /// Start and end of each n-gram, start and end, and so on.
    pub fn edges(&self) -> &[u32] {
        self.edges.as_flattened()
    }

    /// Appends all n-grams that touch `text[zone]`; what is beside the zone is ASCII for `greatest - 1` bytes or up to
    /// the end of the text.
    pub fn push(&mut self, text: &[u8], zone: Range<usize>, within: Within, sizes: Sizes) {
        if within == Within::Words {
            for word in words_of(text, starts_of(text, zone, &mut self.starts)) {
                let characters = word.len() - 1;
                push_span(word, 0..characters, sizes, &mut self.edges);
                if characters < sizes.least {
                    self.edges.push([word[0], word[characters]]);
                }
            }
            return;
        }
        let reach = sizes.greatest - 1;
        let (before, behind) = (reach.min(zone.start), reach.min(text.len() - zone.end));
        let starts = starts_of(
            text,
            zone.start - before..zone.end + behind,
            &mut self.starts,
        );
        let touching = before..starts.len() - 1 - behind;
        push_span(starts, touching, sizes, &mut self.edges);
    }
}

/// Appends the n-grams of a span of characters, given by their starts and the end, that touch some of them.
fn push_span(span: &[u32], touching: Range<usize>, sizes: Sizes, edges: &mut Vec<[u32; 2]>) {
    for n in sizes.least..=sizes.greatest.min(span.len() - 1) {
        let first = (touching.start + 1).saturating_sub(n);
        let firsts = &span[first..touching.end];
        let ends = &span[first + n..];
        edges.extend(firsts.iter().zip(ends).map(|(&start, &end)| [start, end]));
    }
}

/// Where each character of a part of the text starts, and its end.
pub fn starts_of<'a>(text: &[u8], part: Range<usize>, starts: &'a mut Vec<u32>) -> &'a [u32] {
    const TAILS: Range<u8> = 0x80..0xc0;
    grow(starts, part.len() + 1);
    let mut count = 0;
    for at in part.clone() {
        starts[count] = at as u32;
        count += usize::from(!TAILS.contains(&text[at]));
    }
    starts[count] = part.end as u32;
    &starts[..=count]
}

/// The starts of the characters of each word with both its spaces, and its end.
pub fn words_of<'a>(text: &[u8], starts: &'a [u32]) -> impl Iterator<Item = &'a [u32]> {
    let is_space = |last: &usize| text[starts[*last] as usize] == b' ';
    let mut first = 0;
    (1..starts.len() - 1).filter(is_space).map(move |last| {
        let word = &starts[first..last + 2];
        first = last;
        word
    })
}
