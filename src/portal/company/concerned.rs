//! In whose trails an act stands: a session can be at work for several companies at once, and its person
//! can belong to yet another. Whoever of them reads their trail must find what was done.

use std::collections::BTreeSet;

use crate::directory::Person;
use crate::gate::name::CompanyId;
use crate::gate::session::Session;
use crate::portal::{Act, State};

pub struct Concerned(BTreeSet<CompanyId>);

impl Concerned {
    /// Always the company in whose name it is done.
    pub fn by(company: &CompanyId) -> Concerned {
        Concerned(BTreeSet::from([company.clone()]))
    }

    /// Whom it befalls.
    pub fn person(&mut self, person: Person) {
        self.0.insert(person.company);
    }

    /// What ends.
    pub fn session(&mut self, session: &Session) {
        self.0.extend(session.companies_at_work().cloned());
    }

    /// One line for each.
    pub fn hear(&self, state: &State, act: Act<'_>) {
        for company in &self.0 {
            state.observer.administered(Act { company, ..act });
        }
    }
}
