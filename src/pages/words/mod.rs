//! Every text that people read, in every language, in one place: docs/languages.md says how to add
//! to them. A text without one of its languages doesn't compile.

mod bar;
mod company;
mod counted;
mod factors;
mod frame;
mod letters;
mod passwords;
mod problems;
mod profile;
mod sign_in;
#[cfg(test)]
mod tests;

use crate::gate::language::Language;

pub use bar::BarWords;

/// The texts of one language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Words(Language);

impl Words {
    pub const fn of(language: Language) -> Words {
        Words(language)
    }

    pub const fn language(self) -> Language {
        self.0
    }

    /// For `lang` and `Content-Language`.
    pub const fn tag(self) -> &'static str {
        self.0.tag()
    }
}

/// `key en "…" es "…"` makes a method of [`Words`] that is the text;
/// `key(name: &str) en "… {name} …" es "… {name} …"` one that fills it in.
macro_rules! words {
    (@text $key:ident $en:literal $es:literal) => {
        pub const fn $key(self) -> &'static str {
            match self.0 {
                crate::gate::language::Language::English => $en,
                crate::gate::language::Language::Spanish => $es,
            }
        }
    };
    (@text $key:ident ($($given:ident: $kind:ty),+) $en:literal $es:literal) => {
        pub fn $key(self, $($given: $kind),+) -> String {
            match self.0 {
                crate::gate::language::Language::English => format!($en),
                crate::gate::language::Language::Spanish => format!($es),
            }
        }
    };
    ($($key:ident $(($($given:ident: $kind:ty),+))? en $en:literal es $es:literal)*) => {
        impl super::Words {
            $(words! { @text $key $(($($given: $kind),+))? $en $es })*
        }

        #[cfg(test)]
        pub(super) const TEXTS: &[(&str, &str, &str)] = &[$((stringify!($key), $en, $es)),*];
    };
}

use words;
