//! Asking an LDAP directory by binding as the person (RFC 4511, RFC 4513).

use std::sync::Arc;

use ldap3::{
    LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchEntry, SearchOptions, dn_escape,
    ldap_escape,
};
use rustls::ClientConfig;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::site::tls_config;
use super::{Failure, OpenError, Verdict};
use crate::config::settings::{BackendTls, DirectorySearch, LdapLookUp, LdapServer};
use crate::directory::TypedCredentials;

/// How many connections there are at a time. Each serves one question: a bind changes whose it is.
const MOST_AT_ONCE: usize = 16;

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
    pub async fn ask(&self, credentials: &TypedCredentials) -> Result<Verdict, Failure> {
        // RFC 4513, 5.1.2: a name without a password binds as nobody, and succeeds.
        if credentials.password.is_empty() || credentials.username.trim().is_empty() {
            return Ok(Verdict::Wrong);
        }
        let question = async {
            let place = self.room.acquire().await.map_err(|_| Failure::Busy)?;
            let answer = self.bind(credentials).await;
            drop(place);
            answer
        };
        let deadline = self.server.deadline;
        match timeout(deadline, question).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::late(deadline)),
        }
    }

    async fn bind(&self, credentials: &TypedCredentials) -> Result<Verdict, Failure> {
        let mut connection = self.connect().await?;
        let username = credentials.username.trim();
        let name = match &self.server.look_up {
            LdapLookUp::Direct(template) => direct(template, username),
            LdapLookUp::Search(search) => {
                match self.find(&mut connection, search, username).await? {
                    Some(name) => Some(name),
                    None => return Ok(Verdict::Unknown),
                }
            }
        };
        let Some(name) = name else {
            return Ok(Verdict::Unknown);
        };
        let answer = connection
            .ldap
            .simple_bind(&name, &credentials.password)
            .await
            .map_err(|error| failed(&error))?;
        match answer.rc {
            SUCCESS => Ok(Verdict::Right),
            INVALID_CREDENTIALS => Ok(Verdict::Wrong),
            NO_SUCH_OBJECT => Ok(Verdict::Unknown),
            // Locked, expired, or forbidden by a policy: nobody comes in, and that is all to say.
            UNWILLING | CONSTRAINT => Ok(Verdict::Wrong),
            code => Err(Failure::unusable(&format!("the directory answers {code}"))),
        }
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

    #[test]
    fn a_username_is_one_value_of_a_filter() {
        let escaped = ldap_escape("*)(uid=*\\\0");
        assert_eq!(escaped, "\\2a\\29\\28uid=\\2a\\5c\\00");
    }
}
