//! What is read from strangers, beside a second reading: see `fuzz/oracles`.

#[path = "../fuzz/oracles/mod.rs"]
mod oracles;

use proptest::prelude::*;

/// Pieces that attacks are made of, and now and then any byte at all.
fn spoken(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        12 => prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

macro_rules! agree {
    ($($name:ident: $oracle:ident, $cases:expr;)*) => {
        proptest! {
            $(
                #[test]
                fn $name(case in spoken(oracles::$oracle::WORDS), more in 0..$cases) {
                    // Making a case costs more than checking one: each is checked from a few places.
                    let place = usize::try_from(more).unwrap() % (case.len() + 1);
                    oracles::$oracle::check(&case);
                    oracles::$oracle::check(case.get(place..).unwrap_or_default());
                }
            )*
        }
    };
}

agree! {
    a_path_is_what_any_server_reads: target, 64;
    a_host_is_what_a_browser_reads: host, 64;
    a_cookie_is_what_a_simple_reader_reads: cookie, 64;
    a_return_target_is_where_a_browser_goes: return_to, 64;
    a_header_is_managed_as_a_folding_server_reads_it: header, 64;
    a_policy_is_taken_whole_or_not_at_all: policy, 64;
    a_line_of_an_import_is_what_json_says: import, 64;
    a_page_is_what_it_was_but_for_the_bar: html, 64;
}
