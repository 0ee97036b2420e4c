//! One-time codes in text messages and mails: sent to one person, for one browser, typed there and
//! spent once. What they open is the caller's to say: a sign-in, or a new factor in My Profile.

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::language::words;
use super::message_caps::Asked;
use super::trouble::Trouble;
use super::visit::Visit;
use super::{Audit, State};
use crate::directory::Person;
use crate::gate::contact::{Address, Destination, Number};
use crate::gate::name::{CompanyId, SessionId};
use crate::gate::policy::{CompanyPolicy, FactorMethod};
use crate::gate::sent_code::{Delivery, LIFE, SentCode, Verdict, digits, judge};
use crate::gate::session::SecretHash;
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::messages::Channel;

/// How often a state is read again when others write it at the same moment.
const ROUNDS: usize = 16;

/// What a code proves that is no factor yet.
const NEW: &str = "new";

/// One person's codes of one method, in one browser.
pub struct Courier<'a> {
    pub state: &'a Arc<State>,
    pub visit: &'a Visit,
    pub person: &'a Person,
    /// The one that they work for, whose people's messages are counted together.
    pub company: &'a CompanyId,
    /// Its policy.
    pub policy: &'a CompanyPolicy,
    pub method: FactorMethod,
    /// The browser's: a code is worth something to who asked for it.
    pub cookie: SecretHash,
    /// Whether it is a number or address that no factor keeps yet.
    pub proves_new: bool,
    pub session: Option<SessionId>,
    pub now: Moment,
}

/// Where a code goes, and what it then proves.
pub struct Target {
    pub to: Destination,
    proves: String,
}

impl Target {
    pub fn new(to: Destination) -> Target {
        Target {
            to,
            proves: String::from(NEW),
        }
    }

    pub fn of_factor(factor: &str, to: Destination) -> Target {
        Target {
            to,
            proves: factor.to_owned(),
        }
    }
}

/// What was accepted once, whatever the policy says today.
pub fn parse(method: FactorMethod, text: &[u8]) -> Option<Destination> {
    let text = std::str::from_utf8(text).ok()?;
    if method == FactorMethod::Sms {
        Number::parse(text).map(Destination::Sms)
    } else {
        Address::parse(text).map(Destination::Email)
    }
}

pub fn channel(method: FactorMethod) -> Channel {
    match method {
        FactorMethod::Sms => Channel::Sms,
        FactorMethod::Email
        | FactorMethod::Totp
        | FactorMethod::Passkey
        | FactorMethod::Recovery => Channel::Email,
    }
}

impl Courier<'_> {
    /// The number or address that the directory has, if a code can go there.
    pub fn on_file(&self) -> Option<Destination> {
        let text = match self.method {
            FactorMethod::Sms => self.person.phone.as_deref()?,
            _ => self.person.email.as_str(),
        };
        self.destination(text).ok()
    }

    /// # Errors
    /// What to say at the field.
    pub fn destination(&self, text: &str) -> Result<Destination, String> {
        if self.method != FactorMethod::Sms {
            return Address::parse(text)
                .map(Destination::Email)
                .ok_or_else(|| words().type_mail_address().to_owned());
        }
        let number = Number::parse(text).ok_or_else(|| words().type_mobile_number().to_owned())?;
        let prefixes = &self.policy.mfa.messages.sms_prefixes;
        if number.begins_with_one_of(prefixes) {
            return Ok(Destination::Sms(number));
        }
        let known: Vec<&str> = prefixes.iter().map(|prefix| prefix.as_str()).collect();
        Err(words().numbers_begin_with(&known.join(words().or_between())))
    }

    /// The code that this browser waits for.
    pub async fn pending(&self) -> Result<Option<SentCode>, Trouble> {
        let (code, _) = self.read_state().await?;
        Ok(code.filter(|code| code.open_for(&self.cookie, self.now)))
    }

    /// Where a code for something new went.
    pub fn opened(&self, code: Option<&SentCode>) -> Option<Target> {
        let sealed = code?.to.as_deref()?;
        let text = self.state.keys.open(sealed, &self.cookie)?;
        parse(self.method, &text).map(Target::new)
    }

    /// Sends a new code, and with it makes older ones worthless; how long to wait when it may not
    /// go.
    pub async fn send(&self, target: &Target) -> Result<Option<Duration>, Trouble> {
        let network = self.visit.network();
        let asked = self.asked(target, &network);
        if let Some(wait) = asked.admit(self.state, self.now).await? {
            self.told("refused");
            return Ok(Some(wait));
        }
        let code = self.fresh_code()?;
        let kept = SentCode {
            tag: self.tag(&target.proves, &code),
            attempt: self.cookie,
            sent_at: self.now,
            tries: 0,
            to: self.sealed(&target.to)?,
            delivery: Delivery::UnderWay,
        };
        self.replace(&kept).await?;
        let (subject, text) = self.message(&code);
        let sent = self.state.messages.send(&target.to, &subject, &text).await;
        self.told(if sent.is_ok() { "sent" } else { "failed" });
        let after = SentCode {
            delivery: match sent {
                Ok(()) => Delivery::Taken,
                Err(_) => Delivery::Failed,
            },
            ..kept.clone()
        };
        // Lost when it was typed or sent again meanwhile, and rightly so.
        self.write_state(Some(&kept.to_json()), Some(&after))
            .await?;
        Ok(None)
    }

    /// The same browser began again, with another cookie than `before`: the code that it waits for
    /// stays good.
    pub async fn take_along(&self, before: &SecretHash) -> Result<bool, Trouble> {
        let (Some(code), written) = self.read_state().await? else {
            return Ok(false);
        };
        if !code.open_for(before, self.now) || code.delivery == Delivery::Failed {
            return Ok(false);
        }
        let moved = SentCode {
            attempt: self.cookie,
            ..code
        };
        self.write_state(written.as_deref(), Some(&moved)).await
    }

    /// Spends the newest code: what it proves, when it was right. `known` is where it went, unless
    /// that is kept with it.
    pub async fn prove(
        &self,
        typed: &str,
        known: Option<Target>,
    ) -> Result<Option<Target>, Trouble> {
        let (Some(code), written) = self.read_state().await? else {
            return Ok(None);
        };
        let Some(target) = known.or_else(|| self.opened(Some(&code))) else {
            return Ok(None);
        };
        let tag = self.tag(&target.proves, typed);
        if !self.spent((code, written), &tag).await? {
            return Ok(None);
        }
        let network = self.visit.network();
        let asked = self.asked(&target, &network);
        asked.verified(self.state, self.now).await?;
        self.state.messages.verified(channel(self.method));
        Ok(Some(target))
    }

    fn asked<'b>(&'b self, target: &'b Target, network: &'b str) -> Asked<'b> {
        let to = &target.to;
        let counted = to.counted();
        let on_file = self.on_file().is_some_and(|file| file.counted() == counted);
        Asked {
            known: target.proves != NEW || on_file,
            person: &self.person.id,
            company: self.company,
            method: self.method,
            to,
            network,
            per_day: self.policy.mfa.messages.per_day,
        }
    }

    /// Only of something new: a factor keeps its own.
    fn sealed(&self, to: &Destination) -> Result<Option<String>, Trouble> {
        if !self.proves_new {
            return Ok(None);
        }
        let State { keys, random, .. } = self.state.as_ref();
        let sealed = keys.seal(to.expose().as_bytes(), &self.cookie, random);
        sealed.map(Some).ok_or_else(|| Trouble::internal("seal"))
    }

    fn fresh_code(&self) -> Result<Zeroizing<String>, Trouble> {
        // One in four thousand draws is not fair.
        for _ in 0..ROUNDS {
            let mut bytes = [0; 4];
            (self.state.random)(&mut bytes);
            if let Some(code) = digits(bytes) {
                return Ok(Zeroizing::new(code));
            }
        }
        Err(Trouble::internal("random"))
    }

    fn tag(&self, proves: &str, code: &str) -> Vec<u8> {
        let of = [self.person.id.as_str(), self.method.as_str(), proves];
        self.state.keys.code_tag(&of, code)
    }

    /// Judges against the newest code. What it comes to is written before anybody goes on: of many
    /// who bring the right code at once, on whatever node, one writes first.
    async fn spent(
        &self,
        (mut code, mut written): (SentCode, Option<Vec<u8>>),
        tag: &[u8],
    ) -> Result<bool, Trouble> {
        for _ in 0..ROUNDS {
            let (verdict, after) = judge(&code, &self.cookie, tag, self.now);
            if self.write_state(written.as_deref(), after.as_ref()).await? {
                return Ok(verdict == Verdict::Right);
            }
            match self.read_state().await? {
                (Some(newer), now_written) => (code, written) = (newer, now_written),
                (None, _) => return Ok(false),
            }
        }
        Ok(false)
    }

    fn state_key(&self) -> String {
        format!("sent:{}:{}", self.method.as_str(), self.person.id)
    }

    async fn read_state(&self) -> Result<(Option<SentCode>, Option<Vec<u8>>), Trouble> {
        let store = self.state.sessions.store();
        let written = store.state(&self.state_key(), self.now).await?;
        let code = written.as_deref().and_then(SentCode::from_json);
        Ok((code, written))
    }

    async fn write_state(
        &self,
        before: Option<&[u8]>,
        after: Option<&SentCode>,
    ) -> Result<bool, Trouble> {
        let store = self.state.sessions.store();
        let after = after.map(SentCode::to_json);
        Ok(store
            .swap_state(&self.state_key(), before, after.as_deref(), LIFE, self.now)
            .await?)
    }

    async fn replace(&self, code: &SentCode) -> Result<(), Trouble> {
        for _ in 0..ROUNDS {
            let (_, written) = self.read_state().await?;
            if self.write_state(written.as_deref(), Some(code)).await? {
                return Ok(());
            }
        }
        Err(Trouble::unavailable("store"))
    }

    /// Subject and text. The last line of a text message is what phones read to fill the code into
    /// this site's page and no other's.
    fn message(&self, code: &str) -> (String, String) {
        let title = &self.state.title;
        let host = host_of(&self.state.portal_origin);
        let text = match self.method {
            FactorMethod::Sms => words().code_sms(title, code, host),
            _ => words().code_mail(code, host),
        };
        (words().code_subject(title), text)
    }

    fn told(&self, result: &str) {
        self.state.observer.audit(Audit {
            event: TrailEvent::CodeSent,
            person: Some(&self.person.id),
            company: Some(&self.person.company),
            session: self.session,
            address: self.visit.facts.address,
            request_id: &self.visit.request_id,
            detail: &format!("{} {result}", self.method.as_str()),
        });
    }
}

fn host_of(origin: &str) -> &str {
    let host = origin.strip_prefix("https://").unwrap_or(origin);
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}
