//! Where attempts are counted: in the session store, so on all nodes together, each count one
//! atomic change. What a count means is the gate's.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::State;
use super::trouble::Trouble;
use crate::gate::name::{PersonId, ProductId};
use crate::gate::throttle::{
    ACCOUNT_AND_ADDRESS, ACCOUNT_FROM_STRANGERS, ADDRESS, Attempts, FACTOR_CODES, Rule, Verdict,
    attempt, give_back,
};
use crate::gate::time::Moment;
use crate::sessions::store::Store;

/// How long an address stays known to an account after a sign-in.
const FAMILIAR_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How often a count is tried again when others count at the same moment.
const ROUNDS: usize = 64;

/// What one password attempt is counted under.
pub struct PasswordAttempt {
    pair: String,
    address: String,
    account: String,
    familiar: String,
}

impl PasswordAttempt {
    /// `account` is the canonical login, whether it exists or not.
    pub fn new(account: &str, network: &str) -> PasswordAttempt {
        PasswordAttempt {
            pair: key("pair", &[account, network]),
            address: key("address", &[network]),
            account: key("account", &[account]),
            familiar: key("familiar", &[account, network]),
        }
    }

    /// At an account of another product than the one that people sign in with: counted apart, so
    /// that guesses there shut nobody out of the sign-in, nor the other way round.
    pub fn at(product: &ProductId, account: &str, network: &str) -> PasswordAttempt {
        let product = product.as_str();
        PasswordAttempt {
            pair: key("pair", &[product, account, network]),
            address: key("address", &[product, network]),
            account: key("account", &[product, account, ""]),
            familiar: key("familiar", &[product, account, network]),
        }
    }

    /// Counts the attempt, before anything is hashed.
    ///
    /// # Errors
    /// 429 when it has to wait.
    pub async fn count(&self, state: &State, now: Moment) -> Result<(), Trouble> {
        let store = state.sessions.store().as_ref();
        let familiar = store.state(&self.familiar, now).await?.is_some();
        let account = (&self.account, &ACCOUNT_FROM_STRANGERS);
        let all = [
            (&self.pair, &ACCOUNT_AND_ADDRESS),
            (&self.address, &ADDRESS),
        ];
        for (key, rule) in all.into_iter().chain((!familiar).then_some(account)) {
            match count(store, key, rule, now).await? {
                Verdict::Go => {}
                Verdict::Wait(wait) => return Err(too_many(wait)),
                Verdict::Stopped => return Err(too_many(rule.longest_wait)),
            }
        }
        Ok(())
    }

    /// The password was right: the pair's count is cleared and the address is known to the account.
    /// The shared counts get back this attempt and no more, or one own account would pay for
    /// guesses at others.
    pub async fn succeed(&self, state: &State, now: Moment) -> Result<(), Trouble> {
        let store = state.sessions.store();
        store.take_state(&self.pair, now).await?;
        returned(store.as_ref(), &self.address, &ADDRESS, now).await?;
        returned(store.as_ref(), &self.account, &ACCOUNT_FROM_STRANGERS, now).await?;
        let before = store.state(&self.familiar, now).await?;
        store
            .swap_state(
                &self.familiar,
                before.as_deref(),
                Some(b"1"),
                FAMILIAR_FOR,
                now,
            )
            .await?;
        Ok(())
    }
}

/// Counts something costly that a person does while signed in, whatever address they come from.
///
/// # Errors
/// 429 when it has to wait.
pub async fn count_deed(
    state: &State,
    deed: &'static str,
    person: &PersonId,
    now: Moment,
) -> Result<(), Trouble> {
    let store = state.sessions.store().as_ref();
    let key = key(deed, &[person.as_str()]);
    match count(store, &key, &ACCOUNT_FROM_STRANGERS, now).await? {
        Verdict::Go => Ok(()),
        Verdict::Wait(wait) => Err(too_many(wait)),
        Verdict::Stopped => Err(too_many(ACCOUNT_FROM_STRANGERS.longest_wait)),
    }
}

/// Counts an attempt at a person's second factor.
pub async fn count_code(state: &State, person: &PersonId, now: Moment) -> Result<(), Trouble> {
    let store = state.sessions.store().as_ref();
    match count(store, &code_key(person), &FACTOR_CODES, now).await? {
        Verdict::Go => Ok(()),
        Verdict::Wait(wait) => Err(too_many(wait)),
        Verdict::Stopped => Err(Trouble::new(429, "factor_stopped")
            .saying(
                "Too many wrong codes",
                "No more codes are accepted for this account.",
                "Ask your user manager to reset your multi-factor authentication.",
            )
            .retry_after(FACTOR_CODES.longest_wait)),
    }
}

pub async fn code_succeeded(state: &State, person: &PersonId, now: Moment) -> Result<(), Trouble> {
    state
        .sessions
        .store()
        .take_state(&code_key(person), now)
        .await?;
    Ok(())
}

fn code_key(person: &PersonId) -> String {
    format!("throttle:code:{person}")
}

async fn count(store: &dyn Store, key: &str, rule: &Rule, now: Moment) -> Result<Verdict, Trouble> {
    for _ in 0..ROUNDS {
        let before = store.state(key, now).await?;
        let known = before.as_deref().and_then(Attempts::from_json);
        let (verdict, after) = attempt(known, rule, now);
        if verdict != Verdict::Go {
            return Ok(verdict);
        }
        let swapped = store
            .swap_state(
                key,
                before.as_deref(),
                Some(&after.to_json()),
                rule.life(),
                now,
            )
            .await?;
        if swapped {
            return Ok(Verdict::Go);
        }
    }
    // So many at the same key in the same moment is a flood by itself.
    Ok(Verdict::Wait(rule.first_wait))
}

/// Losing this race leaves a count too high by one, which a busy address bears.
async fn returned(store: &dyn Store, key: &str, rule: &Rule, now: Moment) -> Result<(), Trouble> {
    let before = store.state(key, now).await?;
    let Some(attempts) = before.as_deref().and_then(Attempts::from_json) else {
        return Ok(());
    };
    let after = give_back(attempts).map(|attempts| attempts.to_json());
    store
        .swap_state(key, before.as_deref(), after.as_deref(), rule.life(), now)
        .await?;
    Ok(())
}

fn too_many(wait: Duration) -> Trouble {
    let wait = wait.max(Duration::from_secs(1));
    Trouble::new(429, "throttled")
        .saying(
            "Too many attempts",
            "There were too many attempts to log in.",
            format!("Wait {}, then try again.", in_words(wait)),
        )
        .with_link("/login", "Back to log in")
        .retry_after(wait)
}

/// Rounded up.
pub fn in_words(span: Duration) -> String {
    let secs = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    let (count, unit) = match secs {
        0..120 => (secs, "second"),
        120..7200 => (secs.div_ceil(60), "minute"),
        _ => (secs.div_ceil(3600), "hour"),
    };
    if count == 1 {
        format!("1 {unit}")
    } else {
        format!("{count} {unit}s")
    }
}

/// Hashed: what a client typed never becomes part of a key.
fn key(kind: &str, parts: &[&str]) -> String {
    let hash = digest(&SHA256, parts.join("\0").as_bytes());
    format!("throttle:{kind}:{}", URL_SAFE_NO_PAD.encode(hash))
}
