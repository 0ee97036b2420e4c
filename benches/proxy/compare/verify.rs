//! Before anything is measured: does a candidate do what it is measured for?

use std::time::Duration;

use reqwest::header::COOKIE;
use reqwest::{Client, RequestBuilder, Version};
use tokio::time::timeout;

use super::lineup::Stage;
use crate::backend::{Page, SEEN};
use crate::load::{Load, Protocol, open};
use crate::{HOST, Result};

/// The longest that one answer takes.
const PATIENCE: Duration = Duration::from_secs(15);

/// Says what was agreed on in the handshake.
///
/// # Errors
/// What is not as it should be, with the candidate's name.
pub async fn verify(stage: &Stage, load: &Load) -> Result<String> {
    let name = stage.candidate.name;
    let mut greetings = Vec::new();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let wrong = |what: String| format!("{name}, {}: {what}", protocol.as_str());
        let greeted = timeout(PATIENCE, greet(stage, load, protocol)).await?;
        greetings.push(greeted.map_err(|error| wrong(error.to_string()))?);
        let asker = Asker::new(stage, protocol)?;
        asker.see_pages().await.map_err(wrong)?;
        if stage.is_guarded {
            asker.see_identity().await.map_err(wrong)?;
            asker.see_refusals().await.map_err(wrong)?;
        }
    }
    greetings.dedup();
    Ok(format!("answers rightly; {}", greetings.join(", ")))
}

async fn greet(stage: &Stage, load: &Load, protocol: Protocol) -> Result<String> {
    let tls = load.connector(protocol, false);
    let stream = open(&tls, stage.candidate.address).await?;
    let (_, tls) = stream.get_ref();
    let (Some(version), Some(suite), Some(group)) = (
        tls.protocol_version(),
        tls.negotiated_cipher_suite(),
        tls.negotiated_key_exchange_group(),
    ) else {
        return Err("no TLS".into());
    };
    Ok(format!(
        "{version:?} {:?} {:?}",
        suite.suite(),
        group.name()
    ))
}

type Done = std::result::Result<(), String>;

/// One browser.
struct Asker<'a> {
    stage: &'a Stage,
    client: Client,
    version: Version,
}

impl Asker<'_> {
    fn new(stage: &Stage, protocol: Protocol) -> Result<Asker<'_>> {
        let builder = Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .redirect(reqwest::redirect::Policy::none())
            .resolve(HOST, stage.candidate.address)
            .timeout(PATIENCE);
        let (builder, version) = match protocol {
            Protocol::Http1 => (builder.http1_only(), Version::HTTP_11),
            Protocol::Http2 => (builder.http2_prior_knowledge(), Version::HTTP_2),
        };
        Ok(Asker {
            stage,
            client: builder.build()?,
            version,
        })
    }

    fn ask(&self, path: &str, cookie: &str) -> RequestBuilder {
        let port = self.stage.candidate.address.port();
        self.client
            .get(format!("https://{HOST}:{port}{path}"))
            .header("accept", "text/html")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header("sec-fetch-site", "same-origin")
            .header(COOKIE, format!("theme=dark; {cookie}"))
    }

    /// Status and body.
    async fn answer(&self, request: RequestBuilder) -> std::result::Result<(u16, String), String> {
        let answer = request.send().await.map_err(|error| error.to_string())?;
        if answer.version() != self.version {
            return Err(format!("an answer in {:?}", answer.version()));
        }
        let status = answer.status().as_u16();
        let body = answer.text().await.map_err(|error| error.to_string())?;
        Ok((status, body))
    }

    fn cookie(&self) -> &str {
        self.stage.visits.get(0).unwrap_or("nobody=1")
    }

    async fn see_pages(&self) -> Done {
        for page in [Page::Notes, Page::Scan] {
            let (status, body) = self.answer(self.ask(page.path(), self.cookie())).await?;
            let is_page = body.len() == page.size() && body.bytes().all(|byte| byte == b'.');
            if status != 200 || !is_page {
                let length = body.len();
                return Err(format!("{}: {status}, {length} bytes", page.path()));
            }
        }
        Ok(())
    }

    /// The backend is told who it is, once and truly, and not what is the gateway's.
    async fn see_identity(&self) -> Done {
        let request = self
            .ask(SEEN, self.cookie())
            .header("x-forwarded-user", "root")
            .header("X-Vestibule-Person", "root");
        let (status, seen) = self.answer(request).await?;
        if status != 200 {
            return Err(format!("{SEEN}: {status}"));
        }
        let values = |name: &str| -> Vec<&str> {
            let lines = seen.lines().filter_map(|line| line.split_once(": "));
            lines
                .filter(|(of, _)| *of == name)
                .map(|(_, value)| value)
                .collect()
        };
        for (name, wanted) in [
            ("x-forwarded-user", "person-0"),
            ("x-vestibule-person", "person-0"),
            ("x-vestibule-company", "company-0"),
            ("x-forwarded-email", "person-0@example.com"),
            ("x-forwarded-groups", "clinician,user_manager"),
            ("cookie", "theme=dark"),
        ] {
            if values(name) != [wanted] {
                return Err(format!("{name} is {:?}, not {wanted:?}", values(name)));
            }
        }
        Ok(())
    }

    async fn see_refusals(&self) -> Done {
        let cookie = self.cookie();
        let secret = cookie.find('.').ok_or("a cookie without a secret")? + 1;
        let other = |place: usize| {
            let mut bytes = cookie.as_bytes().to_vec();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let id = cookie.find('=').ok_or("a cookie without a value")? + 1;
        for (what, cookie) in [
            ("without a cookie", String::from("nobody=1")),
            ("with another secret", other(secret)),
            ("with another session's id", other(id)),
            ("with two cookies", format!("{cookie}; {cookie}")),
        ] {
            let (status, _) = self.answer(self.ask(SEEN, &cookie)).await?;
            if !matches!(status, 302 | 303 | 400 | 401 | 403) {
                return Err(format!("{what}: {status}"));
            }
        }
        Ok(())
    }
}
