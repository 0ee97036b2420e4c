//! A legacy application's sign-in page: which form is the one, and what it sends.

use std::cell::RefCell;
use std::rc::Rc;

use encoding_rs::{Encoding, UTF_8};
use lol_html::{AsciiCompatibleEncoding, HtmlRewriter, Settings, element, end_tag};

/// The most fields of one form that are sent along.
const MOST_FIELDS: usize = 100;

/// A form as it stands in a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    /// As written; empty is the page itself.
    pub action: String,
    pub post: bool,
    /// `multipart/form-data` and the like are not filled.
    pub urlencoded: bool,
    /// `accept-charset`, as written.
    pub accepts: String,
    fields: Vec<Field>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    name: String,
    value: String,
    /// Only the first button is pressed.
    button: bool,
}

#[derive(Default)]
struct Reading {
    forms: Vec<Form>,
    /// Whether fields that come now are the last form's.
    open: bool,
    /// The list that options belong to, and whether one of them was chosen.
    list: Option<(String, bool)>,
}

/// The first form that has both fields; `None` when the page has none, or can't be read.
pub fn sign_in_form(
    html: &[u8],
    encoding: &'static Encoding,
    username: &str,
    password: &str,
) -> Option<Form> {
    let forms = forms(html, encoding)?;
    forms
        .into_iter()
        .find(|form| form.has(username) && form.has(password))
}

/// Whether the page asks for a password.
pub fn asks_for(html: &[u8], password: &str) -> bool {
    forms(html, UTF_8).is_some_and(|forms| forms.iter().any(|form| form.has(password)))
}

impl Form {
    fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }

    /// What is posted: every field as it stands, the two of the person filled, one button pressed.
    pub fn filled(&self, username: (&str, &str), password: (&str, &str)) -> Vec<(&str, String)> {
        let mut sent: Vec<(&str, String)> = Vec::with_capacity(self.fields.len());
        let mut pressed = false;
        let (mut named, mut proved) = (false, false);
        for field in &self.fields {
            if field.button && pressed {
                continue;
            }
            pressed |= field.button;
            let value = if field.name == username.0 && !named {
                named = true;
                username.1.to_owned()
            } else if field.name == password.0 && !proved {
                proved = true;
                password.1.to_owned()
            } else {
                field.value.clone()
            };
            sent.push((&field.name, value));
        }
        sent
    }
}

fn forms(html: &[u8], encoding: &'static Encoding) -> Option<Vec<Form>> {
    let encoding =
        AsciiCompatibleEncoding::new(encoding).unwrap_or_else(AsciiCompatibleEncoding::utf_8);
    let reading = Rc::new(RefCell::new(Reading::default()));
    let (at_form, at_input) = (Rc::clone(&reading), Rc::clone(&reading));
    let (at_list, at_option) = (Rc::clone(&reading), Rc::clone(&reading));
    let handlers = vec![
        element!("form", |form| {
            let text = |name| form.get_attribute(name).map(|value| unescape(&value));
            let method = text("method").unwrap_or_default();
            let encoding = text("enctype").unwrap_or_default();
            let mut reading = at_form.borrow_mut();
            // Inside of a form another one can't begin.
            if !reading.open {
                reading.forms.push(Form {
                    action: text("action").unwrap_or_default(),
                    post: method.trim().eq_ignore_ascii_case("post"),
                    urlencoded: encoding.is_empty()
                        || encoding.eq_ignore_ascii_case("application/x-www-form-urlencoded"),
                    accepts: text("accept-charset").unwrap_or_default(),
                    fields: Vec::new(),
                });
                reading.open = true;
            }
            drop(reading);
            if let Some(ends) = form.end_tag_handlers() {
                let at_end = Rc::clone(&at_form);
                ends.push(end_tag!(move |_| {
                    at_end.borrow_mut().open = false;
                    Ok(())
                }));
            }
            Ok(())
        }),
        element!("input, button, textarea", |input| {
            let text = |name| input.get_attribute(name).map(|value| unescape(&value));
            let kind = text("type").unwrap_or_default().to_ascii_lowercase();
            let is_button = input.tag_name() == "button";
            let sent = match kind.as_str() {
                "checkbox" | "radio" => input.has_attribute("checked"),
                "file" | "image" | "reset" | "button" => false,
                _ => true,
            };
            let off = input.has_attribute("disabled");
            if let (Some(name), true, false) = (text("name"), sent, off) {
                let otherwise = match kind.as_str() {
                    "checkbox" | "radio" => "on",
                    _ => "",
                };
                at_input.borrow_mut().add(Field {
                    name,
                    value: text("value").unwrap_or_else(|| otherwise.to_owned()),
                    button: is_button || kind == "submit",
                });
            }
            Ok(())
        }),
        element!("select[name]", |list| {
            let name = list.get_attribute("name").map(|name| unescape(&name));
            at_list.borrow_mut().list = name.map(|name| (name, false));
            Ok(())
        }),
        element!("select[name] option", |option| {
            let value = option.get_attribute("value").map(|value| unescape(&value));
            let chosen = option.has_attribute("selected");
            at_option
                .borrow_mut()
                .choose(value.unwrap_or_default(), chosen);
            Ok(())
        }),
    ];
    // A page in which nothing can be told apart any more is one without a form.
    let settings = handlers.into_iter().fold(
        Settings::new().with_strict(false).with_encoding(encoding),
        |settings, handler| settings.append_element_content_handler(handler),
    );
    let mut rewriter = HtmlRewriter::new(settings, |_: &[u8]| {});
    rewriter.write(html).ok()?;
    rewriter.end().ok()?;
    let mut reading = reading.borrow_mut();
    Some(std::mem::take(&mut reading.forms))
}

impl Reading {
    fn add(&mut self, field: Field) {
        if let (true, Some(form)) = (self.open, self.forms.last_mut())
            && !field.name.is_empty()
            && form.fields.len() < MOST_FIELDS
        {
            form.fields.push(field);
        }
    }

    /// The first option stands until one that is marked comes.
    fn choose(&mut self, value: String, marked: bool) {
        let Some((name, any)) = self.list.clone() else {
            return;
        };
        if !any {
            self.list = Some((name.clone(), true));
            self.add(Field {
                name,
                value,
                button: false,
            });
        } else if let (true, Some(form)) = (marked && self.open, self.forms.last_mut())
            && let Some(field) = form
                .fields
                .iter_mut()
                .rev()
                .find(|field| field.name == name)
        {
            field.value = value;
        }
    }
}

/// Character references as they stand in attributes: by number, and the names that writers use.
fn unescape(text: &str) -> String {
    const NAMES: [(&str, char); 6] = [
        ("amp", '&'),
        ("lt", '<'),
        ("gt", '>'),
        ("quot", '"'),
        ("apos", '\''),
        ("nbsp", '\u{a0}'),
    ];
    /// The longest reference that is read, in bytes.
    const LONGEST: usize = 10;
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let reference = after
            .split_once(';')
            .filter(|(name, _)| name.len() <= LONGEST)
            .and_then(|(name, after)| {
                let number = name.strip_prefix('#');
                let letter = match number {
                    Some(number) => match number.strip_prefix(['x', 'X']) {
                        Some(digits) => u32::from_str_radix(digits, 16).ok(),
                        None => number.parse().ok(),
                    }
                    .and_then(char::from_u32),
                    None => NAMES
                        .iter()
                        .find(|(known, _)| *known == name)
                        .map(|(_, letter)| *letter),
                };
                Some((letter?, after))
            });
        rest = match reference {
            Some((letter, after)) => {
                plain.push(letter);
                after
            }
            None => {
                plain.push('&');
                after
            }
        };
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(html: &str) -> Vec<(String, String)> {
        let form = sign_in_form(html.as_bytes(), UTF_8, "user", "pass").expect("a form");
        form.filled(("user", "kim"), ("pass", "p&w"))
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn hidden_fields_go_along_and_the_search_form_is_not_the_one() {
        let html = r#"<form action="/search"><input name="q"></form>
            <!-- <form><input name=user><input name=pass></form> -->
            <FORM METHOD=POST action="/do?a=1&amp;b=2"><input type=hidden name=csrf value="a&quot;&#38;&#x41;">
            <input name=user value=old><input type=password name=pass>
            <input type=checkbox name=stay checked><input type=checkbox name=other>
            <input name=off disabled value=x><select name=realm><option value=a><option value=b selected></select>
            <button type=submit name=go value=1>In</button><input type=submit name=cancel value=2></form>"#;
        let form = sign_in_form(html.as_bytes(), UTF_8, "user", "pass").unwrap();
        assert!(form.post && form.urlencoded);
        assert_eq!(form.action, "/do?a=1&b=2");
        assert_eq!(
            sent(html),
            pairs(&[
                ("csrf", "a\"&A"),
                ("user", "kim"),
                ("pass", "p&w"),
                ("stay", "on"),
                ("realm", "b"),
                ("go", "1"),
            ])
        );
    }

    #[test]
    fn fields_outside_of_forms_are_nobodys() {
        let html = "<input name=user><input name=pass><form method=post><input name=user></form><input name=pass>";
        assert_eq!(sign_in_form(html.as_bytes(), UTF_8, "user", "pass"), None);
        assert!(!asks_for(html.as_bytes(), "pass"));
        assert!(asks_for(b"<form><input name=pass></form>", "pass"));
    }

    #[test]
    fn references_that_are_none_stay_as_they_are() {
        for (written, meant) in [
            ("a&b", "a&b"),
            ("&copy;&amp;amp;", "&copy;&amp;"),
            ("&#xD800;", "&#xD800;"),
            ("&#0000000000000065;", "&#0000000000000065;"),
            ("&", "&"),
            ("", ""),
        ] {
            assert_eq!(unescape(written), meant, "{written}");
        }
    }
}
