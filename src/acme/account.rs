//! Our account with an authority: made at the first order, kept on the shelf, used from then on.

use std::time::Duration;

use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::order;
use super::wire::Wire;
use super::{AcmeError, Bundle, Proofs, Shelf};
use crate::config::acme::Acme;
use crate::gate::host::Host;
use crate::sessions::Clock;

/// For a whole order, account included. Shorter than the first pause after a failure: no other node
/// begins before this one has ended.
const WHOLE: Duration = Duration::from_secs(5 * 60);

/// What is kept, as JSON.
#[derive(Serialize, Deserialize)]
struct Kept {
    contact: Vec<String>,
    credentials: AccountCredentials,
}

/// Where certificates are ordered.
pub struct Desk {
    settings: Acme,
    shelf: Shelf,
    proofs: Proofs,
    wire: Wire,
    clock: Clock,
}

impl Desk {
    /// # Errors
    /// When `ca` can't be read.
    pub fn new(
        settings: Acme,
        shelf: Shelf,
        proofs: Proofs,
        clock: Clock,
    ) -> Result<Desk, AcmeError> {
        Ok(Desk {
            wire: Wire::new(settings.ca.as_deref(), clock.clone())?,
            settings,
            shelf,
            proofs,
            clock,
        })
    }

    /// Orders a certificate for this host, and proves that it is ours.
    ///
    /// # Errors
    /// Whatever stood in the way; [`wish`](Desk::wish) has the wait that the authority asked for then.
    pub async fn order(&self, host: &Host) -> Result<Bundle, AcmeError> {
        let ordered = tokio::time::timeout(WHOLE, async {
            let account = self.account().await?;
            order::Order {
                account: &account,
                host,
                challenge: self.settings.challenge,
                proofs: &self.proofs,
                wire: &self.wire,
                clock: &self.clock,
            }
            .run()
            .await
        });
        let ordered = ordered.await.unwrap_or(Err(AcmeError::Late(WHOLE)));
        if matches!(ordered, Err(AcmeError::Unknown(_)))
            && let Err(error) = self.shelf.forget_account()
        {
            tracing::warn!(%error, "an account that the authority does not know stays");
        }
        ordered
    }

    /// How long the authority asked us to wait with its last answer.
    pub fn wish(&self) -> Option<Duration> {
        self.wire.wait()
    }

    async fn account(&self) -> Result<Account, AcmeError> {
        let Some(text) = self.shelf.read_account()? else {
            return self.open_account().await;
        };
        let kept: Kept = serde_json::from_str(&text)
            .map_err(|_| AcmeError::Unusable(String::from("account.json is not one of ours")))?;
        let builder = Account::builder_with_http(Box::new(self.wire.clone()));
        let account = builder.from_credentials(kept.credentials).await?;
        if kept.contact != self.settings.contact {
            self.tell_contact(&account, &text).await;
        }
        Ok(account)
    }

    async fn open_account(&self) -> Result<Account, AcmeError> {
        let contact = self.contact();
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let wanted = NewAccount {
            contact: &contact,
            // The configuration can't be read without it.
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let external = self.settings.external_account.as_ref().and_then(|account| {
            let key = Zeroizing::new(account.key_bytes()?);
            Some(ExternalAccountKey::new(account.key_id.clone(), &key))
        });
        let builder = Account::builder_with_http(Box::new(self.wire.clone()));
        let directory = self.settings.directory.clone();
        let (account, credentials) = builder
            .create(&wanted, directory, external.as_ref())
            .await?;
        let kept = Kept {
            contact: self.settings.contact.clone(),
            credentials,
        };
        let text = serde_json::to_string(&kept)
            .map_err(|_| AcmeError::Unusable(String::from("the account can't be written")))?;
        self.shelf.write_account(&Zeroizing::new(text))?;
        tracing::info!(authority = self.shelf.name(), "an account was opened");
        Ok(account)
    }

    /// Whom the authority writes to is another now. No order waits for that to succeed.
    async fn tell_contact(&self, account: &Account, text: &str) {
        let contact = self.contact();
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        if let Err(error) = account.update_contacts(&contact).await {
            let error = AcmeError::from(error);
            tracing::warn!(%error, "the authority could not be told the new contact");
            return;
        }
        let Ok(kept) = serde_json::from_str::<Kept>(text) else {
            return;
        };
        let kept = Kept {
            contact: self.settings.contact.clone(),
            ..kept
        };
        let written = serde_json::to_string(&kept).map(Zeroizing::new);
        if let Ok(text) = written
            && let Err(error) = self.shelf.write_account(&text)
        {
            tracing::warn!(%error, "the account could not be written");
        }
    }

    fn contact(&self) -> Vec<String> {
        let addresses = self.settings.contact.iter();
        addresses
            .map(|address| format!("mailto:{address}"))
            .collect()
    }
}
