//! The `traceparent` of a request (W3C Trace Context, section 3.2): which trace it belongs to.

/// One span of one trace, and whether whoever made it keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    pub trace: [u8; 16],
    pub span: [u8; 8],
    pub sampled: bool,
}

/// The length of version 00.
const WRITTEN: usize = 55;
const DIGITS: &[u8; 16] = b"0123456789abcdef";

impl TraceParent {
    /// `None` for anything that is not exactly what the standard says: the trace begins anew then.
    pub fn parse(text: &[u8]) -> Option<TraceParent> {
        let [version] = hex::<1>(text.get(..2)?)?;
        // A later version may have more, after another dash (section 3.2.1).
        let ends = match text.get(WRITTEN) {
            None => text.len() == WRITTEN,
            Some(next) => version > 0 && *next == b'-',
        };
        let dashes = [2, 35, 52].iter().all(|at| text.get(*at) == Some(&b'-'));
        if version == 0xff || !ends || !dashes {
            return None;
        }
        let trace = hex::<16>(text.get(3..35)?)?;
        let span = hex::<8>(text.get(36..52)?)?;
        let [flags] = hex::<1>(text.get(53..WRITTEN)?)?;
        let named = trace != [0; 16] && span != [0; 8];
        named.then_some(TraceParent {
            trace,
            span,
            sampled: flags & 1 == 1,
        })
    }

    /// As version 00.
    pub fn written(&self) -> String {
        let flags = if self.sampled { "01" } else { "00" };
        format!("00-{}-{}-{flags}", to_hex(&self.trace), to_hex(&self.span))
    }
}

/// Lower-case hexadecimal.
pub fn to_hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0'));
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// Lower case alone: the standard wants others refused.
pub fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let nibble = |digit: u8| DIGITS.iter().position(|known| *known == digit);
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = u8::try_from(nibble(*high)? << 4 | nibble(*low)?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_standards_own_example_is_read_and_written() {
        let read = TraceParent::parse(GOOD.as_bytes()).unwrap();
        assert!(read.sampled);
        assert_eq!(read.written(), GOOD);
        let later = format!("01{}-more", &GOOD[2..]);
        assert_eq!(TraceParent::parse(later.as_bytes()), Some(read));
    }

    #[test]
    fn what_is_not_exactly_so_is_nothing() {
        for bad in [
            "",
            "00",
            &GOOD[..54],
            &format!("{GOOD}-"),
            &format!("{GOOD}0"),
            &GOOD.to_uppercase(),
            &GOOD.replace("4bf9", "4BF9"),
            &format!("ff{}", &GOOD[2..]),
            &format!("01{}more", &GOOD[2..]),
            &GOOD.replacen('-', "_", 1),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        ] {
            assert_eq!(TraceParent::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(trace: [u8; 16], span: [u8; 8], sampled: bool) {
            let one = TraceParent { trace, span, sampled };
            let named = trace != [0; 16] && span != [0; 8];
            prop_assert_eq!(TraceParent::parse(one.written().as_bytes()), named.then_some(one));
        }

        #[test]
        fn nothing_makes_it_panic(text: Vec<u8>) {
            TraceParent::parse(&text);
        }
    }
}
