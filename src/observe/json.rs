//! The pieces of a JSON line, written by hand: the access log costs more than authentication when
//! it goes through a tree of values.
//!
//! What is written is ASCII alone. Line separators (U+2028), terminal controls (U+009B) and
//! overrides of the writing direction can therefore play no tricks on whoever reads the file,
//! whatever they read it with (Envoy CVE-2024-45808; ASVS 16.4.1).

use std::cell::Cell;
use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use crate::gate::time::Moment;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends a quoted string. Bytes that are not UTF-8 become U+FFFD.
pub fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    // Nearly always all of it is plain. Looking at every byte, whatever the others were, is what
    // the compiler turns into vector instructions.
    if text
        .iter()
        .fold(true, |plain, byte| plain & is_plain(*byte))
    {
        out.extend_from_slice(text);
    } else {
        put_escaped(out, text);
    }
    out.push(b'"');
}

#[cold]
fn put_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| !is_plain(*byte)) {
        let (plain, odd) = rest.split_at(at);
        out.extend_from_slice(plain);
        rest = put_odd(out, odd);
    }
    out.extend_from_slice(rest);
}

/// Appends at most `longest` bytes of `text`.
pub fn put_capped(out: &mut Vec<u8>, text: &[u8], longest: usize) {
    put_text(out, text.get(..longest).unwrap_or(text));
}

/// Without short cuts: each is a branch that keeps the loop above from being vectorised.
const fn is_plain(byte: u8) -> bool {
    (byte >= 0x20) & (byte < 0x7f) & (byte != b'"') & (byte != b'\\')
}

/// Escapes what stands at the beginning of `odd` and returns what follows it.
fn put_odd<'a>(out: &mut Vec<u8>, odd: &'a [u8]) -> &'a [u8] {
    match odd.split_first() {
        None => odd,
        Some((byte, rest)) if byte.is_ascii() => {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
                control => put_unit(out, u16::from(*control)),
            }
            rest
        }
        Some(_) => {
            let end = odd.iter().position(u8::is_ascii).unwrap_or(odd.len());
            let (foreign, rest) = odd.split_at(end);
            for chunk in foreign.utf8_chunks() {
                for unit in chunk.valid().encode_utf16() {
                    put_unit(out, unit);
                }
                if !chunk.invalid().is_empty() {
                    put_unit(out, 0xfffd);
                }
            }
            rest
        }
    }
}

fn put_unit(out: &mut Vec<u8>, unit: u16) {
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        put_nibble(out, (unit >> shift) as u8);
    }
}

fn put_nibble(out: &mut Vec<u8>, nibble: u8) {
    out.push(HEX.get(usize::from(nibble & 0xf)).copied().unwrap_or(b'0'));
}

/// Appends bytes as lower-case hexadecimal, without quotes.
pub fn put_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        put_nibble(out, byte >> 4);
        put_nibble(out, *byte);
    }
}

pub fn put_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut length = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        length += 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - length..).unwrap_or_default());
}

/// Appends a duration in milliseconds, to the microsecond: `1.204`.
pub fn put_millis(out: &mut Vec<u8>, span: Duration) {
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    put_number(out, micros / 1000);
    out.push(b'.');
    put_thousandth(out, micros % 1000);
}

fn put_thousandth(out: &mut Vec<u8>, thousandth: u64) {
    for per in [100, 10, 1] {
        out.push(b'0' + (thousandth / per % 10) as u8);
    }
}

/// Appends a quoted address; an IPv4 address has one spelling, also when it came mapped.
pub fn put_address(out: &mut Vec<u8>, address: IpAddr) {
    out.push(b'"');
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            for (index, octet) in v4.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                put_number(out, u64::from(octet));
            }
        }
        // Writing to memory does not fail.
        IpAddr::V6(v6) => drop(write!(out, "{v6}")),
    }
    out.push(b'"');
}

const SECOND_WRITTEN: usize = "2026-11-21T14:05:00".len();

thread_local! {
    /// The last second that this thread wrote: calendars are slow, and a thousand lines share one.
    static SECOND: Cell<(i64, [u8; SECOND_WRITTEN])> =
        const { Cell::new((i64::MIN, [b'0'; SECOND_WRITTEN])) };
}

/// Appends a quoted RFC 3339 time in UTC with milliseconds.
pub fn put_time(out: &mut Vec<u8>, time: Moment) {
    let (mut second, mut written) = SECOND.get();
    if second != time.secs() {
        second = time.secs();
        written = write_second(second);
        SECOND.set((second, written));
    }
    out.push(b'"');
    out.extend_from_slice(&written);
    out.push(b'.');
    put_thousandth(out, time.millis().rem_euclid(1000).unsigned_abs());
    out.extend_from_slice(b"Z\"");
}

fn write_second(second: i64) -> [u8; SECOND_WRITTEN] {
    let mut written = *b"0000-00-00T00:00:00";
    let text = Moment::from_secs(second).to_rfc3339();
    if let Some(head) = text.as_bytes().get(..SECOND_WRITTEN) {
        written.copy_from_slice(head);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(put: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        put(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_ascii_and_reads_back_as_it_was() {
        for text in [
            "",
            "plain",
            "a\"b\\c",
            "two\r\nlines",
            "\u{1b}[31m",
            "Zoë 🦀 \u{2028}\u{9b}",
        ] {
            let json = written(|out| put_text(out, text.as_bytes()));
            assert!(json.bytes().all(|b| (0x20..0x7f).contains(&b)), "{json:?}");
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }

    #[test]
    fn what_is_no_text_is_shown_as_such() {
        assert_eq!(
            written(|out| put_text(out, b"a\xff\xfeb")),
            "\"a\\ufffd\\ufffdb\""
        );
        assert_eq!(
            written(|out| put_capped(out, "aë".as_bytes(), 2)),
            "\"a\\ufffd\""
        );
    }

    #[test]
    fn numbers_times_and_addresses_are_exact() {
        for number in [0, 7, 10, 404, u64::MAX] {
            assert_eq!(written(|out| put_number(out, number)), number.to_string());
        }
        assert_eq!(
            written(|out| put_millis(out, Duration::from_micros(1_204))),
            "1.204"
        );
        assert_eq!(
            written(|out| put_millis(out, Duration::from_nanos(999))),
            "0.000"
        );
        for time in [
            "2026-11-21T14:05:00.250Z",
            "2026-11-21T14:05:00.003Z",
            "1969-12-31T23:59:59.999Z",
        ] {
            let moment = Moment::parse_rfc3339(time).unwrap();
            assert_eq!(written(|out| put_time(out, moment)), format!("\"{time}\""));
        }
        for (address, expected) in [
            ("203.0.113.9", "203.0.113.9"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(
                written(|out| put_address(out, address)),
                format!("\"{expected}\"")
            );
        }
    }
}
