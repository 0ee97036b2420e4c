//! Keeps the form that meets the end of a sign-in, and sends it on when its owner asks for it.
//!
//! Nothing is read that is not going to be refused: a request that goes on streams as ever. What
//! is read is bounded, each form by `session.keep_form` and all together by `limits.kept_forms`.
//!
//! The button of the page "Your form is safe" posts to the form's own address, so that the answer
//! stands where the application expects it. It is told from other posts by what hardly any form
//! has: `text/plain` of one exact length. Only such a post is looked into, and pingora's buffer
//! for retries passes on what was not ours after all.

mod head;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_TYPE, EXPECT};
use pingora::Result;
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::RequestScope;
use super::facts::product;
use super::record::Record;
use crate::gate::decide::{Permit, found};
use crate::gate::facts::{Asks, Facts, Presented, Site};
use crate::gate::headers::Managed;
use crate::gate::kept::{self, Claim, Loss, Owner};
use crate::gate::name::SessionId;
use crate::gate::product::Product;
use crate::gate::session::{Known, Secret, Token};
use crate::gate::time::Moment;
use crate::sessions::Sessions;
use crate::sessions::kept::{Form, KeptForms};
use crate::sessions::store::StoreError;

use head::{announced, end_to_end, put_on, sender};

/// A whole form must have come within this.
const PATIENCE: Duration = Duration::from_secs(60);

/// The button's body: field, `=`, secret, and the line end of `text/plain`.
const BUTTON_LENGTH: usize = kept::FIELD.len() + 1 + Secret::WRITTEN + 2;

/// What the space for forms is counted in, in bytes.
const PIECE: u64 = 1024;

/// Keeps forms, in a bounded space that its clones share.
#[derive(Clone)]
pub struct Keeper {
    forms: Arc<KeptForms>,
    sessions: Arc<Sessions>,
    /// Pieces of memory for bodies on their way.
    room: Arc<Semaphore>,
}

/// A kept form on its way to the backend.
pub struct Sending {
    secret: Secret,
    form: Form,
    /// Gone back to the store, or not yet taken from it: `None`.
    body: Option<Bytes>,
    room: Option<OwnedSemaphorePermit>,
}

/// What a request with the looks of the button turned out to be.
pub enum Button {
    /// Another's form that looked alike: it goes its way.
    Ordinary,
    /// Sent before, thrown away, too late, or nobody's.
    Gone,
    Unavailable,
    Form(Box<Sending>, Facts),
}

/// What came of claiming a form.
pub enum Claimed {
    Sent,
    Gone,
    /// It is the same person's, at work for another company: the page says so.
    OtherCompany,
    /// Too many forms are on their way.
    Busy,
    Unavailable,
}

/// What became of a request that has to wait for a sign-in.
pub enum Keeping {
    /// It is kept: the address of the page that offers it.
    Kept(String),
    /// A person's form that is gone: they are told.
    Lost(Loss),
    /// Nothing that could be kept.
    Nothing,
}

impl Keeper {
    pub fn new(forms: Arc<KeptForms>, sessions: Arc<Sessions>, together: u64) -> Keeper {
        let pieces = usize::try_from(together / PIECE).unwrap_or(usize::MAX);
        Keeper {
            forms,
            sessions,
            room: Arc::new(Semaphore::new(pieces.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// Reads and keeps the request that is about to be sent to the sign-in. `largest`: bytes of its
    /// body; 0 keeps none.
    ///
    /// # Errors
    /// When the client goes away.
    pub async fn keep(
        &self,
        session: &mut Session,
        (facts, known): (&Facts, &Known),
        largest: u64,
        record: &mut Record,
        now: Moment,
    ) -> Result<Keeping> {
        let Site::Product(product) = &facts.site else {
            return Ok(Keeping::Nothing);
        };
        let by_person = facts.asks == Asks::Navigation;
        // A script is told 401, and knows what it sent.
        let lost = |why| match by_person {
            true => Ok(Keeping::Lost(why)),
            false => Ok(Keeping::Nothing),
        };
        let headers = &session.req_header().headers;
        if largest == 0 || !kept::is_kept(facts, product, sender(headers)) {
            return lost(Loss::NoPlace);
        }
        let announced = announced(headers);
        if announced.is_some_and(|length| length > largest) {
            return lost(Loss::TooLarge);
        }
        let Some(room) = self.make_room(announced.unwrap_or(largest), largest) else {
            return lost(Loss::NoPlace);
        };
        let Some((id, owner)) = self.owner(facts, known, now).await else {
            return lost(Loss::NoPlace);
        };
        let (method, headers) = (facts.method.to_string(), end_to_end(headers));
        let body = match read(session, record, announced, largest).await? {
            Ok(body) => body,
            Err(why) => return lost(why),
        };
        let form = Form {
            owner,
            product: product.id.clone(),
            method,
            target: facts.target.forwarded().to_owned(),
            headers,
            length: body.len() as u64,
            kept_at: now,
            by_script: !by_person,
        };
        let secret = match self.forms.keep(id, &form, body, now).await {
            Ok(secret) => secret,
            Err(error) => {
                tracing::warn!(%error, "a form could not be kept");
                return lost(Loss::NoPlace);
            }
        };
        drop(room);
        if !by_person {
            self.note(facts, &secret, now).await;
        }
        Ok(Keeping::Kept(page(product, &secret)))
    }

    /// What a script sent is found again by the cookie that it came with: no address bar leads to it.
    async fn note(&self, facts: &Facts, form: &Secret, now: Moment) {
        if let Presented::Token(Token::Session { secret, .. }) = &facts.cookie
            && let Err(error) = self.forms.note(secret, form, now).await
        {
            tracing::warn!(%error, "a kept form is found by its address alone");
        }
    }

    /// Who sent the form: the person whose session it met, over as it may be.
    async fn owner(&self, facts: &Facts, known: &Known, now: Moment) -> Option<(SessionId, Owner)> {
        if let Some(found) = found(known) {
            let product = product(&facts.site)?;
            return Some((found.session.id, Owner::of(&found.session, &product.id)));
        }
        match self.sessions.whose(&facts.cookie, &facts.site, now).await {
            Ok(owner) => owner,
            Err(error) => {
                tracing::warn!(%error, "whose form it is could not be asked");
                None
            }
        }
    }

    /// Space for one body, if there is any, and if it is no larger than allowed.
    fn make_room(&self, bytes: u64, largest: u64) -> Option<OwnedSemaphorePermit> {
        if bytes > largest {
            return None;
        }
        let pieces = u32::try_from(bytes.div_ceil(PIECE)).ok()?;
        Arc::clone(&self.room).try_acquire_many_owned(pieces).ok()
    }

    /// Whether a request can be the button's: cheap, since it is asked of every request.
    pub fn may_be_button(facts: &Facts, request: &RequestHeader) -> bool {
        facts.method == Method::POST
            && facts.asks == Asks::Navigation
            && request
                .headers
                .get(CONTENT_TYPE)
                .is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"))
            && announced(&request.headers) == Some(BUTTON_LENGTH as u64)
    }

    /// Looks into what [`may_be_button`](Self::may_be_button), and turns the request into the one
    /// that was kept. It is not taken yet: first it is decided whether it may go on.
    ///
    /// # Errors
    /// When the client goes away.
    pub async fn look(
        &self,
        session: &mut Session,
        facts: &Facts,
        managed: &Managed,
        now: Moment,
    ) -> Result<Button> {
        let Site::Product(product) = &facts.site else {
            return Ok(Button::Ordinary);
        };
        session.downstream_session.enable_retry_buffering();
        let Some(secret) = read_button(session).await? else {
            return Ok(Button::Ordinary);
        };
        // The secret stands in the address of one browser; the sender is asked for all the same.
        if !sender(&session.req_header().headers).is_page_of(product) {
            return Ok(Button::Gone);
        }
        let form = match self.forms.look(&secret, now).await {
            Ok(form) => form.filter(|form| form.product == product.id),
            Err(error) => return Ok(unavailable(&error)),
        };
        let resumed = form.and_then(|form| {
            let facts = kept::resumed(&form.method, &form.target, facts)?;
            Some((form, facts))
        });
        let Some((form, facts)) = resumed else {
            return Ok(Button::Gone);
        };
        put_on(session.req_header_mut(), &form, managed)?;
        let sending = Sending {
            secret,
            form,
            body: None,
            room: None,
        };
        Ok(Button::Form(Box::new(sending), facts))
    }

    /// Takes the form that has a permit now, for its owner only.
    pub async fn claim(&self, sending: &mut Sending, permit: &Permit, now: Moment) -> Claimed {
        let claim = permit.session().map_or(Claim::Somebodys, |session| {
            sending.form.owner.claim(session, &permit.product().id)
        });
        match claim {
            Claim::Theirs => {}
            Claim::OtherCompany => return Claimed::OtherCompany,
            Claim::Somebodys => {
                if let Err(error) = self.forms.throw_away(&sending.secret, now).await {
                    tracing::warn!(%error, "another person's form could not be thrown away");
                }
                return Claimed::Gone;
            }
        }
        let Some(room) = self.make_room(sending.form.length, u64::MAX) else {
            return Claimed::Busy;
        };
        match self.forms.take(&sending.secret, now).await {
            Ok(Some((_, body))) => {
                sending.body = Some(Bytes::from(body));
                sending.room = Some(room);
                Claimed::Sent
            }
            Ok(None) => Claimed::Gone,
            Err(error) => {
                tracing::warn!(%error, "a kept form could not be taken");
                Claimed::Unavailable
            }
        }
    }

    /// Keeps what no backend has seen a byte of: it can be sent again.
    pub async fn put_back(&self, sending: &mut Sending, now: Moment) -> bool {
        let Some(body) = sending.body.take() else {
            return false;
        };
        let kept = self
            .forms
            .put_back(&sending.secret, &sending.form, body.to_vec(), now)
            .await;
        sending.room = None;
        if let Err(error) = &kept {
            tracing::warn!(%error, "a form that could not be sent could not be kept again");
        }
        kept.is_ok()
    }
}

impl Sending {
    /// The kept body instead of the button's: `None` when it has none.
    pub fn body(&self) -> Option<Bytes> {
        self.body.clone().filter(|body| !body.is_empty())
    }

    /// The page that offers it, for who must prove something first.
    pub fn page(&self, product: &Product) -> String {
        page(product, &self.secret)
    }
}

fn page(product: &Product, secret: &Secret) -> String {
    let (origin, page, name) = (&product.origin, kept::PAGE, kept::NAME);
    format!("{origin}{page}?{name}={}", secret.expose())
}

fn unavailable(error: &StoreError) -> Button {
    tracing::warn!(%error, "a kept form could not be looked for");
    Button::Unavailable
}

/// Reads a whole body, if it is not too large or too slow.
async fn read(
    session: &mut Session,
    record: &mut Record,
    announced: Option<u64>,
    largest: u64,
) -> Result<Result<Vec<u8>, Loss>> {
    if session.is_body_empty() {
        return Ok(Ok(Vec::new()));
    }
    if session.req_header().headers.contains_key(EXPECT) {
        session.write_continue_response().await?;
    }
    let scope = RequestScope::current();
    // Room for the seal as well, so that it is never copied.
    let length = announced.map_or(0, |length| length.min(largest) + 64);
    let mut body = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    // What was looked into for the button is read already.
    if let Some(looked_into) = session.downstream_session.get_retry_buffer() {
        body.extend_from_slice(&looked_into);
    }
    let reading = async {
        while let Some(chunk) = session.read_request_body().await? {
            record.bytes_in += chunk.len() as u64;
            if body.len() as u64 + chunk.len() as u64 > largest {
                return Ok(false);
            }
            body.extend_from_slice(&chunk);
            if let Some(scope) = &scope {
                scope.body_came(chunk.len());
            }
        }
        Ok::<bool, Box<pingora::Error>>(true)
    };
    match tokio::time::timeout(PATIENCE, reading).await {
        Ok(whole) => {
            let whole = whole?;
            if let (true, Some(scope)) = (whole, &scope) {
                scope.body_is_read();
            }
            Ok(if whole { Ok(body) } else { Err(Loss::TooLarge) })
        }
        Err(_) => Ok(Err(Loss::NoPlace)),
    }
}

/// The secret that the button sends.
async fn read_button(session: &mut Session) -> Result<Option<Secret>> {
    let scope = RequestScope::current();
    let mut body = Vec::with_capacity(BUTTON_LENGTH);
    while let Some(chunk) = session.read_request_body().await? {
        body.extend_from_slice(&chunk);
        if let Some(scope) = &scope {
            scope.body_came(chunk.len());
        }
    }
    if let Some(scope) = &scope {
        scope.body_is_read();
    }
    let secret = body
        .strip_prefix(kept::FIELD.as_bytes())
        .and_then(|rest| rest.strip_prefix(b"="))
        .and_then(|rest| rest.strip_suffix(b"\r\n"))
        .and_then(Secret::parse);
    Ok(secret)
}
