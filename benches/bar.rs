//! What the bar costs on 1 MB of HTML, in the pieces in which pingora hands it on.
//!
//! `cargo bench --bench bar`; the bound of 10 ms is held by
//! `cargo test --release --lib -- --ignored a_megabyte_costs`

// Nothing is served yet: what fails here fails at the start.
#![allow(clippy::expect_used)]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use vestibule::proxy::bar::Page;

const SIZE: usize = 1_000_000;
const PIECE: usize = 16 << 10;

/// A page of `SIZE` bytes that begins so.
fn page(begins: &str) -> Vec<Bytes> {
    let row = "<tr class=\"row\"><td>174411</td><td><a href=\"/patients/174411\">Rivera, Elena</a></td><td>Gait &amp; balance</td></tr>\n";
    let mut text = begins.to_owned();
    while text.len() + row.len() <= SIZE {
        text += row;
    }
    let whole = Bytes::from(text);
    (0..whole.len())
        .step_by(PIECE)
        .map(|at| whole.slice(at..whole.len().min(at + PIECE)))
        .collect()
}

fn pass(mut bar: Page, pieces: &[Bytes]) -> usize {
    let mut out = 0;
    for piece in pieces {
        let mut body = Some(piece.clone());
        bar.pass(&mut body, false);
        out += body.map_or(0, |body| body.len());
    }
    let mut body = None;
    bar.pass(&mut body, true);
    out + body.map_or(0, |body| body.len())
}

fn all(c: &mut Criterion) {
    let mut group = c.benchmark_group("bar: 1 MB");
    group.throughput(Throughput::Bytes(SIZE as u64));
    for (name, begins) in [
        (
            "with a head",
            "<!doctype html><html><head><title>x</title></head><body><table>",
        ),
        ("without head and body", "<table>"),
        ("of script without an end", "<script>"),
    ] {
        let pieces = page(begins);
        group.bench_function(name, |b| {
            b.iter_batched(
                || Page::begin().expect("the selectors are right"),
                |bar| black_box(pass(bar, &pieces)),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, all);
criterion_main!(benches);
