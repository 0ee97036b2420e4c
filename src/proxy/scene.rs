//! What the gateway works with until gateway.toml changes.

use std::sync::Arc;

use axum::Router;

use super::authz::Askers;
use super::facts::Reader;
use super::forward::Front;
use super::record::Books;
use super::upstream::Upstream;
use crate::legacy::SignOns;

/// What holds for every request to one product.
pub struct Way {
    pub front: Front,
    /// The largest request body, in bytes.
    pub body_limit: Option<u64>,
    /// Whether the bar is added to the pages.
    pub bar: bool,
}

/// What is another after gateway.toml changed. A request keeps the one that it began with: a
/// product's index holds in its own scene alone, and nobody meets half of a change.
#[derive(Clone)]
pub struct Scene {
    pub reader: Arc<Reader>,
    /// Which proxies may ask instead of sending people here.
    pub askers: Askers,
    /// By [`Product::index`](crate::gate::product::Product::index).
    pub upstreams: Vec<Arc<Upstream>>,
    /// By [`Product::index`](crate::gate::product::Product::index).
    pub ways: Arc<[Way]>,
    pub portal: Router,
    pub own: Router,
    /// The largest form that is kept over a sign-in, in bytes; 0 keeps none.
    pub keep_form: u64,
    pub sign_ons: Arc<SignOns>,
    /// The portal's title, on every page.
    pub title: Arc<str>,
    pub books: Arc<Books>,
}
