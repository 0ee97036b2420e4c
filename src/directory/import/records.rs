//! What lines say, by their own rules and by each other's.
//!
//! The fuzzer builds this file without the rest of the room: see `fuzz/rooms`.

use std::collections::HashMap;

use zeroize::Zeroizing;

use super::authenticator::authenticator;
use super::fields::{Fields, did_you_mean, rule_of, shortened};
use super::problem::{Place, Problem};
use crate::directory::PasswordHash;
use crate::directory::passwords::LONGEST_PASSWORD;
use crate::gate::name::{CompanyId, Login, PersonId, ProductId};
use crate::gate::time::Moment;

const KINDS: [&str; 3] = ["company", "person", "account"];
const COMPANY_KEYS: [&str; 3] = ["kind", "id", "name"];
const PERSON_KEYS: [&str; 9] = [
    "kind", "id", "company", "name", "email", "phone", "roles", "grants", "totp",
];
const ACCOUNT_KEYS: [&str; 9] = [
    "kind",
    "product",
    "login",
    "person",
    "password_hash",
    "password",
    "password_set_at",
    "companies",
    "default_company",
];

/// The longest name and address, in bytes (RFC 5321, 4.5.3.1).
const LONGEST_TEXT: usize = 254;
const LONGEST_ROLE: usize = 64;
/// Clocks of two machines may differ by so much.
const CLOCK_DIFFERENCE_MILLIS: i64 = 86_400_000;

pub(super) struct CompanyRecord {
    pub(super) id: CompanyId,
    pub(super) name: String,
}

pub(super) struct PersonRecord {
    pub(super) id: PersonId,
    pub(super) company: CompanyId,
    pub(super) company_at: Place,
    pub(super) name: String,
    pub(super) email: String,
    pub(super) phone: Option<String>,
    pub(super) roles: Vec<String>,
    pub(super) grants: Vec<ProductId>,
    /// The key of their authenticator app elsewhere.
    pub(super) totp: Option<Zeroizing<Vec<u8>>>,
}

pub(super) struct AccountRecord {
    pub(super) person_at: Place,
    pub(super) companies_at: Place,
    pub(super) product: ProductId,
    pub(super) login: Login,
    pub(super) person: Option<PersonId>,
    pub(super) credentials: Credentials,
    pub(super) password_set_at: Option<Moment>,
    pub(super) companies: Vec<CompanyId>,
    pub(super) default_company: Option<CompanyId>,
}

pub(super) enum Credentials {
    Hash(PasswordHash),
    Plain(Zeroizing<String>),
}

/// The file, as far as it was read, with the lines where things were first named (also on lines
/// that are wrong otherwise: a problem should not bring others with it).
pub(super) struct Records {
    products: Vec<ProductId>,
    now: Moment,
    pub(super) companies: Vec<CompanyRecord>,
    pub(super) people: Vec<PersonRecord>,
    pub(super) accounts: Vec<AccountRecord>,
    pub(super) problems: Vec<Problem>,
    pub(super) company_lines: HashMap<CompanyId, usize>,
    pub(super) person_lines: HashMap<PersonId, usize>,
    account_lines: HashMap<(ProductId, Login), usize>,
    link_lines: HashMap<(ProductId, PersonId), usize>,
}

/// What is wrong with a line by itself: it may still name what is not there.
pub fn problems_of(line: &[u8], products: &[ProductId], now: Moment) -> Vec<Problem> {
    let mut records = Records::new(products, now);
    records.read(1, line);
    records.problems
}

impl Records {
    pub(super) fn new(products: &[ProductId], now: Moment) -> Records {
        Records {
            products: products.to_vec(),
            now,
            companies: Vec::new(),
            people: Vec::new(),
            accounts: Vec::new(),
            problems: Vec::new(),
            company_lines: HashMap::new(),
            person_lines: HashMap::new(),
            account_lines: HashMap::new(),
            link_lines: HashMap::new(),
        }
    }

    pub(super) fn problem(&mut self, line: usize, text: String) {
        self.problems.push(Problem {
            line,
            column: None,
            text,
        });
    }

    pub(super) fn read(&mut self, line: usize, text: &[u8]) {
        let mut fields = match Fields::read(line, text) {
            Ok(Some(fields)) => fields,
            Ok(None) => return,
            Err(problem) => return self.problems.push(problem),
        };
        match fields.required_text("kind").as_deref() {
            Some("company") => self.read_company(line, &mut fields),
            Some("person") => self.read_person(line, &mut fields),
            Some("account") => self.read_account(line, &mut fields),
            Some(other) => {
                let hint = match did_you_mean(other, KINDS.into_iter()) {
                    near if near.is_empty() => format!("; known are {}", KINDS.join(", ")),
                    near => near,
                };
                fields.wrong("kind", &format!("{:?} is unknown{hint}", shortened(other)));
            }
            None => {}
        }
        self.problems.append(&mut fields.problems);
    }

    fn read_company(&mut self, line: usize, fields: &mut Fields) {
        let id = fields.required("id", |text| CompanyId::parse(text).map_err(rule_of));
        let name = fields.required("name", plain_text);
        fields.refuse_others_than(&COMPANY_KEYS);
        let Some(id) = id else { return };
        if let Some(first) = self.company_lines.get(&id) {
            let text = format!("company \"{id}\" stands in line {first} already");
            return fields.wrong("id", &text);
        }
        self.company_lines.insert(id.clone(), line);
        if let Some(name) = name {
            self.companies.push(CompanyRecord { id, name });
        }
    }

    fn read_person(&mut self, line: usize, fields: &mut Fields) {
        let id = fields.required("id", |text| PersonId::parse(text).map_err(rule_of));
        let company = fields.required("company", |text| CompanyId::parse(text).map_err(rule_of));
        let name = fields.required("name", plain_text);
        let email = fields.required("email", email_address);
        let phone = fields.parsed("phone", phone_number);
        let roles = fields.list("roles", role);
        let grants = fields.list("grants", |text| self.product(text));
        let totp = fields.parsed("totp", authenticator);
        fields.refuse_others_than(&PERSON_KEYS);
        let Some(id) = id else { return };
        if let Some(first) = self.person_lines.get(&id) {
            let text = format!("person \"{id}\" stands in line {first} already");
            return fields.wrong("id", &text);
        }
        self.person_lines.insert(id.clone(), line);
        if let (Some(company), Some(name), Some(email)) = (company, name, email) {
            self.people.push(PersonRecord {
                id,
                company,
                company_at: fields.place("company"),
                name,
                email,
                phone,
                roles,
                grants,
                totp,
            });
        }
    }

    fn read_account(&mut self, line: usize, fields: &mut Fields) {
        let product = fields.required("product", |text| self.product(text));
        let login = fields.required("login", |text| Login::parse(text).map_err(rule_of));
        let person = fields.parsed("person", |text| PersonId::parse(text).map_err(rule_of));
        let credentials = credentials(fields);
        let password_set_at = fields.parsed("password_set_at", |text| moment(text, self.now));
        let mut companies =
            fields.list("companies", |text| CompanyId::parse(text).map_err(rule_of));
        let default_company = fields.parsed("default_company", |text| {
            CompanyId::parse(text).map_err(rule_of)
        });
        fields.refuse_others_than(&ACCOUNT_KEYS);
        let mut companies_at = fields.place("companies");
        if let Some(default) = &default_company {
            if companies.is_empty() {
                companies.push(default.clone());
                companies_at = fields.place("default_company");
            } else if !companies.contains(default) {
                let text = format!("\"{default}\" is not among the companies");
                fields.wrong("default_company", &text);
            }
        }
        let (Some(product), Some(login)) = (product, login) else {
            return;
        };
        let key = (product.clone(), login.clone());
        if let Some(first) = self.account_lines.get(&key) {
            let text = format!("account \"{login}\" of {product} stands in line {first} already");
            return fields.wrong("login", &text);
        }
        self.account_lines.insert(key, line);
        if let Some(person) = &person {
            let key = (product.clone(), person.clone());
            if let Some(first) = self.link_lines.get(&key) {
                let text = format!("{person} has an account of {product} in line {first} already");
                return fields.wrong("person", &text);
            }
            self.link_lines.insert(key, line);
        }
        let Some(credentials) = credentials else {
            return;
        };
        self.accounts.push(AccountRecord {
            person_at: fields.place("person"),
            companies_at,
            product,
            login,
            person,
            credentials,
            password_set_at,
            companies,
            default_company,
        });
    }

    fn product(&self, text: &str) -> Result<ProductId, String> {
        self.products
            .iter()
            .find(|known| known.as_str() == text)
            .cloned()
            .ok_or_else(|| {
                let hint = did_you_mean(text, self.products.iter().map(ProductId::as_str));
                format!("there is no product {:?}{hint}", shortened(text))
            })
    }
}

/// In the place of a hash: another system keeps the account's password.
const ELSEWHERE: &str = "elsewhere";

fn credentials(fields: &mut Fields) -> Option<Credentials> {
    match (fields.has("password"), fields.has("password_hash")) {
        (true, true) => {
            fields.wrong(
                "password",
                "\"password_hash\" is there too, and one excludes the other",
            );
            None
        }
        (false, false) => {
            fields.odd("\"password_hash\" or \"password\" is missing");
            None
        }
        (false, true) => fields
            .parsed("password_hash", |text| {
                if text == ELSEWHERE {
                    return Ok(PasswordHash::elsewhere());
                }
                PasswordHash::parse(text).map_err(|rule| rule.to_string())
            })
            .map(Credentials::Hash),
        (true, false) => {
            let password = fields.text("password").map(Zeroizing::new)?;
            let length = match password.len() {
                0 => Err(String::from("a password can't be empty")),
                1..=LONGEST_PASSWORD => Ok(()),
                _ => Err(format!("a password has at most {LONGEST_PASSWORD} bytes")),
            };
            fields.noted("password", length)?;
            Some(Credentials::Plain(password))
        }
    }
}

fn plain_text(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.len() > LONGEST_TEXT || text.chars().any(char::is_control) {
        return Err(format!(
            "1 to {LONGEST_TEXT} bytes without control characters are expected"
        ));
    }
    Ok(text.to_owned())
}

/// Enough to be put into a header and a mail's envelope; whether it is read shows when used.
fn email_address(text: &str) -> Result<String, String> {
    let text = text.trim();
    let sound = text
        .rsplit_once('@')
        .is_some_and(|(local, host)| !local.is_empty() && !host.is_empty() && !local.contains('@'));
    let banned = |letter: char| {
        letter.is_control() || letter.is_whitespace() || matches!(letter, '<' | '>' | ',' | ';')
    };
    if !sound || text.len() > LONGEST_TEXT || text.chars().any(banned) {
        return Err(String::from(
            "an address as in \"kim@example.com\" is expected",
        ));
    }
    Ok(text.to_owned())
}

/// E.164: a plus and up to 15 digits, of which the first is not zero.
fn phone_number(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix('+').unwrap_or_default();
    let sound = (7..=15).contains(&digits.len())
        && !digits.starts_with('0')
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !sound {
        return Err(String::from(
            "a number in E.164 form as in \"+12025550123\" is expected",
        ));
    }
    Ok(text.to_owned())
}

/// Roles are sent to backends with commas between them: one with a comma would be two.
fn role(text: &str) -> Result<String, String> {
    let role = text.trim();
    let banned = |letter: char| letter == ',' || letter.is_control();
    if role.is_empty() || role.len() > LONGEST_ROLE || role.chars().any(banned) {
        return Err(format!(
            "a role is 1 to {LONGEST_ROLE} bytes without commas and control characters"
        ));
    }
    Ok(role.to_owned())
}

fn moment(text: &str, now: Moment) -> Result<Moment, String> {
    let moment = Moment::parse_rfc3339(text)
        .ok_or("a moment as in \"2026-01-31T12:00:00Z\" (RFC 3339) is expected")?;
    if moment.millis() > now.millis().saturating_add(CLOCK_DIFFERENCE_MILLIS) {
        return Err(String::from("the moment lies in the future"));
    }
    Ok(moment)
}
