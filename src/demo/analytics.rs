//! Analytics: visits a week as a chart, drawn as SVG.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use askama::Template;
use axum::extract::{Form, State, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;
use tokio::net::TcpListener;

use super::door::{Door, Trust};
use super::frame::House;
use super::links::Links;
use super::live;
use super::reception::Reception;
use super::visitor::Visitor;

const NEWS: [&str; 3] = [
    "Nightly import finished",
    "Cancellation rate is at 6.1 percent",
    "New benchmark for your region",
];

/// The chart's size and margins, in its own units.
const WIDTH: u32 = 720;
const HEIGHT: u32 = 260;
const GROUND: u32 = 230;
/// Visits at the top of the chart.
const TOP: u32 = 200;

struct Analytics {
    reception: Arc<Reception>,
    /// Visits a week that the clinic wants to reach.
    target: AtomicU32,
}

struct Bar {
    week: usize,
    visits: u32,
    x: u32,
    y: u32,
    width: u32,
    height: u32,
    middle: u32,
}

#[derive(Template)]
#[template(path = "demo/analytics_chart.html")]
struct ChartPage {
    bars: Vec<Bar>,
    target: u32,
    target_y: u32,
    width: u32,
    height: u32,
    ground: u32,
    top: u32,
}

/// Serves Analytics on `listener` until the task is dropped or the listener fails.
pub async fn serve(listener: TcpListener, links: Links) -> io::Result<()> {
    axum::serve(listener, app(links)).await
}

/// Analytics, for whoever has a listener of another kind.
pub fn app(links: Links) -> Router {
    let house = House {
        id: "analytics",
        name: "ClinicLens Analytics",
        motto: "Numbers you can act on",
        style: include_str!("assets/analytics.css"),
        menu: &[("Visits", "/"), ("Data files", "/files")],
        links,
    };
    let door = Door::new("analytics", "lens_session", Trust::EachRequest);
    let reception = Arc::new(Reception {
        house,
        door,
        form_token: None,
    });
    let analytics = Analytics {
        reception: reception.clone(),
        target: AtomicU32::new(140),
    };
    let rooms = Router::new()
        .route("/", get(chart))
        .route("/target", post(aim))
        .route("/poll/news", get(|| async { live::poll(&NEWS) }))
        .route(
            "/live",
            get(|upgrade: WebSocketUpgrade| live::socket(upgrade, "Analytics")),
        )
        .route("/events", get(|| live::events("rows imported")))
        .with_state(Arc::new(analytics));
    reception.guard(rooms, "Data file")
}

async fn chart(
    State(analytics): State<Arc<Analytics>>,
    Extension(visitor): Extension<Visitor>,
) -> Response {
    let target = analytics.target.load(Ordering::Relaxed);
    let page = ChartPage {
        bars: bars(weeks(&visitor.company)),
        target,
        target_y: GROUND - height_of(target),
        width: WIDTH,
        height: HEIGHT,
        ground: GROUND,
        top: TOP,
    };
    analytics
        .reception
        .house
        .page("Visits a week", Some(&visitor), &page)
}

#[derive(Deserialize)]
struct Target {
    visits: u32,
}

async fn aim(
    State(analytics): State<Arc<Analytics>>,
    Extension(visitor): Extension<Visitor>,
    Form(Target { visits }): Form<Target>,
) -> Response {
    if visits > TOP {
        let text = format!("A target is between 0 and {TOP} visits a week.");
        return analytics
            .reception
            .house
            .notice(StatusCode::BAD_REQUEST, Some(&visitor), &text);
    }
    analytics.target.store(visits, Ordering::Relaxed);
    Redirect::to("/").into_response()
}

fn weeks(company: &str) -> &'static [u32] {
    match company {
        "northside" => &[61, 64, 70, 58, 66, 72, 75, 71, 79, 83, 80, 88],
        _ => &[118, 124, 131, 109, 127, 135, 142, 138, 151, 149, 160, 157],
    }
}

fn bars(weeks: &[u32]) -> Vec<Bar> {
    let slot = WIDTH / u32::try_from(weeks.len()).unwrap_or(1).max(1);
    let lefts = (0..WIDTH).step_by(usize::try_from(slot).unwrap_or(1).max(1));
    weeks
        .iter()
        .zip(lefts)
        .enumerate()
        .map(|(index, (&visits, left))| {
            let height = height_of(visits);
            Bar {
                week: index + 1,
                visits,
                x: left + 8,
                y: GROUND - height,
                width: slot.saturating_sub(16),
                height,
                middle: left + slot / 2,
            }
        })
        .collect()
}

/// Never above the ground line, so that what is drawn stays inside the chart.
fn height_of(visits: u32) -> u32 {
    visits.min(TOP) * (GROUND - 20) / TOP
}
