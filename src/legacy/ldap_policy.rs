//! What a directory says of a password beside right and wrong: that it has expired. Both kinds of
//! server compare it first, so that nobody hears this who does not know it.

use ldap3::LdapResult;
use ldap3::controls::{Control, RawControl};

/// draft-behera-ldap-password-policy: asked with a bind, and answered with it.
const PASSWORD_POLICY: &str = "1.3.6.1.4.1.42.2.27.8.5.1";
/// draft-vchu-ldap-pwd-policy: comes unasked.
const PASSWORD_EXPIRED: &str = "2.16.840.1.113730.3.4.4";

const SUCCESS: u32 = 0;
const INVALID_CREDENTIALS: u32 = 49;

/// `PasswordPolicyResponseValue`'s `error`.
const EXPIRED: u8 = 0;
const CHANGE_AFTER_RESET: u8 = 2;

/// `ERROR_PASSWORD_EXPIRED` and `ERROR_PASSWORD_MUST_CHANGE`, in hexadecimal, as Active Directory
/// writes them into its words.
const OF_ACTIVE_DIRECTORY: [&str; 2] = ["532", "773"];

/// Asks for what the password policy has to say. Servers that know no such thing pass it over.
pub fn request() -> RawControl {
    RawControl {
        ctype: PASSWORD_POLICY.to_owned(),
        crit: false,
        val: None,
    }
}

/// Whether the answer to a bind says that the password is right and has to be changed first.
pub fn has_expired(answer: &LdapResult) -> bool {
    let of_policy = || {
        let mut errors = answer.ctrls.iter().filter_map(policy_error);
        errors.any(|error| matches!(error, EXPIRED | CHANGE_AFTER_RESET))
    };
    match answer.rc {
        INVALID_CREDENTIALS => {
            of_policy()
                || answer
                    .ctrls
                    .iter()
                    .any(|Control(_, raw)| raw.ctype == PASSWORD_EXPIRED)
                || says_so(&answer.text)
        }
        // It binds, and does nothing but change the password.
        SUCCESS => of_policy(),
        _ => false,
    }
}

/// `80090308: LdapErr: DSID-0C09042F, comment: AcceptSecurityContext error, data 532, v4563`
fn says_so(text: &str) -> bool {
    text.split("data ")
        .skip(1)
        .filter_map(|rest| rest.split([',', ' ']).next())
        .any(|code| OF_ACTIVE_DIRECTORY.contains(&code))
}

fn policy_error(Control(_, raw): &Control) -> Option<u8> {
    if raw.ctype != PASSWORD_POLICY {
        return None;
    }
    error_of(raw.val.as_deref()?)
}

/// `SEQUENCE { warning [0] CHOICE … OPTIONAL, error [1] ENUMERATED … OPTIONAL }`, in BER. Everything
/// in it is shorter than 128 bytes.
fn error_of(value: &[u8]) -> Option<u8> {
    let (0x30, mut rest, _) = element(value)? else {
        return None;
    };
    while let Some((tag, content, after)) = element(rest) {
        if let (0x81, [error]) = (tag, content) {
            return Some(*error);
        }
        rest = after;
    }
    None
}

/// Tag, content, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length, rest @ ..] = bytes else {
        return None;
    };
    let (content, after) = rest.split_at_checked(usize::from(*length))?;
    (*length < 0x80).then_some((*tag, content, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(rc: u32, text: &str, control: Option<(&str, &[u8])>) -> LdapResult {
        let control = control.map(|(kind, value)| {
            let raw = RawControl {
                ctype: kind.to_owned(),
                crit: false,
                val: Some(value.to_vec()),
            };
            Control(None, raw)
        });
        LdapResult {
            rc,
            matched: String::new(),
            text: text.to_owned(),
            refs: Vec::new(),
            ctrls: control.into_iter().collect(),
        }
    }

    #[test]
    fn the_policys_own_word_is_read() {
        let of = |rc, value: &[u8]| has_expired(&answer(rc, "", Some((PASSWORD_POLICY, value))));
        let expired = [0x30, 3, 0x81, 1, 0];
        assert!(of(49, &expired));
        // After a warning too, and where a bind succeeds for changing it alone.
        assert!(of(49, &[0x30, 8, 0xa0, 3, 0x80, 1, 5, 0x81, 1, 0]));
        assert!(of(0, &[0x30, 3, 0x81, 1, 2]));
        // Locked; grace sign-ins are left; nothing to say; cut off.
        for value in [
            &[0x30, 3, 0x81, 1, 1][..],
            &[0x30, 5, 0xa0, 3, 0x81, 1, 0],
            &[0x30, 0],
            &[0x30, 9, 0x81],
            &[0x30, 3, 0x81, 9, 0],
            &[0x30, 0x80, 0x81, 1, 0],
            &[],
        ] {
            assert!(!of(49, value), "{value:x?}");
            assert!(!of(0, value), "{value:x?}");
        }
        assert!(!of(53, &expired), "another answer altogether");
        assert!(has_expired(&answer(49, "", Some((PASSWORD_EXPIRED, b"0")))));
        assert!(!has_expired(&answer(0, "", Some((PASSWORD_EXPIRED, b"0")))));
    }

    #[test]
    fn what_active_directory_writes_is_read() {
        let says = |data: &str| {
            let text = format!(
                "80090308: LdapErr: DSID-0C09042F, comment: AcceptSecurityContext error, data {data}, v4563\0"
            );
            has_expired(&answer(49, &text, None))
        };
        for (data, expired) in [
            ("532", true),
            ("773", true),
            ("52e", false),
            ("525", false),
            ("533", false),
            ("775", false),
            ("5320", false),
        ] {
            assert_eq!(says(data), expired, "{data}");
        }
        assert!(!has_expired(&answer(0, "data 532,", None)));
    }
}
