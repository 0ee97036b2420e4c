//! What gateway.toml says about messages, for the room that sends them.

use std::sync::Arc;

use crate::config::settings::{self, SecretText};
use crate::directory::Person;
use crate::gate::contact::Address;
use crate::gate::language::Language;
use crate::messages::{
    EmailProvider, Hushed, Messages, MessagesError, Observer, Route, Settings, SmsProvider,
};
use crate::observe::metrics::Metrics;
use crate::pages::Words;
use crate::portal::Letter;

struct Counter(Arc<Metrics>);

impl Observer for Counter {
    fn message(&self, channel: &'static str, result: &'static str) {
        self.0.message_sent(channel, result);
    }
}

pub fn open(
    messages: &settings::Messages,
    metrics: &Arc<Metrics>,
) -> Result<Messages, MessagesError> {
    let settings = Settings {
        sms: messages.sms.as_ref().map(|route| through(route, sms)),
        email: messages.email.as_ref().map(|route| through(route, email)),
        email_from: messages.email_from.clone(),
    };
    Messages::new(settings, Arc::new(Counter(Arc::clone(metrics))))
}

/// Tells a person by mail what was done to their access, from beside the gateways; false when they
/// can't be told.
pub async fn tell(
    settings: &settings::Settings,
    (person, language): (&Person, Language),
    letter: Letter,
) -> bool {
    let metrics = Arc::new(Metrics::new(&settings.products));
    let (Ok(messages), Some(to)) = (
        open(&settings.messages, &metrics),
        Address::parse(&person.email),
    ) else {
        return false;
    };
    let words = Words::of(language);
    let (subject, text) = (letter.subject(words), letter.text(words));
    let sent = messages.tell(&to, subject, text).await;
    sent.is_ok()
}

fn through<P, Q>(route: &settings::Route<P>, provider: impl Fn(&P) -> Q) -> Route<Q> {
    Route {
        first: provider(&route.first),
        second: route.second.as_ref().map(&provider),
        deadline: route.deadline,
    }
}

fn sms(provider: &settings::Sms) -> SmsProvider {
    match provider {
        settings::Sms::Outbox => SmsProvider::Outbox,
        settings::Sms::Http { url, token } => SmsProvider::Http {
            url: hushed(url),
            token: token.as_ref().map(hushed),
        },
        settings::Sms::Twilio {
            url,
            account,
            token,
            from,
        } => SmsProvider::Twilio {
            url: url.clone(),
            account: account.clone(),
            token: hushed(token),
            from: from.clone(),
        },
    }
}

fn email(provider: &settings::Email) -> EmailProvider {
    match provider {
        settings::Email::Outbox => EmailProvider::Outbox,
        settings::Email::Smtp { url } => EmailProvider::Smtp { url: hushed(url) },
    }
}

fn hushed(text: &SecretText) -> Hushed {
    Hushed::new(text.expose().trim())
}
