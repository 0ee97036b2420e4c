//! The frames of HTTP/2 themselves, by the sections of RFC 9113; h2spec's list is the guide.

use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PING, PRIORITY, RESET,
    SETTINGS, Said, WINDOW_UPDATE, block, frame,
};
use crate::site::Site;

const ACK: u8 = 1;
const PADDED: u8 = 8;
const PRIORITISED: u8 = 32;

const PROTOCOL: u32 = 1;
const FLOW: u32 = 3;
const CLOSED: u32 = 5;
const SIZE: u32 = 6;
const REFUSED: u32 = 7;
const COMPRESSION: u32 = 9;
const CALM: u32 = 11;

/// What must come of it.
#[derive(Debug, Clone, Copy)]
enum Must {
    /// The connection ends, with one of these codes or the general one, or without a word: where the
    /// RFC has a finer code the library often says `PROTOCOL_ERROR`.
    End(&'static [u32]),
    /// The stream is reset with one of these codes, or the connection ends.
    Reset(&'static [u32]),
    /// Stream 1 is answered.
    Answer,
    /// What becomes of the stream may be said later, or is the library's to pass over (priorities,
    /// which RFC 9113 has done away with): the connection ends or goes on, and no backend hears of it.
    NoHarm,
    /// Nothing happens: a ping after it is answered.
    Nothing,
}

fn head_block() -> Vec<u8> {
    block(&[
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"emr.test"),
        (b":path", b"/frames"),
    ])
}

fn post_block() -> Vec<u8> {
    block(&[
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", b"emr.test"),
        (b":path", b"/frames"),
    ])
}

fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &head_block())
}

fn post(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &post_block())
}

fn setting(id: u16, value: u32) -> Vec<u8> {
    frame(
        SETTINGS,
        0,
        0,
        &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat(),
    )
}

fn with(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

/// Name, what is sent after the settings were exchanged, what must come of it.
fn rows() -> Vec<(&'static str, Vec<u8>, Must)> {
    let head = head_block();
    let (first, second) = head.split_at(10);
    let padded = |pad: u8| [&[pad][..], &head].concat();
    let prioritised = |on: u32| [&on.to_be_bytes()[..], &[15], &head].concat();
    let mut reserved_bit = get(1);
    reserved_bit[5] |= 0x80;
    let dynamic_size = [&[0x3F, 0xE1, 0xFF, 0x03][..], &head].concat();
    let most_size = [&[0x3F, 0xFF, 0xFF, 0xFF, 0x7F][..], &head].concat();
    vec![
        (
            "4.1 an unknown kind is passed over",
            with(&[frame(0x16, 0, 0, b"12345678"), get(1)]),
            Must::Answer,
        ),
        (
            "4.1 unknown flags are passed over",
            frame(PING, 0x16, 0, b"12345678"),
            Must::Nothing,
        ),
        (
            "4.1 the reserved bit is passed over",
            reserved_bit,
            Must::Answer,
        ),
        (
            "5.5 an unknown kind on a stream",
            with(&[
                post(1),
                frame(0x20, 0, 1, b"x"),
                frame(DATA, END_STREAM, 1, b""),
            ]),
            Must::Answer,
        ),
        (
            "4.2 data beyond the size",
            with(&[post(1), frame(DATA, END_STREAM, 1, &[0; 16_385])]),
            Must::Reset(&[SIZE]),
        ),
        (
            "4.2 a head beyond the size",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0; 16_385]),
            Must::End(&[SIZE]),
        ),
        (
            "4.2 settings beyond the size",
            frame(SETTINGS, 0, 0, &[0; 16_386]),
            Must::End(&[SIZE, PROTOCOL]),
        ),
        (
            "4.3 an index that is in no table",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0xFF, 0x80, 0x01]),
            Must::End(&[COMPRESSION]),
        ),
        (
            "4.3 index nought",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0x80]),
            Must::End(&[COMPRESSION]),
        ),
        (
            "4.3 a text that goes beyond its block",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0, 0x7F]),
            Must::End(&[COMPRESSION]),
        ),
        (
            "4.3 Huffman that ends in a sign of its own",
            frame(
                HEADERS,
                END_STREAM | END_HEADERS,
                1,
                &[0, 0x84, 0xFF, 0xFF, 0xFF, 0xFF, 1, 0x61],
            ),
            Must::End(&[COMPRESSION]),
        ),
        (
            "4.3 a table beyond what was allowed",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &most_size),
            Must::End(&[COMPRESSION]),
        ),
        (
            "4.3 a table of 64 KiB",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &dynamic_size),
            Must::End(&[COMPRESSION]),
        ),
        (
            "4.3 another frame within a head",
            with(&[
                frame(HEADERS, END_STREAM, 1, first),
                frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9]),
                frame(CONTINUATION, END_HEADERS, 1, second),
            ]),
            Must::End(&[PROTOCOL]),
        ),
        (
            "4.3 another stream within a head",
            with(&[frame(HEADERS, END_STREAM, 1, first), get(3)]),
            Must::End(&[PROTOCOL]),
        ),
        (
            "5.1 data before a head",
            frame(DATA, 0, 1, b"x"),
            Must::End(&[PROTOCOL]),
        ),
        (
            "5.1 a reset before a head",
            frame(RESET, 0, 1, &[0, 0, 0, 8]),
            Must::End(&[PROTOCOL]),
        ),
        (
            "5.1 a window before a head",
            frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 9]),
            Must::End(&[PROTOCOL]),
        ),
        (
            "5.1 a continuation before a head",
            frame(CONTINUATION, END_HEADERS, 1, &head),
            Must::End(&[PROTOCOL]),
        ),
        (
            "5.1 data after the end",
            with(&[get(1), frame(DATA, END_STREAM, 1, b"x")]),
            Must::Reset(&[CLOSED]),
        ),
        (
            "5.1 a head after the end",
            with(&[get(1), get(1)]),
            Must::Reset(&[CLOSED]),
        ),
        (
            "5.1 a continuation after the end",
            with(&[get(1), frame(CONTINUATION, END_HEADERS, 1, &head)]),
            Must::Reset(&[CLOSED, PROTOCOL]),
        ),
        (
            "5.1 data after a reset",
            with(&[
                post(1),
                frame(RESET, 0, 1, &[0, 0, 0, 8]),
                frame(DATA, END_STREAM, 1, b"x"),
            ]),
            Must::NoHarm,
        ),
        ("5.1.1 an even number", get(2), Must::End(&[PROTOCOL])),
        (
            "5.1.1 a smaller number",
            with(&[get(5), get(3)]),
            Must::End(&[PROTOCOL, CLOSED]),
        ),
        (
            "5.3.1 a head that depends on itself",
            frame(
                HEADERS,
                END_STREAM | END_HEADERS | PRIORITISED,
                1,
                &prioritised(1),
            ),
            Must::NoHarm,
        ),
        (
            "5.3.1 a stream that depends on itself",
            with(&[post(1), frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 9])]),
            Must::NoHarm,
        ),
        (
            "6.1 data on stream nought",
            frame(DATA, 0, 0, b"x"),
            Must::End(&[PROTOCOL]),
        ),
        (
            "6.1 more padding than data",
            with(&[post(1), frame(DATA, END_STREAM | PADDED, 1, &[9, 1, 2])]),
            Must::End(&[PROTOCOL]),
        ),
        (
            "6.1 padding is passed over",
            with(&[
                post(1),
                frame(DATA, END_STREAM | PADDED, 1, &[2, b'x', 0, 0]),
            ]),
            Must::Answer,
        ),
        (
            "6.2 a head on stream nought",
            frame(HEADERS, END_STREAM | END_HEADERS, 0, &head),
            Must::End(&[PROTOCOL]),
        ),
        (
            "6.2 more padding than head",
            frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, &padded(255)),
            Must::End(&[PROTOCOL]),
        ),
        (
            "6.2 a head with weight",
            frame(
                HEADERS,
                END_STREAM | END_HEADERS | PRIORITISED,
                1,
                &prioritised(0),
            ),
            Must::Answer,
        ),
        (
            "6.3 a priority on stream nought",
            frame(PRIORITY, 0, 0, &[0, 0, 0, 1, 9]),
            Must::End(&[PROTOCOL]),
        ),
        (
            "6.3 a priority of four bytes",
            with(&[post(1), frame(PRIORITY, 0, 1, &[0, 0, 0, 3])]),
            Must::Reset(&[SIZE]),
        ),
        (
            "6.3 a priority of what never was",
            with(&[frame(PRIORITY, 0, 7, &[0, 0, 0, 0, 9]), get(9)]),
            Must::Nothing,
        ),
        (
            "6.4 a reset of stream nought",
            frame(RESET, 0, 0, &[0, 0, 0, 8]),
            Must::End(&[PROTOCOL]),
        ),
        (
            "6.4 a reset of three bytes",
            with(&[post(1), frame(RESET, 0, 1, &[0, 0, 8])]),
            Must::End(&[SIZE]),
        ),
        (
            "6.5 an acknowledgement with content",
            frame(SETTINGS, ACK, 0, &[0, 0, 0, 0, 0, 0]),
            Must::End(&[SIZE]),
        ),
        (
            "6.5 settings on a stream",
            frame(SETTINGS, 0, 1, &[0, 3, 0, 0, 0, 9]),
            Must::End(&[PROTOCOL]),
        ),
        (
            "6.5 settings of five bytes",
            frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0]),
            Must::End(&[SIZE]),
        ),
        (
            "6.5.2 a push that is neither on nor off",
            setting(2, 2),
            Must::End(&[PROTOCOL]),
        ),
        (
            "6.5.2 a window beyond the largest",
            setting(4, 0x8000_0000),
            Must::End(&[FLOW]),
        ),
        (
            "6.5.2 frames below the smallest",
            setting(5, 16_383),
            Must::End(&[PROTOCOL]),
        ),
        (
            "6.5.2 frames beyond the largest",
            setting(5, 0x0100_0000),
            Must::End(&[PROTOCOL]),
        ),
        (
            "6.5.2 a setting of nobody's",
            with(&[setting(0xFF, 1), get(1)]),
            Must::Answer,
        ),
        (
            "6.6 a push from a client",
            with(&[
                post(1),
                frame(5, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &head].concat()),
            ]),
            Must::End(&[PROTOCOL]),
        ),
        (
            "6.7 an answer to no ping",
            frame(PING, ACK, 0, b"unasked!"),
            Must::Nothing,
        ),
        (
            "6.7 a ping on a stream",
            frame(PING, 0, 1, b"12345678"),
            Must::End(&[PROTOCOL]),
        ),
        (
            "6.7 a ping of six bytes",
            frame(PING, 0, 0, b"123456"),
            Must::End(&[SIZE]),
        ),
        (
            "6.8 a farewell on a stream",
            frame(GOAWAY, 0, 1, &[0; 8]),
            Must::End(&[PROTOCOL]),
        ),
        (
            "6.9 a window of nought",
            frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
            Must::End(&[PROTOCOL]),
        ),
        (
            "6.9 a stream's window of nought",
            with(&[post(1), frame(WINDOW_UPDATE, 0, 1, &[0; 4])]),
            Must::Reset(&[PROTOCOL]),
        ),
        (
            "6.9 a window of three bytes",
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 9]),
            Must::End(&[SIZE]),
        ),
        (
            "6.9.1 a window that overflows",
            frame(WINDOW_UPDATE, 0, 0, &[0x7F, 0xFF, 0xFF, 0xFF]),
            Must::End(&[FLOW]),
        ),
        (
            "6.9.1 a stream's window that overflows",
            with(&[
                post(1),
                frame(WINDOW_UPDATE, 0, 1, &[0x7F, 0xFF, 0xFF, 0xFF]),
            ]),
            Must::NoHarm,
        ),
        (
            "6.10 a head in three",
            with(&[
                frame(HEADERS, END_STREAM, 1, first),
                frame(CONTINUATION, 0, 1, &second[..9]),
                frame(CONTINUATION, END_HEADERS, 1, &second[9..]),
            ]),
            Must::Answer,
        ),
        (
            "6.10 a continuation of stream nought",
            with(&[
                frame(HEADERS, END_STREAM, 1, first),
                frame(CONTINUATION, END_HEADERS, 0, second),
            ]),
            Must::End(&[PROTOCOL]),
        ),
        (
            "6.10 a continuation of a whole head",
            with(&[post(1), frame(CONTINUATION, END_HEADERS, 1, &head)]),
            Must::End(&[PROTOCOL]),
        ),
        (
            "6.10 a continuation after data",
            with(&[
                post(1),
                frame(DATA, 0, 1, b"x"),
                frame(CONTINUATION, END_HEADERS, 1, &head),
            ]),
            Must::End(&[PROTOCOL]),
        ),
        (
            "8.1 a second head that is no end",
            with(&[
                post(1),
                frame(HEADERS, END_HEADERS, 1, &block(&[(b"x-a", b"b")])),
            ]),
            Must::NoHarm,
        ),
        (
            "8.1 trailers with a pseudo-header",
            with(&[
                post(1),
                frame(
                    HEADERS,
                    END_STREAM | END_HEADERS,
                    1,
                    &block(&[(b":path", b"/")]),
                ),
            ]),
            Must::NoHarm,
        ),
    ]
}

/// Sends, then waits for what was said about it; a ping after it says that nothing was.
async fn fate(frames: &mut Frames, bytes: &[u8]) -> Vec<Said> {
    frames.raw(bytes).await;
    frames.raw(&frame(PING, 0, 0, b"are you?")).await;
    let mut all = Vec::new();
    loop {
        let said = frames.said().await;
        let over = matches!(&said, Said::Closed | Said::Goaway(_))
            || matches!(&said, Said::Pong(of) if of == b"are you?");
        all.push(said);
        if over {
            return all;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_are_what_rfc_9113_says() {
    let site = Site::start().await;
    let mut wrong = Vec::new();
    for (name, bytes, must) in rows() {
        let mut frames = Frames::open(site.gateway.address, "emr.test").await;
        let mut said = fate(&mut frames, &bytes).await;
        // The answer to a whole request may come after the ping's.
        while matches!(must, Must::Answer)
            && !said
                .iter()
                .any(|one| matches!(one, Said::Head(1, _) | Said::Goaway(_) | Said::Closed))
        {
            said.push(frames.said().await);
        }
        let ended = |codes: &[u32]| {
            said.iter().any(|one| match one {
                Said::Goaway(code) => *code == PROTOCOL || codes.contains(code),
                Said::Closed => true,
                _ => false,
            })
        };
        let fine = match must {
            Must::End(codes) => ended(codes),
            Must::Reset(codes) => {
                ended(codes)
                    || said
                        .iter()
                        .any(|one| matches!(one, Said::Reset(_, code) if codes.contains(code)))
            }
            Must::Answer => said.contains(&Said::Head(1, 401)),
            Must::NoHarm => matches!(
                said.last(),
                Some(Said::Pong(_) | Said::Goaway(_) | Said::Closed)
            ),
            Must::Nothing => {
                matches!(said.last(), Some(Said::Pong(_)))
                    && !said.iter().any(|one| matches!(one, Said::Reset(..)))
            }
        };
        if !fine {
            wrong.push(format!("{name}: must {must:?}, was {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(site.recorder.take().is_empty(), "nobody is signed in here");
    // And everybody else is served.
    assert_eq!(site.ask(site.head("GET /next", &[])).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preface_is_whole_or_the_connection_ends() {
    let site = Site::start().await;
    for preface in [
        &b"INVALID CONNECTION PREFACE\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: emr.test\r\n\r\n",
    ] {
        let mut frames = Frames::bare(site.gateway.address, "emr.test").await;
        frames.raw(preface).await;
        loop {
            match frames.said().await {
                Said::Closed | Said::Goaway(_) => break,
                said => assert!(!matches!(said, Said::Head(..) | Said::Pong(_)), "{said:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_and_pings_are_answered() {
    let site = Site::start().await;
    let mut frames = Frames::open(site.gateway.address, "emr.test").await;
    assert_eq!(frames.said().await, Said::SettingsTaken);
    frames.raw(&frame(PING, 0, 0, b"12345678")).await;
    assert_eq!(frames.said().await, Said::Pong(b"12345678".to_vec()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_streams_than_allowed_are_refused() {
    let site =
        Site::start_with(|setup| setup.more = String::from("[limits]\nstreams_per_connection = 3"))
            .await;
    let cookie = site.cookie("emr.test");
    let fields: [(&[u8], &[u8]); 5] = [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", b"emr.test"),
        (b":path", b"/many"),
        (b"cookie", cookie.as_bytes()),
    ];
    let mut frames = Frames::open(site.gateway.address, "emr.test").await;
    // None of them ends: all are open at once.
    let streams: Vec<u32> = {
        let mut streams = Vec::new();
        for _ in 0..5 {
            streams.push(frames.begin(&fields, 0).await);
        }
        streams
    };
    let mut refused = Vec::new();
    frames.raw(&frame(PING, 0, 0, b"12345678")).await;
    loop {
        match frames.said().await {
            Said::Reset(stream, code) => {
                assert!([REFUSED, PROTOCOL].contains(&code), "{code}");
                refused.push(stream);
            }
            Said::Goaway(_) | Said::Closed => break,
            Said::Pong(_) => {
                assert_eq!(refused, streams[3..], "streams beyond the limit");
                break;
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_keeps_to_the_window() {
    let site = Site::start().await;
    let body = "x".repeat(1000);
    site.recorder.answer(
        "/window",
        format!("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{body}").as_bytes(),
    );
    let cookie = site.cookie("emr.test");
    let mut frames = Frames::open(site.gateway.address, "emr.test").await;
    frames.raw(&setting(4, 10)).await;
    let stream = frames
        .begin(
            &[
                (b":method", b"GET"),
                (b":scheme", b"https"),
                (b":authority", b"emr.test"),
                (b":path", b"/window"),
                (b"cookie", cookie.as_bytes()),
            ],
            END_STREAM,
        )
        .await;
    let mut got = 0;
    let mut allowed = 10;
    loop {
        match frames.said().await {
            Said::Data(at, length, end) if at == stream => {
                got += length;
                assert!(got <= allowed, "{got} bytes where {allowed} were allowed");
                if end {
                    break;
                }
                if got == allowed {
                    // Nothing comes until more is allowed: a ping's answer would follow it.
                    frames.raw(&frame(PING, 0, 0, b"12345678")).await;
                    assert_eq!(frames.said().await, Said::Pong(b"12345678".to_vec()));
                    allowed += 330;
                    frames
                        .raw(&frame(WINDOW_UPDATE, 0, stream, &330_u32.to_be_bytes()))
                        .await;
                }
            }
            Said::Goaway(_) | Said::Closed | Said::Reset(..) => panic!("cut after {got} bytes"),
            _ => {}
        }
    }
    assert_eq!(got, 1000);
}

/// What a client makes the gateway reset, itself resetting nothing (CVE-2025-8671), and what costs
/// a line to say and a line to answer (CVE-2019-9512, CVE-2019-9515).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_costs_the_gateway_more_than_the_client_ends() {
    let site = Site::start().await;
    let cookie = site.cookie("emr.test");
    let fields: [(&[u8], &[u8]); 5] = [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", b"emr.test"),
        (b":path", b"/made"),
        (b"cookie", cookie.as_bytes()),
    ];
    let mut frames = Frames::open(site.gateway.address, "emr.test").await;
    let mut ended = false;
    for _ in 0..20_000 {
        let stream = frames.begin(&fields, 0).await;
        // A window of nought: the gateway has to reset the stream.
        if !frames.raw(&frame(WINDOW_UPDATE, 0, stream, &[0; 4])).await {
            ended = true;
            break;
        }
    }
    assert!(ended, "resets that were provoked are never too many");
    let mut reasons = Vec::new();
    loop {
        match frames.said().await {
            Said::Goaway(code) => reasons.push(code),
            Said::Closed => break,
            _ => {}
        }
    }
    assert!(
        reasons
            .iter()
            .all(|code| [CALM, PROTOCOL, 0].contains(code)),
        "{reasons:?}"
    );
    // Pings and settings whose answers are never read: their number has an end, or they are
    // answered one by one and nothing piles up.
    for flood in [frame(PING, 0, 0, b"12345678"), setting(3, 100)] {
        let mut frames = Frames::open(site.gateway.address, "emr.test").await;
        let many = flood.repeat(500);
        for _ in 0..40 {
            if !frames.raw(&many).await {
                break;
            }
            // Reading one answer keeps the line from filling in both directions.
            if matches!(frames.said().await, Said::Closed | Said::Goaway(_)) {
                break;
            }
        }
    }
    assert_eq!(site.ask(site.head("GET /next", &[])).await.status, 200);
}
