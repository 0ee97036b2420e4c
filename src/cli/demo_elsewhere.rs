//! What the demo has for people from elsewhere: a provider of its own, and a token for SCIM.

use std::sync::Arc;

use crate::app::World;
use crate::demo::provider::{CLIENT, COMPANY, Client, Seconds};
use crate::directory::scim::TOKEN_PREFIX;
use crate::directory::{Directory, DirectoryError};
use crate::gate::name::CompanyId;
use crate::gate::session::Secret;

/// The provider's table in gateway.toml.
const PROVIDER: &str = "acme-id";
/// What the token is called in the list of tokens.
const TOKEN_NAME: &str = "the demo's";

/// The lines of gateway.toml.
pub fn provider_table(issuer: &str) -> String {
    let (id, secret) = CLIENT;
    format!(
        r#"
# The demo's own OpenID Connect provider. Everybody there is believed, so nothing but a demo has this.
[providers.{PROVIDER}]
company = "{COMPANY}"
issuer = "{issuer}"
client_id = "{id}"
client_secret = "{secret}"
label = "Acme Rehab"
link_by_email = true
"#
    )
}

/// The gateway, as the provider knows it.
pub fn client(portal: &str) -> Client {
    Client {
        redirect_uri: format!("{portal}/login/with/{PROVIDER}/back"),
    }
}

/// The gateway's clock, for tokens that hold by it.
pub fn seconds(world: &World) -> Seconds {
    let clock = Arc::clone(&world.clock);
    Arc::new(move || clock().secs())
}

/// A new token for the company's directory; that of an earlier start opens nothing any more.
///
/// # Errors
/// When the directory is away or knows no such company.
pub async fn scim_token(directory: &Directory, world: &World) -> Result<String, DirectoryError> {
    for known in directory.scim_tokens().await? {
        if known.name == TOKEN_NAME {
            directory.revoke_scim_token(&known.id).await?;
        }
    }
    let company = CompanyId::parse(COMPANY)
        .map_err(|error| DirectoryError::Corrupt(format!("{:?}: {}", error.text, error.rule)))?;
    let mut bytes = [0; 32];
    (world.random)(&mut bytes);
    let secret = Secret::from_bytes(bytes);
    directory
        .add_scim_token(&company, TOKEN_NAME, &secret.hash(), (world.clock)())
        .await?;
    Ok(format!("{TOKEN_PREFIX}{}", secret.expose()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::world;
    use crate::demo;
    use crate::directory::passwords::Hasher;
    use crate::directory::seal::MasterKey;
    use crate::gate::name::ProductId;

    #[tokio::test]
    async fn each_start_of_the_demo_has_one_token() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("people.db").display());
        let directory = Directory::open(&url, &MasterKey::from_bytes([7; 32]))
            .await
            .unwrap();
        let products = ["emr", "billing", "analytics"].map(|id| ProductId::parse(id).unwrap());
        let world = world::real();
        let seed = demo::seed();
        let hasher = Hasher::new();
        let imported = directory.import(&hasher, seed.as_bytes(), &products, world::now());
        imported.await.unwrap();
        let first = scim_token(&directory, &world).await.unwrap();
        let second = scim_token(&directory, &world).await.unwrap();
        assert!(first != second && second.starts_with(TOKEN_PREFIX));
        let known = directory.scim_tokens().await.unwrap();
        assert_eq!(known.len(), 1);
        assert_eq!(known[0].company.as_str(), COMPANY);
    }
}
