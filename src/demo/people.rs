//! Who works at the two clinics of the demo, as the applications know them and as an import file.

use serde_json::json;

use super::visitor::Visitor;

pub struct Company {
    pub id: &'static str,
    pub name: &'static str,
    policy: &'static str,
}

pub struct Person {
    pub id: &'static str,
    pub name: &'static str,
    pub email: &'static str,
    pub phone: &'static str,
    pub company: &'static str,
    pub roles: &'static [&'static str],
    pub grants: &'static [&'static str],
    /// For the reader of the printed list.
    pub about: &'static str,
}

/// A login in one application.
pub struct Account {
    pub product: &'static str,
    pub login: &'static str,
    pub password: &'static str,
    pub person: &'static Person,
    /// Whether the person's accounts are paired already.
    linked: bool,
    /// The first is the default.
    pub companies: &'static [&'static str],
}

/// What to type into a sign-in page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignIn {
    pub product: &'static str,
    pub login: &'static str,
    pub password: &'static str,
    pub name: &'static str,
    pub about: &'static str,
    /// Whether the account belongs to a person from the start.
    pub linked: bool,
}

pub static COMPANIES: [Company; 2] = [
    Company {
        id: "acme-rehab",
        name: "Acme Rehab",
        policy: include_str!("policies/acme-rehab.toml"),
    },
    Company {
        id: "northside",
        name: "Northside Therapy",
        policy: include_str!("policies/northside.toml"),
    },
];

static KIM: Person = Person {
    id: "kim",
    name: "Kim Doe",
    email: "kim.doe@acme-rehab.example",
    phone: "+15550100001",
    company: "acme-rehab",
    roles: &["company_admin", "user_manager"],
    grants: &["analytics"],
    about: "runs the clinic: company admin and user manager; EMR, Billing and Analytics",
};
static SAM: Person = Person {
    id: "sam",
    name: "Sam Rivera",
    email: "sam.rivera@acme-rehab.example",
    phone: "+15550100002",
    company: "acme-rehab",
    roles: &["therapist"],
    grants: &[],
    about: "therapist: EMR only, a Billing account waits to be paired",
};
static LEE: Person = Person {
    id: "lee",
    name: "Lee Chen",
    email: "lee.chen@northside.example",
    phone: "+15550100003",
    company: "northside",
    roles: &["therapist"],
    grants: &[],
    about: "Northside asks everybody for a second factor: enrolment at the first sign-in",
};
static ADA: Person = Person {
    id: "ada",
    name: "Ada Nováková",
    email: "ada.novakova@acme-rehab.example",
    phone: "+15550100004",
    company: "acme-rehab",
    roles: &["biller"],
    grants: &["analytics"],
    about: "bills for two companies: changes between them in Billing",
};

static MIA: Person = Person {
    id: "mia",
    name: "Mia Okafor",
    email: "mia.okafor@northside.example",
    phone: "+15550100005",
    company: "northside",
    roles: &["front_desk"],
    grants: &[],
    about: "at Northside too, with codes by SMS: look into the messages of the demo",
};

/// Who gets codes by SMS from the start: person and number.
pub const TEXTED: (&str, &str) = ("mia", "+15550100005");

static NOA: Person = Person {
    id: "noa",
    name: "Noa Berg",
    email: "noa.berg@acme-rehab.example",
    phone: "+15550100006",
    company: "acme-rehab",
    roles: &["therapist"],
    grants: &[],
    about: "back after a long leave: the password has expired, a Billing account waits to be paired",
};

static ELI: Person = Person {
    id: "eli",
    name: "Eli Stone",
    email: "eli.stone@acme-rehab.example",
    phone: "+15550100007",
    company: "acme-rehab",
    roles: &["biller"],
    grants: &[],
    about: "the Billing password has expired: Billing says so, and wants a new one",
};

static PEOPLE: [&Person; 7] = [&KIM, &SAM, &LEE, &ADA, &MIA, &NOA, &ELI];

/// Expired in the application itself, which keeps the password: product and login.
const EXPIRED_THERE: (&str, &str) = ("billing", "estone");

/// Set so long ago that every policy lets it expire: product, login, moment.
const OLD_PASSWORD: (&str, &str, &str) = ("emr", "noa", "2020-01-01T00:00:00Z");

static ACCOUNTS: [Account; 15] = [
    account(
        "emr",
        "kim",
        "kim-likes-long-walks",
        &KIM,
        true,
        &["acme-rehab"],
    ),
    account(
        "emr",
        "sam",
        "sam-plays-the-cello",
        &SAM,
        true,
        &["acme-rehab"],
    ),
    account(
        "emr",
        "lee",
        "lee-bakes-sourdough",
        &LEE,
        true,
        &["northside"],
    ),
    account(
        "emr",
        "ada",
        "ada-counts-in-czech",
        &ADA,
        true,
        &["acme-rehab"],
    ),
    account(
        "emr",
        "mia",
        "mia-waters-the-plants",
        &MIA,
        true,
        &["northside"],
    ),
    account(
        "emr",
        "noa",
        "noa-sails-on-sundays",
        &NOA,
        true,
        &["acme-rehab"],
    ),
    account(
        "emr",
        "eli",
        "eli-collects-postcards",
        &ELI,
        true,
        &["acme-rehab"],
    ),
    account(
        "billing",
        "kdoe",
        "kim-pays-her-bills",
        &KIM,
        true,
        &["acme-rehab"],
    ),
    account(
        "billing",
        "srivera",
        "sam-has-no-budget",
        &SAM,
        false,
        &["acme-rehab"],
    ),
    account(
        "billing",
        "lchen",
        "lee-saves-for-a-boat",
        &LEE,
        true,
        &["northside"],
    ),
    account(
        "billing",
        "anovakova",
        "ada-balances-books",
        &ADA,
        true,
        &["acme-rehab", "northside"],
    ),
    account(
        "billing",
        "nberg",
        "noa-forgot-the-invoices",
        &NOA,
        false,
        &["acme-rehab"],
    ),
    account(
        "billing",
        "estone",
        "eli-bills-in-pencil",
        &ELI,
        true,
        &["acme-rehab"],
    ),
    account(
        "analytics",
        "kim.doe",
        "kim-reads-the-charts",
        &KIM,
        true,
        &["acme-rehab"],
    ),
    account(
        "analytics",
        "ada.novakova",
        "ada-draws-the-charts",
        &ADA,
        true,
        &["acme-rehab"],
    ),
];

const fn account(
    product: &'static str,
    login: &'static str,
    password: &'static str,
    person: &'static Person,
    linked: bool,
    companies: &'static [&'static str],
) -> Account {
    Account {
        product,
        login,
        password,
        person,
        linked,
        companies,
    }
}

impl Account {
    /// Whether the application wants a new password before anything else.
    pub fn has_expired(&self) -> bool {
        (self.product, self.login) == EXPIRED_THERE
    }

    pub fn visitor(&self, by: &'static str) -> Visitor {
        let person = self.person;
        Visitor {
            login: self.login.to_owned(),
            name: person.name.to_owned(),
            email: person.email.to_owned(),
            groups: person.roles.iter().map(|role| (*role).to_owned()).collect(),
            company: self
                .companies
                .first()
                .copied()
                .unwrap_or_default()
                .to_owned(),
            by,
        }
    }
}

/// An application's own users.
pub fn accounts(product: &str) -> Vec<&'static Account> {
    ACCOUNTS
        .iter()
        .filter(|account| account.product == product)
        .collect()
}

/// Who works for a company.
pub fn people_of(company: &str) -> Vec<&'static Person> {
    let all = PEOPLE.iter().copied();
    all.filter(|person| person.company == company).collect()
}

pub fn company_name(id: &str) -> &str {
    COMPANIES
        .iter()
        .find(|company| company.id == id)
        .map_or(id, |company| company.name)
}

/// The demo's sign-ins, for printing: those of the EMR first.
pub fn people() -> Vec<SignIn> {
    ACCOUNTS
        .iter()
        .map(|account| SignIn {
            product: account.product,
            login: account.login,
            password: account.password,
            name: account.person.name,
            about: account.person.about,
            linked: account.linked,
        })
        .collect()
}

/// The demo's policy files: name in the policy folder, and text.
pub fn policies() -> Vec<(String, &'static str)> {
    let default = (
        String::from("default.toml"),
        include_str!("policies/default.toml"),
    );
    let companies = COMPANIES
        .iter()
        .map(|company| (format!("{}.toml", company.id), company.policy));
    std::iter::once(default).chain(companies).collect()
}

/// Companies, people and accounts, as `vestibule people import` reads them.
pub fn seed() -> String {
    let companies = COMPANIES
        .iter()
        .map(|company| json!({"kind": "company", "id": company.id, "name": company.name}));
    let people = PEOPLE.iter().map(|person| {
        json!({
            "kind": "person", "id": person.id, "company": person.company, "name": person.name,
            "email": person.email, "phone": person.phone, "roles": person.roles, "grants": person.grants,
        })
    });
    let accounts = ACCOUNTS.iter().map(|account| {
        let mut line = json!({
            "kind": "account", "product": account.product, "login": account.login,
            "password": account.password, "companies": account.companies,
            "default_company": account.companies.first(),
        });
        if let Some(fields) = line.as_object_mut() {
            if account.linked {
                fields.insert(String::from("person"), json!(account.person.id));
            }
            if (account.product, account.login) == (OLD_PASSWORD.0, OLD_PASSWORD.1) {
                fields.insert(String::from("password_set_at"), json!(OLD_PASSWORD.2));
            }
        }
        line
    });
    companies
        .chain(people)
        .chain(accounts)
        .map(|line| format!("{line}\n"))
        .collect()
}
