//! `/connect/PRODUCT`: a person pairs their account of another product. The first product's
//! credentials, then the second's; only the link is kept.

mod desk;
mod second;
mod shown;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State as Shared};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::answer::{nothing_here, see_other};
use super::credentials::{self, Proof};
use super::fields::Fields;
use super::form::{Form, Sent};
use super::language::words;
use super::throttles::PasswordAttempt;
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use super::{State, accounts};
use crate::directory::{Account, TypedCredentials};
use crate::gate::name::Login;
use crate::gate::product::Product;
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;

pub use self::desk::{Business, Desk};

/// How long the first product's proof holds.
const LIFE: Duration = Duration::from_secs(10 * 60);

/// What was proved so far, kept in the session store: of this session and for this product.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Begun {
    /// The second account, when its password was right but has expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expired: Option<Expired>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Expired {
    login: Login,
    /// Of the password that was proved: who knew an old one can't replace the one after it.
    password_set_at: Moment,
}

const PAIRING: Business = Business {
    page: "",
    event: TrailEvent::Pairing,
};

async fn desk<'a>(
    state: &'a Arc<State>,
    visit: &'a Visit,
    product: &str,
    fields: &Fields,
) -> Result<Result<Desk<'a>, Response>, Trouble> {
    let Some(product) = state.products.by_id(product) else {
        return Err(nothing_here().await);
    };
    Desk::of(state, visit, (product, PAIRING), fields).await
}

pub async fn opened(
    Shared(state): Shared<Arc<State>>,
    visit: Visit,
    Path(product): Path<String>,
    fields: Fields,
) -> Answer {
    let desk = match desk(&state, &visit, &product, &fields).await? {
        Ok(desk) => desk,
        Err(elsewhere) => return Ok(elsewhere),
    };
    if let Some(login) = accounts::login_in(&state, &desk.session.person.id, desk.product).await? {
        return desk.paired(&login, fields.of("paired") == Some("1"));
    }
    match desk.begun().await? {
        None => desk.first(None).await,
        Some(Begun { expired: None }) => desk.second("", None),
        Some(Begun {
            expired: Some(expired),
        }) => desk.renew(&expired.login, None),
    }
}

pub async fn submitted(
    Shared(state): Shared<Arc<State>>,
    visit: Visit,
    Path(product): Path<String>,
    form: Form,
) -> Answer {
    let desk = match desk(&state, &visit, &product, form.unproved()).await? {
        Ok(desk) => desk,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let linked = accounts::login_in(&state, &desk.session.person.id, desk.product).await?;
    let sent = form.of_session(&state, desk.session, desk.now);
    let Some(sent) = sent.filter(|_| linked.is_none()) else {
        return see_other(&desk.address());
    };
    match (sent.of("step"), desk.begun().await?) {
        (Some("second"), Some(Begun { expired: None })) => desk.second_given(&sent).await,
        (
            Some("renew"),
            Some(Begun {
                expired: Some(expired),
            }),
        ) => desk.renewal_given(&expired, &sent).await,
        (Some("first"), _) => desk.first_given(&sent).await,
        // What was proved first is too old by now.
        _ => see_other(&desk.address()),
    }
}

impl Desk<'_> {
    fn key(&self) -> String {
        format!("pairing:{}:{}", self.session.id, self.product.id)
    }

    async fn begun(&self) -> Result<Option<Begun>, Trouble> {
        let store = self.state.sessions.store();
        let written = store.state(&self.key(), self.now).await?;
        Ok(written.and_then(|written| serde_json::from_slice(&written).ok()))
    }

    async fn keep(&self, begun: &Begun) -> Result<(), Trouble> {
        let store = self.state.sessions.store();
        let written = serde_json::to_vec(begun).map_err(|_| Trouble::internal("pairing"))?;
        let before = store.state(&self.key(), self.now).await?;
        // Another tab that was faster proved the same.
        store
            .swap_state(
                &self.key(),
                before.as_deref(),
                Some(&written),
                LIFE,
                self.now,
            )
            .await?;
        Ok(())
    }

    async fn primary(&self) -> Result<Account, Trouble> {
        let primary = self.state.products.primary();
        let account = accounts::account_in(self.state, self.person(), primary).await?;
        account.ok_or_else(|| Trouble::new(403, "no_account"))
    }

    async fn first_given(&self, sent: &Sent<'_>) -> Answer {
        let account = self.primary().await?;
        let typed = Login::parse(sent.text("username")).ok();
        if typed.as_ref() != Some(&account.login) {
            return refused(self.first(Some(words().pair_your_own())).await);
        }
        let login = account.login.as_str();
        let attempt = PasswordAttempt::new(self.state, self.visit, login, self.now);
        self.count(&attempt, "throttled").await?;
        let credentials = credentials::typed(sent.text("username"), sent.text("password"));
        let primary = self.state.products.primary();
        let asked = (&**primary, Some(&account));
        let proof = self.prove(asked, &credentials, &attempt).await?;
        if !proof.is_right() {
            let told = match proof {
                Proof::Expired => "first password expired",
                _ => "first password refused",
            };
            self.heard(TrailEvent::Pairing, told);
            let reason = credentials::refusal(&proof, primary);
            return refused(self.first(Some(&reason)).await);
        }
        attempt.succeed(self.state, self.now).await?;
        self.keep(&Begun { expired: None }).await?;
        see_other(&self.address())
    }

    async fn prove(
        &self,
        asked: (&Product, Option<&Account>),
        credentials: &TypedCredentials,
        attempt: &PasswordAttempt,
    ) -> Result<Proof, Trouble> {
        let (state, visit) = (self.state, self.visit);
        let proved = credentials::prove(state, visit, asked, credentials, attempt, self.now).await;
        proved.map_err(|trouble| trouble.with_link(self.address(), words().back()))
    }
}

fn refused(shown: Answer) -> Answer {
    Ok((StatusCode::FORBIDDEN, shown?).into_response())
}
