//! Arrays from outside, drawn from bytes that libFuzzer changes wherever that reaches new code.
//!
//! Eight bytes of seed choose what the arrays are of, the rest is what they are drawn from; without a rest, the seed
//! chooses that too.

#![no_main]

#[path = "../tests/fuzz/arrays/mod.rs"]
mod arrays;
#[path = "../tests/fuzz/random.rs"]
mod random;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((&seed, drawn)) = bytes.split_first_chunk() {
        let seed = u64::from_le_bytes(seed);
        let chosen = if drawn.is_empty() {
            arrays::input(seed)
        } else {
            Vec::new()
        };
        let drawn = if drawn.is_empty() { &chosen } else { drawn };
        if let Err(difference) = arrays::check(seed, drawn) {
            panic!("{difference}\nabout {}", arrays::NAMES[arrays::kind(seed)]);
        }
    }
});
