//! What is asked for in an address: `filter`, `startIndex`, `count`. Of RFC 7644's filters we take
//! what directories send to find one resource: `attribute eq "value"`.

use super::answer::Wrong;
use crate::portal::fields::Fields;

/// A page is so long when nobody says otherwise, and never longer than the second.
const USUAL: u32 = 100;
const MOST: u32 = 200;

/// An attribute in lower case, and the value it must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    pub attribute: String,
    pub value: String,
}

impl Filter {
    /// `known` are the attributes that can be asked for.
    pub fn parse(text: &str, known: &[&str]) -> Result<Filter, Wrong> {
        let wrong = || {
            let known: Vec<String> = known
                .iter()
                .map(|name| format!("{name} eq \"…\""))
                .collect();
            let detail = format!(
                "this filter is not known here; known are {}",
                known.join(", ")
            );
            Wrong::of(400, "invalidFilter", detail)
        };
        let (attribute, rest) = text.trim().split_once(' ').ok_or_else(wrong)?;
        let (operator, value) = rest.trim_start().split_once(' ').ok_or_else(wrong)?;
        let attribute = known
            .iter()
            .find(|name| name.eq_ignore_ascii_case(bare(attribute)))
            .filter(|_| operator.eq_ignore_ascii_case("eq"))
            .ok_or_else(wrong)?;
        let value: String = serde_json::from_str(value.trim()).map_err(|_| wrong())?;
        Ok(Filter {
            attribute: attribute.to_ascii_lowercase(),
            value,
        })
    }

    pub fn of(fields: &Fields, known: &[&str]) -> Result<Option<Filter>, Wrong> {
        let filter = fields.of("filter").filter(|text| !text.trim().is_empty());
        filter.map(|text| Filter::parse(text, known)).transpose()
    }
}

/// Without the schema's name before it.
pub fn bare(attribute: &str) -> &str {
    const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:";
    match attribute.get(..CORE.len()) {
        Some(head) if head.eq_ignore_ascii_case(CORE) => attribute
            .get(CORE.len()..)
            .and_then(|rest| rest.split_once(':'))
            .map_or(attribute, |(_, name)| name),
        _ => attribute,
    }
}

/// `startIndex` from 1 and `count`, as they are served.
pub fn page(fields: &Fields) -> Result<(u32, u32), Wrong> {
    let number = |name: &str, usual: u32| match fields.of(name).map(str::trim) {
        None | Some("") => Ok(i64::from(usual)),
        Some(text) => text
            .parse::<i64>()
            .map_err(|_| Wrong::value(format!("{name} is not a whole number"))),
    };
    let start = number("startIndex", 1)?.clamp(1, i64::from(u32::MAX));
    let count = number("count", USUAL)?.clamp(0, i64::from(MOST));
    let fit = |number: i64| u32::try_from(number).unwrap_or(1);
    Ok((fit(start), fit(count)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 2] = ["userName", "externalId"];

    #[test]
    fn one_attribute_can_be_asked_for_by_its_value() {
        let read = |text: &str| Filter::parse(text, &KNOWN).map(|f| (f.attribute, f.value));
        let kim = Ok((String::from("username"), String::from("kim@acme.test")));
        assert_eq!(read(r#"userName eq "kim@acme.test""#), kim);
        assert_eq!(read(r#"  username EQ   "kim@acme.test" "#), kim);
        assert_eq!(
            read(r#"urn:ietf:params:scim:schemas:core:2.0:User:userName eq "kim@acme.test""#),
            kim
        );
        let quoted = read(r#"externalId eq "a \"b\" \\""#).unwrap();
        assert_eq!(quoted.1, r#"a "b" \"#);
    }

    #[test]
    fn any_other_filter_is_refused_with_those_that_are_known() {
        for other in [
            "",
            "userName",
            "userName eq",
            "userName eq kim",
            r#"userName sw "kim""#,
            r#"title eq "x""#,
            r#"userName eq "kim" or userName eq "sam""#,
            r#"not (userName eq "kim")"#,
        ] {
            let wrong = Filter::parse(other, &KNOWN).unwrap_err();
            assert_eq!(
                (wrong.status, wrong.kind),
                (400, "invalidFilter"),
                "{other}"
            );
            assert!(wrong.detail.contains("externalId eq"), "{}", wrong.detail);
        }
    }

    #[test]
    fn pages_are_served_within_bounds() {
        let page = |query: &str| page(&Fields::parse(query.as_bytes()));
        assert_eq!(page(""), Ok((1, 100)));
        assert_eq!(page("startIndex=0&count=-5"), Ok((1, 0)));
        assert_eq!(page("startIndex=11&count=10"), Ok((11, 10)));
        assert_eq!(page("count=100000"), Ok((1, 200)));
        assert_eq!(page("count=ten").unwrap_err().kind, "invalidValue");
    }
}
