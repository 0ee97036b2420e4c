//! `[limits]`, `[log]`, `[messages]`, `[rollout]`, `[telemetry]`.

use std::time::Duration;

use super::reader::{Field, Fields};
use super::settings::{Email, Limits, Log, LogFormat, Messages, Route, SecretText, Sms, Telemetry};
use super::values::{list_of, owned, secret};
use crate::gate::name::CompanyId;
use crate::gate::policy::{Reach, Rollout};
use crate::gate::rollout::PauseWhen;

pub fn limits(field: &Field<'_>) -> Option<Limits> {
    const MOST: u64 = 1 << 24;
    let span = |field: &Field<'_>| field.span_above_zero();
    let at_least =
        |least: u64| move |field: &Field<'_>| usize::try_from(field.integer(least, MOST)?).ok();
    let bytes = |field: &Field<'_>| usize::try_from(field.size_between(1 << 10, 1 << 20)?).ok();
    let sound = Limits::SOUND;
    field.table(|fields| {
        Some(Limits {
            handshake: fields.or("handshake", sound.handshake, span),
            head: fields.or("head", sound.head, span),
            body: fields.or("body", sound.body, span),
            idle: fields.or("idle", sound.idle, span),
            drain: fields.or("drain", sound.drain, |field| field.span()),
            connections: fields.or("connections", sound.connections, at_least(1)),
            connections_per_address: fields.or(
                "connections_per_address",
                sound.connections_per_address,
                at_least(0),
            ),
            streams_per_connection: fields.or(
                "streams_per_connection",
                sound.streams_per_connection,
                at_least(1),
            ),
            header_bytes: fields.or("header_bytes", sound.header_bytes, bytes),
            header_count: fields.or("header_count", sound.header_count, at_least(10)),
            target_bytes: fields.or("target_bytes", sound.target_bytes, bytes),
            password_workers: fields.or("password_workers", sound.password_workers, at_least(1)),
            password_queue: fields.or("password_queue", sound.password_queue, at_least(1)),
            kept_forms: fields.or("kept_forms", sound.kept_forms, |field| field.size()),
        })
    })
}

pub fn plain_log() -> Log {
    Log {
        format: LogFormat::Json,
        access: true,
        level: String::from("info"),
        access_file: None,
        audit_file: None,
        audit_rotate: 64 << 20,
    }
}

/// The audit trail is never put aside before it holds so much, in bytes.
const SMALLEST_TRAIL: u64 = 1 << 10;

pub fn log(field: &Field<'_>) -> Option<Log> {
    field.table(|fields| {
        let plain = plain_log();
        Some(Log {
            format: fields.or("format", plain.format, |field| {
                field.word(&[("json", LogFormat::Json), ("text", LogFormat::Text)])
            }),
            access: fields.or("access", plain.access, |field| field.boolean()),
            level: fields.or("level", plain.level, level),
            access_file: fields
                .optional("access_file")
                .and_then(|field| field.file_path()),
            audit_file: fields
                .optional("audit_file")
                .and_then(|field| field.file_path()),
            // A line each file would be none to look into.
            audit_rotate: fields
                .or("audit_rotate", plain.audit_rotate, |field| field.size())
                .max(SMALLEST_TRAIL),
        })
    })
}

/// What the program's log starts with, and nothing else: a gateway that `check` finds nothing wrong with
/// starts. `observe::trace` looks for itself; a test of `cli::run` holds the two together.
fn level(field: &Field<'_>) -> Option<String> {
    field.parsed("a level such as \"info\"", |text| {
        if text.contains("pingora") {
            return Err(format!(
                "{text:?} names pingora, whose log has people's tickets in it and stays off"
            ));
        }
        // A word alone that is no level would be a target's name, and silence everything else.
        let levels = ["error", "warn", "info", "debug", "trace", "off"];
        let known = |part: &str| part.contains('=') || levels.contains(&part.trim());
        let read = || {
            let as_targets = text.parse::<tracing_subscriber::filter::targets::Targets>();
            as_targets.is_ok() && tracing_subscriber::EnvFilter::try_new(text).is_ok()
        };
        if text.split(',').all(known) && read() {
            return Ok(text.to_owned());
        }
        Err(format!(
            "{text:?} is not one of error, warn, info, debug, trace, off"
        ))
    })
}

/// What holds where a route says nothing.
const MESSAGE_DEADLINE: Duration = Duration::from_secs(5);
const LONGEST_MESSAGE_DEADLINE: Duration = Duration::from_secs(60);

pub fn messages(field: &Field<'_>) -> Option<Messages> {
    field.table(|fields| {
        let mut email_from = None;
        let email = fields.optional("email").and_then(|field| {
            field.table(|fields| {
                let route = route(fields, email);
                let needed = matches!(&route, Some(route) if route.first.is_sent());
                let from = if needed {
                    fields.required("from")
                } else {
                    fields.optional("from")
                };
                email_from = from.and_then(|field| mailbox(&field));
                route
            })
        });
        let sms = fields.optional("sms");
        Some(Messages {
            sms: sms.and_then(|field| field.table(|fields| route(fields, sms_provider))),
            email,
            email_from,
        })
    })
}

impl Email {
    fn is_sent(&self) -> bool {
        match self {
            Email::Smtp { .. } => true,
            Email::Outbox => false,
        }
    }
}

/// The provider's keys stand in the table itself; those of the one that is asked when it fails, in
/// `second`.
fn route<P>(
    fields: &Fields<'_>,
    read: impl Fn(&Fields<'_>) -> Option<P> + Copy,
) -> Option<Route<P>> {
    let first = read(fields);
    let second = fields
        .optional("second")
        .map(|field| field.table(|fields| read(fields)));
    let deadline = fields.or("deadline", MESSAGE_DEADLINE, |field| {
        field.span_at_most(LONGEST_MESSAGE_DEADLINE)
    });
    Some(Route {
        first: first?,
        second: match second {
            Some(second) => Some(second?),
            None => None,
        },
        deadline,
    })
}

fn sms_provider(fields: &Fields<'_>) -> Option<Sms> {
    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        Outbox,
        Http,
        Twilio,
    }
    let kind = fields.required("kind").and_then(|field| {
        field.word(&[
            ("http", Kind::Http),
            ("twilio", Kind::Twilio),
            ("outbox", Kind::Outbox),
        ])
    });
    let need = |key, by: Kind| {
        if kind == Some(by) {
            fields.required(key)
        } else {
            fields.optional(key)
        }
    };
    let url = need("url", Kind::Http).map(|field| secret_url(&field, &["http", "https"]));
    let token = need("token", Kind::Twilio).and_then(|field| secret(&field));
    let account = need("account", Kind::Twilio).and_then(|field| owned(&field));
    let from = need("from", Kind::Twilio).and_then(|field| owned(&field));
    match kind? {
        Kind::Outbox => Some(Sms::Outbox),
        Kind::Http => Some(Sms::Http { url: url??, token }),
        Kind::Twilio => Some(Sms::Twilio {
            url: match url {
                Some(url) => url?.expose().to_owned(),
                None => String::from("https://api.twilio.com"),
            },
            account: account?,
            token: token?,
            from: from?,
        }),
    }
}

fn email(fields: &Fields<'_>) -> Option<Email> {
    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        Outbox,
        Smtp,
    }
    let kind = match fields.optional("kind") {
        Some(field) => field.word(&[("smtp", Kind::Smtp), ("outbox", Kind::Outbox)]),
        None => Some(Kind::Smtp),
    };
    let url = if kind == Some(Kind::Smtp) {
        fields.required("url")
    } else {
        fields.optional("url")
    };
    let url = url.and_then(|field| secret_url(&field, &["smtp", "smtps"]));
    match kind? {
        Kind::Outbox => Some(Email::Outbox),
        Kind::Smtp => Some(Email::Smtp { url: url? }),
    }
}

/// A URL that may hold a password: the problem's message doesn't repeat it.
fn secret_url(field: &Field<'_>, schemes: &[&str]) -> Option<SecretText> {
    let url = secret(field)?;
    match url::Url::parse(url.expose().trim()) {
        Ok(parsed) if schemes.contains(&parsed.scheme()) && parsed.has_host() => {
            Some(SecretText::new(url.expose().trim().to_owned()))
        }
        _ => {
            let schemes: Vec<String> = schemes.iter().map(|name| format!("{name}://")).collect();
            field.wrong(format!(
                "a URL that begins with {} is wanted here",
                schemes.join(" or ")
            ))
        }
    }
}

fn mailbox(field: &Field<'_>) -> Option<String> {
    let wanted = "an address such as \"Clinic <no-reply@example.org>\"";
    field.parsed(wanted, |text| {
        match text.parse::<lettre::message::Mailbox>() {
            Ok(_) => Ok(text.to_owned()),
            Err(_) => Err(format!("{text:?} is not {wanted}")),
        }
    })
}

fn web_url(field: &Field<'_>) -> Option<String> {
    field.parsed(
        "a URL that begins with https:// or http://",
        |text| match url::Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(text.to_owned()),
            _ => Err(String::from(
                "a URL that begins with https:// or http:// is wanted here",
            )),
        },
    )
}

/// Answers that a pause is judged by, where `of_at_least` says nothing.
const PAUSE_OF_AT_LEAST: u64 = 50;

pub fn rollout(field: &Field<'_>) -> Option<Rollout> {
    field.table(|fields| {
        Some(Rollout {
            mfa: fields.optional("mfa").and_then(|field| field.table(reach)),
            analytics_sso: fields
                .optional("analytics_sso")
                .and_then(|field| field.table(reach)),
            pause_when: fields
                .optional("pause_when")
                .and_then(|field| field.table(pause_when)),
        })
    })
}

fn pause_when(fields: &Fields<'_>) -> Option<PauseWhen> {
    let share = fields.required("factor_failures_above");
    let share = share.and_then(|field| field.share());
    let of_at_least = fields.or("of_at_least", PAUSE_OF_AT_LEAST, |field| {
        field.integer(1, 1_000_000)
    });
    Some(PauseWhen {
        factor_failures_above: share?,
        of_at_least,
    })
}

fn reach(fields: &Fields<'_>) -> Option<Reach> {
    let company = |field: &Field<'_>| {
        field.parsed("a company's id", |text| {
            CompanyId::parse(text).map_err(|error| error.to_string())
        })
    };
    Some(Reach {
        companies: list_of(fields, "companies", company),
        percent: fields.or("percent", 0, |field| {
            u8::try_from(field.integer(0, 100)?).ok()
        }),
        held: None,
    })
}

pub fn telemetry(field: &Field<'_>) -> Option<Telemetry> {
    field.table(|fields| {
        let otlp = fields.required("otlp").and_then(|field| web_url(&field));
        let token = fields.optional("token").and_then(|field| secret(&field));
        let sample = fields.or("sample", SAMPLE, share);
        Some(Telemetry {
            otlp: otlp?,
            token,
            sample,
        })
    })
}

/// A collector that is told of every request is a second access log.
const SAMPLE: f64 = 0.1;

/// `10%`, `0.5%`, as a number from 0 to 1.
fn share(field: &Field<'_>) -> Option<f64> {
    const WANTED: &str = "a share such as \"10%\" or \"0.5%\"";
    field.parsed(WANTED, |text| {
        let number = text.trim().strip_suffix('%').map(str::trim);
        match number.and_then(|number| number.parse::<f64>().ok()) {
            Some(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
            _ => Err(format!("{text:?} is not {WANTED}")),
        }
    })
}
