//! A user's attributes on their way in (RFC 7643, section 4.1). What we have no place for is passed
//! over: directories send much more than they were asked for.

use serde_json::{Map, Value};

use super::answer::Wrong;
use super::contact::{Contact, Said, Which};
use super::filter::bare;
use crate::directory::scim::{PersonDraft, ScimPerson};
use crate::gate::contact::{Address, Number};
use crate::gate::name::Login;

/// The longest text of one attribute, in bytes.
const LONGEST: usize = 256;

/// What is known so far of how a person is to be.
#[derive(Debug, Default)]
pub struct Sketch {
    user_name: Option<String>,
    external_id: Option<String>,
    given: Option<String>,
    family: Option<String>,
    /// `displayName`, or `name.formatted`.
    name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    /// What `phone` is. No other type takes a mobile number's place.
    mobile: bool,
    active: Option<bool>,
}

impl Sketch {
    /// Everything that a PUT or POST says.
    pub fn whole(object: &Map<String, Value>) -> Result<Sketch, Wrong> {
        let mut sketch = Sketch::default();
        sketch.put_all(object, false)?;
        Ok(sketch)
    }

    /// A person as they are, to be changed.
    pub fn from(person: &ScimPerson) -> Sketch {
        Sketch {
            user_name: Some(person.user_name.clone()),
            external_id: person.external_id.clone(),
            given: person.given_name.clone(),
            family: person.family_name.clone(),
            name: Some(person.name.clone()),
            email: Some(person.email.clone()),
            phone: person.phone.clone(),
            mobile: person.mobile,
            active: Some(person.active),
        }
    }

    /// The operations of a PATCH (RFC 7644, section 3.5.2), one after another.
    pub fn patched(mut self, body: &Map<String, Value>) -> Result<Sketch, Wrong> {
        for (index, operation) in operations(body)?.iter().enumerate() {
            self.apply(operation)
                .map_err(|wrong| wrong.in_operation(index + 1))?;
        }
        Ok(self)
    }

    fn apply(&mut self, operation: &Operation<'_>) -> Result<(), Wrong> {
        match (operation.path, operation.removes, operation.value) {
            (None, true, _) => {
                let detail = "remove needs a path, such as \"phoneNumbers\"";
                Err(Wrong::of(400, "noTarget", detail))
            }
            (None, false, Value::Object(object)) => self.put_all(object, operation.adds),
            (None, false, _) => Err(Wrong::value("without a path, value must be an object")),
            (Some(path), true, _) => self.put(path, &Value::Null, false),
            (Some(path), false, value) => self.put(path, value, operation.adds),
        }
    }

    fn put_all(&mut self, object: &Map<String, Value>, adds: bool) -> Result<(), Wrong> {
        // The parts of a name first: a whole one outweighs them.
        let late = |key: &str| bare(key).eq_ignore_ascii_case("displayName");
        for (key, value) in object.iter().filter(|(key, _)| !late(key)) {
            self.put(key, value, adds)?;
        }
        for (key, value) in object.iter().filter(|(key, _)| late(key)) {
            self.put(key, value, adds)?;
        }
        Ok(())
    }

    fn put(&mut self, path: &str, value: &Value, adds: bool) -> Result<(), Wrong> {
        let path = bare(path).to_ascii_lowercase();
        let (name, rest) = path.split_at(path.find(['.', '[']).unwrap_or(path.len()));
        match name {
            "username" => self.user_name = text("userName", value)?,
            "externalid" => self.external_id = text("externalId", value)?,
            "displayname" => self.name = text("displayName", value)?.or(self.name.take()),
            "active" => self.active = Some(flag(value)?),
            "emails" => self.put_mail(Contact::Mail.which(rest)?, value, adds)?,
            "phonenumbers" => self.put_phone(Contact::Phone.which(rest)?, value, adds)?,
            "name" => self.put_name(&path, value)?,
            _ => {}
        }
        Ok(())
    }

    fn put_mail(&mut self, which: Which, value: &Value, adds: bool) -> Result<(), Wrong> {
        match which {
            Which::All => match Contact::Mail.of_all(value)? {
                Said::One { text, .. } => self.email = Some(text),
                Said::Nothing if !adds => self.email = None,
                Said::Nothing | Said::Others => {}
            },
            Which::Work => self.email = Contact::Mail.of_one(value)?,
            Which::Mobile | Which::Other => {}
        }
        Ok(())
    }

    fn put_phone(&mut self, which: Which, value: &Value, adds: bool) -> Result<(), Wrong> {
        let (phone, mobile) = match which {
            Which::All => match Contact::Phone.of_all(value)? {
                Said::One { text, mobile } if mobile || !adds || !self.mobile => {
                    (Some(text), mobile)
                }
                Said::Nothing | Said::Others if !adds => (None, false),
                Said::One { .. } | Said::Nothing | Said::Others => return Ok(()),
            },
            Which::Mobile => match Contact::Phone.of_one(value)? {
                // There is another number, which is none.
                None if !self.mobile => return Ok(()),
                phone => (phone, true),
            },
            Which::Work if !self.mobile => (Contact::Phone.of_one(value)?, false),
            Which::Work | Which::Other => return Ok(()),
        };
        self.mobile = mobile && phone.is_some();
        self.phone = phone;
        Ok(())
    }

    fn put_name(&mut self, path: &str, value: &Value) -> Result<(), Wrong> {
        match (path, value) {
            ("name.givenname", _) => {
                self.given = text("name.givenName", value)?;
                self.name = None;
            }
            ("name.familyname", _) => {
                self.family = text("name.familyName", value)?;
                self.name = None;
            }
            ("name.formatted", _) => {
                self.name = text("name.formatted", value)?.or(self.name.take());
            }
            ("name", Value::Object(parts)) => {
                for part in ["givenName", "familyName", "formatted"] {
                    if let Some(value) = parts.get(part) {
                        self.put_name(&format!("name.{}", part.to_ascii_lowercase()), value)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Over somebody who is there already: who is switched off and of whom it is not said is not
    /// switched on by it (RFC 7644, section 3.5.1, leaves it to us what an omitted attribute means).
    ///
    /// # Errors
    /// Those of `finished`.
    pub fn finished_over(self, person: &ScimPerson) -> Result<PersonDraft, Wrong> {
        Sketch {
            active: self.active.or(Some(person.active)),
            ..self
        }
        .finished()
    }

    /// # Errors
    /// `invalidValue` says what is missing or has a form that can't be kept.
    pub fn finished(self) -> Result<PersonDraft, Wrong> {
        let user_name = self.user_name.ok_or_else(|| {
            Wrong::value("userName is missing: it is the login in the primary product")
        })?;
        let login = Login::parse(&user_name).map_err(|error| Wrong::value(error.to_string()))?;
        let parts: Vec<&str> = [&self.given, &self.family]
            .into_iter()
            .filter_map(|part| part.as_deref())
            .collect();
        let name = match (self.name, parts.is_empty()) {
            (Some(name), _) => name,
            (None, false) => parts.join(" "),
            (None, true) => user_name.clone(),
        };
        // Many directories name people by their address and send no other.
        let email = self.email.as_deref().unwrap_or(&user_name);
        let Some(email) = Address::parse(email).map(|address| address.expose().to_owned()) else {
            return Err(Wrong::value(
                "a mail address is missing: neither emails nor userName has one",
            ));
        };
        // A number that no message could be sent to is none.
        let phone = self.phone.and_then(|phone| number(&phone));
        Ok(PersonDraft {
            login,
            external_id: self.external_id,
            given_name: self.given,
            family_name: self.family,
            name,
            email,
            mobile: self.mobile && phone.is_some(),
            phone,
            active: self.active.unwrap_or(true),
            user_name,
        })
    }
}

/// One operation of a PATCH.
pub struct Operation<'a> {
    pub removes: bool,
    pub adds: bool,
    pub path: Option<&'a str>,
    pub value: &'a Value,
}

pub fn operations(body: &Map<String, Value>) -> Result<Vec<Operation<'_>>, Wrong> {
    let all = body
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case("operations"))
        .and_then(|(_, all)| all.as_array())
        .ok_or_else(|| {
            let detail = "Operations is missing, or not a list: a PATCH is \
                          {\"Operations\": [{\"op\": \"replace\", \"path\": …, \"value\": …}]}";
            Wrong::of(400, "invalidSyntax", detail)
        })?;
    let one = |(index, operation)| {
        let of = |key: &str| Value::get(operation, key);
        let word = of("op").and_then(Value::as_str).unwrap_or_default();
        let word = word.to_ascii_lowercase();
        if !["add", "replace", "remove"].contains(&word.as_str()) {
            let detail = "op must be \"add\", \"replace\" or \"remove\"";
            return Err(Wrong::of(400, "invalidSyntax", detail).in_operation(index + 1));
        }
        Ok(Operation {
            removes: word == "remove",
            adds: word == "add",
            path: of("path")
                .and_then(Value::as_str)
                .filter(|path| !path.is_empty()),
            value: of("value").unwrap_or(&Value::Null),
        })
    };
    all.iter().enumerate().map(one).collect()
}

/// Text; null and nothing but space are none.
pub fn text(name: &str, value: &Value) -> Result<Option<String>, Wrong> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => {
            let text = text.trim();
            if text.len() > LONGEST || text.chars().any(char::is_control) {
                let detail = format!("{name} has more than {LONGEST} bytes, or control characters");
                return Err(Wrong::value(detail));
            }
            Ok((!text.is_empty()).then(|| text.to_owned()))
        }
        _ => Err(Wrong::value(format!("{name} is {}, not text", kind(value)))),
    }
}

/// Entra writes it as text.
pub fn flag(value: &Value) -> Result<bool, Wrong> {
    match value {
        Value::Bool(flag) => Ok(*flag),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(Wrong::value(format!(
            "active is {}, neither true nor false",
            kind(value)
        ))),
    }
}

/// What stands there, without repeating it.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn number(text: &str) -> Option<String> {
    let text = text.strip_prefix("tel:").unwrap_or(text);
    Number::parse(text).map(|number| number.expose().to_owned())
}
