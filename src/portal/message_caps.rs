//! Whether one more message with a code may go out. Counted before it does, in the session store,
//! for all nodes together.
//!
//! What this prevents is called SMS pumping: whoever has one stolen password asks for thousands of
//! messages to numbers they earn on. Messages go out after a right password only, within a few
//! countries, and to one number, one person, from one address and to one company only so many.

use std::time::Duration;

use super::State;
use super::throttles::{Limit, count, key, returned};
use super::trouble::Trouble;
use crate::gate::contact::Destination;
use crate::gate::name::{CompanyId, PersonId};
use crate::gate::policy::FactorMethod;
use crate::gate::throttle::{
    Attempts, MESSAGES_FROM_ADDRESS, MESSAGES_TO_ONE, MESSAGES_TO_ONE_IN_ALL, MESSAGES_TO_PERSON,
    MESSAGES_TO_PERSON_IN_ALL, RESEND, Verdict, messages_of_company, wait,
};
use crate::gate::time::Moment;

/// One message that is asked for.
pub struct Asked<'a> {
    pub person: &'a PersonId,
    pub company: &'a CompanyId,
    pub method: FactorMethod,
    pub to: &'a Destination,
    /// Whether the person has proved that it is theirs, or the directory says so.
    pub known: bool,
    /// The browser's address, as throttles count it.
    pub network: &'a str,
    /// What the company's policy allows.
    pub per_day: u32,
}

impl Asked<'_> {
    /// Counts it; how long to wait when it may not go.
    pub async fn admit(&self, state: &State, now: Moment) -> Result<Option<Duration>, Trouble> {
        let store = state.sessions.store().as_ref();
        let mut counted = Vec::new();
        for (key, limit) in self.limits() {
            let wait = match count(store, &key, &limit, now).await?.0 {
                Verdict::Go => {
                    counted.push((key, limit));
                    continue;
                }
                Verdict::Wait(wait) => wait,
                Verdict::Stopped => limit_without_end(),
            };
            for (key, limit) in &counted {
                returned(store, key, limit, now).await?;
            }
            return Ok(Some(wait));
        }
        Ok(None)
    }

    /// The code came back: the next may be sent at once, and the day's counts get this one back, or
    /// who signs in by message all day would be stopped as if somebody asked for messages in vain.
    pub async fn verified(&self, state: &State, now: Moment) -> Result<(), Trouble> {
        let store = state.sessions.store();
        store.take_state(&self.resend_key(), now).await?;
        store
            .take_state(&self.destination_key("resend"), now)
            .await?;
        for (key, limit) in self.unanswered() {
            returned(store.as_ref(), &key, &limit, now).await?;
        }
        Ok(())
    }

    fn limits(&self) -> impl Iterator<Item = (String, Limit<'static>)> {
        let waits = [self.resend_key(), self.destination_key("resend")];
        let person = key("messages-person-all", &[self.person.as_str()]);
        let all = [
            (person, Limit::Cap(MESSAGES_TO_PERSON_IN_ALL)),
            (
                self.destination_key("to-all"),
                Limit::Cap(MESSAGES_TO_ONE_IN_ALL),
            ),
        ];
        waits
            .into_iter()
            .map(|key| (key, Limit::Rule(&RESEND)))
            .chain(self.unanswered())
            .chain(all)
    }

    /// Those that a code which comes back gives back.
    fn unanswered(&self) -> [(String, Limit<'static>); 4] {
        let company = self.company.as_str();
        [
            (self.destination_key("to"), Limit::Cap(MESSAGES_TO_ONE)),
            (
                key("messages-person", &[self.person.as_str()]),
                Limit::Cap(MESSAGES_TO_PERSON),
            ),
            (
                key("messages-address", &[self.network]),
                Limit::Cap(MESSAGES_FROM_ADDRESS),
            ),
            (
                key("messages-company", &[company]),
                Limit::Cap(messages_of_company(self.per_day)),
            ),
        ]
    }

    fn resend_key(&self) -> String {
        resend_key(self.person, self.method)
    }

    /// What strangers type counts apart, for all of them together: it is sent no oftener than to
    /// anybody, and the owner gets theirs all the same.
    fn destination_key(&self, kind: &str) -> String {
        let to = self.to.counted();
        match self.known {
            true => key("messages", &[kind, &to]),
            false => key("messages", &["typed", kind, &to]),
        }
    }
}

/// How long until this person can ask for the next one.
pub async fn wait_left(
    state: &State,
    person: &PersonId,
    method: FactorMethod,
    now: Moment,
) -> Result<Duration, Trouble> {
    let store = state.sessions.store();
    let known = store.state(&resend_key(person, method), now).await?;
    let known = known.as_deref().and_then(Attempts::from_json);
    Ok(wait(known, &RESEND, now))
}

fn resend_key(person: &PersonId, method: FactorMethod) -> String {
    key("messages", &["resend", person.as_str(), method.as_str()])
}

/// None of these limits stops for good; if one did, a day is as long.
fn limit_without_end() -> Duration {
    Duration::from_secs(24 * 60 * 60)
}
