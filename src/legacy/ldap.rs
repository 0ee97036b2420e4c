//! Asking an LDAP directory by binding as the person (RFC 4511, RFC 4513).

use std::sync::Arc;
use std::time::Duration;

use ldap3::exop::WhoAmI;
use ldap3::{
    LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchEntry, SearchOptions, dn_escape,
    ldap_escape,
};
use rustls::ClientConfig;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::site::tls_config;
use super::{Failure, OpenError, Said, Verdict, ldap_policy};
use crate::config::settings::{BackendTls, DirectorySearch, LdapLookUp, LdapServer};
use crate::directory::TypedCredentials;

/// How many connections there are at a time. Each serves one question: a bind changes whose it is.
const MOST_AT_ONCE: usize = 16;

/// How long a server is waited for to say who has bound: the password is right without it.
const WHO_AM_I: Duration = Duration::from_secs(1);

/// What stands for the username in templates.
const LOGIN: &str = "{login}";

// RFC 4511, appendix A.
const SUCCESS: u32 = 0;
const NO_SUCH_OBJECT: u32 = 32;
const INVALID_CREDENTIALS: u32 = 49;
const UNWILLING: u32 = 53;
const CONSTRAINT: u32 = 19;

/// The most entries that are asked for: one is the person, two are nobody in particular.
const TWO: i32 = 2;
const SIZE_LIMIT_EXCEEDED: u32 = 4;

pub struct Ldap {
    server: LdapServer,
    tls: Arc<ClientConfig>,
    room: Semaphore,
}

impl Ldap {
    pub fn open(server: &LdapServer) -> Result<Ldap, OpenError> {
        let trust = BackendTls {
            ca: server.ca.clone(),
            ..BackendTls::default()
        };
        Ok(Ldap {
            server: server.clone(),
            tls: Arc::new(tls_config(&trust)?),
            room: Semaphore::new(MOST_AT_ONCE),
        })
    }

    /// Whether the directory takes the credentials.
    ///
    /// # Errors
    /// When it does not answer in time, or its answer says nothing about them.
    pub async fn ask(&self, credentials: &TypedCredentials) -> Result<Said, Failure> {
        // RFC 4513, 5.1.2: a name without a password binds as nobody, and succeeds.
        if credentials.password.is_empty() || credentials.username.trim().is_empty() {
            return Ok(Verdict::Wrong.into());
        }
        let deadline = self.server.deadline;
        let end = Instant::now() + deadline;
        let question = async {
            let place = self.room.acquire().await.map_err(|_| Failure::Busy)?;
            let answer = self.bind(credentials, end).await;
            drop(place);
            answer
        };
        match timeout(deadline, question).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::late(deadline)),
        }
    }

    async fn bind(&self, credentials: &TypedCredentials, end: Instant) -> Result<Said, Failure> {
        let mut connection = self.connect().await?;
        let username = credentials.username.trim();
        let name = match &self.server.look_up {
            LdapLookUp::Direct(template) => direct(template, username),
            LdapLookUp::Search(search) => {
                match self.find(&mut connection, search, username).await? {
                    Some(name) => Some(name),
                    None => return Ok(Verdict::Unknown.into()),
                }
            }
        };
        let Some(name) = name else {
            return Ok(Verdict::Unknown.into());
        };
        let answer = connection
            .ldap
            .with_controls(vec![ldap_policy::request()])
            .simple_bind(&name, &credentials.password)
            .await
            .map_err(|error| failed(&error))?;
        if ldap_policy::has_expired(&answer) {
            return Ok(Verdict::Expired.into());
        }
        match answer.rc {
            SUCCESS => {
                let name = self.own_name(&mut connection, name, end).await;
                let verdict = Verdict::Right;
                Ok(Said { verdict, name })
            }
            INVALID_CREDENTIALS => Ok(Verdict::Wrong.into()),
            NO_SUCH_OBJECT => Ok(Verdict::Unknown.into()),
            // Locked, or forbidden by a policy: nobody comes in, and that is all to say.
            UNWILLING | CONSTRAINT => Ok(Verdict::Wrong.into()),
            code => Err(Failure::unusable(&format!("the directory answers {code}"))),
        }
    }

    /// The directory's own name for who has bound as `name`: the same for every spelling that it
    /// takes. What a search found is that already; for others it is asked (RFC 4532).
    async fn own_name(
        &self,
        connection: &mut Connection,
        name: String,
        end: Instant,
    ) -> Option<String> {
        if let LdapLookUp::Search(_) = &self.server.look_up {
            return Some(format!("dn:{}", name.to_lowercase()));
        }
        let left = end.saturating_duration_since(Instant::now());
        let limit = WHO_AM_I.min(left / 2);
        let answer = timeout(limit, connection.ldap.extended(WhoAmI)).await;
        let answer = answer.ok()?.ok()?;
        let (said, _) = answer.success().ok()?;
        let name = String::from_utf8(said.val?).ok()?;
        (!name.is_empty()).then(|| name.to_lowercase())
    }

    /// The name of the one entry that the username is.
    async fn find(
        &self,
        connection: &mut Connection,
        search: &DirectorySearch,
        username: &str,
    ) -> Result<Option<String>, Failure> {
        if let Some((name, password)) = &search.reader {
            let answer = connection
                .ldap
                .simple_bind(name, password.expose())
                .await
                .map_err(|error| failed(&error))?;
            if answer.rc != SUCCESS {
                return Err(Failure::unusable(&format!(
                    "the directory refuses `bind_dn` with {}",
                    answer.rc
                )));
            }
        }
        let filter = search.filter.replace(LOGIN, &ldap_escape(username));
        let limits = SearchOptions::new().sizelimit(TWO);
        let answer = connection
            .ldap
            .with_search_options(limits)
            .search(&search.base, Scope::Subtree, &filter, vec!["1.1"])
            .await
            .map_err(|error| failed(&error))?;
        let code = answer.1.rc;
        if !matches!(code, SUCCESS | SIZE_LIMIT_EXCEEDED) {
            return Err(Failure::unusable(&format!(
                "the directory answers the search with {code}"
            )));
        }
        let mut names = answer
            .0
            .into_iter()
            .filter(|entry| !entry.is_ref() && !entry.is_intermediate())
            .map(|entry| SearchEntry::construct(entry).dn);
        match (names.next(), names.next()) {
            // The entry without a name is the server itself: a bind to it is one as nobody.
            (Some(name), None) if code == SUCCESS && !name.is_empty() => Ok(Some(name)),
            (Some(_), _) => Err(Failure::unusable("the username is several entries")),
            (None, _) => Ok(None),
        }
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let settings = LdapConnSettings::new()
            .set_conn_timeout(self.server.deadline)
            .set_config(Arc::clone(&self.tls))
            .set_starttls(self.server.start_tls);
        let (connection, ldap) = LdapConnAsync::with_settings(settings, &self.server.url)
            .await
            .map_err(|error| failed(&error))?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.drive().await {
                tracing::debug!(%error, "a connection to a directory ended");
            }
        });
        Ok(Connection { ldap, driver })
    }
}

/// A connection that is gone when it is dropped, also when the deadline cut a question.
struct Connection {
    ldap: ldap3::Ldap,
    driver: tokio::task::JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The name to bind as. In a distinguished name the username is one value (RFC 4514, 2.4); names of
/// another kind (`{login}@example.org`) are not escaped, so that only plain ones are sent.
fn direct(template: &str, username: &str) -> Option<String> {
    if template.contains('=') {
        return Some(template.replace(LOGIN, &dn_escape(username)));
    }
    let plain = |letter: char| letter.is_alphanumeric() || matches!(letter, '.' | '-' | '_');
    username
        .chars()
        .all(plain)
        .then(|| template.replace(LOGIN, username))
}

fn failed(error: &LdapError) -> Failure {
    // Its words name operations and sockets, never what was sent.
    Failure::Unreachable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_username_is_one_value_of_a_name() {
        let template = "uid={login},ou=people,dc=example";
        for (username, meant) in [
            ("kim", "uid=kim,ou=people,dc=example"),
            (
                "kim,ou=admins",
                "uid=kim\\2cou\\3dadmins,ou=people,dc=example",
            ),
            ("a+b=c", "uid=a\\2bb\\3dc,ou=people,dc=example"),
            ("#x\\", "uid=\\23x\\5c,ou=people,dc=example"),
        ] {
            assert_eq!(direct(template, username).unwrap(), meant);
        }
        let other = "{login}@corp.example";
        assert_eq!(direct(other, "kim.doe").unwrap(), "kim.doe@corp.example");
        assert_eq!(direct(other, "kim@else,x"), None);
    }

    /// Binds everybody, and answers nothing else.
    async fn taciturn() -> (String, tokio::task::JoinHandle<()>) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        // RFC 4511, 4.2.2: message 1, a BindResponse of success without a name or words.
        const BOUND: &[u8] = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00";
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ldap://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut piece = [0; 1024];
            assert_ne!(stream.read(&mut piece).await.unwrap(), 0);
            stream.write_all(BOUND).await.unwrap();
            while stream.read(&mut piece).await.is_ok_and(|length| length > 0) {}
        });
        (url, task)
    }

    #[tokio::test]
    async fn a_server_that_does_not_say_who_has_bound_fails_no_right_password() {
        let (url, server) = taciturn().await;
        let ldap = Ldap::open(&LdapServer {
            url,
            start_tls: false,
            ca: None,
            look_up: LdapLookUp::Direct(String::from("uid={login},o=x")),
            deadline: Duration::from_secs(8),
        })
        .unwrap();
        let credentials = TypedCredentials {
            username: String::from("kim"),
            password: String::from("right").into(),
        };
        let said = ldap.ask(&credentials).await.unwrap();
        assert_eq!(said, Said::from(Verdict::Right));
        server.await.unwrap();
    }

    #[test]
    fn a_username_is_one_value_of_a_filter() {
        let escaped = ldap_escape("*)(uid=*\\\0");
        assert_eq!(escaped, "\\2a\\29\\28uid=\\2a\\5c\\00");
    }
}
