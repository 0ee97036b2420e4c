//! What the commands answer: lines for people, JSON for scripts.

use serde_json::{Value, json};

use crate::directory::import::{Imported, Problem};
use crate::directory::{Account, Factor, Person};
use crate::gate::name::ProductId;
use crate::gate::time::Moment;
use crate::portal::locks::Lock;
use crate::sessions::store::StoreError;

pub(super) fn import_told(imported: &Imported, ended: usize, json: bool) -> String {
    let kinds = [
        ("companies", imported.companies),
        ("people", imported.people),
        ("accounts", imported.accounts),
        ("authenticators", imported.authenticators),
    ];
    if json {
        let mut answer = json!({ "sessions_ended": ended });
        for (kind, tally) in kinds {
            if let Some(slot) = answer.as_object_mut() {
                let (added, changed) = (tally.added, tally.changed);
                let tally =
                    json!({"added": added, "changed": changed, "unchanged": tally.unchanged});
                slot.insert(kind.to_owned(), tally);
            }
        }
        return format!("{answer}\n");
    }
    let mut text = String::new();
    for (kind, tally) in kinds {
        let (added, changed, unchanged) = (tally.added, tally.changed, tally.unchanged);
        text.push_str(&format!(
            "{kind}: {added} added, {changed} changed, {unchanged} unchanged\n"
        ));
    }
    text.push_str(&format!("sessions: {ended} ended\n"));
    text
}

pub(super) fn people_told(people: &[Person], json: bool) -> String {
    if json {
        return line(&people.iter().map(person_json).collect());
    }
    let mut text = String::new();
    for person in people {
        let Person {
            id,
            company,
            name,
            email,
            ..
        } = person;
        let disabled = if person.disabled { "\tdisabled" } else { "" };
        text.push_str(&format!("{id}\t{company}\t{name}\t{email}{disabled}\n"));
    }
    text
}

pub(super) fn person_told(
    person: &Person,
    accounts: &[Account],
    factors: &[Factor],
    locks: &Result<Vec<Lock>, StoreError>,
    json: bool,
) -> String {
    if json {
        let mut answer = person_json(person);
        if let Some(answer) = answer.as_object_mut() {
            answer.insert(
                String::from("accounts"),
                accounts.iter().map(account_json).collect(),
            );
            answer.insert(
                String::from("factors"),
                factors.iter().map(factor_json).collect(),
            );
            answer.insert(
                String::from("locks"),
                locks.as_ref().map_or(Value::Null, |locks| json!(locks)),
            );
        }
        return line(&answer);
    }
    let mut text = format!(
        "{}\nname: {}\ncompany: {}\nemail: {}\nphone: {}\nroles: {}\ngrants: {}\ndisabled: {}\n",
        person.id,
        person.name,
        person.company,
        person.email,
        person.phone.as_deref().unwrap_or("-"),
        person.roles.join(", "),
        person
            .grants
            .iter()
            .map(ProductId::as_str)
            .collect::<Vec<_>>()
            .join(", "),
        if person.disabled { "yes" } else { "no" },
    );
    for account in accounts {
        let (product, login) = (&account.product, &account.login);
        let set_at = account.password_set_at.to_rfc3339();
        text.push_str(&format!(
            "account: {product} {login}, password of {set_at}\n"
        ));
    }
    for factor in factors {
        let (kind, since) = (factor.kind.as_str(), factor.created_at.to_rfc3339());
        text.push_str(&format!("factor: {kind} since {since}\n"));
    }
    match locks {
        Ok(locks) => text.extend(locks.iter().map(lock_line)),
        Err(error) => text.push_str(&format!("locks: not known, {error}\n")),
    }
    text
}

fn lock_line(lock: &Lock) -> String {
    let until = match lock.until {
        Some(at) => format!("until {}", at.to_rfc3339()),
        None => String::from("until the factors are reset"),
    };
    format!("locked: {} ({}) {until}\n", lock.throttle, lock.of)
}

/// `FILE:LINE[:COLUMN]: what`, as editors understand it.
pub(super) fn problems_told(file: &str, problems: &[Problem]) -> String {
    let mut text = String::new();
    for Problem {
        line,
        column,
        text: what,
    } in problems
    {
        let column = column
            .map(|column| format!(":{column}"))
            .unwrap_or_default();
        text.push_str(&format!("{file}:{line}{column}: {what}\n"));
    }
    let noun = if problems.len() == 1 {
        "problem"
    } else {
        "problems"
    };
    text.push_str(&format!("{} {noun}", problems.len()));
    text
}

pub(super) fn line(answer: &Value) -> String {
    format!("{answer}\n")
}

fn person_json(person: &Person) -> Value {
    json!({
        "id": person.id,
        "company": person.company,
        "name": person.name,
        "email": person.email,
        "phone": person.phone,
        "roles": person.roles,
        "grants": person.grants,
        "disabled": person.disabled,
        "default_product": person.default_product,
    })
}

fn account_json(account: &Account) -> Value {
    json!({
        "product": account.product,
        "login": account.login,
        "password_set_at": account.password_set_at.to_rfc3339(),
        "companies": account.companies,
        "default_company": account.default_company,
    })
}

fn factor_json(factor: &Factor) -> Value {
    json!({
        "kind": factor.kind.as_str(),
        "created_at": factor.created_at.to_rfc3339(),
        "last_used_at": factor.last_used_at.map(Moment::to_rfc3339),
    })
}
