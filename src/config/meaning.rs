//! What is written down of each key that a file may have, one a line (`meanings.txt`): for the page
//! of settings, and for whoever left out a key that must be given.

use super::problem::Problem;
use super::reader::MISSING;

/// What is written down of a key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Meaning<'a> {
    /// What holds without it; empty for a table as a whole.
    pub holds: &'a str,
    pub says: &'a str,
    /// As TOML; empty when there is none.
    pub example: &'a str,
}

impl<'a> Meaning<'a> {
    /// What could as well be written, as TOML.
    pub fn default(&self) -> Option<&'a str> {
        self.holds.strip_prefix("= ")
    }
}

/// By key, in the order in which they are written down.
pub fn read(text: &str) -> impl Iterator<Item = (&str, Meaning<'_>)> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let mut fields = line.splitn(4, '|').map(str::trim);
            let mut field = || fields.next().unwrap_or_default();
            let key = field();
            let (holds, says, example) = (field(), field(), field());
            (
                key,
                Meaning {
                    holds,
                    says,
                    example,
                },
            )
        })
}

/// Adds to a problem with a key that is missing what could stand there.
pub fn explain(problem: &mut Problem, meanings: &str) {
    if problem.message != MISSING {
        return;
    }
    let found = read(meanings).find(|(key, _)| is_at(key, &problem.key));
    let last = problem.key.rsplit('.').next().unwrap_or_default();
    problem.message = match found {
        Some((_, meaning)) if !meaning.example.is_empty() => {
            format!("{MISSING}, as in: {last} = {}", meaning.example)
        }
        Some((key, _)) if !key.contains('.') => format!("{MISSING}: a table [{key}] is wanted"),
        _ => return,
    };
}

/// Whether a place in a file (`products.emr.url`, `rules[2].action`) is that of a key
/// (`products.*.url`, `rules[].action`).
fn is_at(key: &str, place: &str) -> bool {
    let mut places = place.split('.');
    let same = key.split('.').all(|wanted| {
        let Some(found) = places.next() else {
            return false;
        };
        let name = found.split('[').next().unwrap_or(found);
        wanted == "*" || wanted.trim_end_matches("[]") == name
    });
    same && places.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_that_of_its_key_alone() {
        assert!(is_at("products.*.url", "products.emr.url"));
        assert!(is_at("rules[].action", "rules[2].action"));
        assert!(is_at("rules[].action", "rules.action"));
        assert!(!is_at("products.*.url", "products.emr.tls.url"));
        assert!(!is_at("products.*.url", "products.emr"));
        assert!(!is_at("products.*.url", "providers.emr.url"));
    }
}
