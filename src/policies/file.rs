//! One policy file (interface, section 8): every key that may stand there.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use http::Method;
use jiff::tz::TimeZone;

use crate::config::ProductIds;
use crate::config::problem::{Problem, Problems};
use crate::config::reader::{Field, Fields, Report};
use crate::config::sketch;
use crate::config::tree;
use crate::config::values::{network, owned, pattern};
use crate::gate::contact::Prefix;
use crate::gate::name::ProductId;
use crate::gate::policy::{
    Action, CompanyPolicy, Conditions, FactorMethod, Hours, MessagePolicy, Mfa, MfaMode,
    PasswordPolicy, Rollout, Rule, Rules, SessionLimits,
};
use crate::gate::product::Products;

/// What gateway.toml says and policies build on.
#[derive(Debug, Clone)]
pub struct Base {
    pub session: SessionLimits,
    pub rollout: Rollout,
    pub products: Products,
}

impl Base {
    pub fn product_ids(&self) -> ProductIds {
        ProductIds::of(self.products.iter().map(|product| product.id.clone()))
    }
}

/// A policy file as it stands: what it leaves out is as default.toml says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Draft {
    name: Option<String>,
    mode: Option<MfaMode>,
    methods: Option<Vec<FactorMethod>>,
    remember_device: Option<Duration>,
    sms_prefixes: Option<Vec<Prefix>>,
    messages_per_day: Option<u32>,
    maximum_age: Option<Duration>,
    session_maximum: Option<Duration>,
    session_idle: Option<Duration>,
    product_idle: BTreeMap<ProductId, Duration>,
    rules: Option<Vec<Rule>>,
    timezone: Option<TimeZone>,
}

const MODES: [(&str, MfaMode); 3] = [
    ("off", MfaMode::Off),
    ("company", MfaMode::Company),
    ("required", MfaMode::Required),
];

/// Reads a policy file's text.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn read_policy(text: &str, file: &Path, products: &ProductIds) -> Result<Draft, Problems> {
    let root = tree::parse(text, file)?;
    let report = Report::default();
    let draft = Field::root(&root, &report).table(|fields| Some(draft(fields, products)));
    report.finish(MEANINGS)?;
    // Without a draft and without a problem: never to be taken for an empty file.
    draft.ok_or_else(|| {
        let message = String::from("can't be used");
        Problems(vec![Problem {
            place: root.place.clone(),
            key: String::new(),
            message,
        }])
    })
}

/// The JSON Schema of a policy file, drawn by [`read_policy`]'s own code.
pub fn schema() -> serde_json::Value {
    sketch::schema("Vestibule: policies/COMPANY.toml", ask_all)
}

/// Every key of a policy file, found by [`read_policy`]'s own code.
pub fn keys() -> Vec<sketch::Key> {
    sketch::keys(ask_all)
}

fn ask_all(field: &Field<'_>) {
    field.table(|fields| Some(draft(fields, &ProductIds::any())));
}

/// What each key means, one a line.
pub const MEANINGS: &str = include_str!("meanings.txt");

impl Draft {
    /// The policy of default.toml itself.
    pub fn complete(&self) -> CompanyPolicy {
        let bare = CompanyPolicy {
            name: String::from("Default"),
            // The switch is the company's, off at first.
            mfa: Mfa {
                mode: MfaMode::Company,
                methods: vec![FactorMethod::Totp, FactorMethod::Sms],
                remember_device: Duration::ZERO,
                messages: MessagePolicy::sound(),
            },
            password: PasswordPolicy { maximum_age: None },
            session_maximum: None,
            session_idle: None,
            product_idle: BTreeMap::new(),
            rules: Rules::default(),
            timezone: TimeZone::UTC,
        };
        self.over(&bare, "Default")
    }

    /// This file over default.toml: leaving a key out never loosens what everybody has.
    pub fn over(&self, default: &CompanyPolicy, id: &str) -> CompanyPolicy {
        let mut product_idle = default.product_idle.clone();
        product_idle.extend(self.product_idle.clone());
        CompanyPolicy {
            name: self.name.clone().unwrap_or_else(|| id.to_owned()),
            mfa: Mfa {
                mode: self.mode.unwrap_or(default.mfa.mode),
                methods: self
                    .methods
                    .clone()
                    .unwrap_or_else(|| default.mfa.methods.clone()),
                remember_device: self.remember_device.unwrap_or(default.mfa.remember_device),
                messages: MessagePolicy {
                    sms_prefixes: self
                        .sms_prefixes
                        .clone()
                        .unwrap_or_else(|| default.mfa.messages.sms_prefixes.clone()),
                    per_day: self
                        .messages_per_day
                        .unwrap_or(default.mfa.messages.per_day),
                },
            },
            password: PasswordPolicy {
                maximum_age: self.maximum_age.or(default.password.maximum_age),
            },
            session_maximum: self.session_maximum.or(default.session_maximum),
            session_idle: self.session_idle.or(default.session_idle),
            product_idle,
            rules: self
                .rules
                .clone()
                .map_or_else(|| default.rules.clone(), Rules::from),
            timezone: self
                .timezone
                .clone()
                .unwrap_or_else(|| default.timezone.clone()),
        }
    }
}

fn draft(fields: &Fields<'_>, products: &ProductIds) -> Draft {
    let span = |field: &Field<'_>| field.span_above_zero();
    let mut draft = Draft {
        name: fields.optional("name").and_then(|field| owned(&field)),
        timezone: fields
            .optional("timezone")
            .and_then(|field| timezone(&field)),
        product_idle: fields
            .optional("products")
            .and_then(|field| product_idle(&field, products))
            .unwrap_or_default(),
        rules: fields
            .optional("rules")
            .and_then(|field| rules(&field, products)),
        ..Draft::default()
    };
    if let Some(field) = fields.optional("mfa") {
        field.table(|fields| {
            draft.mode = fields.optional("mode").and_then(|field| field.word(&MODES));
            draft.methods = fields.optional("methods").and_then(|field| methods(&field));
            draft.remember_device = fields.optional("remember_device").and_then(|f| f.span());
            draft.sms_prefixes = fields.optional("sms_prefixes").and_then(|field| {
                some_of(&field, |field| {
                    field.parsed("how a number begins, such as \"+1\"", Prefix::parse)
                })
            });
            draft.messages_per_day = fields
                .optional("messages_per_day")
                .and_then(|field| u32::try_from(field.integer(0, 10_000_000)?).ok());
            Some(())
        });
    }
    if let Some(field) = fields.optional("password") {
        field.table(|fields| {
            draft.maximum_age = fields
                .optional("maximum_age")
                .and_then(|field| span(&field));
            Some(())
        });
    }
    if let Some(field) = fields.optional("session") {
        field.table(|fields| {
            draft.session_maximum = fields.optional("maximum").and_then(|field| span(&field));
            draft.session_idle = fields.optional("idle").and_then(|field| span(&field));
            Some(())
        });
    }
    draft
}

fn timezone(field: &Field<'_>) -> Option<TimeZone> {
    field.parsed("a time zone such as \"America/New_York\"", |text| {
        TimeZone::get(text)
            .map_err(|_| format!("{text:?} is not a time zone such as \"America/New_York\""))
    })
}

fn methods(field: &Field<'_>) -> Option<Vec<FactorMethod>> {
    let words = FactorMethod::ALL.map(|method| (method.as_str(), method));
    let methods = some_of(field, |field| field.word(&words))?;
    let repeated = methods
        .iter()
        .enumerate()
        .any(|(at, m)| methods.iter().skip(at + 1).any(|n| n == m));
    if repeated {
        field.wrong("a method is given twice")
    } else {
        Some(methods)
    }
}

fn product_idle(field: &Field<'_>, products: &ProductIds) -> Option<BTreeMap<ProductId, Duration>> {
    let read = field.map(|key, field| {
        let id = products.parse(key);
        if let Err(message) = &id {
            field.wrong::<()>(message.clone());
        }
        let idle =
            field.table(|fields| Some(fields.optional("idle").and_then(|f| f.span_above_zero())));
        Some((id.ok()?, idle?))
    })?;
    Some(
        read.into_iter()
            .filter_map(|(id, idle)| Some((id, idle?)))
            .collect(),
    )
}

fn rules(field: &Field<'_>, products: &ProductIds) -> Option<Vec<Rule>> {
    let mut rules = field.list(|field| field.table(|fields| rule(fields, products)))?;
    for (index, rule) in rules.iter_mut().enumerate() {
        if rule.name.is_empty() {
            rule.name = format!("rule {}", index + 1);
        }
    }
    Some(rules)
}

fn rule(fields: &Fields<'_>, products: &ProductIds) -> Option<Rule> {
    #[derive(Clone, Copy, PartialEq)]
    enum Word {
        Allow,
        Deny,
        StepUp,
    }
    let name = fields.or("name", String::new(), owned);
    let when = conditions(fields, products);
    let except = fields.optional("except").and_then(|field| {
        let except = field.table(|fields| Some(conditions(fields, products)))?;
        if except == Conditions::default() {
            return field.wrong("an exception without a condition would be one for everything");
        }
        Some(except)
    });
    let action = fields.required("action").and_then(|field| {
        field.word(&[
            ("allow", Word::Allow),
            ("deny", Word::Deny),
            ("step_up", Word::StepUp),
        ])
    });
    let within = match action {
        Some(Word::StepUp) => fields.required("within"),
        _ => fields.optional("within"),
    };
    let span = within.as_ref().and_then(|field| field.span_above_zero());
    let action = match (action?, within) {
        (Word::StepUp, _) => Action::StepUp { within: span? },
        (_, Some(field)) => return field.wrong("only \"step_up\" has a 'within'"),
        (Word::Allow, None) => Action::Allow,
        (Word::Deny, None) => Action::Deny,
    };
    Some(Rule {
        name,
        when,
        except,
        action,
    })
}

fn conditions(fields: &Fields<'_>, products: &ProductIds) -> Conditions {
    let product = |field: &Field<'_>| field.parsed("a product's id", |text| products.parse(text));
    Conditions {
        products: fields
            .optional("products")
            .and_then(|field| some_of(&field, product)),
        paths: fields
            .optional("paths")
            .and_then(|field| some_of(&field, pattern)),
        methods: fields
            .optional("methods")
            .and_then(|field| some_of(&field, method)),
        roles: fields
            .optional("roles")
            .and_then(|field| some_of(&field, owned)),
        networks: fields
            .optional("networks")
            .and_then(|field| some_of(&field, network)),
        hours: fields.optional("hours").and_then(|field| {
            field.parsed(
                "days and times such as \"Mon-Fri 07:00-19:00\"",
                Hours::parse,
            )
        }),
    }
}

/// A condition with nothing in it would never hold: its rule would be there and do nothing.
fn some_of<T>(field: &Field<'_>, read: impl Fn(&Field<'_>) -> Option<T>) -> Option<Vec<T>> {
    field.list_of_some("an empty list matches nothing; leave the key out", read)
}

const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT",
];

/// A misspelt method is a rule that never applies, so that whatever is near a known one is refused.
fn method(field: &Field<'_>) -> Option<Method> {
    field.parsed("a method such as \"POST\"", |text| {
        let upper = text.to_ascii_uppercase();
        let near = METHODS.iter().find(|known| {
            **known != text && (**known == upper || strsim::damerau_levenshtein(known, &upper) == 1)
        });
        match (
            METHODS.contains(&text),
            near,
            Method::from_bytes(text.as_bytes()),
        ) {
            (true, _, Ok(method)) | (false, None, Ok(method)) => Ok(method),
            (_, Some(known), _) => Err(format!("unknown method {text:?}, did you mean '{known}'?")),
            (_, None, Err(_)) => Err(format!("{text:?} is not a method")),
        }
    })
}
