//! Billing: invoices and payments. Has its own sign-in page with a hidden field and its own
//! session; identity headers open such a session for users it knows, unless it is run as one that
//! knows no headers.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use askama::Template;
use axum::extract::{Form, State, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Extension, Router};
use serde::Deserialize;
use tokio::net::TcpListener;

use super::door::{Door, Trust};
use super::frame::House;
use super::links::Links;
use super::live;
use super::reception::Reception;
use super::visitor::Visitor;

/// Payments kept; the oldest goes first.
const PAYMENTS: usize = 500;

const NEWS: [&str; 3] = [
    "12 claims accepted",
    "1 claim needs a modifier",
    "remittance advice received",
];

struct Billing {
    reception: Arc<Reception>,
    payments: Mutex<VecDeque<Payment>>,
}

struct Invoice {
    number: &'static str,
    company: &'static str,
    payer: &'static str,
    patient: &'static str,
    issued: &'static str,
    amount: Cents,
}

#[derive(Clone)]
struct Payment {
    company: String,
    invoice: &'static str,
    amount: Cents,
    entered_by: String,
}

/// US dollars, in cents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cents(u64);

#[derive(Template)]
#[template(path = "demo/billing_invoices.html")]
struct InvoicesPage<'a> {
    invoices: &'a [(&'a Invoice, Cents)],
}

#[derive(Template)]
#[template(path = "demo/billing_payments.html")]
struct PaymentsPage<'a> {
    invoices: &'a [(&'a Invoice, Cents)],
    payments: &'a [Payment],
}

/// Serves Billing on `listener` until the task is dropped or the listener fails.
pub async fn serve(listener: TcpListener, links: Links) -> io::Result<()> {
    axum::serve(listener, app(links)).await
}

/// The same, as an application that knows no headers: its own sign-in page is the only way in.
pub async fn serve_by_form(listener: TcpListener, links: Links) -> io::Result<()> {
    axum::serve(listener, app_by_form(links)).await
}

/// Billing, for whoever has a listener of another kind.
pub fn app(links: Links) -> Router {
    app_trusting(links, Trust::OpensSession)
}

/// Billing that knows no headers.
pub fn app_by_form(links: Links) -> Router {
    app_trusting(links, Trust::OwnPage)
}

fn app_trusting(links: Links, trust: Trust) -> Router {
    let house = House {
        id: "billing",
        name: "LedgerWorks Billing",
        motto: "Claims, invoices, payments",
        style: include_str!("assets/billing.css"),
        menu: &[
            ("Invoices", "/"),
            ("Payments", "/payments"),
            ("Remittances", "/files"),
        ],
        links,
    };
    let door = Door::new("billing", "LWSESSION", trust);
    let reception = Arc::new(Reception {
        house,
        door,
        form_token: Some("LWFORM"),
    });
    let billing = Billing {
        reception: reception.clone(),
        payments: Mutex::new(VecDeque::new()),
    };
    let rooms = Router::new()
        .route("/", get(invoices))
        .route("/payments", get(payments).post(pay))
        .route("/poll/claims", get(|| async { live::poll(&NEWS) }))
        .route(
            "/live",
            get(|upgrade: WebSocketUpgrade| live::socket(upgrade, "Billing")),
        )
        .route("/events", get(|| live::events("claim processed")))
        .with_state(Arc::new(billing));
    reception.guard(rooms, "Remittance file")
}

impl Billing {
    /// The invoices of the visitor's company, each with what is still owed.
    fn open_invoices(&self, visitor: &Visitor) -> Vec<(&'static Invoice, Cents)> {
        let payments = self.payments.lock().unwrap_or_else(PoisonError::into_inner);
        let paid = |number: &str| -> u64 {
            payments
                .iter()
                .filter(|paid| paid.invoice == number)
                .map(|paid| paid.amount.0)
                .sum()
        };
        INVOICES
            .iter()
            .filter(|invoice| invoice.company == visitor.company)
            .map(|invoice| {
                (
                    invoice,
                    Cents(invoice.amount.0.saturating_sub(paid(invoice.number))),
                )
            })
            .collect()
    }

    fn payments_of(&self, visitor: &Visitor) -> Vec<Payment> {
        let payments = self.payments.lock().unwrap_or_else(PoisonError::into_inner);
        payments
            .iter()
            .filter(|paid| paid.company == visitor.company)
            .cloned()
            .collect()
    }
}

async fn invoices(
    State(billing): State<Arc<Billing>>,
    Extension(visitor): Extension<Visitor>,
) -> Response {
    let page = InvoicesPage {
        invoices: &billing.open_invoices(&visitor),
    };
    billing
        .reception
        .house
        .page("Invoices", Some(&visitor), &page)
}

async fn payments(
    State(billing): State<Arc<Billing>>,
    Extension(visitor): Extension<Visitor>,
) -> Response {
    let page = PaymentsPage {
        invoices: &billing.open_invoices(&visitor),
        payments: &billing.payments_of(&visitor),
    };
    billing
        .reception
        .house
        .page("Payments", Some(&visitor), &page)
}

#[derive(Deserialize)]
struct NewPayment {
    invoice: String,
    /// Dollars, as in `125` or `125.50`.
    amount: String,
}

async fn pay(
    State(billing): State<Arc<Billing>>,
    Extension(visitor): Extension<Visitor>,
    Form(new): Form<NewPayment>,
) -> Response {
    let open = billing.open_invoices(&visitor);
    let house = &billing.reception.house;
    let Some((invoice, owed)) = open
        .iter()
        .find(|(invoice, _)| invoice.number == new.invoice)
    else {
        return house.notice(
            StatusCode::NOT_FOUND,
            Some(&visitor),
            "No such invoice in this company.",
        );
    };
    match Cents::parse(&new.amount).filter(|amount| amount <= owed) {
        Some(amount) => {
            let mut payments = billing
                .payments
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            payments.push_front(Payment {
                company: visitor.company,
                invoice: invoice.number,
                amount,
                entered_by: visitor.name,
            });
            payments.truncate(PAYMENTS);
            Redirect::to("/payments").into_response()
        }
        None => {
            let text = format!("An amount above zero and up to {owed} is needed, as in 125.50.");
            house.notice(StatusCode::BAD_REQUEST, Some(&visitor), &text)
        }
    }
}

impl Cents {
    /// `None` unless it is above zero, with two decimals or none.
    fn parse(text: &str) -> Option<Cents> {
        let (dollars, cents) = text.trim().split_once('.').unwrap_or((text.trim(), "00"));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if cents.len() != 2 || !digits(dollars) || !digits(cents) {
            return None;
        }
        let total = dollars
            .parse::<u64>()
            .ok()?
            .checked_mul(100)?
            .checked_add(cents.parse().ok()?)?;
        (total > 0).then_some(Cents(total))
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}.{:02}", self.0 / 100, self.0 % 100)
    }
}

const fn invoice(
    number: &'static str,
    company: &'static str,
    payer: &'static str,
    patient: &'static str,
    issued: &'static str,
    cents: u64,
) -> Invoice {
    Invoice {
        number,
        company,
        payer,
        patient,
        issued,
        amount: Cents(cents),
    }
}

static INVOICES: [Invoice; 9] = [
    invoice(
        "INV-20841",
        "acme-rehab",
        "Prairie Mutual",
        "Alvarez, M.",
        "2026-02-03",
        38_450,
    ),
    invoice(
        "INV-20842",
        "acme-rehab",
        "Self pay",
        "Porter, D.",
        "2026-02-04",
        12_500,
    ),
    invoice(
        "INV-20843",
        "acme-rehab",
        "O'Hara & Sons Health Plan",
        "O'Connell, A.",
        "2026-02-04",
        27_725,
    ),
    invoice(
        "INV-20844",
        "acme-rehab",
        "Medicare Part B",
        "Jensen, H.",
        "2026-02-09",
        51_080,
    ),
    invoice(
        "INV-20845",
        "acme-rehab",
        "Lakeshore PPO",
        "Nair, P.",
        "2026-02-11",
        19_900,
    ),
    invoice(
        "INV-31007",
        "northside",
        "Prairie Mutual",
        "Zielinski, T.",
        "2026-02-02",
        22_300,
    ),
    invoice(
        "INV-31008",
        "northside",
        "Workers' compensation",
        "Kim, G.",
        "2026-02-05",
        44_000,
    ),
    invoice(
        "INV-31009",
        "northside",
        "Lakeshore PPO",
        "Haddad, O.",
        "2026-02-06",
        36_275,
    ),
    invoice(
        "INV-31010",
        "northside",
        "Self pay",
        "Haddad, O.",
        "2026-02-13",
        6_000,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_to_the_cent_or_not_at_all() {
        assert_eq!(Cents::parse(" 125.50 "), Some(Cents(12_550)));
        assert_eq!(Cents::parse("7"), Some(Cents(700)));
        for wrong in [
            "",
            "0",
            "0.00",
            "-5",
            "+5",
            "1.5",
            "1,50",
            "1.505",
            "99999999999999999999",
        ] {
            assert_eq!(Cents::parse(wrong), None, "{wrong:?}");
        }
        assert_eq!(Cents(12_505).to_string(), "$125.05");
    }
}
