//! Values that are no tables and no lists: texts, words, numbers, times, sizes, paths.

use std::path::PathBuf;
use std::time::Duration;

use super::{Field, hint, listed};
use crate::config::sketch::{Kind, span_form};
use crate::config::tree::Data;
use crate::gate::time::parse_span;

impl<'a> Field<'a> {
    /// `wanted` says what should stand here, as in `a duration such as "30s"`.
    pub fn text(&self, wanted: &str) -> Option<&'a str> {
        if self.draws(Kind::text(wanted)) {
            return None;
        }
        match &self.node.data {
            Data::Text(text) | Data::Raw(text) => Some(text),
            _ => self.unwanted(wanted),
        }
    }

    /// A text that `parse` understands; its error is the problem's message.
    pub fn parsed<T>(
        &self,
        wanted: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match parse(self.text(wanted)?) {
            Ok(value) => Some(value),
            Err(message) => self.wrong(message),
        }
    }

    /// [`parsed`](Field::parsed), with a regular expression that every right value matches: editors
    /// have nothing else to tell a wrong one by.
    pub fn shaped<T>(
        &self,
        wanted: &str,
        pattern: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if self.draws(Kind::shaped(wanted, pattern)) {
            return None;
        }
        self.parsed(wanted, parse)
    }

    /// One of a few words.
    pub fn word<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let known: Vec<&'static str> = words.iter().map(|(word, _)| *word).collect();
        if self.draws(Kind::Words(known.clone())) {
            return None;
        }
        self.parsed(&format!("one of {}", listed(&known)), |text| {
            let found = words
                .iter()
                .find(|(word, _)| *word == text)
                .map(|(_, value)| *value);
            found.ok_or_else(|| format!("unknown value {text:?}{}", hint(text, &known)))
        })
    }

    pub fn boolean(&self) -> Option<bool> {
        if self.draws(Kind::Boolean) {
            return None;
        }
        match &self.node.data {
            Data::Boolean(value) => Some(*value),
            Data::Raw(raw) if raw.trim() == "true" => Some(true),
            Data::Raw(raw) if raw.trim() == "false" => Some(false),
            _ => self.unwanted("true or false"),
        }
    }

    /// A number that may be written for a word, as 401 for `"401"`.
    pub fn is_integer(&self, number: i64) -> bool {
        !self.draws(Kind::Constant(number))
            && matches!(self.node.data, Data::Integer(found) if found == number)
    }

    /// A share: 0 is none, 1 is all.
    pub fn share(&self) -> Option<f64> {
        if self.draws(Kind::Share) {
            return None;
        }
        let share = match &self.node.data {
            Data::Float(number) => Some(*number),
            Data::Integer(0) => Some(0.0),
            Data::Integer(1) => Some(1.0),
            Data::Integer(_) => None,
            Data::Raw(raw) => raw.trim().parse().ok(),
            _ => return self.unwanted("a number between 0 and 1"),
        };
        match share {
            Some(share) if (0.0..=1.0).contains(&share) => Some(share),
            _ => self.wrong("a number between 0 and 1 is wanted here"),
        }
    }

    pub fn integer(&self, least: u64, most: u64) -> Option<u64> {
        if self.draws(Kind::Integer { least, most }) {
            return None;
        }
        let number = match &self.node.data {
            Data::Integer(number) => u64::try_from(*number).ok(),
            Data::Raw(raw) => raw.trim().parse().ok(),
            _ => return self.unwanted("a whole number"),
        };
        match number {
            Some(number) if (least..=most).contains(&number) => Some(number),
            _ => self.wrong(format!(
                "a whole number between {least} and {most} is wanted here"
            )),
        }
    }

    pub fn span(&self) -> Option<Duration> {
        self.span_between(false, None)
    }

    /// A limit: nothing ends before it begins.
    pub fn span_above_zero(&self) -> Option<Duration> {
        self.span_between(true, None)
    }

    /// [`span_above_zero`](Field::span_above_zero) for what somebody waits for.
    pub fn span_at_most(&self, most: Duration) -> Option<Duration> {
        self.span_between(true, Some(most))
    }

    fn span_between(&self, above_zero: bool, most: Option<Duration>) -> Option<Duration> {
        if self.draws(Kind::Span { above_zero, most }) {
            return None;
        }
        let (wanted, _) = span_form(false);
        let span = self.parsed(wanted, |text| {
            parse_span(text)
                .ok_or_else(|| format!("{text:?} is not a duration; {wanted} is wanted here"))
        })?;
        match most {
            _ if above_zero && span.is_zero() => self.wrong("must be longer than zero"),
            Some(most) if span > most => self.wrong(format!(
                "somebody waits for it: at most {}s",
                most.as_secs()
            )),
            _ => Some(span),
        }
    }

    /// Bytes: `64KiB`, `20MiB`, or a number.
    pub fn size(&self) -> Option<u64> {
        self.size_between(0, u64::MAX)
    }

    /// [`size`](Field::size) within bounds, in bytes.
    pub fn size_between(&self, least: u64, most: u64) -> Option<u64> {
        const WANTED: &str = "a size such as \"64KiB\" or \"20MiB\"";
        if self.draws(Kind::Integer { least, most }) {
            self.draws(Kind::shaped(WANTED, "^[0-9]+(B|KiB|MiB|GiB)?$"));
            return None;
        }
        let size = self.any_size()?;
        if (least..=most).contains(&size) {
            return Some(size);
        }
        let written = |bytes: u64| match bytes {
            bytes if bytes >= 1 << 20 => format!("{}MiB", bytes >> 20),
            bytes => format!("{}KiB", bytes >> 10),
        };
        self.wrong(format!(
            "a size between {} and {} is wanted here",
            written(least),
            written(most)
        ))
    }

    fn any_size(&self) -> Option<u64> {
        if let Data::Integer(number) = &self.node.data {
            return match u64::try_from(*number) {
                Ok(bytes) => Some(bytes),
                Err(_) => self.wrong("a size can't be negative"),
            };
        }
        const WANTED: &str = "a size such as \"64KiB\" or \"20MiB\"";
        self.parsed(WANTED, |text| {
            parse_size(text)
                .ok_or_else(|| format!("{text:?} is not a size; {WANTED} is wanted here"))
        })
    }

    /// A path, made relative to where it stands.
    pub fn file_path(&self) -> Option<PathBuf> {
        self.shaped("a path", "^.", |text| match text {
            "" => Err(String::from("a path can't be empty")),
            text => Ok(self.node.place.folder().join(text)),
        })
    }
}

/// Reads `64KiB`, `20MiB`, `1GiB`, `512B`.
fn parse_size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let shift = match unit {
        "B" | "" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}
