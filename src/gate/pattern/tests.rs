use proptest::prelude::*;

use super::*;

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap_or_else(|why| panic!("{text:?}: {why}"))
}

#[test]
fn patterns_match_to_the_letter() {
    for (text, yes, no) in [
        ("/", vec!["/"], vec!["/a", "/a/"]),
        ("/a", vec!["/a"], vec!["/", "/a/", "/A", "/ab", "/a/b"]),
        ("/a/", vec!["/a/"], vec!["/a", "/a/b"]),
        ("/**", vec!["/", "/a", "/a/b/", "/a/b"], vec![]),
        (
            "/payments/**",
            vec!["/payments", "/payments/", "/payments/1", "/payments/1/2/"],
            vec!["/payment", "/paymentsx", "/Payments/1", "/a/payments/1"],
        ),
        (
            "/a/*/c",
            vec!["/a/b/c"],
            vec!["/a/c", "/a//c", "/a/b/b/c", "/a/b/c/"],
        ),
        ("/a/*", vec!["/a/b"], vec!["/a/", "/a", "/a/b/c"]),
        (
            "/*.css",
            vec!["/x.css", "/.css"],
            vec!["/a/x.css", "/x.css.map", "/x.CSS"],
        ),
        (
            "/r*p*t",
            vec!["/report", "/rpt", "/rpapt"],
            vec!["/repor", "/rep/ort"],
        ),
        (
            "/**/edit",
            vec!["/edit", "/a/edit", "/a/b/edit", "/edit/edit"],
            vec!["/edit/", "/a/edits", "/"],
        ),
        (
            "/a/**/b/**/c",
            vec!["/a/b/c", "/a/x/b/b/y/c"],
            vec!["/a/c", "/a/b", "/a/b/c/d"],
        ),
        ("/a%20b/caf%c3%a9", vec!["/a b/café"], vec!["/a%20b/café"]),
        ("/a b/café", vec!["/a b/café"], vec![]),
        ("/100%25", vec!["/100%25"], vec!["/100%"]),
    ] {
        let pattern = pattern(text);
        assert_eq!(pattern.as_str(), text);
        for path in yes {
            assert!(pattern.matches(path), "{text} {path}");
            assert!(pattern.matches_any_case(path), "{text} {path}");
        }
        for path in no {
            assert!(!pattern.matches(path), "{text} {path}");
        }
    }
}

#[test]
fn restrictions_match_other_spellings_too() {
    for (text, path) in [
        ("/admin", "/ADMIN"),
        ("/admin", "/admin/"),
        ("/admin/", "/Admin"),
        ("/Admin/*/Édit", "/aDMIN/x/éDIT/"),
        ("/*.Css", "/X.cSS"),
        ("/", "/"),
    ] {
        assert!(pattern(text).matches_any_case(path), "{text} {path}");
    }
    assert!(!pattern("/admin").matches_any_case("/administrator"));
    assert!(!pattern("/admin").matches_any_case("/"));
}

#[test]
fn what_could_never_match_is_refused() {
    for text in [
        "",
        "a",
        "*",
        "**",
        "/a**",
        "/**a",
        "/a/***",
        "/a//b",
        "//",
        "//a",
        "/a?b",
        "/a#b",
        "/a%2Fb",
        "/a%2fb",
        "/a%5cb",
        "/a;b",
        "/a%3Bb",
        "/a%2ab",
        "/a\\b",
        "/..",
        "/a/./b",
        "/a/%2e%2e/b",
        "/a%",
        "/a%zz",
        "/a\n",
        "/a%00",
        "/%252e",
    ] {
        assert!(
            Pattern::parse(text).is_err_and(|why| !why.is_empty()),
            "{text:?}"
        );
    }
}

#[test]
fn no_pattern_is_slow() {
    let path = format!("/{}", "a/".repeat(4_000));
    assert!(!pattern(&format!("{}/b", "/**/a".repeat(50))).matches(&path));
    assert!(
        !pattern(&format!("/{}b", "*a".repeat(50))).matches(&format!("/{}", "a".repeat(8_000)))
    );
}

fn naive(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        (["**"], _) => true,
        (["**", tail @ ..], _) => (0..=path.len()).any(|taken| naive(tail, &path[taken..])),
        ([first, tail @ ..], [segment, rest @ ..]) => {
            let fits = if *first == "*" {
                !segment.is_empty()
            } else {
                let (first, segment): (Vec<char>, Vec<char>) =
                    (first.chars().collect(), segment.chars().collect());
                naive_segment(&first, &segment)
            };
            fits && naive(tail, rest)
        }
        _ => false,
    }
}

fn naive_segment(pattern: &[char], text: &[char]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        (['*', tail @ ..], _) => (0..=text.len()).any(|taken| naive_segment(tail, &text[taken..])),
        ([a, tail @ ..], [b, rest @ ..]) => a == b && naive_segment(tail, rest),
        _ => false,
    }
}

fn segments(text: &str) -> Vec<&str> {
    text[1..].split('/').collect()
}

proptest! {
    #[test]
    fn a_naive_matcher_agrees(
        parts in proptest::collection::vec(prop_oneof![Just("**"), Just("*"), Just("a"), Just("b"), Just("a*"), Just("*a*b")], 1..6),
        path in "(/[ab]{0,3}){1,6}",
    ) {
        let text = format!("/{}", parts.join("/"));
        prop_assert_eq!(pattern(&text).matches(&path), naive(&segments(&text), &segments(&path)), "{} {}", text, path);
    }

    #[test]
    fn what_matches_to_the_letter_matches_loosely(
        parts in proptest::collection::vec(prop_oneof![Just("**"), Just("*"), Just("a"), Just("a*"), Just("B")], 1..5),
        path in "(/[aB]{1,3}){1,5}/?",
    ) {
        let pattern = pattern(&format!("/{}", parts.join("/")));
        if pattern.matches(&path) {
            prop_assert!(pattern.matches_any_case(&path));
            prop_assert!(pattern.matches_any_case(&path.to_lowercase()));
        }
    }

    #[test]
    fn no_path_that_matches_is_passed_over(
        parts in proptest::collection::vec(
            prop_oneof![Just("**"), Just("*"), Just("a"), Just("k"), Just("K"), Just("\u{212a}"), Just("a*"), Just("é"), Just("É")],
            0..3,
        ),
        path in "/?([aAkK\u{212a}éÉ]{0,2}/?){0,3}",
    ) {
        let pattern = pattern(&format!("/{}", parts.join("/")));
        if pattern.matches(&path) || pattern.matches_any_case(&path) {
            prop_assert!(pattern.trace().meets(Trace::of_path(&path)));
        }
    }
}

#[test]
fn most_paths_that_begin_otherwise_are_passed_over() {
    let begins = |text: &str, path: &str| pattern(text).trace().meets(Trace::of_path(path));
    for path in ["/payments", "/payments/", "/PAYMENTS/1", "/pa\u{fd}ments"] {
        assert!(begins("/payments/**", path), "{path}");
    }
    for text in ["/**", "/*", "/pay*/1", "/**/payments", "/caf%c3%a9"] {
        assert!(begins(text, "/patients/1"), "{text}");
    }
    let words = [
        "patients", "notes", "reports", "login", "scans", "", "payment",
    ];
    let passed = |word: &&&str| !begins("/payments/**", &format!("/{word}/1"));
    assert!(words.iter().filter(passed).count() > words.len() / 2);
}
