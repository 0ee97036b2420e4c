//! What a line of the audit trail can be about. Everything that is written down is one of these, so that
//! what can be asked for on the company's page is what can stand there.

use std::fmt;

/// `Event "word" whose`: the word is what stands in the trail, and what searches ask for. Once it was
/// written somewhere it never means anything else.
macro_rules! events {
    ($($event:ident $word:literal $whose:ident)*) => {
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum TrailEvent {
            $($event),*
        }

        impl TrailEvent {
            pub const ALL: &'static [TrailEvent] = &[$(TrailEvent::$event),*];

            /// The word in the trail.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(TrailEvent::$event => $word),*
                }
            }

            const fn whose(self) -> Whose {
                match self {
                    $(TrailEvent::$event => Whose::$whose),*
                }
            }
        }
    };
}

enum Whose {
    /// It happened to somebody of a company, or to the company.
    Company,
    /// It happened to the gateway.
    Operator,
}

events! {
    SignIn "sign_in" Company
    SignOut "sign_out" Company
    SignedOutElsewhere "signed_out_elsewhere" Company
    SignOn "sign_on" Company
    SignOnPassword "sign_on_password" Company
    Factor "factor" Company
    FactorAdded "factor_added" Company
    FactorLocked "factor_locked" Company
    FactorReplaced "factor_replaced" Company
    FactorRemoved "factor_removed" Company
    MfaReset "mfa_reset" Company
    MfaSwitched "mfa_switched" Company
    CodeSent "code_sent" Company
    PasskeyRefused "passkey_refused" Company
    RecoveryCodesMade "recovery_codes_made" Company
    RecoveryCodeUsed "recovery_code_used" Company
    DeviceRemembered "device_remembered" Company
    DeviceUsed "device_used" Company
    DeviceForgotten "device_forgotten" Company
    PasswordSet "password_set" Company
    PasswordChanged "password_changed" Company
    PasswordLink "password_link" Company
    PersonMade "person_made" Company
    PersonChanged "person_changed" Company
    PersonDisabled "person_disabled" Company
    PersonEnabled "person_enabled" Company
    GroupChanged "group_changed" Company
    GroupRemoved "group_removed" Company
    RolesChanged "roles_changed" Company
    ProductGranted "product_granted" Company
    ProductTakenBack "product_taken_back" Company
    Pairing "pairing" Company
    PairingContested "pairing_contested" Company
    DefaultApplication "default_application" Company
    SingleSignOnReset "single_sign_on_reset" Company
    IdentityLinked "identity_linked" Company
    IdentityUnlinked "identity_unlinked" Company
    ScimTokenMade "scim_token_made" Company
    ScimTokenRevoked "scim_token_revoked" Company
    SessionEnded "session_ended" Company
    SessionsEnded "sessions_ended" Company
    CompanySwitched "company_switched" Company
    FormThrownAway "form_thrown_away" Company
    MailUnsent "mail_unsent" Company
    AuditExported "audit_exported" Company
    BreakGlassOpened "break_glass_opened" Company
    BreakGlassUsed "break_glass_used" Company
    BreakGlassClosed "break_glass_closed" Company
    PeopleImported "people_imported" Operator
    ConfigurationChanged "configuration_changed" Operator
    ConfigurationRejected "configuration_rejected" Operator
    PoliciesChanged "policies_changed" Operator
    CertificatesChanged "certificates_changed" Operator
    CertificateOrdered "certificate_ordered" Operator
    CertificateIssued "certificate_issued" Operator
    CertificateRenewed "certificate_renewed" Operator
    CertificateFailed "certificate_failed" Operator
    MasterKeyAdded "master_key_added" Operator
    MasterKeyUsed "master_key_used" Operator
    MasterKeyRetired "master_key_retired" Operator
    MasterKeyFollowed "master_key_followed" Operator
    RolloutPaused "rollout_paused" Operator
    RolloutResumed "rollout_resumed" Operator
}

impl TrailEvent {
    /// Those that can stand in a company's trail.
    pub fn of_companies() -> impl Iterator<Item = TrailEvent> {
        let all = TrailEvent::ALL.iter().copied();
        all.filter(|event| matches!(event.whose(), Whose::Company))
    }
}

impl fmt::Display for TrailEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// As it stands in the trail.
impl fmt::Debug for TrailEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_word_is_one_event_s_and_can_be_typed() {
        let words: BTreeSet<&str> = TrailEvent::ALL.iter().map(|one| one.as_str()).collect();
        assert_eq!(words.len(), TrailEvent::ALL.len());
        for word in words {
            let plain = |b: u8| b.is_ascii_lowercase() || b == b'_';
            assert!(word.bytes().all(plain) && word.len() <= 64, "{word}");
        }
        assert_eq!(format!("{:?}", TrailEvent::SignIn), "\"sign_in\"");
    }

    #[test]
    fn what_befalls_the_gateway_is_no_company_s() {
        let all: Vec<TrailEvent> = TrailEvent::of_companies().collect();
        assert!(all.contains(&TrailEvent::BreakGlassUsed));
        assert!(!all.contains(&TrailEvent::PoliciesChanged));
    }
}
