//! `[store]`: where sessions, people and the master key are.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reader::{Field, Fields};
use super::settings::{SecretText, SessionStore, StoreSettings, WhenUnavailable};
use super::values::secret;
use crate::gate::time::parse_span;

pub fn store(fields: &Fields<'_>, folder: &Path) -> Option<StoreSettings> {
    let data_dir = fields.or("data_dir", folder.join("data"), |field| field.file_path());
    let master_key = fields.or("master_key", data_dir.join("master.key"), master_key);
    let directory = match fields.optional("directory") {
        Some(field) => directory(&field),
        None => Some(sqlite(folder, "vestibule.db")),
    };
    let capacity = |field: &Field<'_>| usize::try_from(field.integer(1, 10_000_000)?).ok();
    let sessions = fields.or("sessions", SessionStore::Embedded, sessions);
    let when_unavailable = fields.or(
        "when_unavailable",
        WhenUnavailable::Refuse,
        when_unavailable,
    );
    let recheck = fields.or("recheck", Duration::from_secs(60), |field| {
        field.span_above_zero()
    });
    let cache_capacity = fields.or("cache_capacity", 65_536, capacity);
    Some(StoreSettings {
        sessions,
        directory: directory?,
        data_dir,
        master_key,
        when_unavailable,
        recheck,
        cache_capacity,
    })
}

fn master_key(field: &Field<'_>) -> Option<PathBuf> {
    if !field.is_table() {
        return field.wrong("must be { file = \"path\" }: a key does not stand in a configuration");
    }
    field.table(|fields| fields.required("file")?.file_path())
}

fn sessions(field: &Field<'_>) -> Option<SessionStore> {
    const WANTED: &str = "\"embedded\", or a URL that begins with redis://, rediss://, \
                          redis+sentinel:// or redis+cluster://, is wanted here";
    let url = secret(field)?;
    let text = url.expose();
    // None of the messages repeats the URL: it may hold a password.
    match text.split_once("://") {
        None if text == "embedded" => Some(SessionStore::Embedded),
        Some(("redis" | "rediss", _)) => match url::Url::parse(text) {
            Ok(parsed) if parsed.has_host() => Some(SessionStore::Redis(url)),
            Ok(_) => field.wrong("the Redis URL names no host"),
            Err(error) => field.wrong(format!("the Redis URL can't be read: {error}")),
        },
        Some(("redis+sentinel", rest)) => match rest.split_once('/') {
            Some((hosts, name)) if !hosts.is_empty() && !name.is_empty() => {
                Some(SessionStore::Redis(url))
            }
            _ => field.wrong("must be redis+sentinel://host1,host2/name"),
        },
        Some(("redis+cluster", "")) => field.wrong("must be redis+cluster://host1,host2"),
        Some(("redis+cluster", _)) => Some(SessionStore::Redis(url)),
        _ => field.wrong(WANTED),
    }
}

fn directory(field: &Field<'_>) -> Option<SecretText> {
    let url = secret(field)?;
    let text = url.expose();
    if let Some(path) = text.strip_prefix("sqlite:") {
        return match path.strip_prefix("//").unwrap_or(path) {
            "" => field.wrong("must be sqlite:PATH"),
            ":memory:" => Some(url),
            path => Some(sqlite(field.node.place.folder(), path)),
        };
    }
    if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
        return field.wrong("\"sqlite:PATH\" or a URL that begins with postgres:// is wanted here");
    }
    match url::Url::parse(text) {
        Ok(_) => Some(url),
        Err(error) => field.wrong(format!("the PostgreSQL URL can't be read: {error}")),
    }
}

fn sqlite(folder: &Path, path: &str) -> SecretText {
    SecretText::new(format!("sqlite:{}", folder.join(path).display()))
}

fn when_unavailable(field: &Field<'_>) -> Option<WhenUnavailable> {
    field.parsed("\"refuse\" or \"grace:30s\"", |text| {
        let grace = text.strip_prefix("grace:").and_then(parse_span);
        match (text, grace) {
            ("refuse", _) => Ok(WhenUnavailable::Refuse),
            (_, Some(span)) if !span.is_zero() => Ok(WhenUnavailable::Grace(span)),
            _ => Err(format!(
                "{text:?} is neither \"refuse\" nor \"grace:\" and a duration, as in \"grace:30s\""
            )),
        }
    })
}
