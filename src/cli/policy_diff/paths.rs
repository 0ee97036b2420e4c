//! Paths that tell patterns apart: one for each way in which a set of patterns can match and miss
//! together. The patterns are walked side by side, segment by segment and character by character,
//! as automata; what a path found so is worth is asked of the patterns themselves.

use std::collections::{BTreeSet, HashSet, VecDeque};

use crate::cli::traffic::written;
use crate::gate::pattern::Pattern;
use crate::gate::target::Target;

/// Where a walk gives up. Policies that people write need a few hundred.
const STATES: usize = 20_000;

/// A pattern, and how it is compared where it stands.
#[derive(Clone, Copy)]
pub struct Compared<'a> {
    pub pattern: &'a Pattern,
    pub to_the_letter: bool,
}

impl Compared<'_> {
    fn matches(&self, path: &str) -> bool {
        match self.to_the_letter {
            true => self.pattern.matches(path),
            false => self.pattern.matches_any_case(path),
        }
    }
}

/// One path for each way to match, the simplest first; always `/`.
pub fn examples(patterns: &[Compared<'_>]) -> Vec<String> {
    let mut found = Found {
        patterns,
        seen: HashSet::new(),
        paths: Vec::new(),
    };
    found.try_path("/");
    for one in patterns {
        let parts: Vec<String> = one
            .pattern
            .segments()
            .map(|segment| segment.unwrap_or("x").replace('*', "x"))
            .collect();
        found.try_path(&format!("/{}", parts.join("/")));
    }
    let segments = segments(patterns);
    let mut walks: VecDeque<(Vec<Places>, String)> = VecDeque::new();
    let start: Vec<Places> = patterns
        .iter()
        .map(|one| closed(one.pattern, [0].into()))
        .collect();
    let mut seen = HashSet::from([start.clone()]);
    walks.push_back((start, String::new()));
    while let Some((state, path)) = walks.pop_front() {
        for (segment, matched) in &segments {
            let mut next = Vec::with_capacity(state.len());
            for (one, places) in patterns.iter().zip(&state) {
                next.push(after(one, places, segment, matched));
            }
            let longer = format!("{path}/{segment}");
            found.try_path(&longer);
            found.try_path(&format!("{longer}/"));
            if seen.len() < STATES && seen.insert(next.clone()) {
                walks.push_back((next, longer));
            }
        }
    }
    found.paths
}

struct Found<'a> {
    patterns: &'a [Compared<'a>],
    /// Which patterns matched, of each path that was taken.
    seen: HashSet<Vec<bool>>,
    paths: Vec<String>,
}

impl Found<'_> {
    fn try_path(&mut self, path: &str) {
        let matched: Vec<bool> = self.patterns.iter().map(|one| one.matches(path)).collect();
        if !self.seen.contains(&matched) && can_be_asked(path) {
            self.seen.insert(matched);
            self.paths.push(path.to_owned());
        }
    }
}

/// Whether there is a request whose path reads so, and that the gateway does not answer itself.
fn can_be_asked(path: &str) -> bool {
    Target::parse(written(path).as_bytes())
        .is_ok_and(|target| target.path() == path && !target.is_own())
}

/// Where in a pattern a path may have come to: several places, by `**`.
type Places = BTreeSet<usize>;

/// With the places that are reached for nothing: after a `**` that takes no segment.
fn closed(pattern: &Pattern, mut places: Places) -> Places {
    for (place, segment) in pattern.segments().enumerate() {
        if segment.is_none() && places.contains(&place) {
            places.insert(place + 1);
        }
    }
    places
}

fn after(
    one: &Compared<'_>,
    places: &Places,
    segment: &str,
    matched: &HashSet<(String, bool)>,
) -> Places {
    let mut next = Places::new();
    for (place, wanted) in one.pattern.segments().enumerate() {
        if !places.contains(&place) {
            continue;
        }
        match wanted {
            None => {
                next.insert(place);
            }
            Some("") => {}
            Some(text) => {
                let met =
                    text == segment || matched.contains(&(text.to_owned(), one.to_the_letter));
                if met {
                    next.insert(place + 1);
                }
            }
        }
    }
    closed(one.pattern, next)
}

/// A segment for each way in which the segments of these patterns can match, and what it matches.
fn segments(patterns: &[Compared<'_>]) -> Vec<(String, HashSet<(String, bool)>)> {
    let globs: BTreeSet<(String, bool)> = patterns
        .iter()
        .flat_map(|one| {
            let texts = one.pattern.segments().flatten();
            texts.map(|text| (text.to_owned(), one.to_the_letter))
        })
        .filter(|(text, _)| !text.is_empty())
        .collect();
    let globs: Vec<Glob> = globs.iter().map(Glob::of).collect();
    let letters = letters(&globs);
    let start: Vec<Places> = globs.iter().map(|glob| glob.closed([0].into())).collect();
    let mut seen = HashSet::from([start.clone()]);
    let mut walks = VecDeque::from([(start, String::new())]);
    let mut told_apart = HashSet::new();
    let mut found = Vec::new();
    while let Some((state, text)) = walks.pop_front() {
        for letter in &letters {
            let next: Vec<Places> = globs
                .iter()
                .zip(&state)
                .map(|(glob, places)| glob.after(places, *letter))
                .collect();
            let longer = format!("{text}{letter}");
            let ends = globs.iter().zip(&next);
            let matched: Vec<bool> = ends.map(|(glob, places)| glob.ends(places)).collect();
            if !told_apart.contains(&matched) && can_be_asked(&format!("/{longer}")) {
                let which = globs.iter().zip(&matched).filter(|(_, yes)| **yes);
                found.push((longer.clone(), which.map(|(glob, _)| glob.key()).collect()));
                told_apart.insert(matched);
            }
            if seen.len() < STATES && seen.insert(next.clone()) {
                walks.push_back((next, longer));
            }
        }
    }
    found
}

/// One segment's text, `*` in it standing for any run of characters.
struct Glob {
    letters: Vec<char>,
    to_the_letter: bool,
}

impl Glob {
    fn of((text, to_the_letter): &(String, bool)) -> Glob {
        Glob {
            letters: text.chars().collect(),
            to_the_letter: *to_the_letter,
        }
    }

    fn key(&self) -> (String, bool) {
        (self.letters.iter().collect(), self.to_the_letter)
    }

    fn closed(&self, mut places: Places) -> Places {
        for (place, letter) in self.letters.iter().enumerate() {
            if *letter == '*' && places.contains(&place) {
                places.insert(place + 1);
            }
        }
        places
    }

    fn after(&self, places: &Places, letter: char) -> Places {
        let mut next = Places::new();
        for place in places {
            match self.letters.get(*place) {
                Some('*') => {
                    next.insert(*place);
                }
                Some(wanted) if self.same(*wanted, letter) => {
                    next.insert(place + 1);
                }
                Some(_) | None => {}
            }
        }
        self.closed(next)
    }

    fn ends(&self, places: &Places) -> bool {
        places.contains(&self.letters.len())
    }

    fn same(&self, a: char, b: char) -> bool {
        a == b || (!self.to_the_letter && a.to_lowercase().eq(b.to_lowercase()))
    }
}

/// Every letter that a glob knows, in both cases where case may count, and one that none knows.
fn letters(globs: &[Glob]) -> Vec<char> {
    let loose = globs.iter().any(|glob| !glob.to_the_letter);
    let mut letters = BTreeSet::new();
    for letter in globs.iter().flat_map(|glob| &glob.letters) {
        if *letter == '*' {
            continue;
        }
        letters.insert(*letter);
        if loose {
            letters.extend(letter.to_lowercase().chain(letter.to_uppercase()));
        }
    }
    let fresh = "xyzqjkvwabcdefghilmnoprstu0123456789-_~".chars();
    let fresh = fresh.filter(|letter| {
        !letters.contains(letter) && !letters.contains(&letter.to_ascii_uppercase())
    });
    // None is left where a policy knows them all: then every word is made of known ones.
    let mut all: Vec<char> = fresh.take(1).collect();
    all.extend(letters);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told_apart(patterns: &[&str]) -> Vec<String> {
        let patterns: Vec<Pattern> = patterns
            .iter()
            .map(|p| Pattern::parse(p).unwrap())
            .collect();
        let compared: Vec<Compared<'_>> = patterns
            .iter()
            .map(|pattern| Compared {
                pattern,
                to_the_letter: true,
            })
            .collect();
        examples(&compared)
    }

    #[test]
    fn one_star_and_two_are_told_apart() {
        let paths = told_apart(&["/a/*", "/a/**"]);
        let one = Pattern::parse("/a/*").unwrap();
        let all = Pattern::parse("/a/**").unwrap();
        let ways: Vec<(bool, bool)> = paths
            .iter()
            .map(|path| (one.matches(path), all.matches(path)))
            .collect();
        assert_eq!(ways.len(), 3, "{paths:?}");
        assert!(ways.contains(&(false, true)), "{paths:?}");
    }

    #[test]
    fn where_patterns_overlap_there_is_a_path() {
        for (one, other) in [
            ("/a/*", "/*/b"),
            ("/**/z", "/a b/**"),
            ("/*.pdf", "/invoice*"),
            ("/x*y", "/*xy*"),
            ("/Résumé/**", "/**/é"),
            ("/a/", "/*/"),
            ("/100%25/**", "/1*/q"),
        ] {
            let both = |path: &String| {
                let [one, other] = [one, other].map(|text| Pattern::parse(text).unwrap());
                one.matches(path) && other.matches(path)
            };
            let paths = told_apart(&[one, other]);
            assert!(paths.iter().any(both), "{one} {other}: {paths:?}");
        }
    }

    #[test]
    fn what_restricts_is_asked_in_another_case_too() {
        let loose = Pattern::parse("/pay/**").unwrap();
        let compared = |to_the_letter| Compared {
            pattern: &loose,
            to_the_letter,
        };
        let paths = examples(&[compared(true), compared(false)]);
        let differ = |path: &String| loose.matches(path) != loose.matches_any_case(path);
        assert!(paths.iter().any(differ), "{paths:?}");
    }
}
