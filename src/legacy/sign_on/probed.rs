//! What an application said when it was asked whether it knows a session that it answers with 401.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::gate::time::Moment;

/// For so long its word is good for the same path.
const GOOD: Duration = Duration::from_secs(5);
/// The most paths that are remembered.
const MOST: usize = 16;

/// Of one session's place at one application.
#[derive(Default)]
pub struct Probed {
    /// The sign-in that it was asked about, its word, and when it came.
    last: Option<(u64, bool, Instant)>,
    /// What that sign-in may not see.
    forbidden: HashMap<String, Moment>,
}

impl Probed {
    /// What need not be asked again: a word that came after the 401 did, at `heard`, or one that is
    /// fresh for this path. Whoever is forgotten stays so.
    pub fn known(&self, grip: u64, path: &str, heard: Instant, now: Moment) -> Option<bool> {
        let (of, knows, came) = self.last?;
        if of != grip {
            return None;
        }
        let path = self.forbidden.get(path_of(path));
        let fresh = path.is_some_and(|at| now.is_within(GOOD, *at));
        (!knows || came > heard || fresh).then_some(knows)
    }

    pub fn note(&mut self, grip: u64, path: &str, knows: bool, (came, now): (Instant, Moment)) {
        let of_another = self.last.is_none_or(|(of, ..)| of != grip);
        self.last = Some((grip, knows, came));
        if of_another || !knows || self.forbidden.len() >= MOST {
            self.forbidden.clear();
        }
        if knows {
            self.forbidden.insert(path_of(path).to_owned(), now);
        }
    }
}

fn path_of(path: &str) -> &str {
    path.split('?').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_secs(1_000);

    #[test]
    fn a_word_is_good_for_its_path_and_for_those_that_waited_for_it() {
        let begun = Instant::now();
        let at = |millis| begun + Duration::from_millis(millis);
        let mut probed = Probed::default();
        assert_eq!(probed.known(1, "/a", at(0), NOW), None);
        probed.note(1, "/a?x=1", true, (at(10), NOW));
        assert_eq!(probed.known(1, "/b", at(5), NOW), Some(true), "it waited");
        assert_eq!(probed.known(1, "/b", at(20), NOW), None);
        let late = NOW.plus(GOOD);
        assert_eq!(probed.known(1, "/a?x=2", at(20), late), Some(true));
        let later = late.plus(Duration::from_secs(1));
        assert_eq!(probed.known(1, "/a", at(20), later), None);
        assert_eq!(probed.known(2, "/a", at(5), NOW), None, "a new sign-in");
    }

    #[test]
    fn who_is_forgotten_stays_so() {
        let mut probed = Probed::default();
        let came = Instant::now();
        probed.note(1, "/a", true, (came, NOW));
        probed.note(1, "/b", false, (came, NOW));
        let heard = came + Duration::from_secs(9);
        assert_eq!(probed.known(1, "/a", heard, NOW), Some(false));
    }

    #[test]
    fn few_paths_are_remembered() {
        let mut probed = Probed::default();
        for number in 0..100 {
            probed.note(1, &format!("/{number}"), true, (Instant::now(), NOW));
            assert!(probed.forbidden.len() <= MOST);
        }
    }
}
