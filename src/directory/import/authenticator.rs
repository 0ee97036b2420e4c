//! An authenticator app that another system set up: the address that stood in its QR code, as
//! `authelia storage user totp export uri` prints it, and many others do.

use totp_rs::Secret;
use url::Url;
use zeroize::Zeroizing;

/// In bytes. The least that RFC 4226, section 4 allows, and a block of the hash function.
const SHORTEST_KEY: usize = 16;
const LONGEST_KEY: usize = 64;

/// What holds where the address does not say otherwise, and all that is checked at a sign-in: an
/// authenticator with other terms would never match.
const TERMS: [(&str, &str); 3] = [("algorithm", "SHA1"), ("digits", "6"), ("period", "30")];

const WANTED: &str = "an address as in \"otpauth://totp/Clinic:kim?secret=…\" is expected";

/// The key in it. Messages hold nothing of the address: there is a secret in it.
pub(super) fn authenticator(text: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let url = Url::parse(text.trim()).map_err(|_| WANTED)?;
    if url.scheme() != "otpauth" || url.host_str() != Some("totp") {
        return Err(String::from(WANTED));
    }
    let value = |key: &str| {
        let mut pairs = url.query_pairs().filter(|(name, _)| name == key);
        match (pairs.next(), pairs.next()) {
            (None, _) => Ok(None),
            (Some((_, value)), None) => Ok(Some(Zeroizing::new(value.into_owned()))),
            (Some(_), Some(_)) => Err(format!("{key} stands there twice")),
        }
    };
    for (key, only) in TERMS {
        let given = value(key)?;
        if given.is_some_and(|given| !given.eq_ignore_ascii_case(only)) {
            return Err(format!(
                "{key} must be {only}: other codes are not read here, and this person has to set up anew"
            ));
        }
    }
    let secret = value("secret")?.ok_or("the address has no secret")?;
    let plain = Zeroizing::new(secret.trim_end_matches('=').to_ascii_uppercase());
    let key = Secret::try_from_base32(plain.as_str())
        .map_err(|_| String::from("the secret is not base32 (RFC 4648)"))?;
    let key = Zeroizing::new(key.as_ref().to_vec());
    if !(SHORTEST_KEY..=LONGEST_KEY).contains(&key.len()) {
        return Err(format!(
            "the secret has {SHORTEST_KEY} to {LONGEST_KEY} bytes (RFC 4226)"
        ));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B: "12345678901234567890".
    const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    #[test]
    fn an_address_as_authelia_prints_it_has_its_key() {
        for text in [
            format!(
                "otpauth://totp/example.org:kim?algorithm=SHA1&digits=6&issuer=example.org&period=30&secret={SECRET}"
            ),
            format!("otpauth://totp/kim?secret={SECRET}"),
            format!(
                " otpauth://totp/A%20clinic:kim%40acme.example?secret={}&algorithm=sha1&image=x ",
                SECRET.to_lowercase()
            ),
            String::from("otpauth://totp/kim?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ%3D%3D"),
        ] {
            let key = authenticator(&text).unwrap();
            assert_eq!(key.as_slice(), b"12345678901234567890", "{text}");
        }
    }

    #[test]
    fn what_could_never_match_is_refused_and_not_repeated() {
        let hotp = format!("otpauth://hotp/kim?counter=1&secret={SECRET}");
        for (text, said) in [
            (SECRET.to_owned(), "an address as in"),
            (hotp, "an address as in"),
            (
                format!("https://totp/kim?secret={SECRET}"),
                "an address as in",
            ),
            (String::from("otpauth://totp/kim"), "has no secret"),
            (
                format!("otpauth://totp/kim?secret={SECRET}&algorithm=SHA512"),
                "algorithm must be SHA1",
            ),
            (
                format!("otpauth://totp/kim?secret={SECRET}&digits=8"),
                "digits must be 6",
            ),
            (
                format!("otpauth://totp/kim?secret={SECRET}&period=60"),
                "period must be 30",
            ),
            (
                format!("otpauth://totp/kim?secret={SECRET}&secret=A"),
                "secret stands there twice",
            ),
            (
                String::from("otpauth://totp/kim?secret=GEZD1NBV"),
                "is not base32",
            ),
            (
                String::from("otpauth://totp/kim?secret=GEZDGNBVGY3TQOJQ"),
                "16 to 64 bytes",
            ),
            (
                format!("otpauth://totp/kim?secret={}", SECRET.repeat(4)),
                "16 to 64 bytes",
            ),
        ] {
            let problem = authenticator(&text).unwrap_err();
            assert!(problem.contains(said), "{text}: {problem}");
            assert!(!problem.contains("GEZD"), "{problem}");
        }
    }
}
