//! My Profile: what people see and change of their own sign-in.

pub mod factors;
pub mod sent;
pub mod sessions;
pub mod unreset;

use std::sync::Arc;

use axum::extract::State as Shared;

use super::account_keys::offers;
use super::answer::page as answered;
use super::apps::{company_name, frame, signed_in};
use super::errand::Errand;
use super::fields::Fields;
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use super::{State, own_password, single_sign_on};
use crate::gate::arrival::FRESH_FOR_ADMINISTRATION;
use crate::gate::policy::FactorMethod;
use crate::gate::session::{Method, Session};
use crate::pages::{self, Notice, RecoveryLeft};
use crate::portal::language::words;

pub const PATH: &str = "/account";

/// Sessions that are shown.
const SESSIONS: usize = 20;
/// With so many recovery codes left it is time for new ones.
const FEW_CODES: u32 = 2;

pub async fn page(Shared(state): Shared<Arc<State>>, visit: Visit, fields: Fields) -> Answer {
    let now = (state.clock)();
    let session = match signed_in(&state, &visit, PATH, now).await? {
        Ok(found) => &found.session,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let policies = state.policies.load_full();
    let timezone = &policies.of(&session.company).timezone;
    let factors = state.directory.factors(&session.person.id).await?;
    let mut all = state.sessions.of_person(&session.person.id).await?;
    // This browser first, then the newest.
    all.reverse();
    all.sort_by_key(|one| one.id != session.id);
    let mut rows = Vec::new();
    for one in all.iter().take(SESSIONS) {
        rows.push(sessions::row(&state, one, session.id, timezone).await?);
    }
    let set_up = Errand::to_portal(&state, PATH).needing(FRESH_FOR_ADMINISTRATION);
    answered(&pages::Account {
        frame: frame(&state, Some(session), PATH),
        notice: notice(fields.text("done")),
        name: session.person.name.clone(),
        email: session.person.email.clone(),
        company: company_name(&state, session).await?,
        proofs: proofs(session),
        factors: factors::own_rows(&state, session, &factors, timezone).await,
        // Who has another factor proves that one; who has none is led to their first.
        set_up: match factors.is_empty() {
            true => set_up.on("/login"),
            false => String::from("/account/authenticator"),
        },
        offers_authenticator: offers(&state, session, FactorMethod::Totp),
        ways: sent::ways(&state, session, &factors),
        recovery: recovery(&state, session).await?,
        may_go_without: !factors::keeps_last(&state, session).await?,
        more_sessions: all.len().saturating_sub(rows.len()),
        sessions: rows,
        hidden: vec![("csrf", state.keys.form_token(&session.portal, now))],
        sso: single_sign_on::section(&state, session, fields.of("sso"), now).await?,
        passwords: own_password::section(&state, session, fields.of("password"), now).await?,
    })
}

/// How many recovery codes they have left, where the company has any.
async fn recovery(state: &State, session: &Session) -> Result<Option<RecoveryLeft>, Trouble> {
    if !offers(state, session, FactorMethod::Recovery) {
        return Ok(None);
    }
    let left = state
        .directory
        .recovery_codes_left(&session.person.id)
        .await?;
    Ok(Some(RecoveryLeft {
        text: left.map_or_else(
            || words().no_recovery_codes_yet().to_owned(),
            |left| words().recovery_codes_left(left),
        ),
        is_low: left.is_some_and(|left| left <= FEW_CODES),
    }))
}

/// For the words that we put into addresses ourselves.
fn notice(done: &str) -> Option<Notice> {
    let text = match done {
        "session" => words().device_signed_out(),
        "others" => words().others_signed_out(),
        "replaced" => words().app_replaced(),
        "added" => words().codes_set_up(),
        "moved" => words().codes_moved(),
        "removed" => words().factor_removed(),
        "again" => words().press_once_more(),
        "gone" => {
            return Some(Notice::wrong(words().changed_meanwhile()));
        }
        "last" => {
            return Some(Notice::wrong(words().last_factor_stays()));
        }
        _ => return None,
    };
    Some(Notice::news(text))
}

fn proofs(session: &Session) -> String {
    let words: Vec<&str> = session
        .methods
        .iter()
        .map(|method| match method {
            Method::Pwd => words().proof_password(),
            Method::Otp => words().proof_code(),
            Method::Sms => words().proof_sms(),
            Method::Hwk => words().proof_passkey(),
            Method::Device => words().proof_device(),
            Method::Mfa => words().proof_factor(),
            Method::Provider => words().proof_provider(),
        })
        .collect();
    words.join(", ")
}
