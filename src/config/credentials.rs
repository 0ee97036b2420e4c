//! `sign_on` and `credentials` of a product: how its backend is signed in to, and who knows whether
//! a password is right.

use std::time::Duration;

use url::Url;

use super::product::path;
use super::reader::{Field, Fields};
use super::settings::{
    BasicForm, CredentialsKind, DirectorySearch, LdapLookUp, LdapServer, SignInForm, SignOn,
};
use super::values::{owned, secret};

/// For a whole conversation with the application or the directory.
const DEADLINE: Duration = Duration::from_secs(10);
const LONGEST_DEADLINE: Duration = Duration::from_secs(60);

/// What stands for the typed username in `dn` and `filter`.
pub const LOGIN: &str = "{login}";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Basic,
    Form,
    Ldap,
}

/// The keys that one kind has and others don't.
const FORM_KEYS: [&str; 6] = [
    "page",
    "username_field",
    "password_field",
    "signed_out",
    "sign_out",
    "expired_text",
];
const LDAP_KEYS: [&str; 5] = ["url", "ca", "start_tls", "dn", "search"];

pub fn sign_on(field: &Field<'_>) -> Option<SignOn> {
    if !field.is_table() {
        return field.word(&[("headers", ())]).map(|()| SignOn::Headers);
    }
    field.table(|fields| {
        let kind = fields.required("kind").and_then(|field| {
            field.word(&[
                ("headers", Kind::Plain),
                ("basic", Kind::Basic),
                ("form", Kind::Form),
            ])
        });
        let basic = basic(fields);
        let form = form(fields, &basic, kind == Some(Kind::Form));
        match kind? {
            Kind::Form => form.map(SignOn::Form),
            Kind::Basic => {
                refuse(fields, &FORM_KEYS, "form")?;
                Some(SignOn::Basic(basic))
            }
            Kind::Plain | Kind::Ldap => {
                refuse(fields, &FORM_KEYS, "form")?;
                Some(SignOn::Headers)
            }
        }
    })
}

/// Who is asked where nothing is said: an application that is signed in to with a password knows
/// best whether it is right.
pub fn natural(sign_on: &SignOn) -> CredentialsKind {
    match sign_on {
        SignOn::Headers => CredentialsKind::Directory,
        SignOn::Basic(basic) => CredentialsKind::Basic(basic.clone()),
        SignOn::Form(form) => CredentialsKind::Form(form.clone()),
    }
}

pub fn credentials(field: &Field<'_>, sign_on: &SignOn) -> Option<CredentialsKind> {
    if !field.is_table() {
        field.word(&[("directory", ())])?;
        return if *sign_on == SignOn::Headers {
            Some(CredentialsKind::Directory)
        } else {
            field.wrong("the application is signed in to with a password of its own, which the directory does not know; leave the key out")
        };
    }
    field.table(|fields| {
        let kind = fields.required("kind").and_then(|field| {
            field.word(&[
                ("directory", Kind::Plain),
                ("basic", Kind::Basic),
                ("form", Kind::Form),
                ("ldap", Kind::Ldap),
            ])
        });
        // The form that `sign_on` describes need not be described twice.
        let described = match (sign_on, fields.optional("page")) {
            (SignOn::Form(form), None) => Some(form.clone()),
            _ => None,
        };
        let basic = basic(fields);
        let form = form(fields, &basic, kind == Some(Kind::Form) && described.is_none());
        let ldap = ldap(fields, basic.deadline, kind == Some(Kind::Ldap));
        match kind? {
            Kind::Plain if *sign_on == SignOn::Headers => Some(CredentialsKind::Directory),
            Kind::Plain => fields.wrong("the application is signed in to with a password of its own, which the directory does not know"),
            Kind::Basic => {
                refuse(fields, &FORM_KEYS, "form")?;
                refuse(fields, &LDAP_KEYS, "ldap")?;
                Some(CredentialsKind::Basic(basic))
            }
            Kind::Form => {
                refuse(fields, &LDAP_KEYS, "ldap")?;
                described.or(form).map(CredentialsKind::Form)
            }
            Kind::Ldap => {
                refuse(fields, &FORM_KEYS, "form")?;
                refuse(fields, &["inside"], "form")?;
                ldap.map(CredentialsKind::Ldap)
            }
        }
    })
}

/// Every key is read whatever the kind: one that is wrong must not hide what else is.
fn ask<'f>(fields: &'f Fields<'_>, key: &'static str, wanted: bool) -> Option<Field<'f>> {
    if wanted {
        fields.required(key)
    } else {
        fields.optional(key)
    }
}

fn refuse(fields: &Fields<'_>, keys: &[&'static str], kind: &str) -> Option<()> {
    let mut sound = Some(());
    for key in keys {
        if let Some(field) = fields.optional(key) {
            sound = field.wrong(format!("is for kind \"{kind}\" only"));
        }
    }
    sound
}

fn form(fields: &Fields<'_>, basic: &BasicForm, wanted: bool) -> Option<SignInForm> {
    let page = ask(fields, "page", wanted).and_then(|field| path(&field));
    let username_field = ask(fields, "username_field", wanted).and_then(|field| owned(&field));
    let password_field = ask(fields, "password_field", wanted).and_then(|field| owned(&field));
    let signed_out = fields.optional("signed_out").and_then(|field| path(&field));
    let sign_out = fields.optional("sign_out").and_then(|field| path(&field));
    let expired_text = fields
        .optional("expired_text")
        .and_then(|field| owned(&field));
    if !wanted {
        return None;
    }
    let form = SignInForm {
        page: page?,
        username_field: username_field?,
        password_field: password_field?,
        signed_out,
        sign_out,
        expired_text,
        inside: basic.inside.clone(),
        deadline: basic.deadline,
    };
    if form.username_field == form.password_field {
        return fields.wrong("username and password can't have one field");
    }
    Some(form)
}

fn basic(fields: &Fields<'_>) -> BasicForm {
    BasicForm {
        inside: fields.or("inside", String::from("/"), path),
        deadline: fields.or("deadline", DEADLINE, |field| {
            field.span_at_most(LONGEST_DEADLINE)
        }),
    }
}

fn ldap(fields: &Fields<'_>, deadline: Duration, wanted: bool) -> Option<LdapServer> {
    let url = ask(fields, "url", wanted).and_then(|field| server(&field));
    let start_tls = fields
        .optional("start_tls")
        .and_then(|field| Some((field.boolean()?, field)));
    let ca = fields.optional("ca").and_then(|field| field.file_path());
    let dn = fields.optional("dn").and_then(|field| template(&field));
    let search = fields
        .optional("search")
        .and_then(|field| field.table(search));
    if !wanted {
        return None;
    }
    let look_up = match (dn, search) {
        (Some(dn), None) => LdapLookUp::Direct(dn),
        (None, Some(search)) => LdapLookUp::Search(search),
        (Some(_), Some(_)) => {
            return fields.wrong("\"dn\" and \"search\" exclude each other");
        }
        (None, None) => {
            return fields.wrong("\"dn\" or \"search\" says which entry a username is, as in: dn = \"uid={login},ou=people,dc=example,dc=org\"");
        }
    };
    let (url, is_here) = url?;
    let tls = url.starts_with("ldaps:");
    let start_tls = match start_tls {
        Some((true, field)) if tls => return field.wrong("ldaps:// is TLS from the beginning"),
        Some((false, field)) if !tls && !is_here => {
            return field.wrong("passwords go to another machine under TLS only");
        }
        Some((wanted, _)) => wanted,
        None => !tls && !is_here,
    };
    Some(LdapServer {
        url,
        start_tls,
        ca,
        look_up,
        deadline,
    })
}

/// The URL, and whether it is this machine.
fn server(field: &Field<'_>) -> Option<(String, bool)> {
    field.parsed("a URL such as \"ldaps://ldap.example.org\"", |text| {
        let url = Url::parse(text)
            .map_err(|_| format!("{text:?} is not a URL such as \"ldaps://ldap.example.org\""))?;
        if !matches!(url.scheme(), "ldap" | "ldaps") {
            return Err(format!("{text:?} must begin with ldaps:// or ldap://"));
        }
        let bare = url.username().is_empty() && url.password().is_none();
        let path = matches!(url.path(), "" | "/");
        let host = url.host_str().unwrap_or_default();
        if !bare || !path || url.query().is_some() || host.is_empty() {
            return Err(String::from("must be scheme://host:port, without more"));
        }
        let is_here = host == "localhost"
            || host
                .trim_matches(['[', ']'])
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        Ok((text.trim_end_matches('/').to_owned(), is_here))
    })
}

fn template(field: &Field<'_>) -> Option<String> {
    field.parsed(
        "a name such as \"uid={login},ou=people,dc=example,dc=org\"",
        |text| match text.matches(LOGIN).count() {
            1.. => Ok(text.to_owned()),
            0 => Err(format!(
                "{text:?} has no {LOGIN}, so that everybody would be one"
            )),
        },
    )
}

fn search(fields: &Fields<'_>) -> Option<DirectorySearch> {
    let base = fields.required("base").and_then(|field| owned(&field));
    let filter = fields.required("filter").and_then(|field| {
        field.parsed("a filter such as \"(uid={login})\"", |text| {
            let whole = text.starts_with('(') && text.ends_with(')');
            if whole && text.contains(LOGIN) {
                Ok(text.to_owned())
            } else {
                Err(format!("{text:?} is not in parentheses, or has no {LOGIN}"))
            }
        })
    });
    let bind_dn = fields.optional("bind_dn").and_then(|field| owned(&field));
    let password = fields
        .optional("bind_password")
        .and_then(|field| secret(&field));
    let reader = match (bind_dn, password) {
        (Some(dn), Some(password)) => Some((dn, password)),
        (None, None) => None,
        // RFC 4513, 5.1.2: a name without a password is an anonymous bind that succeeds.
        _ => return fields.wrong("\"bind_dn\" and \"bind_password\" go together"),
    };
    Some(DirectorySearch {
        base: base?,
        filter: filter?,
        reader,
    })
}
