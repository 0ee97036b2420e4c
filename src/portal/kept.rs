//! `/.vestibule/kept`: a form that waited for its sender to sign in is offered again. A page with
//! a button, since what it does is the person's to decide; the proxy sends it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use http::HeaderValue;
use http::header::CONTENT_SECURITY_POLICY;
use url::form_urlencoded::Serializer;

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
use super::{Audit, State, companies, cookies};
use crate::gate::arrival::at_product;
use crate::gate::facts::Presented;
use crate::gate::kept::{self, Claim, LIFE, Loss};
use crate::gate::name::CompanyId;
use crate::gate::product::Product;
use crate::gate::return_to::ReturnTo;
use crate::gate::session::{Known, Secret, Session, Token};
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::pages::{Kept, KeptElsewhere, Link, Message};
use crate::sessions::kept as forms;
use crate::sessions::store::StoreError;

/// Wherever the application's answer to the form leads: browsers apply `form-action` to redirects.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; \
     object-src 'none'; frame-ancestors 'none'; form-action https:",
);

/// So many forms are offered one after the other.
const MOST_AT_ONCE: usize = 16;

pub async fn page(Shared(state): Shared<Arc<State>>, visit: Visit, fields: Fields) -> Answer {
    let now = (state.clock)();
    let product = visit.product()?;
    if matches!(visit.known, Known::Unavailable) {
        return Err(Trouble::unavailable("store"));
    }
    let mut waiting = secrets(&fields);
    let url = url(product, &waiting);
    let Ok(found) = at_product(&visit.known, &state.policies.load(), product, now) else {
        return enter::again(&state, &visit, &url, &fields);
    };
    // Some of several may be sent by now.
    while let [first, _, ..] = waiting.as_slice()
        && look(&state, product, first, now).await?.is_none()
    {
        waiting.remove(0);
    }
    let hidden = waiting.iter().map(|secret| (kept::NAME, secret.expose()));
    let hidden = hidden.collect();
    let mut waiting = waiting.into_iter();
    let secret = waiting.next().ok_or_else(|| gone(product))?;
    let form = theirs(&state, &visit, product, (&secret, &found.session), now).await?;
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
        another: another(product, waiting.as_slice()),
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
    let waiting = secrets(&fields);
    let (secret, others) = waiting.split_first().ok_or_else(|| gone(product))?;
    let session = &found.session;
    let form = theirs(&state, &visit, product, (secret, session), now).await?;
    if fields.text("deed") == "company" {
        let mut response = see_other(&url(product, &waiting))?;
        if form.owner.claim(session, &product.id) == Claim::OtherCompany {
            let company = form.owner.company.as_str();
            let changed = companies::change(&state, &visit, session, product, company, now);
            if let (_, Some(token)) = changed.await? {
                cookies::set_session(&mut response, &token);
            }
        }
        return Ok(response);
    }
    state.kept.throw_away(secret, now).await?;
    audit(&state, &visit, session, TrailEvent::FormThrownAway);
    if others.is_empty() {
        see_other(&format!("{}/", product.origin))
    } else {
        see_other(&url(product, others))
    }
}

/// `/.vestibule/lost`: a form could not be kept. For everybody: there is nothing in it.
pub async fn lost(Shared(state): Shared<Arc<State>>, visit: Visit, fields: Fields) -> Answer {
    let product = visit.product()?;
    let rd = fields.text("rd");
    let back = ReturnTo::parse_at(rd, product, &state.products, &state.portal_origin)
        .filter(|back| back.product().is_some_and(|of| of.id == product.id));
    let href = back.map_or_else(|| format!("{}/", product.origin), |at| at.url().to_owned());
    let what = match fields.of("why") {
        Some(why) if why == Loss::TooLarge.as_str() => words().form_lost_large(&product.name),
        _ => words().form_lost_no_place(&product.name),
    };
    answered(&Message {
        frame: own_frame(&state),
        title: words().form_lost().to_owned(),
        paragraphs: vec![what, words().form_lost_remedy().to_owned()],
        link: Some(Link {
            href,
            text: words().back_to(&product.name),
        }),
    })
}

/// Where somebody goes who came in again with this cookie: first to what scripts of the product had kept
/// for them meanwhile, since nothing else leads there.
pub async fn on_the_way(
    state: &State,
    visit: &Visit,
    (session, product): (&Session, &Product),
    wanted: &str,
    now: Moment,
) -> String {
    let Presented::Token(Token::Session { secret, .. }) = &visit.facts.cookie else {
        return wanted.to_owned();
    };
    match waiting(state, session, product, secret, now).await {
        Ok(forms) if forms.is_empty() => wanted.to_owned(),
        // To a form of their own first.
        Ok(forms) if wanted.starts_with(&format!("{}{}?", product.origin, kept::PAGE)) => {
            let more = forms.iter().map(Secret::expose);
            let more = more.filter(|form| !wanted.contains(form.as_str()));
            let more: String = more.map(|form| format!("&{}={form}", kept::NAME)).collect();
            format!("{wanted}{more}")
        }
        Ok(forms) => url(product, &forms),
        Err(error) => {
            tracing::warn!(%error, "what waits for somebody could not be asked");
            wanted.to_owned()
        }
    }
}

/// The newest first.
async fn waiting(
    state: &State,
    session: &Session,
    product: &Product,
    cookie: &Secret,
    now: Moment,
) -> Result<Vec<Secret>, StoreError> {
    let mut theirs = Vec::new();
    for secret in state.kept.noted(cookie, now).await? {
        let form = look(state, product, &secret, now).await?;
        if form.is_some_and(|form| form.owner.person == session.person.id) {
            theirs.push(secret);
        }
    }
    Ok(theirs)
}

async fn look(
    state: &State,
    product: &Product,
    secret: &Secret,
    now: Moment,
) -> Result<Option<forms::Form>, StoreError> {
    let form = state.kept.look(secret, now).await?;
    Ok(form.filter(|form| form.product == product.id))
}

/// The form, if it is this person's; another's is thrown away.
async fn theirs(
    state: &State,
    visit: &Visit,
    product: &Product,
    (secret, session): (&Secret, &Session),
    now: Moment,
) -> Result<forms::Form, Trouble> {
    let form = look(state, product, secret, now).await?;
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

/// The form that is meant, and others that wait.
fn secrets(fields: &Fields) -> Vec<Secret> {
    let written = fields.all(kept::NAME).take(MOST_AT_ONCE);
    written
        .filter_map(|written| Secret::parse(written.as_bytes()))
        .collect()
}

fn url(product: &Product, secrets: &[Secret]) -> String {
    let query = Serializer::new(String::new())
        .extend_pairs(secrets.iter().map(|secret| (kept::NAME, secret.expose())))
        .finish();
    format!("{}{}?{query}", product.origin, kept::PAGE)
}

fn another(product: &Product, others: &[Secret]) -> Option<Link> {
    (!others.is_empty()).then(|| Link {
        href: url(product, others),
        text: words().another_form_waits().to_owned(),
    })
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
