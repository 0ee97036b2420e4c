//! Of a user's mail addresses and numbers one each is kept: which of them a request speaks of
//! (RFC 7643, section 4.1.2; RFC 7644, section 3.5.2). Links and codes go there, so what is not meant
//! for it is passed over, not guessed at.

use serde_json::Value;

use super::answer::Wrong;
use super::person::{flag, text};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contact {
    Mail,
    Phone,
}

/// What a path speaks of: `emails`, `emails[type eq "work"].value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    All,
    /// The mobile number: codes are for it before any other.
    Mobile,
    /// The work one, or the primary one.
    Work,
    /// Another type, or another part of an entry than its value.
    Other,
}

/// What a value has for us.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// No entry at all.
    Nothing,
    /// Entries, none of which is for us.
    Others,
    One {
        text: String,
        mobile: bool,
    },
}

impl Contact {
    fn name(self) -> &'static str {
        match self {
            Contact::Mail => "emails",
            Contact::Phone => "phoneNumbers",
        }
    }

    /// `rest` is what follows the attribute's name.
    pub fn which(self, rest: &str) -> Result<Which, Wrong> {
        let (filter, part) = match rest.strip_prefix('[') {
            Some(rest) => match rest.rsplit_once(']') {
                Some((filter, part)) => (Some(filter), part),
                None => return Err(self.unknown_filter()),
            },
            None => (None, rest),
        };
        if !part.is_empty() && !part.eq_ignore_ascii_case(".value") {
            return Ok(Which::Other);
        }
        let Some(filter) = filter else {
            return Ok(Which::All);
        };
        let mut which = Which::Work;
        let lower = filter.to_ascii_lowercase();
        for one in lower.split(" and ") {
            let mut words = one.split_whitespace();
            let (Some(attribute), Some("eq"), Some(value), None) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                return Err(self.unknown_filter());
            };
            match (attribute, value.trim_matches('"')) {
                ("type", "work") | ("primary", "true") => {}
                ("type", "mobile") if self == Contact::Phone && which == Which::Work => {
                    which = Which::Mobile;
                }
                ("type", _) | ("primary", "false") => which = Which::Other,
                _ => return Err(self.unknown_filter()),
            }
        }
        Ok(which)
    }

    fn unknown_filter(self) -> Wrong {
        let name = self.name();
        let detail = format!(
            "this filter is not known here; known are {name}[type eq \"…\"] and {name}[primary eq true]"
        );
        Wrong::of(400, "invalidFilter", detail)
    }

    /// What all the entries of a list say, or one that stands alone, or its value.
    pub fn of_all(self, value: &Value) -> Result<Said, Wrong> {
        let entries = match value {
            Value::Array(all) => all.as_slice(),
            Value::Null => &[],
            one => std::slice::from_ref(one),
        };
        if entries.is_empty() {
            return Ok(Said::Nothing);
        }
        let best = entries
            .iter()
            .filter_map(|one| Some((self.rank(one)?, one)));
        // Of two that are alike the first.
        let Some((rank, one)) = best.min_by_key(|(rank, _)| *rank) else {
            return Ok(Said::Others);
        };
        Ok(self.of_one(one)?.map_or(Said::Nothing, |text| Said::One {
            text,
            mobile: rank == Rank::Mobile,
        }))
    }

    /// The value of the entry that a path chose already.
    pub fn of_one(self, value: &Value) -> Result<Option<String>, Wrong> {
        match value {
            Value::Array(all) => all.first().map_or(Ok(None), |one| self.of_one(one)),
            Value::Object(one) => text(self.name(), one.get("value").unwrap_or(&Value::Null)),
            _ => text(self.name(), value),
        }
    }

    fn rank(self, entry: &Value) -> Option<Rank> {
        let kind = entry
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let is = |name: &str| kind.eq_ignore_ascii_case(name);
        let primary = entry
            .get("primary")
            .is_some_and(|yes| flag(yes) == Ok(true));
        match self {
            // No message arrives there, whatever else is said of it.
            Contact::Phone if is("fax") || is("pager") => None,
            Contact::Phone if is("mobile") => Some(Rank::Mobile),
            _ if primary => Some(Rank::Primary),
            _ if is("work") => Some(Rank::Work),
            _ => kind.is_empty().then_some(Rank::Untyped),
        }
    }
}

/// The best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Mobile,
    Primary,
    Work,
    Untyped,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_speaks_of_the_work_one_the_mobile_one_all_or_none_of_ours() {
        for (path, mail, phone) in [
            ("", Which::All, Which::All),
            (".value", Which::All, Which::All),
            (".display", Which::Other, Which::Other),
            ("[type eq \"work\"]", Which::Work, Which::Work),
            ("[type eq \"work\"].value", Which::Work, Which::Work),
            ("[Type EQ \"Work\"].Value", Which::Work, Which::Work),
            ("[primary eq true].value", Which::Work, Which::Work),
            ("[primary eq \"True\"].value", Which::Work, Which::Work),
            (
                "[type eq \"work\" and primary eq true].value",
                Which::Work,
                Which::Work,
            ),
            ("[type eq \"mobile\"].value", Which::Other, Which::Mobile),
            (
                "[primary eq true and type eq \"mobile\"]",
                Which::Other,
                Which::Mobile,
            ),
            (
                "[type eq \"fax\" and type eq \"mobile\"]",
                Which::Other,
                Which::Other,
            ),
            ("[type eq \"fax\"].value", Which::Other, Which::Other),
            ("[type eq \"home\"]", Which::Other, Which::Other),
            (
                "[type eq \"home\" and primary eq true]",
                Which::Other,
                Which::Other,
            ),
            (
                "[type eq \"work\" and primary eq false]",
                Which::Other,
                Which::Other,
            ),
            ("[type eq \"work\"].display", Which::Other, Which::Other),
            ("[type eq \"work\"].type", Which::Other, Which::Other),
        ] {
            assert_eq!(Contact::Mail.which(path), Ok(mail), "{path}");
            assert_eq!(Contact::Phone.which(path), Ok(phone), "{path}");
        }
        for other in [
            "[type eq \"work\"",
            "[]",
            "[type]",
            "[type ne \"home\"].value",
            "[type eq \"work\" or type eq \"home\"].value",
            "[value eq \"a@b.test\"]",
            "[not (type eq \"home\")]",
        ] {
            let wrong = Contact::Mail.which(other).unwrap_err();
            assert_eq!(wrong.kind, "invalidFilter", "{other}");
        }
    }

    #[test]
    fn of_a_list_the_entry_for_us_is_taken_wherever_it_stands() {
        let one = |text: &str, mobile: bool| {
            let text = text.to_owned();
            Ok(Said::One { text, mobile })
        };
        let home = json!({"type": "home", "value": "h"});
        let work = json!({"type": "work", "value": "w"});
        let first = json!({"type": "home", "value": "p", "primary": true});
        let mobile = json!({"type": "mobile", "value": "m"});
        let fax = json!({"type": "fax", "value": "f", "primary": true});
        let (mail, phone) = (Contact::Mail, Contact::Phone);
        assert_eq!(mail.of_all(&json!([home, work])), one("w", false));
        assert_eq!(mail.of_all(&json!([work, first])), one("p", false));
        assert_eq!(mail.of_all(&json!([home])), Ok(Said::Others));
        assert_eq!(mail.of_all(&home), Ok(Said::Others));
        assert_eq!(mail.of_all(&json!("a")), one("a", false));
        assert_eq!(mail.of_all(&json!([{"value": "a"}])), one("a", false));
        assert_eq!(mail.of_all(&json!([])), Ok(Said::Nothing));
        assert_eq!(mail.of_all(&Value::Null), Ok(Said::Nothing));
        assert_eq!(phone.of_all(&json!([fax, work, mobile])), one("m", true));
        assert_eq!(phone.of_all(&json!([fax, work])), one("w", false));
        assert_eq!(phone.of_all(&json!([fax])), Ok(Said::Others));
    }
}
