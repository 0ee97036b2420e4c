//! `/connect/PRODUCT/password`: an application that the gateway signs in to wants a password that is
//! not known here, or not any more. The person types it once, and goes on.

use std::sync::Arc;

use axum::extract::{Path, State as Shared};
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::answer::{nothing_here, page, see_other};
use super::apps::{frame, signed_in};
use super::credentials::{place, prove_for_sign_on, typed};
use super::errand::{Errand, Landing};
use super::fields::Fields;
use super::form::{Form, Sent};
use super::language::words;
use super::throttles::{PasswordAttempt, count_deed};
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use super::{Audit, State, accounts};
use crate::gate::name::Login;
use crate::gate::product::Product;
use crate::gate::session::Session;
use crate::gate::time::Moment;
use crate::pages;

/// The audit trail's word for a password that is kept for an application.
const EVENT: &str = "sign_on_password";

/// One person's password for one application.
struct Desk<'a> {
    state: &'a Arc<State>,
    visit: &'a Visit,
    session: &'a Session,
    product: &'a Arc<Product>,
    login: Login,
    errand: Errand,
    now: Moment,
}

async fn desk<'a>(
    state: &'a Arc<State>,
    visit: &'a Visit,
    product: &str,
    fields: &Fields,
) -> Result<Result<Desk<'a>, Response>, Trouble> {
    let now = (state.clock)();
    let wanted = state.products.by_id(product);
    let Some(product) = wanted.filter(|product| state.legacy.needs_password(product)) else {
        return Err(nothing_here().await);
    };
    let errand = Errand::of(fields).satisfied();
    let path = errand.on(&path(product));
    let session = match signed_in(state, visit, &path, now).await? {
        Ok(found) => &*found.session,
        Err(elsewhere) => return Ok(Err(elsewhere)),
    };
    if !accounts::is_granted(&session.person, product) {
        return Err(accounts::not_granted(state, product, &session.company).await);
    }
    let login = accounts::login_in(state, &session.person.id, product).await?;
    let Some(login) = login else {
        return see_other(&errand.on(&format!("/connect/{}", product.id))).map(Err);
    };
    Ok(Ok(Desk {
        state,
        visit,
        session,
        product,
        login,
        errand,
        now,
    }))
}

fn path(product: &Product) -> String {
    format!("/connect/{}/password", product.id)
}

pub async fn opened(
    Shared(state): Shared<Arc<State>>,
    visit: Visit,
    Path(product): Path<String>,
    fields: Fields,
) -> Answer {
    match desk(&state, &visit, &product, &fields).await? {
        Ok(desk) => desk.show(None).await,
        Err(elsewhere) => Ok(elsewhere),
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
    let Some(sent) = form.of_session(&state, desk.session, desk.now) else {
        return see_other(&desk.errand.on(&path(desk.product)));
    };
    desk.given(&sent).await
}

impl Desk<'_> {
    async fn given(&self, sent: &Sent<'_>) -> Answer {
        let (username, password) = (sent.text("username"), sent.text("password"));
        // The link says whose account it is; the application may care for upper and lower case.
        if Login::parse(username).ok().as_ref() != Some(&self.login) || password.is_empty() {
            return self.refused(words().type_linked_password()).await;
        }
        let network = self.visit.network();
        let attempt = PasswordAttempt::at(&self.product.id, self.login.as_str(), &network);
        self.count(&attempt).await?;
        let credentials = typed(username, password);
        let proof = prove_for_sign_on(
            self.state,
            self.visit,
            self.product,
            &credentials,
            &attempt,
            self.now,
        )
        .await?;
        if !proof.is_right() {
            self.heard("refused");
            return self
                .refused(&words().product_does_not_take(&self.product.name))
                .await;
        }
        attempt.succeed(self.state, self.now).await?;
        let place = place(
            self.state,
            self.product,
            &self.login,
            &self.session.person.id,
        );
        self.state
            .directory
            .keep_sign_on_secret(&place, &credentials, self.now)
            .await?;
        self.heard("kept");
        see_other(&self.onward())
    }

    async fn count(&self, attempt: &PasswordAttempt) -> Result<(), Trouble> {
        let counted = async {
            count_deed(self.state, EVENT, &self.session.person.id, self.now).await?;
            attempt.count(self.state, self.now).await
        };
        counted.await.map_err(|trouble| {
            self.heard("throttled");
            trouble.with_link(self.errand.on(&path(self.product)), words().back())
        })
    }

    /// To what was wanted, and nowhere but into this product.
    fn onward(&self) -> String {
        match self.errand.landing(self.state, Some(&self.product.id)) {
            Landing::Product { product, url, .. } if product.id == self.product.id => url,
            Landing::Product { .. } | Landing::Portal { .. } => {
                format!("{}/", self.product.origin)
            }
        }
    }

    async fn refused(&self, error: &str) -> Answer {
        let shown = self.show(Some(error)).await?;
        Ok((StatusCode::FORBIDDEN, shown).into_response())
    }

    async fn show(&self, error: Option<&str>) -> Answer {
        let place = place(
            self.state,
            self.product,
            &self.login,
            &self.session.person.id,
        );
        let known = self.state.directory.sign_on_secret(&place).await?;
        let username = known.as_ref().map(|known| &known.credentials.username);
        let token = self.state.keys.form_token(&self.session.portal, self.now);
        page(&pages::ProductPassword {
            frame: frame(self.state, Some(self.session), ""),
            action: path(self.product),
            product: self.product.name.clone(),
            username: username.map_or_else(|| self.login.to_string(), String::clone),
            changed: known.is_some(),
            error: error.map(str::to_owned),
            hidden: self.errand.hidden(token),
        })
    }

    fn heard(&self, result: &str) {
        self.state.observer.audit(Audit::of(
            self.session,
            self.visit,
            EVENT,
            &format!("{} {} {result}", self.product.id, self.login),
        ));
    }
}
