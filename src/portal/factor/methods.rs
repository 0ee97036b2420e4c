//! Which file answers for which method, and the list to choose from. A new method is a file beside
//! this one, an arm in each function here, and an entry in [`ready`](super::scene::ready).

use zeroize::Zeroizing;

use super::scene::{Scene, Shown};
use super::{passkey, recovery, sent, totp};
use crate::gate::policy::FactorMethod;
use crate::pages::{Link, MethodLink, Methods};
use crate::portal::answer::page;
use crate::portal::fields::Fields;
use crate::portal::form::Sent;
use crate::portal::language::words;
use crate::portal::trouble::{Answer, Trouble};

/// What was typed or signed, as its method reads it; nobody has judged it yet.
pub type Typed = Zeroizing<String>;

/// What came of a proof. `Right` was spent: by this request, for the first time.
pub enum Proved {
    Right,
    Wrong,
    /// There is nothing to prove any more; the word for the notice.
    Moot(&'static str),
}

/// The page of the scene's method: at enrolment the one that adds it, else the one that asks.
pub async fn show(scene: &Scene<'_>, shown: Shown) -> Answer {
    match scene.method {
        FactorMethod::Totp => totp::show(scene, shown),
        FactorMethod::Sms | FactorMethod::Email => sent::show(scene, shown).await,
        FactorMethod::Passkey => passkey::show(scene, shown).await,
        FactorMethod::Recovery => recovery::show(scene, shown),
    }
}

/// Something else than a proof that a form asks for, such as sending a code; `None` when it brings
/// a proof.
pub async fn act(scene: &Scene<'_>, sent: &Sent<'_>) -> Result<Option<Answer>, Trouble> {
    match scene.method {
        FactorMethod::Sms | FactorMethod::Email => sent::act(scene, sent).await,
        FactorMethod::Passkey => passkey::act(scene).await,
        FactorMethod::Totp | FactorMethod::Recovery => Ok(None),
    }
}

/// What goes out by itself when the password was right and this method is the person's.
pub async fn greet(scene: &Scene<'_>) -> Result<(), Trouble> {
    match scene.method {
        FactorMethod::Sms | FactorMethod::Email => sent::greet(scene).await,
        FactorMethod::Totp | FactorMethod::Passkey | FactorMethod::Recovery => Ok(()),
    }
}

/// Reads the proof out of the form. What is no proof at all counts nothing.
///
/// # Errors
/// What to say at the field.
pub fn read(method: FactorMethod, fields: &Fields) -> Result<Typed, &'static str> {
    match method {
        FactorMethod::Totp => totp::read(fields),
        FactorMethod::Sms | FactorMethod::Email => sent::read(fields),
        FactorMethod::Passkey => passkey::read(fields),
        FactorMethod::Recovery => recovery::read(fields),
    }
}

/// Judges and spends it; at enrolment, adds the factor.
pub async fn prove(scene: &Scene<'_>, typed: &str, sent: &Sent<'_>) -> Result<Proved, Trouble> {
    match scene.method {
        FactorMethod::Totp => totp::prove(scene, typed).await,
        FactorMethod::Sms | FactorMethod::Email => sent::prove(scene, typed).await,
        FactorMethod::Passkey => passkey::prove(scene, typed, sent).await,
        FactorMethod::Recovery => recovery::prove(scene, typed).await,
    }
}

/// What to say at the field when the proof was wrong.
pub fn wrong(method: FactorMethod) -> &'static str {
    match method {
        FactorMethod::Totp => words().app_code_wrong(),
        FactorMethod::Sms | FactorMethod::Email => words().sent_code_wrong(),
        FactorMethod::Passkey => words().passkey_not_accepted(),
        FactorMethod::Recovery => words().recovery_code_wrong(),
    }
}

/// Its name on pages, and a line about it.
pub fn name(method: FactorMethod) -> (&'static str, &'static str) {
    match method {
        FactorMethod::Totp => (words().method_app(), words().method_app_about()),
        FactorMethod::Sms => (words().method_sms(), words().method_sms_about()),
        FactorMethod::Email => (words().email(), words().method_email_about()),
        FactorMethod::Passkey => (words().method_passkey(), words().method_passkey_about()),
        FactorMethod::Recovery => (words().method_recovery(), words().method_recovery_about()),
    }
}

/// "Try another method": than the one that was `left`, SMS first.
pub fn list(scene: &Scene<'_>, left: Option<FactorMethod>) -> Answer {
    let several = scene.choices.len() > 1;
    let left = left.filter(|left| several && scene.choices.contains(left));
    let mut others = scene.choices.clone();
    others.retain(|method| Some(*method) != left);
    others.sort_by_key(|method| *method != FactorMethod::Sms);
    let methods = others.into_iter().map(|method| {
        let (text, about) = name(method);
        MethodLink {
            href: scene.href(method),
            text,
            about,
        }
    });
    page(&Methods {
        frame: scene.frame(),
        methods: methods.collect(),
        back: left.map(|left| Link {
            href: scene.href(left),
            text: words().back_to_method(name(left).0),
        }),
    })
}
