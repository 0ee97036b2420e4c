//! One suite over both stores, and the story of sessions on one node and on several.

// A failed expectation is how a test reports, also in what tests share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "sessions/command.rs"]
mod command;
#[path = "sessions/model.rs"]
mod model;
#[path = "support/nodes.rs"]
mod nodes;
#[path = "sessions/outage.rs"]
mod outage;
#[path = "support/redis.rs"]
mod redis_server;
#[path = "sessions/stores.rs"]
mod stores;
#[path = "sessions/story.rs"]
mod story;

macro_rules! over_both_stores {
    ($($suite:ident :: $claim:ident),* $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $claim() {
                crate::$suite::$claim(crate::nodes::Home::embedded()).await;
            })*
        }
        mod on_redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $claim() {
                crate::$suite::$claim(crate::nodes::Home::redis()).await;
            })*
        }
    };
}

over_both_stores! {
    stores::a_session_is_read_as_it_was_written,
    stores::an_end_is_an_end_everywhere,
    stores::of_twenty_who_replace_one_wins,
    stores::of_twenty_who_swap_one_wins,
    stores::of_twenty_who_take_one_gets_it,
    stores::states_expire_by_the_gateways_clock,
    stores::last_seen_moves_forward_and_revives_nobody,
    stores::indexes_follow_the_company,
    stores::every_node_hears_of_a_change,
    story::a_cached_session_costs_no_call,
    story::who_guesses_at_a_session_keeps_nobody_from_it,
    story::a_cookie_opens_its_own_host_only,
    story::ten_tabs_get_the_same_cookie,
    story::entering_again_makes_the_old_cookie_worthless,
    story::entering_another_product_cuts_nobody,
    story::each_product_has_its_own_company_and_can_be_left_alone,
    story::renewing_moves_what_was_proved,
    story::idle_is_exact_on_one_node,
    story::idle_is_exact_across_nodes,
    story::never_early_whenever_the_person_was_last_active,
    story::a_page_of_the_portal_is_activity,
    story::the_maximum_ends_what_is_active,
    story::open_requests_end_within_a_tick_of_their_limit,
    story::a_revocation_reaches_the_open_requests_of_other_nodes,
    story::no_reply_overtakes_its_invalidation,
    story::an_older_reply_shuts_nobody_out,
    story::sessions_survive_a_restart,
    story::assertions_are_signed_anew_before_they_end,
    story::the_store_holds_nothing_that_is_a_cookie,
    story::unused_records_are_let_go_of,
    story::the_store_is_asked_before_a_fresh_record_is_taken_for_idle,
    story::what_runs_beside_the_requests_stops_when_told,
    command::a_command_lists_and_revokes_beside_a_gateway,
    model::stores_do_what_the_model_does,
}
