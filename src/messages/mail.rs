//! Mail, by SMTP (RFC 5321).

use std::sync::Arc;
use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::{Channel, EmailProvider, Message, MessagesError, Outbox, Provider, SendError};

const URL: MessagesError = MessagesError::Url("messages.email.url");

pub enum Mailer {
    Outbox(Arc<Outbox>),
    Smtp {
        transport: Box<AsyncSmtpTransport<Tokio1Executor>>,
        from: Mailbox,
    },
}

impl Mailer {
    pub fn new(
        provider: EmailProvider,
        from: &str,
        deadline: Duration,
        outbox: &Arc<Outbox>,
    ) -> Result<Mailer, MessagesError> {
        match provider {
            EmailProvider::Outbox => Ok(Mailer::Outbox(Arc::clone(outbox))),
            EmailProvider::Smtp { url } => {
                let url = Url::parse(url.expose()).map_err(|_| URL)?;
                let unencrypted = is_this_machine(&url);
                Ok(Mailer::Smtp {
                    transport: Box::new(transport(&url, unencrypted, deadline)?),
                    from: from.parse().map_err(|_| MessagesError::From)?,
                })
            }
        }
    }
}

impl Provider for Mailer {
    const CHANNEL: Channel = Channel::Email;

    async fn hand_over(&self, message: &Message<'_>) -> Result<(), SendError> {
        match self {
            Mailer::Outbox(outbox) => outbox.keep(message),
            Mailer::Smtp { transport, from } => {
                let mail = written(from, message)?;
                match transport.send(mail).await {
                    Ok(_) => Ok(()),
                    Err(error) => Err(kind(&error)),
                }
            }
        }
    }
}

fn written(from: &Mailbox, message: &Message<'_>) -> Result<lettre::Message, SendError> {
    let to = message
        .to
        .expose()
        .parse()
        .map_err(|_| SendError::Message)?;
    MessageBuilder::new()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(message.subject)
        .header(ContentType::TEXT_PLAIN)
        .body(message.text.to_owned())
        .map_err(|_| SendError::Message)
}

/// Its kind alone: a server's own words often repeat the address.
fn kind(error: &lettre::transport::smtp::Error) -> SendError {
    if error.is_timeout() {
        SendError::Late
    } else if let Some(code) = error.status() {
        SendError::Refused(code.into())
    } else if error.is_response() {
        SendError::Answer
    } else {
        SendError::Connection
    }
}

/// Where nobody is on the way to listen.
fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost") || is_loopback(name),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Only http's kin have their addresses parsed: in `smtp://127.0.0.1` it is a name.
fn is_loopback(name: &str) -> bool {
    name.parse::<std::net::IpAddr>()
        .is_ok_and(|address| address.is_loopback())
}

fn transport(
    url: &Url,
    unencrypted: bool,
    deadline: Duration,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, MessagesError> {
    let host = url
        .host_str()
        .filter(|host| !host.is_empty())
        .ok_or(URL)?
        .trim_start_matches('[')
        .trim_end_matches(']');
    let parameters = || TlsParameters::new(host.to_owned()).map_err(|_| MessagesError::Tls);
    let (tls, port) = match url.scheme() {
        "smtps" => (Tls::Wrapper(parameters()?), 465),
        "smtp" if unencrypted => (Tls::None, 25),
        // Not "if the server offers it": whoever sits between would take the offer away.
        "smtp" => (Tls::Required(parameters()?), 587),
        _ => return Err(URL),
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
        .port(url.port().unwrap_or(port))
        .tls(tls)
        .timeout(Some(deadline));
    if !url.username().is_empty() {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        builder = builder.credentials(Credentials::new(
            decoded(url.username()),
            decoded(url.password().unwrap_or_default()),
        ));
    }
    Ok(builder.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_unencrypted() {
        let here = |url: &str| is_this_machine(&Url::parse(url).unwrap());
        for url in [
            "smtp://localhost",
            "smtp://LOCALHOST:2525",
            "smtp://127.0.0.1:2525",
            "smtp://[::1]:25",
        ] {
            assert!(here(url), "{url}");
        }
        for url in [
            "smtp://mail.example.org",
            "smtp://localhost.example.org",
            "smtp://10.0.0.1",
            "smtp://127.0.0.1.example.org",
        ] {
            assert!(!here(url), "{url}");
        }
    }

    #[test]
    fn other_schemes_are_no_mail() {
        for url in ["http://localhost", "smtp:", "smtp://"] {
            let provider = EmailProvider::Smtp {
                url: crate::messages::Hushed::new(url),
            };
            let outbox = Arc::new(Outbox::default());
            let span = Duration::from_secs(1);
            assert!(
                Mailer::new(provider, "a@b.example", span, &outbox).is_err(),
                "{url}"
            );
        }
    }
}
