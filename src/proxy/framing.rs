//! A second look at the raw bytes of HTTP/1 requests, for what pingora's parser forgives before
//! anybody can see it: request lines with more than two spaces or a fragment (it escapes the one and
//! cuts the other), Content-Length beside Transfer-Encoding (it drops the former), bare LF line
//! ends, and chunk lines that two parsers can read differently (RFC 9112, 2.2, 3, 6.1 and 7.1). It
//! judges nothing else and repairs nothing: it only ever refuses.

use memchr::{memchr, memchr2_iter};

/// The longest chunk-size line accepted, extensions included. They are dropped on the way, so
/// that nobody misses them.
const LONGEST_CHUNK_LINE: usize = 256;

/// The longest trailer section accepted. Trailers are not forwarded.
const LONGEST_TRAILERS: usize = 8 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// A request line that is not method, target and version with a space between each, or whose
    /// target has a fragment.
    RequestLine,
    /// A line of the head that ends in LF alone.
    BareLineFeed,
    /// Content-Length together with Transfer-Encoding.
    LengthAndCoding,
    /// A chunk line or chunk end that is not to the letter.
    Chunk,
    /// More of a head than anybody would answer.
    Head,
}

/// Follows one request at a time. Fed with every byte that is read from the connection.
#[derive(Debug)]
pub struct Inspector {
    state: State,
    /// Bytes of the head so far, and the most that are read: pingora's own limit is a megabyte for
    /// each connection.
    head_length: usize,
    longest_head: usize,
    /// Whether the request line is behind us: before it, empty lines are skipped (RFC 9112, 2.2).
    begun: bool,
    /// In the request line.
    spaces: usize,
    has_length: bool,
    has_coding: bool,
    violation: Option<Violation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head(Line),
    Chunk(Chunk),
    /// A body of known length, none at all, or another protocol: nothing to look at.
    Opaque,
}

/// Where in a head line the last byte was. The first bytes are kept to recognise two names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line {
    start: [u8; NAME],
    length: usize,
    last: u8,
}

const NAME: usize = "transfer-encoding:".len();

const NEW_LINE: Line = Line {
    start: [0; NAME],
    length: 0,
    last: 0,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunk {
    Size {
        value: u64,
        digits: u8,
        length: usize,
    },
    Extension {
        value: u64,
        length: usize,
    },
    SizeEnd {
        value: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    Trailers {
        length: usize,
        line: usize,
        cr: bool,
    },
    Done,
}

impl Inspector {
    /// A head longer than `longest_head` bytes is not read to its end.
    pub fn new(longest_head: usize) -> Inspector {
        Inspector {
            state: State::Head(NEW_LINE),
            head_length: 0,
            longest_head,
            begun: false,
            spaces: 0,
            has_length: false,
            has_coding: false,
            violation: None,
        }
    }

    /// A new request begins on the connection.
    pub fn begin(&mut self) {
        *self = Inspector::new(self.longest_head);
    }

    /// Whether some of a head came, and not only the empty line that may stand before it (RFC 9112, 2.2).
    pub fn has_begun(&self) -> bool {
        let in_first_line = |line: &Line| line.length > 0 && line.start.first() != Some(&b'\r');
        self.begun || matches!(&self.state, State::Head(line) if in_first_line(line))
    }

    pub fn violation(&self) -> Option<Violation> {
        self.violation
    }

    /// Looks at `bytes`. An error is a body, or an endless head, that must not be read any further;
    /// what else is wrong with a head, or with what came in one piece with it, is kept for
    /// [`Inspector::violation`], so that it can be answered.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Violation> {
        if let Some(violation @ (Violation::Chunk | Violation::Head)) = self.violation {
            return Err(violation);
        }
        let with_head = matches!(self.state, State::Head(_));
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Opaque => return Ok(()),
                State::Head(line) => self.head(line, bytes)?,
                State::Chunk(chunk) => match self.chunk(chunk, bytes) {
                    Err(_) if with_head => return Ok(()),
                    looked_at => looked_at?,
                },
            };
        }
        Ok(())
    }

    fn head<'a>(&mut self, mut line: Line, bytes: &'a [u8]) -> Result<&'a [u8], Violation> {
        let end = memchr(b'\n', bytes);
        self.head_length = self
            .head_length
            .saturating_add(end.map_or(bytes.len(), |end| end + 1));
        if self.head_length > self.longest_head {
            self.violation = Some(Violation::Head);
            return Err(Violation::Head);
        }
        let Some(end) = end else {
            line.take(bytes);
            self.look_at_request_line(bytes);
            self.state = State::Head(line);
            return Ok(&[]);
        };
        let (text, rest) = bytes.split_at(end);
        line.take(text);
        self.look_at_request_line(text);
        if line.last != b'\r' {
            self.violation = Some(Violation::BareLineFeed);
        }
        let empty = line.length <= 1;
        if !self.begun && !empty && self.spaces != 2 {
            self.violation = Some(Violation::RequestLine);
        }
        if empty && self.begun {
            self.end_head();
        } else {
            self.begun |= !empty;
            self.note(line);
            self.state = State::Head(NEW_LINE);
        }
        Ok(rest.get(1..).unwrap_or(&[]))
    }

    fn look_at_request_line(&mut self, text: &[u8]) {
        if self.begun {
            return;
        }
        for at in memchr2_iter(b' ', b'#', text) {
            if text.get(at) == Some(&b'#') {
                self.violation = Some(Violation::RequestLine);
            }
            self.spaces = self.spaces.saturating_add(1);
        }
    }

    fn note(&mut self, line: Line) {
        let named = |name: &str| {
            line.length >= name.len()
                && line
                    .start
                    .get(..name.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
        };
        self.has_length |= named("content-length:");
        self.has_coding |= named("transfer-encoding:");
    }

    fn end_head(&mut self) {
        if self.has_length && self.has_coding {
            self.violation = Some(Violation::LengthAndCoding);
        }
        self.state = if self.has_coding {
            State::Chunk(Chunk::Size {
                value: 0,
                digits: 0,
                length: 0,
            })
        } else {
            State::Opaque
        };
    }

    fn chunk<'a>(&mut self, chunk: Chunk, bytes: &'a [u8]) -> Result<&'a [u8], Violation> {
        if let Chunk::Data { left } = chunk {
            let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            let left = left.saturating_sub(taken as u64);
            self.state = State::Chunk(if left == 0 {
                Chunk::DataCr
            } else {
                Chunk::Data { left }
            });
            return Ok(bytes.get(taken..).unwrap_or(&[]));
        }
        let Some((&byte, rest)) = bytes.split_first() else {
            return Ok(bytes);
        };
        match chunk.step(byte) {
            Some(next) => {
                self.state = State::Chunk(next);
                Ok(rest)
            }
            None => {
                self.violation = Some(Violation::Chunk);
                Err(Violation::Chunk)
            }
        }
    }
}

impl Line {
    fn take(&mut self, text: &[u8]) {
        if let Some(free) = self.start.get_mut(self.length.min(NAME)..) {
            for (slot, byte) in free.iter_mut().zip(text) {
                *slot = *byte;
            }
        }
        self.length = self.length.saturating_add(text.len());
        self.last = text.last().copied().unwrap_or(self.last);
    }
}

impl Chunk {
    /// The state after one byte; `None` for what RFC 9112, 7.1 does not allow there.
    fn step(self, byte: u8) -> Option<Chunk> {
        match (self, byte) {
            (Chunk::Size { value, digits, .. }, b'\r') if digits > 0 => {
                Some(Chunk::SizeEnd { value })
            }
            (
                Chunk::Size {
                    value,
                    digits,
                    length,
                },
                b';',
            ) if digits > 0 => Some(Chunk::Extension { value, length }),
            // Sixteen digits are more than 64 bits can overflow with.
            (
                Chunk::Size {
                    value,
                    digits,
                    length,
                },
                _,
            ) if digits < 15 => {
                let digit = char::from(byte).to_digit(16)?;
                let value = value * 16 + u64::from(digit);
                Some(Chunk::Size {
                    value,
                    digits: digits + 1,
                    length: length + 1,
                })
            }
            (Chunk::Size { .. }, _) => None,
            (Chunk::Extension { value, .. }, b'\r') => Some(Chunk::SizeEnd { value }),
            (Chunk::Extension { .. }, b'\n' | 0) => None,
            (Chunk::Extension { value, length }, _) if length < LONGEST_CHUNK_LINE => {
                Some(Chunk::Extension {
                    value,
                    length: length + 1,
                })
            }
            (Chunk::Extension { .. }, _) => None,
            (Chunk::SizeEnd { value: 0 }, b'\n') => Some(Chunk::Trailers {
                length: 0,
                line: 0,
                cr: false,
            }),
            (Chunk::SizeEnd { value }, b'\n') => Some(Chunk::Data { left: value }),
            (Chunk::SizeEnd { .. }, _) => None,
            (Chunk::DataCr, b'\r') => Some(Chunk::DataLf),
            (Chunk::DataLf, b'\n') => Some(Chunk::Size {
                value: 0,
                digits: 0,
                length: 0,
            }),
            (Chunk::DataCr | Chunk::DataLf, _) => None,
            (
                Chunk::Trailers {
                    cr: true, line: 0, ..
                },
                b'\n',
            ) => Some(Chunk::Done),
            (
                Chunk::Trailers {
                    length, cr: true, ..
                },
                b'\n',
            ) => Some(Chunk::Trailers {
                length,
                line: 0,
                cr: false,
            }),
            (Chunk::Trailers { cr: true, .. }, _) | (Chunk::Trailers { .. }, b'\n') => None,
            (Chunk::Trailers { length, line, .. }, b'\r') => Some(Chunk::Trailers {
                length,
                line,
                cr: true,
            }),
            (Chunk::Trailers { length, line, .. }, _) if length < LONGEST_TRAILERS => {
                Some(Chunk::Trailers {
                    length: length + 1,
                    line: line + 1,
                    cr: false,
                })
            }
            (Chunk::Trailers { .. }, _) => None,
            // What comes after is not this request's; pingora closes on it.
            (Chunk::Done, _) => Some(Chunk::Done),
            (Chunk::Data { left }, _) => Some(Chunk::Data { left }),
        }
    }
}

#[cfg(test)]
mod tests;
