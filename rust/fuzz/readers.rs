//! One block after the other through a reader of text, held to its laws, changed by libFuzzer wherever that reaches new
//! code.
//!
//! Eight bytes of seed choose the reader and its settings, the rest is the block; without a rest, the seed chooses that too.

#![no_main]

#[path = "../tests/fuzz/random.rs"]
mod random;
#[path = "../tests/fuzz/readers/mod.rs"]
mod readers;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((&seed, block)) = bytes.split_first_chunk() {
        let seed = u64::from_le_bytes(seed);
        let chosen = if block.is_empty() {
            readers::input(seed)
        } else {
            Vec::new()
        };
        let block = if block.is_empty() { &chosen } else { block };
        if let Err(difference) = readers::check(seed, block) {
            let settings = readers::Settings::new(seed);
            let reader = readers::NAMES[settings.reader as usize];
            panic!("{reader}: {difference}\n{settings:#?}");
        }
    }
});
