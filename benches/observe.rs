//! What watching a request costs: its access line, and its metrics.
//!
//! `cargo bench --bench observe`

// Nothing is served yet: what fails here fails at the start.
#![allow(clippy::expect_used)]

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use vestibule::gate::host::Host;
use vestibule::gate::name::{ProductId, SessionId};
use vestibule::gate::product::{
    Access, Accounts, ActivityRules, IdentityHeaders, Product, Products, Unauthenticated,
};
use vestibule::gate::time::Moment;
use vestibule::observe::access::{AccessLine, AccessLog, Sink};
use vestibule::observe::metrics::Metrics;

fn products() -> Products {
    let product = |index: usize, id: &str| {
        Arc::new(Product {
            id: ProductId::parse(id).expect("an id"),
            index,
            name: id.to_owned(),
            host: Host::parse_authority(format!("{id}.localhost").as_bytes()).expect("a host"),
            origin: format!("https://{id}.localhost:8443"),
            primary: index == 0,
            needs_grant: false,
            accounts: Accounts::Own,
            access: Access::Required,
            idle: None,
            activity: ActivityRules::default(),
            identity: IdentityHeaders::Forwarded,
            unauthenticated: Unauthenticated::Auto,
            websockets: true,
        })
    };
    let all = ["emr", "billing", "analytics"];
    let all = all
        .into_iter()
        .enumerate()
        .map(|(index, id)| product(index, id))
        .collect();
    Products::new(all).expect("one primary product")
}

fn line(number: u32) -> AccessLine<'static> {
    AccessLine {
        // Twenty thousand a second.
        time: Moment::from_millis(1_795_269_900_000 + i64::from(number / 20)),
        request_id: "0d3f0f2e6ad14c6a9b1c55d0a3a7be11",
        trace_id: None,
        product: Some("emr"),
        method: b"GET",
        host: b"emr.example.com",
        path: b"/patients/174411/encounters/20261121/notes",
        status: 200,
        duration: Duration::from_micros(1_204),
        upstream: Some(Duration::from_micros(902)),
        bytes_in: 0,
        bytes_out: 2_048,
        address: Ipv4Addr::new(203, 0, 113, 77).into(),
        decision: "allow",
        reason: "session",
        rule: None,
        person: Some("kim.doe"),
        session: Some(SessionId::from_bytes([7; 16])),
        company: Some("acme-rehab"),
        factor_age: Some(600),
        remembered_device: false,
        session_age: Some(3_600),
        idle: Some(12),
        protocol: "HTTP/1.1",
        user_agent: Some(
            b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
        ),
    }
}

fn access_line(c: &mut Criterion) {
    let mut out = Vec::with_capacity(64 * 1024);
    let mut number = 0_u32;
    c.bench_function("access line: format", |b| {
        b.iter(|| {
            out.clear();
            number = number.wrapping_add(1);
            black_box(line(number)).write(&mut out);
            black_box(out.len())
        });
    });
}

fn access_log(c: &mut Criterion) {
    let metrics = Metrics::new(&products());
    let log = AccessLog::start(Sink::File("/dev/null".into()), &metrics).expect("/dev/null");
    let mut number = 0_u32;
    c.bench_function("access line: format and hand on", |b| {
        b.iter(|| {
            number = number.wrapping_add(1);
            log.write(&black_box(line(number)));
        });
    });
}

fn counting(c: &mut Criterion) {
    let metrics = Metrics::new(&products());
    let took = Duration::from_micros(1_204);
    c.bench_function("metrics: one request", |b| {
        b.iter(|| {
            metrics.decision(black_box(Some(1)), "allow", "session");
            metrics.lookup("cache");
            metrics.upstream(black_box(1), black_box(took));
            metrics.request(black_box(Some(1)), black_box(200), black_box(took));
        });
    });
}

criterion_group!(benches, access_line, access_log, counting);
criterion_main!(benches);
