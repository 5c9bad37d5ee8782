//! One text after the other through the pipeline and its twin, changed by libFuzzer wherever that reaches new code.
//!
//! Eight bytes of seed choose the settings, the rest is the text; without a rest, the seed chooses the documents too.

#![no_main]

#[path = "../tests/fuzz/case.rs"]
mod case;
#[path = "../tests/fuzz/check.rs"]
mod check;
#[path = "../tests/fuzz/document.rs"]
mod document;
#[path = "../tests/fuzz/expected.rs"]
mod expected;
#[path = "../tests/fuzz/random.rs"]
mod random;
#[path = "../tests/fuzz/twin.rs"]
mod twin;

use case::Case;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((&seed, text)) = bytes.split_first_chunk() {
        let seed = u64::from_le_bytes(seed);
        let case = match text {
            [] => Case::new(seed),
            text => Case::with(seed, vec![text.to_vec()]),
        };
        if let Err(difference) = check::check(&case) {
            panic!("{difference}\n{:#?}", case.settings);
        }
    }
});
