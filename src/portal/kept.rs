//! `/.vestibule/kept`: a form that waited for its sender to sign in is offered again. A page with
//! a button, since what it does is the person's to decide; the proxy sends it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use http::HeaderValue;
use http::header::CONTENT_SECURITY_POLICY;

use super::answer::{page as answered, see_other};
use super::apps::own_frame;
use super::enter;
use super::fields::Fields;
use super::form::OwnForm;
use super::language::words;
use super::own::signed_in;
use super::throttles::in_words;
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use super::{Audit, State, companies};
use crate::gate::arrival::at_product;
use crate::gate::kept::{self, Claim, LIFE};
use crate::gate::name::CompanyId;
use crate::gate::product::Product;
use crate::gate::session::{Known, Secret, Session};
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::pages::{Kept, KeptElsewhere};
use crate::sessions::kept as forms;

/// Wherever the application's answer to the form leads: browsers apply `form-action` to redirects.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; \
     object-src 'none'; frame-ancestors 'none'; form-action https:",
);

pub async fn page(Shared(state): Shared<Arc<State>>, visit: Visit, fields: Fields) -> Answer {
    let now = (state.clock)();
    let product = visit.product()?;
    if matches!(visit.known, Known::Unavailable) {
        return Err(Trouble::unavailable("store"));
    }
    let secret = secret(&fields).ok_or_else(|| gone(product))?;
    let url = url(product, &secret);
    let Ok(found) = at_product(&visit.known, &state.policies.load(), product, now) else {
        return enter::again(&state, &visit, &url, &fields);
    };
    let form = theirs(&state, &visit, product, (&secret, &found.session), now).await?;
    let hidden = vec![(kept::NAME, secret.expose())];
    if form.owner.claim(&found.session, &product.id) == Claim::OtherCompany {
        return answered(&KeptElsewhere {
            frame: own_frame(&state),
            product: product.name.clone(),
            company: name_of(&state, &form.owner.company).await?,
            current: name_of(&state, found.session.company_in(&product.id)).await?,
            can_switch: found
                .session
                .companies_in(&product.id)
                .contains(&form.owner.company),
            hidden,
        });
    }
    let age = now.since(form.kept_at);
    let mut response = answered(&Kept {
        frame: own_frame(&state),
        product: product.name.clone(),
        // Absolute: a path may begin with two slashes, which is a host to browsers.
        action: format!("{}{}", product.origin, form.target),
        field: kept::FIELD,
        secret: secret.expose(),
        path: path(&form.target).to_owned(),
        size: size(form.length),
        age: span_in_words(age),
        left: span_in_words(LIFE.saturating_sub(age)),
        by_script: form.by_script,
        hidden,
    })?;
    response
        .headers_mut()
        .insert(CONTENT_SECURITY_POLICY, POLICY);
    Ok(response)
}

/// The page's other buttons: throw it away, or go back to the company that it was filled in for.
pub async fn deed(
    Shared(state): Shared<Arc<State>>,
    visit: Visit,
    OwnForm(fields): OwnForm,
) -> Answer {
    let now = (state.clock)();
    let (product, found) = signed_in(&state, &visit, now)?;
    let secret = secret(&fields).ok_or_else(|| gone(product))?;
    let session = &found.session;
    let form = theirs(&state, &visit, product, (&secret, session), now).await?;
    if fields.text("deed") == "company" {
        if form.owner.claim(session, &product.id) == Claim::OtherCompany {
            let company = form.owner.company.as_str();
            companies::change(&state, &visit, session, product, company, now).await?;
        }
        return see_other(&url(product, &secret));
    }
    state.kept.throw_away(&secret, now).await?;
    audit(&state, &visit, session, TrailEvent::FormThrownAway);
    see_other(&format!("{}/", product.origin))
}

/// The form, if it is this person's; another's is thrown away.
async fn theirs(
    state: &State,
    visit: &Visit,
    product: &Product,
    (secret, session): (&Secret, &Session),
    now: Moment,
) -> Result<forms::Form, Trouble> {
    let form = state.kept.look(secret, now).await?;
    let form = form.filter(|form| form.product == product.id);
    let form = form.ok_or_else(|| gone(product))?;
    if form.owner.claim(session, &product.id) == Claim::Somebodys {
        state.kept.throw_away(secret, now).await?;
        audit(state, visit, session, TrailEvent::FormThrownAway);
        return Err(Trouble::new(403, "form_not_yours")
            .saying(
                words().form_not_yours(),
                words().form_not_yours_what(),
                words().form_not_yours_remedy(),
            )
            .with_link(format!("{}/", product.origin), &product.name));
    }
    Ok(form)
}

async fn name_of(state: &State, company: &CompanyId) -> Result<String, Trouble> {
    let known = state.directory.company(company).await?;
    Ok(known.map_or_else(|| company.to_string(), |known| known.name))
}

fn audit(state: &State, visit: &Visit, session: &Session, event: TrailEvent) {
    state.observer.audit(Audit::of(session, visit, event, ""));
}

fn secret(fields: &Fields) -> Option<Secret> {
    Secret::parse(fields.text(kept::NAME).as_bytes())
}

fn url(product: &Product, secret: &Secret) -> String {
    let (origin, page, name) = (&product.origin, kept::PAGE, kept::NAME);
    format!("{origin}{page}?{name}={}", secret.expose())
}

fn gone(product: &Product) -> Trouble {
    Trouble::new(410, "form_gone")
        .saying(
            words().form_not_kept(),
            words().form_not_kept_what(),
            words().form_not_kept_remedy(),
        )
        .with_link(format!("{}/", product.origin), &product.name)
}

fn path(target: &str) -> &str {
    target.split('?').next().unwrap_or(target)
}

fn span_in_words(span: Duration) -> String {
    if span < Duration::from_secs(60) {
        words().less_than_a_minute().to_owned()
    } else {
        in_words(Duration::from_secs(span.as_secs() / 60 * 60))
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..=1023 => words().bytes(bytes),
        1024..=1_048_575 => format!("{} KB", bytes / 1024),
        _ => format!("{:.1} MB", bytes as f64 / 1_048_576.0),
    }
}
