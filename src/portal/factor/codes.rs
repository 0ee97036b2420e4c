//! One-time codes of authenticator apps (RFC 6238): SHA-1, six digits, thirty seconds, which is
//! what every such app understands; one step early or late is accepted.

use qrcode::{EcLevel, QrCode};
use totp_rs::{Algorithm, Builder, Totp};

use crate::gate::time::Moment;

/// 160 bits (RFC 4226, section 4).
pub const KEY_LENGTH: usize = 20;

const DIGITS: usize = 6;

/// What was typed, without the blanks that apps show; `None` unless it is six digits.
pub fn read(typed: &str) -> Option<String> {
    let code: String = typed.chars().filter(|c| !c.is_whitespace()).collect();
    (code.len() == DIGITS && code.bytes().all(|b| b.is_ascii_digit())).then_some(code)
}

/// The time step that the code belongs to, if it is right at `now`.
pub fn matched_step(key: &[u8], code: &str, now: Moment) -> Option<i64> {
    let time = u64::try_from(now.secs()).ok()?;
    let step = totp(key, "", "")?.check(code, time)?;
    i64::try_from(step).ok()
}

/// The QR code as SVG.
pub fn qr(key: &[u8], account: &str, issuer: &str) -> Option<String> {
    let url = totp(key, account, issuer)?.to_url().ok()?;
    let code = QrCode::with_error_correction_level(url, EcLevel::M).ok()?;
    let svg = code
        .render::<qrcode::render::svg::Color<'_>>()
        .min_dimensions(208, 208)
        .quiet_zone(true)
        .build();
    // Inside a page, without the XML head.
    svg.find("<svg")
        .and_then(|begin| svg.get(begin..))
        .map(str::to_owned)
}

/// The key as it is typed: base32 in groups of four.
pub fn typed_key(key: &[u8]) -> String {
    let text = totp_rs::Secret::from(key).to_base32();
    let groups: Vec<String> = text
        .chars()
        .collect::<Vec<_>>()
        .chunks(4)
        .map(|group| group.iter().collect())
        .collect();
    groups.join(" ")
}

fn totp(key: &[u8], account: &str, issuer: &str) -> Option<Totp> {
    // A colon would end the issuer in the label.
    let plain = |text: &str| text.replace(':', " ");
    Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(6)
        .with_step_duration(30)
        .with_skew(1)
        .with_secret(key)
        .with_account_name(plain(account))
        .with_issuer(Some(plain(issuer)).filter(|issuer| !issuer.is_empty()))
        .build()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"12345678901234567890";

    #[test]
    fn rfc_6238_test_vectors_are_met_with_their_step() {
        for (secs, code) in [
            (59_i64, "287082"),
            (1_111_111_109, "081804"),
            (20_000_000_000, "353130"),
        ] {
            let now = Moment::from_secs(secs);
            assert_eq!(matched_step(KEY, code, now), Some(secs / 30), "at {secs}");
        }
    }

    #[test]
    fn one_step_either_side_and_no_more() {
        let at = |secs: i64| matched_step(KEY, "081804", Moment::from_secs(1_111_111_109 + secs));
        assert_eq!(at(30), Some(37_037_036));
        assert_eq!(at(-30), Some(37_037_036));
        assert_eq!(at(60), None);
        assert_eq!(at(-60), None);
    }

    #[test]
    fn what_is_typed_may_have_blanks_but_is_six_digits() {
        assert_eq!(read(" 081 804 ").as_deref(), Some("081804"));
        for wrong in ["", "08180", "0818044", "08180a", "+81804", "٠٨١٨٠٤"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_key_is_shown_in_groups_of_four() {
        assert_eq!(typed_key(KEY), "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ");
        assert!(
            qr(KEY, "kim@acme", "Clinic: sign-in")
                .unwrap()
                .starts_with("<svg")
        );
    }
}
