//! `/connect/PRODUCT/password`: an application that the gateway signs in to wants a password that is
//! not known here, or not any more. The person types it once, and goes on.

use std::sync::Arc;

use axum::extract::{Path, State as Shared};
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::answer::{nothing_here, page, see_other};
use super::apps::frame;
use super::connect::{Business, Desk};
use super::credentials::{Proof, place, prove_for_sign_on, typed};
use super::fields::Fields;
use super::form::{Form, Sent};
use super::language::words;
use super::throttles::PasswordAttempt;
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use super::{State, accounts};
use crate::directory::SignOnPlace;
use crate::gate::name::Login;
use crate::gate::trail::TrailEvent;
use crate::pages;

const PASSWORD: Business = Business {
    page: "/password",
    event: TrailEvent::SignOnPassword,
};

/// One person's password for one application.
struct Typing<'a> {
    desk: Desk<'a>,
    /// Of the account that is linked.
    login: Login,
}

async fn typing<'a>(
    state: &'a Arc<State>,
    visit: &'a Visit,
    product: &str,
    fields: &Fields,
) -> Result<Result<Typing<'a>, Response>, Trouble> {
    let wanted = state.products.by_id(product);
    let Some(product) = wanted.filter(|product| state.legacy.needs_password(product)) else {
        return Err(nothing_here().await);
    };
    let desk = match Desk::of(state, visit, (product, PASSWORD), fields).await? {
        Ok(desk) => desk,
        Err(elsewhere) => return Ok(Err(elsewhere)),
    };
    match accounts::login_in(state, desk.person(), product).await? {
        Some(login) => Ok(Ok(Typing { desk, login })),
        None => see_other(&desk.errand.on(&format!("/connect/{}", product.id))).map(Err),
    }
}

pub async fn opened(
    Shared(state): Shared<Arc<State>>,
    visit: Visit,
    Path(product): Path<String>,
    fields: Fields,
) -> Answer {
    match typing(&state, &visit, &product, &fields).await? {
        Ok(typing) => typing.show(None).await,
        Err(elsewhere) => Ok(elsewhere),
    }
}

pub async fn submitted(
    Shared(state): Shared<Arc<State>>,
    visit: Visit,
    Path(product): Path<String>,
    form: Form,
) -> Answer {
    let typing = match typing(&state, &visit, &product, form.unproved()).await? {
        Ok(typing) => typing,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let desk = &typing.desk;
    let Some(sent) = form.of_session(&state, desk.session, desk.now) else {
        return see_other(&desk.address());
    };
    typing.given(&sent).await
}

impl Typing<'_> {
    async fn given(&self, sent: &Sent<'_>) -> Answer {
        let Desk {
            state,
            visit,
            product,
            now,
            ..
        } = &self.desk;
        let (username, password) = (sent.text("username"), sent.text("password"));
        // The link says whose account it is; the application may care for upper and lower case.
        if Login::parse(username).ok().as_ref() != Some(&self.login) || password.is_empty() {
            return self.refused(words().type_linked_password()).await;
        }
        let attempt = PasswordAttempt::at(&product.id, self.login.as_str(), &visit.network());
        self.desk.count(&attempt, &self.line("throttled")).await?;
        let credentials = typed(username, password);
        let proof = prove_for_sign_on(state, visit, product, &credentials, &attempt, *now).await?;
        if !proof.is_right() {
            let (told, reason) = match proof {
                Proof::Expired => ("expired", words().password_has_expired_there(&product.name)),
                _ => ("refused", words().product_does_not_take(&product.name)),
            };
            self.heard(told);
            return self.refused(&reason).await;
        }
        attempt.succeed(state, *now).await?;
        state
            .directory
            .keep_sign_on_secret(&self.place(), &credentials, *now)
            .await?;
        self.heard("kept");
        see_other(&self.desk.onward())
    }

    fn place(&self) -> SignOnPlace {
        let Desk { state, product, .. } = &self.desk;
        place(state, product, &self.login, self.desk.person())
    }

    async fn refused(&self, error: &str) -> Answer {
        let shown = self.show(Some(error)).await?;
        Ok((StatusCode::FORBIDDEN, shown).into_response())
    }

    async fn show(&self, error: Option<&str>) -> Answer {
        let Desk {
            state,
            session,
            product,
            errand,
            now,
            ..
        } = &self.desk;
        let known = state.directory.sign_on_secret(&self.place()).await?;
        let username = known.as_ref().map(|known| &known.credentials.username);
        page(&pages::ProductPassword {
            frame: frame(state, Some(session), ""),
            action: self.desk.path(),
            product: product.name.clone(),
            username: username.map_or_else(|| self.login.to_string(), String::clone),
            changed: known.is_some(),
            error: error.map(str::to_owned),
            hidden: errand.hidden(state.keys.form_token(&session.portal, *now)),
        })
    }

    fn heard(&self, result: &str) {
        self.desk.heard(PASSWORD.event, &self.line(result));
    }

    fn line(&self, result: &str) -> String {
        format!("{} {} {result}", self.desk.product.id, self.login)
    }
}
