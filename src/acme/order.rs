//! One order, from the name to the chain (RFC 8555, 7.4).

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewOrder, OrderStatus,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use tokio::time::sleep;
use zeroize::Zeroizing;

use super::proofs::Proof;
use super::wire::Wire;
use super::{AcmeError, Bundle, Proofs, plain};
use crate::config::acme::ChallengeKind;
use crate::gate::host::Host;
use crate::sessions::Clock;

/// Between two looks at an order that goes on; the authority may wish for another.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LONGEST_LOOK: Duration = Duration::from_secs(10);

pub struct Order<'a> {
    pub account: &'a Account,
    pub host: &'a Host,
    pub challenge: ChallengeKind,
    pub proofs: &'a Proofs,
    pub wire: &'a Wire,
    pub clock: &'a Clock,
}

impl Order<'_> {
    pub async fn run(&self) -> Result<Bundle, AcmeError> {
        let names = [Identifier::Dns(self.host.as_str().to_owned())];
        let mut order = self.account.new_order(&NewOrder::new(&names)).await?;
        let mut shown = Vec::new();
        let proven = match self.show(&mut order, &mut shown).await {
            Ok(()) => self.prove(&mut order).await,
            Err(error) => Err(error),
        };
        for proof in &shown {
            // What stays goes by itself.
            let _ = self.proofs.take_in(proof, (self.clock)()).await;
        }
        proven?;
        self.fetch(&mut order).await
    }

    /// Shows what the authority will look for, and says that it may look.
    async fn show(
        &self,
        order: &mut instant_acme::Order,
        shown: &mut Vec<Proof>,
    ) -> Result<(), AcmeError> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            match authorization.status {
                AuthorizationStatus::Pending => {}
                // Proven not long ago.
                AuthorizationStatus::Valid => continue,
                _ => {
                    return Err(AcmeError::Refused(String::from(
                        "the order begins as invalid",
                    )));
                }
            }
            let kind = match self.challenge {
                ChallengeKind::Http01 => ChallengeType::Http01,
                ChallengeKind::TlsAlpn01 => ChallengeType::TlsAlpn01,
            };
            let Some(mut challenge) = authorization.challenge(kind) else {
                let kind = self.challenge.as_str();
                return Err(AcmeError::Refused(format!("it does not offer {kind}")));
            };
            let authorized = challenge.key_authorization();
            let proof = match self.challenge {
                ChallengeKind::Http01 => Proof::over_http(&challenge.token, authorized.as_str())
                    .ok_or_else(|| {
                        AcmeError::Unusable(String::from("its token is none (RFC 8555, 8.3)"))
                    })?,
                ChallengeKind::TlsAlpn01 => {
                    Proof::in_handshake(self.host, authorized.digest().as_ref())
                }
            };
            self.proofs.hang_out(&proof, (self.clock)()).await?;
            shown.push(proof);
            challenge.set_ready().await?;
        }
        Ok(())
    }

    async fn prove(&self, order: &mut instant_acme::Order) -> Result<(), AcmeError> {
        let pending = |status| status == OrderStatus::Pending;
        match self.settle(order, pending).await? {
            OrderStatus::Invalid => Err(why(order).await),
            _ => Ok(()),
        }
    }

    /// Asks for the certificate of a key of our own.
    async fn fetch(&self, order: &mut instant_acme::Order) -> Result<Bundle, AcmeError> {
        let own = |error: rcgen::Error| AcmeError::Unusable(error.to_string());
        let key = KeyPair::generate().map_err(own)?;
        let mut params =
            CertificateParams::new(vec![self.host.as_str().to_owned()]).map_err(own)?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key).map_err(own)?;
        order.finalize_csr(request.der()).await?;
        let going_on = |status| matches!(status, OrderStatus::Processing | OrderStatus::Ready);
        if self.settle(order, going_on).await? != OrderStatus::Valid {
            return Err(why(order).await);
        }
        let chain = order.certificate().await?;
        let chain = chain.ok_or_else(|| AcmeError::Unusable(String::from("there is no chain")))?;
        let key = Zeroizing::new(key.serialize_pem());
        Bundle::made(&key, &chain, self.host, (self.clock)())
    }

    /// Looks at the order until it does not go on any more. Whoever calls sets the end of the wait.
    async fn settle(
        &self,
        order: &mut instant_acme::Order,
        goes_on: impl Fn(OrderStatus) -> bool,
    ) -> Result<OrderStatus, AcmeError> {
        let mut pause = FIRST_LOOK;
        loop {
            let status = order.refresh().await?.status;
            if !goes_on(status) {
                return Ok(status);
            }
            let wish = self.wire.wait().unwrap_or(pause);
            sleep(wish.clamp(FIRST_LOOK, LONGEST_LOOK)).await;
            pause = pause.saturating_mul(2).min(LONGEST_LOOK);
        }
    }
}

/// What the authority says of an order that it gave up: the challenge knows it best.
async fn why(order: &mut instant_acme::Order) -> AcmeError {
    let mut said = order.state().error.as_ref().map(ToString::to_string);
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else {
            continue;
        };
        let mut problems = state.challenges.iter().filter_map(|c| c.error.as_ref());
        if let Some(problem) = problems.next() {
            said = Some(problem.to_string());
        }
    }
    AcmeError::Refused(match said {
        Some(said) => plain(&said),
        None => String::from("it gave the order up and does not say why"),
    })
}
