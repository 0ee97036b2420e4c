//! What finding a session in the cache costs, from a cookie that was read to all that it leads to.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt as _;
use vestibule::app::Sockets;
use vestibule::gate::cookies;
use vestibule::gate::facts::{Presented, Site};
use vestibule::gate::session::Known;

use super::Ground;
use super::paper::{Table, told};
use super::targets::{Bound, Targets};
use crate::Result;
use crate::gateway::{Plan, now};
use crate::options::Options;
use crate::visits::Visits;

/// In each round.
const TIMES: usize = 500_000;
/// Records of so few are in the processor's own caches.
const FEW: usize = 1_000;
/// A prime: one look-up after the other is far away.
const STEP: usize = 7_919;

const BOUND: Bound = Bound {
    most: 500.0,
    unit: " ns",
};

/// `people` are signed in to the gateway of this plan, which is not running.
pub async fn measure(
    options: &Options,
    ground: &Ground,
    (plan, people): (&Plan, &Visits),
    targets: &mut Targets,
) -> Result<String> {
    let running = plan.open(ground.path(), Sockets::default()).await?;
    let sessions = Arc::clone(&running.sessions);
    let site = Site::Product(Arc::clone(sessions.products().primary()));
    let policies = running.policies.published().load_full();
    let cookies: Vec<Presented> = (0..people.len())
        .filter_map(|number| people.get(number))
        .map(|cookie| cookies::presented(std::iter::once(cookie.as_bytes())))
        .collect();
    for cookie in &cookies {
        let found = sessions.look_up(cookie, &site, &policies, now()).await;
        if !matches!(found.known, Known::Found(_)) {
            return Err("a session that has begun is not found".into());
        }
    }
    let mut table = Table::new(["sessions looked up in turn", "ns each"]);
    let mut counts = vec![FEW.min(cookies.len()), cookies.len()];
    counts.dedup();
    for count in counts {
        let mut values = Vec::new();
        for _ in 0..options.rounds {
            let (begun, now) = (Instant::now(), now());
            for time in 0..TIMES {
                let cookie = &cookies[time * STEP % count];
                let found = sessions.look_up(cookie, &site, &policies, now);
                black_box(
                    found
                        .now_or_never()
                        .ok_or("what is cached was waited for")?,
                );
            }
            values.push(begun.elapsed().as_secs_f64() * 1e9 / TIMES as f64);
        }
        table.row([count.to_string(), told(&values, 0)]);
        targets.hold(
            format!("a cached look-up, among {count} sessions"),
            BOUND,
            values,
        );
    }
    running.stop().await;
    Ok(format!(
        "\nA look-up, one after the other on one thread:\n\n{table}"
    ))
}
