//! The websocket through the gateway: whatever is sent, it is as if there were no gateway. The same
//! bytes go to the same server directly and through it; what comes back must be the same. The list
//! follows the Autobahn suite.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::gateway::{Gateway, Setup};
use crate::visitor::Visitor;
use crate::wire::{PATIENCE, Wire};

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FIN: u8 = 0x80;

/// A frame as a client sends it.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..=125 => bytes.push(0x80 | u8::try_from(short).unwrap()),
        middle @ 126..=65_535 => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(middle).unwrap().to_be_bytes());
        }
        long => {
            bytes.push(0x80 | 127);
            bytes.extend(u64::try_from(long).unwrap().to_be_bytes());
        }
    }
    let mask = [0x12, 0x34, 0x56, 0x78];
    bytes.extend(mask);
    bytes.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}

fn closing(code: u16, reason: &[u8]) -> Vec<u8> {
    masked(FIN | CLOSE, &[&code.to_be_bytes()[..], reason].concat())
}

/// Name, bytes, and the size of the pieces in which they are written.
fn cases() -> Vec<(String, Vec<u8>, usize)> {
    let goodbye = closing(1000, b"");
    let ended = |parts: &[Vec<u8>]| [parts.concat(), goodbye.clone()].concat();
    let mut cases: Vec<(String, Vec<u8>, usize)> = Vec::new();
    let mut case = |name: &str, bytes: Vec<u8>| cases.push((name.to_owned(), bytes, usize::MAX));
    for size in [0, 125, 126, 127, 128, 65_535, 65_536, 1 << 20] {
        case(
            &format!("text of {size}"),
            ended(&[masked(FIN | TEXT, &vec![b'*'; size])]),
        );
        case(
            &format!("binary of {size}"),
            ended(&[masked(FIN | BINARY, &vec![0xFE; size])]),
        );
    }
    for size in [0, 1, 125, 126] {
        case(
            &format!("ping of {size}"),
            ended(&[masked(FIN | PING, &vec![0xFE; size])]),
        );
        case(
            &format!("pong of {size}"),
            ended(&[masked(FIN | PONG, &vec![0xFE; size])]),
        );
    }
    case(
        "ten pings",
        ended(&[masked(FIN | PING, b"payload").repeat(10)]),
    );
    for first in [0x40, 0x20, 0x10, 0x70] {
        case(
            &format!("reserved bits {first:x}"),
            ended(&[masked(FIN | TEXT | first, b"hello")]),
        );
    }
    for kind in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        let hello = masked(FIN | TEXT, b"hello");
        case(
            &format!("kind {kind}"),
            ended(&[hello, masked(FIN | kind, b"x")]),
        );
    }
    let begun = masked(TEXT, b"frag");
    let middle = masked(0, b"ment");
    let last = masked(FIN, b"ed");
    case(
        "fragments",
        ended(&[begun.clone(), middle.clone(), last.clone()]),
    );
    case(
        "fragments, one byte each",
        ended(&[
            masked(TEXT, b"a"),
            masked(0, b"b").repeat(1000),
            masked(FIN, b"c"),
        ]),
    );
    case(
        "empty fragments",
        ended(&[masked(TEXT, b""), masked(0, b""), masked(FIN, b"")]),
    );
    case(
        "a ping between fragments",
        ended(&[begun.clone(), masked(FIN | PING, b"now"), last.clone()]),
    );
    case(
        "a ping in fragments",
        ended(&[masked(PING, b"frag"), last.clone()]),
    );
    case(
        "a continuation of nothing",
        ended(std::slice::from_ref(&last)),
    );
    case(
        "a text within a text",
        ended(&[begun.clone(), masked(FIN | TEXT, b"new"), last.clone()]),
    );
    case(
        "a close between fragments",
        [begun.clone(), goodbye.clone()].concat(),
    );
    case(
        "text that is no UTF-8",
        ended(&[masked(FIN | TEXT, b"\xce\xba\xed\xa0\x80edited")]),
    );
    case(
        "text that is cut within a sign",
        ended(&[masked(FIN | TEXT, b"\xce\xba\xe1\xbd")]),
    );
    case(
        "a sign over two fragments",
        ended(&[masked(TEXT, b"\xce"), masked(FIN, b"\xba")]),
    );
    case(
        "no mask",
        [vec![FIN | TEXT, 5], b"hello".to_vec(), goodbye.clone()].concat(),
    );
    case(
        "a length of 63 bits",
        [vec![FIN | BINARY, 0xFF], vec![0xFF; 8], vec![0; 4]].concat(),
    );
    case(
        "a length that is longer than it needs",
        [
            vec![FIN | BINARY, 0xFE, 0, 5],
            vec![0; 4],
            b"hello".to_vec(),
            goodbye.clone(),
        ]
        .concat(),
    );
    for code in [
        0, 999, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1011, 1012, 1015, 2999, 3000, 4999,
        5000, 65_535,
    ] {
        case(&format!("close with {code}"), closing(code, b"so"));
    }
    case("close without a code", masked(FIN | CLOSE, b""));
    case("close of one byte", masked(FIN | CLOSE, b"\x03"));
    case("close with the longest reason", closing(1000, &[b'*'; 123]));
    case("close with a reason too long", closing(1000, &[b'*'; 124]));
    case(
        "close with a reason that is no UTF-8",
        closing(1000, b"\xed\xa0\x80"),
    );
    case("two closes", [goodbye.clone(), goodbye.clone()].concat());
    case(
        "a text after the close",
        [goodbye.clone(), masked(FIN | TEXT, b"late")].concat(),
    );
    case(
        "a hundred texts at once",
        ended(&[masked(FIN | TEXT, b"hello").repeat(100)]),
    );
    let dribbled = ended(&[
        begun,
        masked(FIN | PING, b"now"),
        middle,
        last,
        masked(FIN | TEXT, "h\u{e9}".as_bytes()),
    ]);
    cases.push((String::from("byte by byte"), dribbled, 1));
    cases.push((
        String::from("in pieces of 997"),
        ended(&[masked(FIN | BINARY, &[7; 65_536])]),
        997,
    ));
    cases
}

/// What comes back until the end.
async fn told<S: AsyncRead + AsyncWrite + Unpin>(stream: S, bytes: &[u8], piece: usize) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut all = Vec::new();
    let writing = async {
        for piece in bytes.chunks(piece) {
            // Whoever has heard enough closes; that shows in what is read.
            if writer.write_all(piece).await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
    };
    let reading = async {
        let mut chunk = vec![0; 16 * 1024];
        while let Ok(count) = reader.read(&mut chunk).await {
            if count == 0 {
                return;
            }
            all.extend_from_slice(&chunk[..count]);
        }
    };
    let both = async { tokio::join!(writing, reading) };
    tokio::time::timeout(PATIENCE, both).await.expect("an end");
    all
}

/// Says back what it hears, by tungstenite's rules.
async fn echo_server() -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(echo(stream));
        }
    });
    (url, task)
}

async fn echo(stream: TcpStream) -> Result<(), Error> {
    use futures_util::{SinkExt as _, StreamExt as _};
    let mut socket = tokio_tungstenite::accept_async(stream).await?;
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(_) | Message::Binary(_) = message {
            socket.send(message).await?;
        }
    }
    // Whatever was wrong, it is told before the line goes (RFC 6455, 7.1.7). What the client still
    // sends is read to its end: a line that is dropped with something unread takes words with it.
    let _ = socket.close(None).await;
    let stream = socket.get_mut();
    stream.shutdown().await?;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await?;
    Ok(())
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

async fn directly(url: &str) -> TcpStream {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET /ws HTTP/1.1\r\nHost: {address}\r\n{UPGRADE}");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"));
    stream
}

async fn through(gateway: &Gateway, kim: &Visitor) -> Wire {
    let cookie = kim.cookie("emr.test").unwrap();
    let origin = gateway.url("emr");
    let mut wire = Wire::open(gateway.address, "emr.test").await;
    let reply = wire
        .ask(format!(
            "GET /ws HTTP/1.1\r\nHost: emr.test\r\nOrigin: {origin}\r\nCookie: __Host-vestibule={cookie}\r\n{UPGRADE}"
        ))
        .await;
    assert_eq!(reply.status, 101, "{reply:?}");
    assert_eq!(
        reply.values("sec-websocket-accept"),
        ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]
    );
    wire
}

/// The frames in what a server said, so far as they are whole.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        let (length, rest) = match second & 0x7F {
            126 if rest.len() >= 2 => (
                usize::from(u16::from_be_bytes([rest[0], rest[1]])),
                &rest[2..],
            ),
            127 if rest.len() >= 8 => {
                let long = u64::from_be_bytes(rest[..8].try_into().unwrap());
                (usize::try_from(long).unwrap(), &rest[8..])
            }
            short @ 0..=125 => (usize::from(short), rest),
            _ => break,
        };
        let Some((payload, after)) = rest.split_at_checked(length) else {
            break;
        };
        all.push((*first, payload.to_vec()));
        bytes = after;
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_is_what_it_is_without_a_gateway() {
    let (url, server) = echo_server().await;
    let gateway = Setup::new(&url).start().await;
    let mut kim = Visitor::new(&gateway);
    // The server speaks nothing but websockets: the page after the sign-in is an error.
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let mut echoed = 0;
    for (name, bytes, piece) in cases() {
        let without = told(directly(&url).await, &bytes, piece).await;
        let with = told(through(&gateway, &kim).await.into_stream(), &bytes, piece).await;
        let (without, with) = (frames(&without), frames(&with));
        let shown = |all: &[(u8, Vec<u8>)]| -> Vec<(u8, usize)> {
            all.iter()
                .map(|(first, payload)| (*first, payload.len()))
                .collect()
        };
        assert!(
            with == without,
            "{name}: {:?}, without a gateway {:?}",
            shown(&with),
            shown(&without)
        );
        let ended_in_order = (FIN | CLOSE, 1000_u16.to_be_bytes().to_vec());
        echoed += usize::from(without.last() == Some(&ended_in_order));
    }
    assert!(echoed > 30, "{echoed} cases ended in order");
    gateway.stop().await;
    server.abort();
}
