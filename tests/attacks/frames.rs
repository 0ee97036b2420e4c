//! HTTP/2 by hand, for what no library sends.

#![allow(dead_code)] // every test program uses another part of this

use std::net::SocketAddr;

use rustls::pki_types::ServerName;

use crate::wire::Wire;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const PRIORITY: u8 = 2;
pub const PING: u8 = 6;
pub const WINDOW_UPDATE: u8 = 8;

/// The next thing that the other side says which is not about the pace of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Head(u32, u16),
    /// Of so many bytes; the last of its stream or not.
    Data(u32, usize, bool),
    Reset(u32, u32),
    Goaway(u32),
    Pong(Vec<u8>),
    SettingsTaken,
    Closed,
}

/// What became of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Status(u16),
    Reset,
    GoneAway,
    Closed,
}

pub struct Frames {
    wire: Wire,
    next: u32,
}

impl Frames {
    pub async fn open(gateway: SocketAddr, name: &str) -> Frames {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut wire = Wire::connect(gateway, name, b"h2").await.unwrap();
        wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        wire.send(frame(SETTINGS, 0, 0, &[])).await;
        Frames { wire, next: 1 }
    }

    /// Sends a whole request and says what became of it.
    pub async fn ask(&mut self, fields: &[(&[u8], &[u8])]) -> Outcome {
        let stream = self.begin(fields, END_STREAM).await;
        self.outcome(stream).await
    }

    /// Opens a stream with these fields, each a literal without Huffman (RFC 7541, 6.2.2).
    pub async fn begin(&mut self, fields: &[(&[u8], &[u8])], flags: u8) -> u32 {
        let stream = self.next;
        self.next += 2;
        self.fields(stream, fields, flags).await;
        stream
    }

    /// Fields on an open stream: trailers.
    pub async fn fields(&mut self, stream: u32, fields: &[(&[u8], &[u8])], flags: u8) {
        let block = block(fields);
        let mut pieces = block.chunks(16_000);
        let first = pieces.next().unwrap_or(&[]);
        let rest: Vec<&[u8]> = pieces.collect();
        let ends = |last: bool| if last { END_HEADERS } else { 0 };
        let mut bytes = frame(HEADERS, flags | ends(rest.is_empty()), stream, first);
        for (place, piece) in rest.iter().enumerate() {
            bytes.extend(frame(
                CONTINUATION,
                ends(place + 1 == rest.len()),
                stream,
                piece,
            ));
        }
        self.wire.send(bytes).await;
    }

    /// Only the beginning of a head, for ever unfinished.
    pub async fn half_a_head(&mut self, fields: &[(&[u8], &[u8])]) {
        let bytes = frame(HEADERS, END_STREAM, self.next, &block(fields));
        self.wire.send(bytes).await;
    }

    /// The rest of that head, piece by piece, for ever unfinished.
    pub async fn more_of_a_head(&mut self, fields: &[(&[u8], &[u8])]) -> bool {
        let bytes = frame(CONTINUATION, 0, self.next, &block(fields));
        self.wire.send(bytes).await
    }

    /// Takes back what was asked; whether the gateway still listens.
    pub async fn reset(&mut self, stream: u32) -> bool {
        const CANCEL: [u8; 4] = [0, 0, 0, 8];
        self.wire.send(frame(RESET, 0, stream, &CANCEL)).await
    }

    pub async fn data(&mut self, stream: u32, bytes: &[u8], flags: u8) -> bool {
        self.wire.send(frame(DATA, flags, stream, bytes)).await
    }

    pub async fn outcome(&mut self, stream: u32) -> Outcome {
        loop {
            let head = self.wire.exactly(9).await;
            if head.len() < 9 {
                return Outcome::Closed;
            }
            let length =
                usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let payload = self.wire.exactly(length).await;
            let at = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7FFF_FFFF;
            match head[3] {
                HEADERS if at == stream => return Outcome::Status(status(&payload)),
                RESET if at == stream => return Outcome::Reset,
                GOAWAY => return Outcome::GoneAway,
                _ => {}
            }
        }
    }

    /// Without a preface or settings.
    pub async fn bare(gateway: SocketAddr, name: &str) -> Frames {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let wire = Wire::connect(gateway, name, b"h2").await.unwrap();
        Frames { wire, next: 1 }
    }

    /// Exactly these bytes; whether the gateway still listens.
    pub async fn raw(&mut self, bytes: &[u8]) -> bool {
        self.wire.send(bytes).await
    }

    /// The next thing said, whatever it is about.
    pub async fn said(&mut self) -> Said {
        loop {
            let head = self.wire.exactly(9).await;
            if head.len() < 9 {
                return Said::Closed;
            }
            let length =
                usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let payload = self.wire.exactly(length).await;
            let number = |at: usize| {
                payload.get(at..at + 4).map_or(u32::MAX, |four| {
                    u32::from_be_bytes(four.try_into().unwrap())
                })
            };
            let at = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7FFF_FFFF;
            match (head[3], head[4]) {
                (HEADERS, _) => return Said::Head(at, status(&payload)),
                (DATA, flags) => return Said::Data(at, length, flags & END_STREAM != 0),
                (RESET, _) => return Said::Reset(at, number(0)),
                (GOAWAY, _) => return Said::Goaway(number(4)),
                (PING, flags) if flags & 1 != 0 => return Said::Pong(payload),
                (SETTINGS, flags) if flags & 1 != 0 => return Said::SettingsTaken,
                _ => {}
            }
        }
    }

    pub async fn is_closed(&mut self) -> bool {
        self.wire.rest().await;
        true
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

pub fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            push_length(&mut bytes, text.len());
            bytes.extend_from_slice(text);
        }
    }
    bytes
}

/// An integer with a prefix of seven bits (RFC 7541, 5.1).
fn push_length(bytes: &mut Vec<u8>, mut length: usize) {
    if length < 127 {
        bytes.push(u8::try_from(length).unwrap());
        return;
    }
    bytes.push(127);
    length -= 127;
    while length >= 128 {
        bytes.push(u8::try_from(length % 128 + 128).unwrap());
        length /= 128;
    }
    bytes.push(u8::try_from(length).unwrap());
}

/// `:status` comes first: from the static table, or its digits.
fn status(block: &[u8]) -> u16 {
    let block = match block {
        // A new size of the table.
        [size, rest @ ..] if size & 0xE0 == 0x20 => rest,
        block => block,
    };
    match block {
        [indexed, ..] if indexed & 0x80 != 0 => match indexed & 0x7F {
            8 => 200,
            9 => 204,
            10 => 206,
            11 => 304,
            12 => 400,
            13 => 404,
            14 => 500,
            other => panic!("no status at {other}"),
        },
        [_, length, text @ ..] if length & 0x80 == 0 => {
            let digits = &text[..usize::from(*length)];
            std::str::from_utf8(digits).unwrap().parse().unwrap()
        }
        [_, length, text @ ..] => huffman_digits(&text[..usize::from(length & 0x7F)]),
        _ => panic!("no status in {block:?}"),
    }
}

/// RFC 7541, appendix B, for digits alone.
fn huffman_digits(bytes: &[u8]) -> u16 {
    let bits: Vec<u16> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| u16::from(byte >> bit & 1)))
        .collect();
    let mut number = 0;
    let mut at = 0;
    while let Some(five) = bits.get(at..at + 5) {
        let five = five.iter().fold(0, |sum, bit| sum * 2 + bit);
        if five < 3 {
            number = number * 10 + five;
            at += 5;
        } else if let Some(last) = bits.get(at + 5)
            && (0b01100..=0b01111).contains(&five)
        {
            number = number * 10 + 3 + (five * 2 + last - 0b011001);
            at += 6;
        } else {
            break;
        }
    }
    number
}
