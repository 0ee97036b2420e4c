//! Where messages go: telephone numbers and mail addresses. Canonical once parsed, so that nothing
//! is counted per spelling, and shown masked: neither prints in full.

use std::fmt;

/// A telephone number in the form of E.164: `+` and 8 to 15 digits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Number(String);

/// What a number begins with: `+1`, `+44`, `+1212`. Which of them a company's messages may go to
/// keeps the bill of a stolen password small: expensive numbers are abroad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

/// A mail address with its domain in lower case.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address(String);

/// One of the two, as a factor keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Destination {
    Sms(Number),
    Email(Address),
}

impl Number {
    /// Reads `+1 (555) 010-0001`, `0044 20 …` and, since that is how people there write them, ten
    /// digits or `1` and ten digits as a number of North America.
    pub fn parse(text: &str) -> Option<Number> {
        const BETWEEN: &str = " -.()/\u{a0}\u{2010}\u{2011}\u{2013}";
        let text = text.trim();
        if text.len() > 64 {
            return None;
        }
        let (plus, rest) = match text.strip_prefix('+') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut digits = String::with_capacity(16);
        for letter in rest.chars() {
            match letter {
                '0'..='9' => digits.push(letter),
                _ if BETWEEN.contains(letter) => {}
                _ => return None,
            }
        }
        let digits = match (plus, digits.strip_prefix("00"), digits.len()) {
            (true, _, _) => digits,
            (false, Some(abroad), _) => abroad.to_owned(),
            (false, None, 10) if !digits.starts_with(['0', '1']) => format!("1{digits}"),
            (false, None, 11) if digits.starts_with('1') => digits,
            (false, None, _) => return None,
        };
        let fits = (8..=15).contains(&digits.len()) && !digits.starts_with('0');
        // In North America, +1 and ten digits that begin with 2 to 9.
        let plausible = match digits.strip_prefix('1') {
            Some(rest) => rest.len() == 10 && !rest.starts_with(['0', '1']),
            None => true,
        };
        (fits && plausible).then(|| Number(format!("+{digits}")))
    }

    /// In full: for the provider and for the sealed factor.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The last two digits, as in "your number ending in 01".
    pub fn ending(&self) -> &str {
        self.0
            .get(self.0.len().saturating_sub(2)..)
            .unwrap_or_default()
    }

    pub fn begins_with_one_of(&self, prefixes: &[Prefix]) -> bool {
        prefixes.iter().any(|prefix| self.0.starts_with(&prefix.0))
    }
}

impl Prefix {
    /// # Errors
    /// Says what is wanted.
    pub fn parse(text: &str) -> Result<Prefix, String> {
        let digits = text.strip_prefix('+').unwrap_or_default();
        let sound = (1..=15).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0');
        if sound {
            Ok(Prefix(text.to_owned()))
        } else {
            Err(format!(
                "{text:?} is not how a number begins, such as \"+1\" or \"+44\""
            ))
        }
    }

    /// `+1`: the United States, Canada and the Caribbean.
    pub fn north_america() -> Prefix {
        Prefix(String::from("+1"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Address {
    /// The longest that is accepted, in bytes (RFC 5321, section 4.5.3.1.3).
    pub const LONGEST: usize = 254;

    /// `local@domain`, without quotes, blanks or anything that could end a header line.
    pub fn parse(text: &str) -> Option<Address> {
        let text = text.trim();
        let (local, domain) = text.rsplit_once('@')?;
        let sound = |part: &str| {
            !part.is_empty()
                && part
                    .chars()
                    .all(|c| !c.is_control() && !c.is_whitespace() && !"@\"<>(),:;\\[]".contains(c))
        };
        let fits = text.len() <= Address::LONGEST && local.len() <= 64;
        let domain_sound = sound(domain)
            && !domain.starts_with(['.', '-'])
            && !domain.ends_with(['.', '-'])
            && !domain.contains("..");
        (fits && sound(local) && domain_sound)
            .then(|| Address(format!("{local}@{}", domain.to_lowercase())))
    }

    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `k•••@acme-rehab.example`.
    pub fn masked(&self) -> String {
        match self.0.rsplit_once('@') {
            Some((local, domain)) => {
                let first: String = local.chars().take(1).collect();
                format!("{first}•••@{domain}")
            }
            None => String::from("•••"),
        }
    }
}

impl Destination {
    /// In full.
    pub fn expose(&self) -> &str {
        match self {
            Destination::Sms(number) => number.expose(),
            Destination::Email(address) => address.expose(),
        }
    }

    /// What counts are kept under: some providers ignore the case of the local part too.
    pub fn counted(&self) -> String {
        self.expose().to_lowercase()
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Number(…)")
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_number_are_one_number() {
        for text in [
            "+15550100001",
            "+1 (555) 010-0001",
            " 555-010-0001 ",
            "1.555.010.0001",
            "001 555 010 0001",
            "5550100001",
            "+1\u{a0}555\u{2011}010\u{2011}0001",
        ] {
            let number = Number::parse(text);
            let written = number.as_ref().map(Number::expose);
            assert_eq!(written, Some("+15550100001"), "{text:?}");
        }
        let london = Number::parse("0044 20 7946 0958").unwrap();
        assert_eq!(london.expose(), "+442079460958");
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "",
            "+",
            "555",
            "0100001",
            "+0155501000",
            "+1555010000",
            "+155501000011",
            "+1 055 010 0001",
            "+1234567890123456",
            "call me",
            "+15550100001;ext=2",
            "+1555０100001",
            "++15550100001",
        ] {
            assert_eq!(Number::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn prefixes_decide_where_messages_may_go() {
        let number = Number::parse("+442079460958").unwrap();
        let prefixes = |texts: &[&str]| -> Vec<Prefix> {
            texts.iter().map(|t| Prefix::parse(t).unwrap()).collect()
        };
        assert!(number.begins_with_one_of(&prefixes(&["+1", "+44"])));
        assert!(!number.begins_with_one_of(&prefixes(&["+1", "+442080"])));
        assert!(!number.begins_with_one_of(&[]));
        for wrong in ["", "1", "+", "+0", "+1 212", "+x"] {
            assert!(Prefix::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_are_plain_and_can_not_add_a_header() {
        let address = Address::parse(" Kim.Doe@ACME-Rehab.example ").unwrap();
        assert_eq!(address.expose(), "Kim.Doe@acme-rehab.example");
        assert_eq!(address.masked(), "K•••@acme-rehab.example");
        for wrong in [
            "",
            "kim",
            "@acme.example",
            "kim@",
            "kim@acme.example\r\nBcc: all@acme.example",
            "kim doe@acme.example",
            "\"kim\"@acme.example",
            "a@b@acme.example",
            "kim@.example",
            "kim@acme..example",
            "Kim <kim@acme.example>",
        ] {
            assert!(Address::parse(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn neither_prints_in_full() {
        let number = Number::parse("+15550100001").unwrap();
        let address = Address::parse("kim@acme.example").unwrap();
        assert_eq!(number.ending(), "01");
        let printed = format!(
            "{:?} {:?}",
            Destination::Sms(number),
            Destination::Email(address)
        );
        assert!(
            !printed.contains("555") && !printed.contains("kim"),
            "{printed}"
        );
    }
}
