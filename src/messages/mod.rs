//! Text messages and mail: out through a provider, each within a deadline, once more through the
//! second provider if there is one. Nothing here decides whether a message may be sent.
//!
//! What is in a message and whom it goes to is never logged: a failure is told by its kind alone.

mod mail;
mod outbox;
mod text;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::gate::contact::{Address, Destination, Number};
use mail::Mailer;
use text::Texter;

pub use outbox::{Kept, Outbox};

/// So many messages are under way at once; more wait, within their deadline.
const UNDER_WAY: usize = 64;

/// And so many more wait without anybody waiting for them.
const WAITING: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    Sms,
    Email,
}

impl Channel {
    /// The word in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Channel::Sms => "sms",
            Channel::Email => "email",
        }
    }
}

/// Whom messages are handed to, first and when that fails.
#[derive(Debug, Clone)]
pub struct Route<P> {
    pub first: P,
    pub second: Option<P>,
    /// For each of the two.
    pub deadline: Duration,
}

/// Text that prints as nothing and is wiped when it goes.
#[derive(Clone)]
pub struct Hushed(Zeroizing<String>);

impl Hushed {
    pub fn new(text: &str) -> Hushed {
        Hushed(Zeroizing::new(text.to_owned()))
    }

    fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hushed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hushed(…)")
    }
}

#[derive(Debug, Clone)]
pub enum SmsProvider {
    /// Kept in this process and shown by the demo.
    Outbox,
    /// Posts `{"to", "text"}` as JSON; the address may hold a secret.
    Http { url: Hushed, token: Option<Hushed> },
    Twilio {
        /// `https://api.twilio.com`, or who speaks like it.
        url: String,
        account: String,
        token: Hushed,
        /// A number, or a messaging service (`MG…`).
        from: String,
    },
}

#[derive(Debug, Clone)]
pub enum EmailProvider {
    Outbox,
    /// `smtp://` with STARTTLS, required unless the host is this machine; `smtps://` with TLS from
    /// the first byte.
    Smtp {
        url: Hushed,
    },
}

#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub sms: Option<Route<SmsProvider>>,
    pub email: Option<Route<EmailProvider>>,
    /// What mails come from: `Clinic <no-reply@clinic.example>`.
    pub email_from: Option<String>,
}

/// Why messages can't be sent at all. Names no secret.
#[derive(Debug, thiserror::Error)]
pub enum MessagesError {
    #[error("messages.email.from is not an address such as \"Clinic <no-reply@example.org>\"")]
    From,
    #[error("{0} is not an address that messages can be handed to")]
    Url(&'static str),
    #[error("TLS for messages can't be set up")]
    Tls,
}

/// Why one message was not sent. Holds nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("no provider is configured")]
    NotConfigured,
    #[error("too many messages are under way")]
    Busy,
    #[error("no answer in time")]
    Late,
    #[error("no connection")]
    Connection,
    #[error("refused with {0}")]
    Refused(u16),
    #[error("an answer that can't be understood")]
    Answer,
    #[error("this message can't be written")]
    Message,
}

/// Hears what became of messages, for `vestibule_messages_sent_total{channel,result}`: `sent`,
/// `notice` (the same of a mail without a code), `retried` (the second provider was asked), `failed`,
/// and `verified` (the code in it came back).
pub trait Observer: Send + Sync {
    fn message(&self, channel: &'static str, result: &'static str);
}

/// The one handle. Cheap to share.
pub struct Messages {
    sms: Option<Route<Texter>>,
    email: Option<Route<Mailer>>,
    outbox: Arc<Outbox>,
    under_way: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    observer: Arc<dyn Observer>,
}

/// What a provider is given.
struct Message<'a> {
    to: &'a Destination,
    /// Of a mail.
    subject: &'a str,
    text: &'a str,
}

impl Messages {
    /// # Errors
    /// When a provider's address or the sender is none.
    pub fn new(settings: Settings, observer: Arc<dyn Observer>) -> Result<Messages, MessagesError> {
        let outbox = Arc::new(Outbox::default());
        let sms = settings
            .sms
            .map(|route| route.build(|provider, span| Texter::new(provider, span, &outbox)))
            .transpose()?;
        let from = settings.email_from.as_deref().unwrap_or_default();
        let email = settings
            .email
            .map(|route| route.build(|provider, span| Mailer::new(provider, from, span, &outbox)))
            .transpose()?;
        Ok(Messages {
            sms,
            email,
            outbox,
            under_way: Arc::new(Semaphore::new(UNDER_WAY)),
            waiting: Arc::new(Semaphore::new(WAITING)),
            observer,
        })
    }

    /// Whether a provider is configured.
    pub fn can(&self, channel: Channel) -> bool {
        match channel {
            Channel::Sms => self.sms.is_some(),
            Channel::Email => self.email.is_some(),
        }
    }

    /// What was "sent" to the outbox.
    pub fn outbox(&self) -> Arc<Outbox> {
        Arc::clone(&self.outbox)
    }

    /// Waits until a provider took it: twice the route's deadline at the longest.
    ///
    /// # Errors
    /// When neither provider did.
    pub async fn send_sms(&self, to: &Number, text: &str) -> Result<(), SendError> {
        self.send(&Destination::Sms(to.clone()), "", text).await
    }

    /// The same for a mail; `text` is plain, its lines end in `\n`.
    ///
    /// # Errors
    /// When neither provider took it.
    pub async fn send_mail(
        &self,
        to: &Address,
        subject: &str,
        text: &str,
    ) -> Result<(), SendError> {
        self.send(&Destination::Email(to.clone()), subject, text)
            .await
    }

    /// Hands a mail over in the background: for notices, and where the time that an answer takes
    /// must not tell whether there is anybody to write to. What fails is counted and logged.
    pub fn mail_soon(self: &Arc<Self>, to: &Address, subject: &str, text: String) {
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            self.failed(Channel::Email, SendError::Busy);
            return;
        };
        let (messages, to, subject) = (Arc::clone(self), to.clone(), subject.to_owned());
        let text = Zeroizing::new(text);
        tokio::spawn(async move {
            let _place: OwnedSemaphorePermit = place;
            let _ = messages.tell(&to, &subject, &text).await;
        });
    }

    /// Waits for what was handed over in the background, no longer than `patience`; false when
    /// something was still under way then.
    pub async fn settle(&self, patience: Duration) -> bool {
        let all = u32::try_from(WAITING).unwrap_or(u32::MAX);
        timeout(patience, self.waiting.acquire_many(all))
            .await
            .is_ok()
    }

    /// A mail that nobody answers with a code: it counts as `notice`, so that `sent` against
    /// `verified` is of codes alone.
    ///
    /// # Errors
    /// When no provider took it. It is counted and logged already.
    pub async fn tell(&self, to: &Address, subject: &str, text: &str) -> Result<(), SendError> {
        let to = Destination::Email(to.clone());
        self.hand_over(&to, (subject, text), "notice").await
    }

    /// A message with a code.
    ///
    /// # Errors
    /// When no provider took it. It is counted and logged already.
    pub async fn send(&self, to: &Destination, subject: &str, text: &str) -> Result<(), SendError> {
        self.hand_over(to, (subject, text), "sent").await
    }

    async fn hand_over(
        &self,
        to: &Destination,
        (subject, text): (&str, &str),
        taken: &'static str,
    ) -> Result<(), SendError> {
        let message = Message { to, subject, text };
        let (channel, sent) = match to {
            Destination::Sms(_) => (Channel::Sms, self.through(&self.sms, &message).await),
            Destination::Email(_) => (Channel::Email, self.through(&self.email, &message).await),
        };
        match sent {
            Ok(()) => self.observer.message(channel.as_str(), taken),
            Err(error) => self.failed(channel, error),
        }
        sent
    }

    /// A code that was sent came back right.
    pub fn verified(&self, channel: Channel) {
        self.observer.message(channel.as_str(), "verified");
    }

    async fn through<P: Provider>(
        &self,
        route: &Option<Route<P>>,
        message: &Message<'_>,
    ) -> Result<(), SendError> {
        let route = route.as_ref().ok_or(SendError::NotConfigured)?;
        let first = self.within(&route.first, route.deadline, message).await;
        let (Err(error), Some(second)) = (first, &route.second) else {
            return first;
        };
        let channel = P::CHANNEL.as_str();
        tracing::warn!(channel, %error, "the first provider failed; the second one is asked");
        self.observer.message(channel, "retried");
        self.within(second, route.deadline, message).await
    }

    async fn within<P: Provider>(
        &self,
        provider: &P,
        deadline: Duration,
        message: &Message<'_>,
    ) -> Result<(), SendError> {
        let all = async {
            let _place = self.under_way.acquire().await;
            provider.hand_over(message).await
        };
        timeout(deadline, all).await.unwrap_or(Err(SendError::Late))
    }

    fn failed(&self, channel: Channel, error: SendError) {
        tracing::warn!(channel = channel.as_str(), %error, "a message was not sent");
        self.observer.message(channel.as_str(), "failed");
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages")
            .field("sms", &self.sms.is_some())
            .field("email", &self.email.is_some())
            .finish_non_exhaustive()
    }
}

/// Somebody who takes messages of one channel.
trait Provider: Sync {
    const CHANNEL: Channel;
    fn hand_over(
        &self,
        message: &Message<'_>,
    ) -> impl Future<Output = Result<(), SendError>> + Send;
}

impl<P> Route<P> {
    fn build<T>(
        self,
        make: impl Fn(P, Duration) -> Result<T, MessagesError>,
    ) -> Result<Route<T>, MessagesError> {
        let deadline = self.deadline;
        Ok(Route {
            first: make(self.first, deadline)?,
            second: self
                .second
                .map(|second| make(second, deadline))
                .transpose()?,
            deadline,
        })
    }
}
