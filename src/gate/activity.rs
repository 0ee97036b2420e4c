//! What counts as a person doing something (interface, section 6): a navigation, or a request that
//! changes something. Polling does not.

use super::facts::{Asks, Facts};
use super::product::Product;

/// Whether a forwarded request keeps its session awake.
///
/// A client can only make its own session end sooner with `X-Vestibule-Background`, so the header
/// is safe to honour, and it goes before everything else.
pub fn counts(facts: &Facts, product: &Product) -> bool {
    if facts.background || facts.asks == Asks::Upgrade {
        return false;
    }
    let path = facts.target.path();
    let rules = &product.activity;
    if rules
        .count
        .iter()
        .any(|pattern| pattern.matches_any_case(path))
    {
        return true;
    }
    if rules
        .ignore
        .iter()
        .any(|pattern| pattern.matches_any_case(path))
    {
        return false;
    }
    facts.asks == Asks::Navigation || !facts.method.is_safe()
}

#[cfg(test)]
mod tests;
