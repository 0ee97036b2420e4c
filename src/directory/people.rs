//! People and the companies they belong to.

use super::pool::{Row, Value};
use super::{Company, Directory, DirectoryError, Person, sql};
use crate::gate::language::Language;
use crate::gate::name::{CompanyId, PersonId, ProductId};

impl Directory {
    pub async fn company(&self, id: &CompanyId) -> Result<Option<Company>, DirectoryError> {
        let row = self
            .pool()
            .row(sql::COMPANY, &[Value::Text(id.as_str())])
            .await?;
        row.as_ref().map(Company::read).transpose()
    }

    /// All companies, by id.
    pub async fn companies(&self) -> Result<Vec<Company>, DirectoryError> {
        self.pool()
            .rows(sql::COMPANIES, &[])
            .await?
            .iter()
            .map(Company::read)
            .collect()
    }

    pub async fn person(&self, id: &PersonId) -> Result<Option<Person>, DirectoryError> {
        let row = self
            .pool()
            .row(sql::PERSON, &[Value::Text(id.as_str())])
            .await?;
        row.as_ref().map(Person::read).transpose()
    }

    /// People by id, of one company or of all. `search` is looked for in id, name and address,
    /// in any case.
    pub async fn people(
        &self,
        company: Option<&CompanyId>,
        search: Option<&str>,
        limit: u32,
        offset: u64,
    ) -> Result<Vec<Person>, DirectoryError> {
        let pattern = containing(search.unwrap_or_default());
        let limit = Value::Number(i64::from(limit));
        let offset = Value::Number(i64::try_from(offset).unwrap_or(i64::MAX));
        let rows = match company {
            None => {
                self.pool()
                    .rows(sql::PEOPLE, &[Value::Text(&pattern), limit, offset])
                    .await?
            }
            Some(company) => {
                let company = Value::Text(company.as_str());
                let values = [Value::Text(&pattern), limit, offset, company];
                self.pool().rows(sql::PEOPLE_OF_COMPANY, &values).await?
            }
        };
        rows.iter().map(Person::read).collect()
    }

    /// False when there is no such person. The caller ends the person's sessions; a sign-in that
    /// is not finished is void.
    pub async fn set_disabled(
        &self,
        person: &PersonId,
        disabled: bool,
    ) -> Result<bool, DirectoryError> {
        let values = [
            Value::Text(person.as_str()),
            Value::Number(i64::from(disabled)),
        ];
        Ok(self.pool().write(sql::PERSON_DISABLE, &values).await? == 1)
    }

    /// The language in which somebody signed in last; `None` before they did.
    pub async fn language_of(&self, person: &PersonId) -> Result<Option<Language>, DirectoryError> {
        let values = [Value::Text(person.as_str())];
        let Some(row) = self.pool().row(sql::PERSON_LANGUAGE, &values).await? else {
            return Ok(None);
        };
        let tag: Option<String> = row.value("language")?;
        Ok(tag.as_deref().and_then(Language::of_tag))
    }

    /// Keeps it; writes only where it is another.
    pub async fn learn_language(
        &self,
        person: &PersonId,
        language: Language,
    ) -> Result<(), DirectoryError> {
        if self.language_of(person).await? == Some(language) {
            return Ok(());
        }
        let values = [Value::Text(person.as_str()), Value::Text(language.tag())];
        self.pool().write(sql::PERSON_SPEAKS, &values).await?;
        Ok(())
    }

    /// The application that opens after signing in; false when there is no such person.
    pub async fn set_default_product(
        &self,
        person: &PersonId,
        product: Option<&ProductId>,
    ) -> Result<bool, DirectoryError> {
        let product = product.map(ProductId::as_str);
        let values = [Value::Text(person.as_str()), Value::TextOrNull(product)];
        Ok(self
            .pool()
            .write(sql::PERSON_DEFAULT_PRODUCT, &values)
            .await?
            == 1)
    }
}

impl Company {
    fn read(row: &Row) -> Result<Company, DirectoryError> {
        Ok(Company {
            id: row.parsed("id")?,
            name: row.value("name")?,
        })
    }
}

impl Person {
    pub(super) fn read(row: &Row) -> Result<Person, DirectoryError> {
        Ok(Person {
            id: row.parsed("id")?,
            company: row.parsed("company_id")?,
            name: row.value("name")?,
            email: row.value("email")?,
            phone: row.value("phone")?,
            roles: row.json("roles")?,
            grants: row.json("grants")?,
            disabled: row.value::<i64>("disabled")? != 0,
            default_product: row.parsed_or_null("default_product")?,
        })
    }

    /// What `people` searches in.
    pub(super) fn searchable(&self) -> String {
        format!("{} {} {}", self.id, self.name, self.email).to_lowercase()
    }
}

/// A LIKE pattern in which the person's own `%` and `_` are letters.
fn containing(search: &str) -> String {
    let mut pattern = String::from("%");
    for letter in search
        .trim()
        .to_lowercase()
        .chars()
        .filter(|letter| *letter != '\0')
    {
        if matches!(letter, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}
