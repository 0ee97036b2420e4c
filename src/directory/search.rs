//! How User Manager finds people: by the beginnings of words of their id, name, address and logins,
//! in the order of their names, and quickly however many a company has.
//!
//! Few who have a word are read from the table of words, by its key. Many are not read at all: then
//! the company's list is walked in its order until a page is full, which is soon.

use std::collections::BTreeSet;

use super::pool::{Row, Transaction, Value};
use super::{Directory, DirectoryError, Person, sql};
use crate::gate::name::{CompanyId, PersonId};

/// Words of a search that count.
const WORDS: usize = 4;
/// The longest word, in characters.
const LONGEST: usize = 64;
/// Words of one person: of a name of a hundred words the last are not found.
const MOST_WORDS: usize = 48;
/// Words written by one statement.
const AT_ONCE: usize = 8;
/// What stands in an index, whose entries PostgreSQL limits to 2,704 bytes, in characters.
const LONGEST_FOUND_BY: usize = 500;
/// Entries of one word: so many are read and sorted, more are not.
const MANY: i64 = 10_000;
/// People of one word: so many are looked at one by one for other words that too many have.
const FEW: i64 = 1_000;
/// People whose words are written in one transaction.
const BATCH: i64 = 500;

impl Directory {
    /// A company's people who have, for every word of `search`, a word that begins so in their id,
    /// name, address or one of their logins; by name, those that come after `after`.
    pub async fn find_people(
        &self,
        company: &CompanyId,
        search: &str,
        after: Option<&Person>,
        limit: u32,
    ) -> Result<Vec<Person>, DirectoryError> {
        let Some(sought) = sought(search) else {
            return Ok(Vec::new());
        };
        let place = Place {
            company: Value::Text(company.as_str()),
            name: Value::Text(after.map_or("", |person| &person.name)),
            id: Value::Text(after.map_or("", |person| person.id.as_str())),
            limit: Value::Number(i64::from(limit)),
        };
        let counted = self.counted(&place, &sought).await?;
        let all_few_enough = counted.iter().all(|(_, count)| *count < MANY);
        let rows = match counted.as_slice() {
            [] => self.walked(&place, &sought).await?,
            [(_, 0), ..] => return Ok(Vec::new()),
            [(word, _)] if all_few_enough => self.having(&place, word).await?,
            [..] if all_few_enough => self.having_each(&place, &counted).await?,
            [(rarest, ..FEW), ..] => self.having_all(&place, rarest, &sought).await?,
            [..] => self.walked(&place, &sought).await?,
        };
        rows.iter().map(Person::read).collect()
    }

    /// How many entries each word has, at most [`MANY`]; the rarest first.
    async fn counted<'a>(
        &self,
        place: &Place<'_>,
        sought: &'a [String],
    ) -> Result<Vec<(&'a str, i64)>, DirectoryError> {
        let mut counted = Vec::with_capacity(sought.len());
        for word in sought {
            let end = end_of(word);
            let values = [
                place.company,
                Value::Bytes(word.as_bytes()),
                Value::Bytes(&end),
                Value::Number(MANY),
            ];
            let row = self.pool().row(sql::WORD_COUNT, &values).await?;
            let count: i64 = row.map_or(Ok(0), |row| row.value("found"))?;
            counted.push((word.as_str(), count));
        }
        counted.sort_by_key(|(_, count)| *count);
        Ok(counted)
    }

    async fn having(&self, place: &Place<'_>, word: &str) -> Result<Vec<Row>, DirectoryError> {
        let end = end_of(word);
        let values = [
            place.company,
            Value::Bytes(word.as_bytes()),
            Value::Bytes(&end),
            place.name,
            place.id,
            place.limit,
        ];
        self.pool().rows(sql::PEOPLE_HAVING, &values).await
    }

    /// Who has each of these words. A place that none of three words needs is told the first again.
    async fn having_each(
        &self,
        place: &Place<'_>,
        counted: &[(&str, i64)],
    ) -> Result<Vec<Row>, DirectoryError> {
        let (statement, places) = match counted.len() {
            ..=2 => (sql::PEOPLE_HAVING_BOTH, 2),
            _ => (sql::PEOPLE_HAVING_EACH, WORDS),
        };
        let words = counted.iter().chain(counted.first()).take(places);
        let ranges: Vec<(&[u8], Vec<u8>)> = words
            .map(|(word, _)| (word.as_bytes(), end_of(word)))
            .collect();
        let mut values = vec![place.company];
        for (word, end) in &ranges {
            values.extend([Value::Bytes(word), Value::Bytes(end)]);
        }
        values.extend([place.name, place.id, place.limit]);
        self.pool().rows(statement, &values).await
    }

    async fn having_all(
        &self,
        place: &Place<'_>,
        rarest: &str,
        sought: &[String],
    ) -> Result<Vec<Row>, DirectoryError> {
        let (end, patterns) = (end_of(rarest), patterns(sought));
        let [first, second, third, fourth] = &patterns;
        let values = [
            place.company,
            Value::Bytes(rarest.as_bytes()),
            Value::Bytes(&end),
            Value::Text(first),
            Value::Text(second),
            Value::Text(third),
            Value::Text(fourth),
            place.name,
            place.id,
            place.limit,
        ];
        self.pool().rows(sql::PEOPLE_HAVING_ALL, &values).await
    }

    async fn walked(
        &self,
        place: &Place<'_>,
        sought: &[String],
    ) -> Result<Vec<Row>, DirectoryError> {
        let patterns = patterns(sought);
        let [first, second, third, fourth] = &patterns;
        let values = [
            place.company,
            Value::Text(first),
            Value::Text(second),
            Value::Text(third),
            Value::Text(fourth),
            place.name,
            place.id,
            place.limit,
        ];
        self.pool().rows(sql::PEOPLE_FOUND, &values).await
    }

    /// Writes the words of everybody for whom that was not done yet: after an update of the
    /// schema. What fails is done at the next import or start.
    pub(super) async fn write_all_words(&self) -> Result<(), DirectoryError> {
        loop {
            let mut transaction = self.pool().begin().await?;
            let written = write_stale_words(&mut transaction).await?;
            transaction.commit().await?;
            if !written {
                return Ok(());
            }
        }
    }

    /// The same for one person, whose accounts changed.
    pub(super) async fn write_words(&self, person: &PersonId) -> Result<(), DirectoryError> {
        let mut transaction = self.pool().begin().await?;
        write_words_of(&mut transaction, person).await?;
        transaction.commit().await
    }

    /// Tells the database how many there are after many came at once: it guesses the way to the words
    /// of a list that it has never counted, and guesses wrong.
    pub(super) async fn count_words(&self) -> Result<(), DirectoryError> {
        for table in [sql::PEOPLE_ANALYZE, sql::WORDS_ANALYZE] {
            self.pool().write(table, &[]).await?;
        }
        Ok(())
    }
}

/// Which of a company's people are asked for, whatever their words.
struct Place<'a> {
    company: Value<'a>,
    name: Value<'a>,
    id: Value<'a>,
    limit: Value<'a>,
}

/// Writes the words of some for whom they are stale; false when there was nobody.
pub(super) async fn write_stale_words(
    transaction: &mut Transaction,
) -> Result<bool, DirectoryError> {
    let rows = transaction
        .rows(sql::PEOPLE_STALE, &[Value::Number(BATCH)])
        .await?;
    write_rows(transaction, &rows).await?;
    Ok(!rows.is_empty())
}

/// The row is taken before the accounts are read: of two who write the same person's words, the
/// second one reads what the first one committed.
pub(super) async fn write_words_of(
    transaction: &mut Transaction,
    person: &PersonId,
) -> Result<(), DirectoryError> {
    let person = [Value::Text(person.as_str())];
    let rows = transaction.rows(sql::PERSON_WORDS_TAKE, &person).await?;
    write_rows(transaction, &rows).await
}

async fn write_rows(transaction: &mut Transaction, rows: &[Row]) -> Result<(), DirectoryError> {
    for row in rows {
        let (id, company): (String, String) = (row.value("id")?, row.value("company_id")?);
        let (name, email): (String, String) = (row.value("name")?, row.value("email")?);
        let person = Value::Text(&id);
        let mut texts = vec![id.clone(), name.clone(), email];
        for login in transaction.rows(sql::LOGINS_OF, &[person]).await? {
            texts.push(login.value("login")?);
        }
        let words = words_of(&texts);
        let found_by = found_by(&words);
        let values = [person, Value::Text(&found_by)];
        transaction.write(sql::PERSON_FOUND_BY, &values).await?;
        transaction.write(sql::WORDS_FORGET, &[person]).await?;
        for some in words.chunks(AT_ONCE) {
            let mut values = vec![Value::Text(&company), person, Value::Text(&name)];
            // The last one again, until the statement is full.
            let again = some.last().into_iter().cycle();
            let all = some.iter().chain(again).take(AT_ONCE);
            values.extend(all.map(|word| Value::Bytes(word.as_bytes())));
            transaction.write(sql::WORDS_ADD, &values).await?;
        }
    }
    Ok(())
}

/// What is looked for; `None` where nobody can be found. No words find everybody.
fn sought(search: &str) -> Option<Vec<String>> {
    let mut sought = Vec::new();
    for typed in pieces(search).take(WORDS) {
        // Whoever types '@example.org' means the word behind it.
        let word = typed.trim_start_matches(|c: char| !c.is_alphanumeric());
        if word.is_empty() {
            return None;
        }
        sought.push(cut(word));
    }
    Some(sought)
}

/// In lower case, since the two databases disagree about case outside ASCII.
fn pieces(text: &str) -> impl Iterator<Item = String> {
    text.split([' ', ',', '\t', '\0'])
        .filter(|piece| !piece.is_empty())
        .map(str::to_lowercase)
}

/// As a whole piece stands among somebody's words, for who looks for exactly it.
pub(super) fn whole(piece: &str) -> String {
    cut(piece)
}

fn cut(word: &str) -> String {
    word.chars().take(LONGEST).collect()
}

/// Whole pieces, and the parts of them: 'kim.doe@example.org' is found by 'kim.doe@', by 'doe' and
/// by 'example.org'. The parts of a mail host are everybody's, and find nobody. A word that another
/// one begins with finds nobody whom that one does not.
fn words_of(texts: &[String]) -> Vec<String> {
    let mut words = BTreeSet::new();
    let addresses = texts.iter().flat_map(|text| pieces(text));
    let addresses: BTreeSet<String> = addresses
        .filter(|piece| piece.contains('@'))
        .map(|piece| cut(&piece))
        .take(MOST_WORDS)
        .collect();
    for piece in texts.iter().flat_map(|text| pieces(text)) {
        let (parted, host) = piece.split_once('@').unwrap_or((&piece, ""));
        let parts = parted.split(|c: char| !c.is_alphanumeric());
        for word in parts.chain([piece.as_str(), host]) {
            if !word.is_empty() {
                words.insert(cut(word));
            }
        }
    }
    let mut longest: Vec<String> = Vec::with_capacity(words.len());
    // In this order what begins with a word follows it. An address is looked for as it is: it stays, and
    // is not among those of too many words.
    for word in words {
        let begins = |last: &String| word.starts_with(last) && !addresses.contains(last);
        if longest.last().is_some_and(begins) {
            longest.pop();
        }
        longest.push(word);
    }
    let mut room = MOST_WORDS.saturating_sub(addresses.len());
    longest.retain(|word| {
        addresses.contains(word) || {
            let fits = room > 0;
            room = room.saturating_sub(1);
            fits
        }
    });
    longest
}

/// Each word with a blank before it, for patterns that look for its beginning.
fn found_by(words: &[String]) -> String {
    let text: String = words.iter().flat_map(|word| [" ", word]).collect();
    text.chars().take(LONGEST_FOUND_BY).collect()
}

/// Behind every word that begins with this one, in the order of bytes: no UTF-8 holds the byte.
fn end_of(word: &str) -> Vec<u8> {
    [word.as_bytes(), &[0xff]].concat()
}

/// LIKE patterns for [`found_by`], in which a person's own `%` and `_` are letters. Those that are
/// not needed match all.
fn patterns(sought: &[String]) -> [String; WORDS] {
    let mut sought = sought.iter();
    [(); WORDS].map(|()| {
        let Some(word) = sought.next() else {
            return String::from("%");
        };
        let mut pattern = String::from("% ");
        for letter in word.chars() {
            if matches!(letter, '%' | '_' | '!') {
                pattern.push('!');
            }
            pattern.push(letter);
        }
        pattern.push('%');
        pattern
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_have_words_and_the_parts_of_words() {
        let texts = ["kim", "Kim O'Brien-Doe", "kim.doe@Example.org", "Kim_7"];
        let words = words_of(&texts.map(str::to_owned));
        assert_eq!(
            words,
            [
                "7",
                "brien",
                "doe",
                "example.org",
                "kim.doe@example.org",
                "kim_7",
                "o'brien-doe",
            ]
        );
        assert_eq!(found_by(&words[..2]), " 7 brien");
        let texts = ["kim", "kim@a.co", "Kim@a.com"];
        let words = words_of(&texts.map(str::to_owned));
        assert_eq!(words, ["a.com", "kim@a.co", "kim@a.com"]);
    }

    #[test]
    fn what_is_typed_becomes_words_and_never_a_pattern() {
        assert_eq!(
            sought(" Doe,  KIM "),
            Some(vec!["doe".into(), "kim".into()])
        );
        assert_eq!(sought(""), Some(Vec::new()));
        assert_eq!(sought("kim %"), None);
        assert_eq!(sought("@example.org"), Some(vec!["example.org".into()]));
        let [first, second, ..] = patterns(&[String::from("a%b_c!d")]);
        assert_eq!((first.as_str(), second.as_str()), ("% a!%b!_c!!d%", "%"));
        let long = "x".repeat(300);
        assert_eq!(sought(&long).unwrap()[0].len(), LONGEST);
    }
}
