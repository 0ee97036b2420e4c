//! Fuzzing of what strangers send: see README.md.

#[path = "../oracles/mod.rs"]
pub mod oracles;

/// One change of a case: now and then a word that attacks are made of, else what libFuzzer thinks of.
/// `size` bytes of `data` are the case; returns the size of the new one.
pub fn mutate(words: &[&str], data: &mut [u8], size: usize, longest: usize, seed: u32) -> usize {
    let draw = |shift: u32, below: usize| {
        let turned = seed.wrapping_mul(0x9E37_79B9).rotate_left(shift) as usize;
        turned.checked_rem(below).unwrap_or_default()
    };
    let word = words[draw(7, words.len())].as_bytes();
    let grown = size + word.len();
    if draw(0, 4) > 0 || grown > longest.min(data.len()) {
        return libfuzzer_sys::fuzzer_mutate(data, size, longest);
    }
    let place = draw(17, size + 1);
    data.copy_within(place..size, place + word.len());
    data[place..place + word.len()].copy_from_slice(word);
    grown
}

/// A target: what its oracle says of a case, and cases with the oracle's words.
#[macro_export]
macro_rules! target {
    ($oracle:ident) => {
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::oracles::$oracle::check(data));
        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, longest: usize, seed: u32| {
            let words = $crate::oracles::$oracle::WORDS;
            $crate::mutate(words, data, size, longest, seed)
        });
    };
}
