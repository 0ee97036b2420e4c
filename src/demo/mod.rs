//! Three small legacy applications, for `vestibule demo` and for tests: a clinic's EMR, its
//! Billing and its Analytics. They are backends like any other: plain HTTP/1.1, each with its own
//! users and its own sign-in page, and each believes whoever reaches it (so they belong on
//! 127.0.0.1 only). They know nothing of the gateway but header names and the links given to them.
//!
//! All data is made up, kept in memory and gone at exit.

mod analytics;
mod billing;
mod door;
mod emr;
mod files;
mod frame;
mod links;
mod live;
mod outbox;
mod people;
pub mod provider;
mod reception;
mod visitor;

pub use self::analytics::{app as analytics_app, serve as analytics};
pub use self::billing::{
    app as billing_app, app_by_form as billing_app_by_form, serve as billing,
    serve_by_form as billing_by_form,
};
pub use self::emr::{app as emr_app, serve as emr};
pub use self::links::{Link, Links};
pub use self::outbox::{Posted, Posts, serve as outbox};
pub use self::people::{SignIn, TEXTED, people, policies, seed};

#[cfg(test)]
mod tests;
