//! Signing in at a legacy application's own form.
//!
//! What an application answers to a form says little: a wrong password may be a redirect, a page
//! with the form again, or a page with a sentence. So a sign-in counts when, and only when, a page
//! opens that does not open without it: `inside` is asked for before and after.

use std::borrow::Cow;
use std::sync::Arc;

use encoding_rs::Encoding;
use tokio::time::timeout;
use url::Url;
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

use super::charset;
use super::jar::Jar;
use super::page::{Form, asks_for, sign_in_form};
use super::site::{Answer, Caller, Site, Talk};
use super::{Failure, Verdict};
use crate::config::settings::SignInForm;
use crate::directory::TypedCredentials;
use crate::gate::time::Moment;

/// What came of filling the form.
pub enum Filled {
    /// The application's cookies of a person who is signed in.
    In(Jar),
    Out(Verdict),
}

/// What an answer says about whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    In,
    Out,
    Unclear(u16),
}

/// Fills the form once.
///
/// # Errors
/// When it can't be said whether the credentials are right.
pub async fn sign_in(
    site: &Site,
    form: &SignInForm,
    credentials: &TypedCredentials,
    caller: &Caller,
    now: Moment,
) -> Result<Filled, Failure> {
    let conversation = async {
        let (mut talk, place) = site.talk(caller, now).await?;
        let filled = converse(&mut talk, form, credentials).await?;
        drop(place);
        Ok(match filled {
            Verdict::Right => Filled::In(talk.jar),
            wrong => Filled::Out(wrong),
        })
    };
    match timeout(form.deadline, conversation).await {
        Ok(filled) => filled,
        Err(_) => Err(Failure::late(form.deadline)),
    }
}

/// Whether the application knows whoever these cookies are: they come back, as it left them.
/// `None`: it does not.
///
/// # Errors
/// When nobody can say, or too many ask at once.
pub async fn knows(
    site: &Site,
    form: &SignInForm,
    jar: Jar,
    caller: &Caller,
    now: Moment,
) -> Result<Option<Jar>, Failure> {
    let conversation = async {
        let (mut talk, place) = site.talk_at_once(caller, now)?;
        talk.jar = jar;
        let inside = talk.site().at(&form.inside);
        let inside = inside.ok_or_else(|| Failure::unusable("its path is no address"))?;
        let answer = talk.get(&inside).await?;
        drop(place);
        match standing(form, &answer) {
            Standing::In => Ok(Some(talk.jar)),
            Standing::Out => Ok(None),
            Standing::Unclear(status) => Err(Failure::status(status)),
        }
    };
    match timeout(form.deadline, conversation).await {
        Ok(known) => known,
        Err(_) => Err(Failure::late(form.deadline)),
    }
}

/// Fills the form to learn whether the credentials are right, and leaves no session behind where
/// `sign_out` says how.
///
/// # Errors
/// When it can't be said whether they are.
pub async fn try_at(
    site: &Arc<Site>,
    form: &SignInForm,
    credentials: &TypedCredentials,
    caller: &Caller,
    now: Moment,
) -> Result<Verdict, Failure> {
    match sign_in(site, form, credentials, caller, now).await? {
        Filled::Out(verdict) => Ok(verdict),
        Filled::In(jar) => {
            let (site, form, caller) = (Arc::clone(site), form.clone(), caller.clone());
            // Nobody has to wait for it.
            tokio::spawn(async move { sign_out(&site, &form, jar, &caller, now).await });
            Ok(Verdict::Right)
        }
    }
}

/// Ends what the cookies stand for, if it is known how. Asked for as a link is followed, and where
/// the application takes that for no way to sign out, as a button is pressed.
pub async fn sign_out(site: &Site, form: &SignInForm, jar: Jar, caller: &Caller, now: Moment) {
    let Some(path) = &form.sign_out else {
        return;
    };
    let conversation = async {
        let (mut talk, place) = site.talk(caller, now).await?;
        talk.jar = jar;
        let (Some(inside), Some(path)) = (talk.site().at(&form.inside), talk.site().at(path))
        else {
            return Err(Failure::unusable("its paths are no addresses"));
        };
        let mut answer = talk.get(&path).await;
        if answer.as_ref().is_ok_and(|answer| answer.status == 405) {
            answer = talk.post(&inside, &path, String::new()).await;
        }
        drop(place);
        match answer {
            Ok(answer) if answer.status >= 400 => Err(Failure::status(answer.status)),
            // Where it leads to afterwards is nobody's concern.
            Ok(_) | Err(Failure::Unusable(_)) => Ok(()),
            Err(failure) => Err(failure),
        }
    };
    let done = match timeout(form.deadline, conversation).await {
        Ok(done) => done,
        Err(_) => Err(Failure::late(form.deadline)),
    };
    if let Err(failure) = done {
        tracing::warn!(%failure, "an application could not be signed out of: its session ends by itself");
    }
}

async fn converse(
    talk: &mut Talk<'_>,
    form: &SignInForm,
    credentials: &TypedCredentials,
) -> Result<Verdict, Failure> {
    let (Some(page), Some(inside)) = (talk.site().at(&form.page), talk.site().at(&form.inside))
    else {
        return Err(Failure::unusable("its paths are no addresses"));
    };
    // Without this, a page that opens for everybody would make every password right.
    let before = talk.get(&inside).await?;
    match standing(form, &before) {
        Standing::Out => {}
        Standing::In => {
            return Err(Failure::unusable(
                "`inside` opens without a sign-in: name a page that does not",
            ));
        }
        Standing::Unclear(status) => return Err(Failure::status(status)),
    }
    // As a person who comes anew.
    talk.jar = Jar::default();
    let (at, shown) = talk.open(&page).await?;
    if shown.status >= 500 {
        return Err(Failure::status(shown.status));
    }
    let written = charset::of_page(shown.kind.as_deref(), &shown.body);
    let (username, password) = (&form.username_field, &form.password_field);
    let found = sign_in_form(&shown.body, written, username, password)
        .ok_or_else(|| Failure::unusable("its sign-in page has no form with the two fields"))?;
    if !found.post || !found.urlencoded {
        return Err(Failure::unusable(
            "its form is not posted as application/x-www-form-urlencoded",
        ));
    }
    let action = match found.action.trim() {
        "" => Some(at.clone()),
        action => talk.site().resolve(&at, action),
    };
    let action = action.ok_or_else(|| Failure::unusable("its form leads to another site"))?;
    let filled = filled(
        &found,
        form,
        credentials,
        charset::of_form(&found.accepts, written),
    );
    let answer = talk.post(&at, &action, String::clone(&filled)).await?;
    judge(talk, form, (&action, &inside), answer).await
}

/// What is posted, in the encoding that a browser would post it in.
fn filled(
    found: &Form,
    form: &SignInForm,
    credentials: &TypedCredentials,
    encoding: &'static Encoding,
) -> Zeroizing<String> {
    let encode: &dyn Fn(&str) -> Cow<'_, [u8]> = &|text| charset::encoded(text, encoding);
    let mut body = Serializer::new(String::new());
    body.encoding_override(Some(encode));
    let pairs = found.filled(
        (&form.username_field, &credentials.username),
        (&form.password_field, &credentials.password),
    );
    for (name, value) in pairs {
        match name {
            // Filled by browsers (HTML, "Constructing the entry list").
            "_charset_" => body.append_pair(name, encoding.name()),
            _ => body.append_pair(name, &value),
        };
    }
    Zeroizing::new(body.finish())
}

/// What the application made of the form.
async fn judge(
    talk: &mut Talk<'_>,
    form: &SignInForm,
    (action, inside): (&Url, &Url),
    answer: Answer,
) -> Result<Verdict, Failure> {
    match answer.status {
        429 | 500.. => return Err(Failure::status(answer.status)),
        307 | 308 => return Err(Failure::unusable("it wants the form again elsewhere")),
        _ => {}
    }
    let refused_at_once = !answer.is_redirect()
        && (answer.status == 401 || asks_for(&answer.body, &form.password_field));
    if refused_at_once {
        return Ok(refusal(form, &answer));
    }
    // A wrong password, or one too many. It may be that the form's token was not taken: but who tries
    // again to find out locks the account, where it was the password.
    if answer.status == 403 {
        tracing::warn!(
            application = ?talk.site().authority(),
            "answers its sign-in form with 403, which is taken for a wrong password"
        );
        return Ok(refusal(form, &answer));
    }
    let back = answer
        .location
        .as_ref()
        .is_some_and(|to| leads_out(form, to));
    if back && form.expired_text.is_none() {
        return Ok(Verdict::Wrong);
    }
    // Some set their cookie on the way.
    let (_, shown) = talk.follow(action.clone(), answer).await?;
    if back {
        return Ok(refusal(form, &shown));
    }
    let after = talk.get(inside).await?;
    match standing(form, &after) {
        Standing::In if talk.jar.is_empty() => Err(Failure::unusable("it sets no cookie")),
        Standing::In => Ok(Verdict::Right),
        Standing::Out => Ok(refusal(form, &shown)),
        Standing::Unclear(status) => Err(Failure::status(status)),
    }
}

/// What a page that signs nobody in says of the password.
fn refusal(form: &SignInForm, shown: &Answer) -> Verdict {
    let says_so = form.expired_text.as_deref().is_some_and(|text| {
        let encoding = charset::of_page(shown.kind.as_deref(), &shown.body);
        let (page, ..) = encoding.decode(&shown.body);
        page.contains(text)
    });
    match says_so {
        true => Verdict::Expired,
        false => Verdict::Wrong,
    }
}

fn standing(form: &SignInForm, answer: &Answer) -> Standing {
    if let Some(to) = &answer.location {
        return if leads_out(form, to) {
            Standing::Out
        } else {
            Standing::In
        };
    }
    match answer.status {
        401 => Standing::Out,
        _ if asks_for(&answer.body, &form.password_field) => Standing::Out,
        200..=299 => Standing::In,
        status => Standing::Unclear(status),
    }
}

/// Whether a redirect leads to where people go who are not signed in.
pub fn leads_out(form: &SignInForm, to: &Url) -> bool {
    let to = plain(to.path());
    to == plain(path_of(&form.page))
        || form
            .signed_out
            .as_deref()
            .is_some_and(|path| to == plain(path_of(path)))
}

/// Whether a request for `path` is one for the sign-in page itself.
pub fn is_page(form: &SignInForm, path: &str) -> bool {
    let page = plain(path_of(&form.page));
    page != "/" && plain(path) == page
}

/// Whether a path as it stands in gateway.toml is this one.
pub fn is_path(written: &str, path: &str) -> bool {
    plain(path_of(written)) == plain(path)
}

fn path_of(written: &str) -> &str {
    written.split('?').next().unwrap_or(written)
}

/// Without a session's number behind a semicolon.
fn plain(path: &str) -> &str {
    path.split(';').next().unwrap_or(path)
}
