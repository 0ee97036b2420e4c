//! The hand-over of a sign-in from the portal to a product's host: a secret that works once, for a
//! minute, on one host, in one browser.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::State;
use super::attempt::fresh_secret;
use super::errand::Errand;
use super::trouble::Trouble;
use crate::gate::name::{ProductId, SessionId};
use crate::gate::product::Product;
use crate::gate::session::{Secret, SecretHash};
use crate::gate::time::Moment;

const LIFE: Duration = Duration::from_secs(60);

#[derive(Debug, Serialize, Deserialize)]
pub struct Ticket {
    pub session: SessionId,
    pub product: ProductId,
    /// What the browser's cookie on the product's host hashes to: a ticket that reached another
    /// browser opens nothing there, so nobody can be signed in as somebody else by a link.
    pub bind: SecretHash,
}

fn key(hash: &SecretHash) -> String {
    format!("ticket:{}", hash.to_text())
}

/// The address that spends a new ticket.
pub async fn issue(
    state: &Arc<State>,
    session: SessionId,
    product: &Product,
    bind: SecretHash,
    (errand, path): (&Errand, &str),
    now: Moment,
) -> Result<String, Trouble> {
    let secret = fresh_secret(state);
    let ticket = Ticket {
        session,
        product: product.id.clone(),
        bind,
    };
    let written = serde_json::to_vec(&ticket).map_err(|_| Trouble::internal("ticket"))?;
    state
        .sessions
        .store()
        .swap_state(&key(&secret.hash()), None, Some(&written), LIFE, now)
        .await?;
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("ticket", &secret.expose())
        .append_pair("rd", path);
    if errand.again > 0 {
        query.append_pair("again", &errand.again.to_string());
    }
    Ok(format!(
        "{}/.vestibule/enter?{}",
        product.origin,
        query.finish()
    ))
}

/// Takes the ticket: of many who present it, one gets it.
pub async fn take(state: &State, written: &str, now: Moment) -> Result<Option<Ticket>, Trouble> {
    let Some(secret) = Secret::parse(written.as_bytes()) else {
        return Ok(None);
    };
    let taken = state
        .sessions
        .store()
        .take_state(&key(&secret.hash()), now)
        .await?;
    Ok(taken.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}
