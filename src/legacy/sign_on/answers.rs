//! What an application's answers say about a sign-on, and which of their cookies stay here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use url::Url;

use super::held::Held;
use super::stored::Stored;
use super::{Claim, Grip, Heard, NotReady, SignOns};
use crate::config::settings::{BasicForm, SignInForm, SignOn};
use crate::legacy::jar::{self, Jar};
use crate::legacy::{basic, form};

/// For so long an application's word is good that it knows whom it answers with 401.
const GOOD: Duration = Duration::from_secs(5);

impl SignOns {
    /// Looks at an application's answer to `path`: whether it knows the session still, and which of
    /// its cookies are ours to keep.
    pub async fn heard(
        &self,
        claim: &Claim,
        grip: &Arc<Grip>,
        status: u16,
        location: Option<&str>,
        path: &str,
    ) -> Heard {
        let Some(way) = self.way(&claim.product) else {
            return Heard::Known;
        };
        match way {
            SignOn::Headers => Heard::Known,
            SignOn::Basic(described) if status == 401 => {
                if grip.forbids_with_401
                    && !form::is_path(&described.inside, path)
                    && self.is_taken(claim, grip, described).await
                {
                    return Heard::Forbidden;
                }
                self.refused_with(claim, grip).await
            }
            SignOn::Form(described) if status == 401 => {
                if !self.is_inside(claim, grip, described, path).await {
                    return Heard::Forgotten;
                }
                self.works(claim, grip).await;
                Heard::Forbidden
            }
            SignOn::Form(described) if matches!(status, 301..=303 | 307 | 308) => {
                let ways = self.parts.legacy.ways(&claim.product);
                let site = ways.and_then(|ways| ways.site.as_ref());
                let to: Option<Url> = site.and_then(|site| {
                    let from = site.at(path)?;
                    site.resolve(&from, location?)
                });
                match to {
                    Some(to) if form::leads_out(described, &to) => Heard::Forgotten,
                    _ => self.works(claim, grip).await,
                }
            }
            SignOn::Basic(_) | SignOn::Form(_) => self.works(claim, grip).await,
        }
    }

    /// Whether an application that forbids with 401 takes the header still: a password that was changed
    /// there would be shown for ever else, into a lock-out. Each answer is asked about by one request.
    async fn is_taken(&self, claim: &Claim, grip: &Grip, described: &BasicForm) -> bool {
        let ways = self.parts.legacy.ways(&claim.product);
        let site = ways.and_then(|ways| ways.site.as_ref());
        let (Some(site), Some(header)) = (site, grip.authorization()) else {
            return true;
        };
        let now = self.now();
        if !grip.asking.is_due(GOOD, now) {
            return true;
        }
        let taken = basic::takes(site, described, header, &claim.caller, now).await;
        taken.unwrap_or_else(|failure| {
            tracing::debug!(%failure, "whether an application takes a password was not told");
            true
        })
    }

    /// An application refused the header. The first request to hear it of this grip tells all.
    async fn refused_with(&self, claim: &Claim, grip: &Grip) -> Heard {
        let held = self.shelf.of(claim.session, claim.product.index);
        if held.drop_it(grip.id) {
            if let Some(version) = grip.version {
                self.tell(claim, "refused");
                self.mark_refused(claim, version).await;
            }
            return Heard::Refused;
        }
        // An old answer: the person has typed another by now.
        match held.current() {
            Some(current) if current.login == claim.login => Heard::Forgotten,
            _ => Heard::Refused,
        }
    }

    /// Whether the application knows the session still, though it says 401: without this each page
    /// that is not for the person would be a sign-in more. No password is sent. One request of a
    /// session asks at a time: a page may make fifty that are answered so.
    async fn is_inside(
        &self,
        claim: &Claim,
        grip: &Arc<Grip>,
        described: &SignInForm,
        path: &str,
    ) -> bool {
        let ways = self.parts.legacy.ways(&claim.product);
        let Some(site) = ways.and_then(|ways| ways.site.as_ref()) else {
            return false;
        };
        let heard = Instant::now();
        let held = self.shelf.of(claim.session, claim.product.index);
        let mut probed = held.probed().await;
        let now = self.now();
        if let Some(knows) = probed.known(grip.id, path, heard, now) {
            return knows;
        }
        let said = form::knows(site, described, grip.jar(), &claim.caller, now).await;
        let knows = !matches!(said, Ok(None));
        // No word is good for as long as one: an application that is slow would be asked by all.
        probed.note(grip.id, path, knows, (Instant::now(), now));
        drop(probed);
        match said {
            Ok(Some(jar)) => self.renewed(claim, grip, jar).await,
            Ok(None) => {}
            Err(failure) => {
                tracing::debug!(%failure, "whether an application knows a session was not told");
            }
        }
        knows
    }

    /// Keeps the cookies that an answer to a question of ours has changed.
    async fn renewed(&self, claim: &Claim, grip: &Arc<Grip>, jar: Jar) {
        let held = self.shelf.of(claim.session, claim.product.index);
        let turn = held.turn().await;
        let current = held.current().filter(|current| current.id == grip.id);
        if let Some(current) = current.filter(|current| current.jar() != jar) {
            self.keep_jar(claim, &held, &current, jar).await;
        }
        drop(turn);
    }

    async fn keep_jar(&self, claim: &Claim, held: &Held, current: &Grip, jar: Jar) {
        let stored = Stored {
            id: current.id,
            login: current.login.clone(),
            jar,
        };
        if let Err(NotReady::Failure(failure)) = self.keep(claim, &stored, true).await {
            tracing::warn!(%failure, "an application's cookies could not be kept");
        }
        held.put(Some(Arc::new(current.with(stored))));
    }

    /// The first answer to somebody who is known: what was counted counts no more.
    async fn works(&self, claim: &Claim, grip: &Grip) -> Heard {
        if grip.is_first_use()
            && let Err(error) = self.store().take_state(&claim.tries(), self.now()).await
        {
            tracing::debug!(%error, "a count of sign-ons could not be cleared");
        }
        Heard::Known
    }

    /// Takes the cookies of an answer that are part of the sign-in; what is left goes to the
    /// browser. `lines` are the `Set-Cookie` values.
    pub async fn take_cookies<'a>(
        &self,
        claim: &Claim,
        grip: &Arc<Grip>,
        lines: Vec<&'a HeaderValue>,
        path: &str,
    ) -> Vec<&'a HeaderValue> {
        let ours = |line: &HeaderValue| {
            let name = line.to_str().ok().and_then(jar::name_of);
            name.is_some_and(|name| grip.holds(name))
        };
        let (taken, left): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| ours(line));
        if taken.is_empty() {
            return left;
        }
        let held = self.shelf.of(claim.session, claim.product.index);
        let turn = held.turn().await;
        let current = held.current().filter(|current| current.id == grip.id);
        if let Some(current) = current {
            let mut jar = current.jar();
            let mut changed = false;
            for line in taken {
                if let Ok(line) = line.to_str() {
                    changed |= jar.take(line, path, self.now());
                }
            }
            if changed {
                self.keep_jar(claim, &held, &current, jar).await;
            }
        }
        drop(turn);
        left
    }
}
