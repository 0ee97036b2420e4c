//! What the gateway listens on: bound here, or handed over by whoever did.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::StartError;
use super::handover::{Handed, Hands, Role};
use crate::config::settings::Listen;

/// The sockets, bound. Tests bind port 0 first and configure what they got.
#[derive(Default)]
pub struct Sockets {
    pub https: Vec<TcpListener>,
    pub http: Vec<TcpListener>,
    pub admin: Option<TcpListener>,
}

impl Sockets {
    pub async fn bind(listen: &Listen) -> Result<Sockets, StartError> {
        Sockets::gather(listen, Vec::new()).await
    }

    /// Takes what others have bound already and binds the rest. What the configuration does not want
    /// any more is closed.
    pub async fn gather(listen: &Listen, handed: Vec<Handed>) -> Result<Sockets, StartError> {
        let mut hands = Hands::new(handed);
        let mut sockets = Sockets::default();
        for address in &listen.https {
            let socket = take_or_bind(&mut hands, Role::Https, *address).await?;
            sockets.https.push(socket);
        }
        for address in &listen.http {
            let socket = take_or_bind(&mut hands, Role::Http, *address).await?;
            sockets.http.push(socket);
        }
        if let Some(address) = listen.admin {
            sockets.admin = Some(take_or_bind(&mut hands, Role::Admin, address).await?);
        }
        Ok(sockets)
    }
}

async fn take_or_bind(
    hands: &mut Hands,
    role: Role,
    address: SocketAddr,
) -> Result<TcpListener, StartError> {
    match hands.take(role, address) {
        Some(taken) => taken.map_err(|source| StartError::Listen { address, source }),
        None => bind(address).await,
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let bound = match TcpListener::bind(address).await {
        // A machine without IPv6: every address is every IPv4 address.
        Err(error) if address.ip().is_unspecified() && error.raw_os_error() == Some(97) => {
            TcpListener::bind(("0.0.0.0", address.port())).await
        }
        bound => bound,
    };
    bound.map_err(|source| StartError::Listen { address, source })
}
