//! Where Redis is: the four forms of `store.sessions`.

use std::fmt;

/// Prints without the password.
#[derive(Clone, PartialEq, Eq)]
pub enum Address {
    /// `redis://…` and `rediss://…`, as the client library reads them.
    Single(String),
    /// `redis+sentinel://[user:password@]h1[:26379],h2/name[/database]`
    Sentinel {
        hosts: Vec<String>,
        service: String,
        user: Option<(String, String)>,
        database: i64,
    },
    /// `redis+cluster://[user:password@]h1[:6379],h2`
    Cluster {
        hosts: Vec<String>,
        user: Option<(String, String)>,
    },
}

impl Address {
    pub fn parse(text: &str) -> Result<Address, String> {
        if let Some(rest) = text.strip_prefix("redis+sentinel://") {
            return sentinel(rest);
        }
        if let Some(rest) = text.strip_prefix("redis+cluster://") {
            let (user, rest) = credentials(rest);
            let hosts = hosts(rest.trim_end_matches('/'), 6379)?;
            return Ok(Address::Cluster { hosts, user });
        }
        if text.starts_with("redis://") || text.starts_with("rediss://") {
            return Ok(Address::Single(text.to_owned()));
        }
        Err(String::from(
            "not one of redis://…, rediss://…, redis+sentinel://h1,h2/name, redis+cluster://h1,h2",
        ))
    }
}

fn sentinel(rest: &str) -> Result<Address, String> {
    let (user, rest) = credentials(rest);
    let (list, path) = rest
        .split_once('/')
        .ok_or("the name of the service is missing: redis+sentinel://h1,h2/name")?;
    let (service, database) = match path.split_once('/') {
        Some((service, database)) => (
            service,
            database
                .parse()
                .map_err(|_| format!("{database:?} is not a database's number"))?,
        ),
        None => (path, 0),
    };
    if service.is_empty() {
        return Err(String::from(
            "the name of the service is missing: redis+sentinel://h1,h2/name",
        ));
    }
    Ok(Address::Sentinel {
        hosts: hosts(list, 26379)?,
        service: service.to_owned(),
        user,
        database,
    })
}

fn credentials(rest: &str) -> (Option<(String, String)>, &str) {
    match rest.rsplit_once('@') {
        None => (None, rest),
        Some((user, rest)) => {
            let (name, password) = user.split_once(':').unwrap_or(("", user));
            (Some((decoded(name), decoded(password))), rest)
        }
    }
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

fn hosts(list: &str, port: u16) -> Result<Vec<String>, String> {
    list.split(',')
        .map(str::trim)
        .map(|host| match host {
            "" => Err(String::from("a host is missing")),
            host if host.ends_with(']') || !host.contains(':') => Ok(format!("{host}:{port}")),
            host => Ok(host.to_owned()),
        })
        .collect()
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Single(url) => {
                let (scheme, rest) = url.split_once("://").unwrap_or(("redis", ""));
                let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
                write!(f, "{scheme}://{place}")
            }
            Address::Sentinel { hosts, service, .. } => {
                write!(f, "redis+sentinel://{}/{service}", hosts.join(","))
            }
            Address::Cluster { hosts, .. } => write!(f, "redis+cluster://{}", hosts.join(",")),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_four_forms_are_read() {
        let address = Address::parse("redis+sentinel://:s%40cret@a,b:1,[::1]/main/2").unwrap();
        let hosts = vec![
            String::from("a:26379"),
            String::from("b:1"),
            String::from("[::1]:26379"),
        ];
        let user = Some((String::new(), String::from("s@cret")));
        assert_eq!(
            address,
            Address::Sentinel {
                hosts,
                service: "main".into(),
                user,
                database: 2
            }
        );

        let address = Address::parse("redis+cluster://a,b:7000/").unwrap();
        let hosts = vec![String::from("a:6379"), String::from("b:7000")];
        assert_eq!(address, Address::Cluster { hosts, user: None });

        for url in ["redis://localhost/3", "rediss://kim:x@cache:6380"] {
            assert_eq!(Address::parse(url), Ok(Address::Single(url.to_owned())));
        }
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for text in [
            "",
            "localhost",
            "http://a",
            "redis+sentinel://a,b",
            "redis+sentinel://a/",
            "redis+cluster://a,,b",
            "redis+sentinel://a/b/c",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_password_is_printed() {
        for url in [
            "redis://kim:geheim@h/0",
            "redis+sentinel://:geheim@h/n",
            "redis+cluster://u:geheim@h",
        ] {
            let address = Address::parse(url).unwrap();
            assert!(!format!("{address} {address:?}").contains("geheim"));
        }
    }
}
