//! `/login/with`: from a mail address to the company's provider. By the domain alone: nothing tells
//! whether somebody is known here.

use std::sync::Arc;

use axum::extract::State as Shared;

use super::link;
use crate::pages::FindCompany;
use crate::portal::State;
use crate::portal::answer::page;
use crate::portal::apps::frame;
use crate::portal::errand::Errand;
use crate::portal::fields::Fields;
use crate::portal::language::words;
use crate::portal::trouble::Answer;

/// The longest address that is looked at (RFC 5321).
const LONGEST: usize = 254;

pub async fn find(Shared(state): Shared<Arc<State>>, fields: Fields) -> Answer {
    let errand = Errand::of(&fields);
    let typed = fields.text("username");
    let address: String = typed.chars().take(LONGEST).collect();
    let found = state.providers.of_address(&address);
    let error =
        (!address.trim().is_empty() && found.is_none()).then_some(words().no_company_of_address());
    page(&FindCompany {
        frame: frame(&state, None, "/login"),
        found: found.map(|provider| link(provider, &errand)),
        error,
        username: address,
        back: errand.on("/login"),
        hidden: errand.hidden_without_token(),
    })
}
