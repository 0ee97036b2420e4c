//! In which words a request is answered. The language stands around its handler, as a trace's span
//! does, instead of among the arguments of everything that may have to say something. Nothing but
//! wording may follow from it.

use std::future::Future;

use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;

use super::State;
use super::visit::Visit;
use crate::gate::facts::Asks;
use crate::gate::language::preferred;
use crate::gate::name::PersonId;
use crate::pages::Words;

tokio::task_local! {
    static WORDS: Words;
}

/// The words of whoever reads the answer. Programs read English, whatever their browser speaks:
/// what they compare must not change with a person's settings.
pub fn of_reader(headers: &HeaderMap, asks: Option<Asks>) -> Words {
    match asks {
        Some(Asks::Program | Asks::Upgrade) => Words::default(),
        Some(Asks::Navigation) | None => of_headers(headers),
    }
}

/// The same for a script that shows them to a person.
pub fn of_headers(headers: &HeaderMap) -> Words {
    let values = headers.get_all(ACCEPT_LANGUAGE).iter();
    Words::of(preferred(values.map(http::HeaderValue::as_bytes)))
}

/// Answers in these words.
pub async fn speaking<F: Future>(words: Words, answer: F) -> F::Output {
    WORDS.scope(words, answer).await
}

/// The words of the request that is being answered; English outside of one.
pub fn words() -> Words {
    WORDS.try_with(|words| *words).unwrap_or_default()
}

/// Keeps the language in which somebody signed in: what another does to their access is told to them
/// in it. A program's requests say nothing of its person's.
pub async fn learn(state: &State, visit: &Visit, person: &PersonId) {
    if visit.facts.asks != Asks::Navigation {
        return;
    }
    let language = words().language();
    let kept = state.directory.learn_language(person, language).await;
    if let Err(error) = kept {
        tracing::warn!(%error, "in which language somebody signed in could not be kept");
    }
}

/// The words of somebody who is told what another did; `None` while nobody knows.
pub async fn words_of(state: &State, person: &PersonId) -> Option<Words> {
    match state.directory.language_of(person).await {
        Ok(language) => language.map(Words::of),
        Err(error) => {
            tracing::warn!(%error, "in which language somebody reads could not be read");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::language::Language;

    #[tokio::test]
    async fn requests_side_by_side_keep_their_own_words() {
        let asked = |tag: &'static str| async move {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_LANGUAGE, http::HeaderValue::from_static(tag));
            let reader = of_reader(&headers, Some(Asks::Navigation));
            speaking(reader, async {
                tokio::task::yield_now().await;
                words().tag()
            })
            .await
        };
        let (spanish, english) = tokio::join!(asked("es-MX"), asked("en"));
        assert_eq!((spanish, english), ("es", "en"));
        assert_eq!(words(), Words::default());
    }

    #[test]
    fn programs_are_answered_in_english() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_LANGUAGE, http::HeaderValue::from_static("es"));
        let spanish = Words::of(Language::Spanish);
        assert_eq!(of_reader(&headers, Some(Asks::Program)), Words::default());
        assert_eq!(of_reader(&headers, Some(Asks::Upgrade)), Words::default());
        assert_eq!(of_reader(&headers, None), spanish);
        assert_eq!(of_headers(&headers), spanish);
    }
}
