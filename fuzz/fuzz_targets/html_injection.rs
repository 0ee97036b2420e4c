#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use vestibule_fuzz::mutate;
use vestibule_fuzz::oracles::html::{WORDS, check};

fuzz_target!(|data: &[u8]| check(data));
fuzz_mutator!(
    |data: &mut [u8], size: usize, longest: usize, seed: u32| mutate(
        WORDS, data, size, longest, seed
    )
);
