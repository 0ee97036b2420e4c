//! What an application's answers say about a sign-on, and which of their cookies stay here.

use std::sync::Arc;

use http::HeaderValue;
use url::Url;

use super::stored::Stored;
use super::{Claim, Grip, Heard, NotReady, SignOns};
use crate::config::settings::SignOn;
use crate::legacy::form;
use crate::legacy::jar;

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
            SignOn::Basic(_) if status == 401 => {
                if let Some(version) = grip.version {
                    self.tell(claim, "refused");
                    self.mark_refused(claim, version).await;
                }
                let held = self.shelf.of(claim.session, claim.product.index);
                held.put(None);
                Heard::Refused
            }
            SignOn::Form(_) if status == 401 => Heard::Forgotten,
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
        }
        drop(turn);
        left
    }
}
