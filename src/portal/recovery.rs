//! Recovery codes as people see them: ten characters without look-alikes, 50 bits.

use zeroize::Zeroizing;

use crate::sessions::tokens::Random;

/// So many are made at once.
pub const COUNT: usize = 10;

const LENGTH: usize = 10;

/// Crockford's base 32: no i, l, o and u.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// New codes, in the form in which they are compared.
pub fn make(random: &Random) -> Vec<Zeroizing<String>> {
    (0..COUNT)
        .map(|_| {
            let mut bytes = Zeroizing::new([0_u8; LENGTH]);
            random(bytes.as_mut_slice());
            let letters = bytes.iter().map(|byte| letter(*byte));
            Zeroizing::new(letters.collect())
        })
        .collect()
}

/// As a code is shown: in two halves.
pub fn shown(code: &str) -> Zeroizing<String> {
    let (first, last) = code.split_at_checked(LENGTH / 2).unwrap_or((code, ""));
    Zeroizing::new(format!("{first}-{last}"))
}

/// What was typed, in the form in which codes are compared; `None` unless it could be one. Blanks
/// and hyphens don't matter, nor do capitals, nor letters that were read for digits.
pub fn read(typed: &str) -> Option<Zeroizing<String>> {
    let mut code = Zeroizing::new(String::with_capacity(LENGTH));
    for c in typed.chars().filter(|c| !c.is_whitespace() && *c != '-') {
        let c = match c.to_ascii_lowercase() {
            'o' => '0',
            'i' | 'l' => '1',
            c => c,
        };
        if code.len() == LENGTH || !c.is_ascii() || !ALPHABET.contains(&(c as u8)) {
            return None;
        }
        code.push(c);
    }
    (code.len() == LENGTH).then_some(code)
}

/// Each letter for eight values of a byte: none is likelier.
fn letter(byte: u8) -> char {
    ALPHABET
        .get(usize::from(byte % 32))
        .map_or('0', |letter| char::from(*letter))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn codes_are_read_as_they_are_shown_and_as_people_type_them() {
        let random: Random = Arc::new(|bytes: &mut [u8]| aws_lc_rs::rand::fill(bytes).unwrap());
        let codes = make(&random);
        assert_eq!(
            codes
                .iter()
                .map(|code| code.as_str())
                .collect::<HashSet<_>>()
                .len(),
            COUNT
        );
        for code in &codes {
            assert_eq!(read(&shown(code)).as_ref(), Some(code));
            assert_eq!(read(&code.to_uppercase()).as_ref(), Some(code));
        }
        assert_eq!(
            read(" OIL23 - 45678 ").as_deref().map(String::as_str),
            Some("0112345678")
        );
        for wrong in [
            "",
            "123456",
            "abcde-fghju",
            "abcde-fghj",
            "abcde-fghjkm",
            "äbcde-fghjk",
        ] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }
}
