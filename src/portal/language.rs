//! In which words a request is answered. The language stands around its handler, as a trace's span
//! does, instead of among the arguments of everything that may have to say something. Nothing but
//! wording may follow from it.

use std::future::Future;

use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;

use crate::gate::facts::Asks;
use crate::gate::language::preferred;
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
