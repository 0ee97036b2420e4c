//! The EMR: patients and their notes. Signs people in by identity headers, or by its own page.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use askama::Template;
use axum::extract::{Form, Path, Query, State, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;
use tokio::net::TcpListener;

use super::door::{Door, Trust};
use super::frame::House;
use super::links::Links;
use super::live;
use super::reception::Reception;
use super::visitor::Visitor;

/// Notes kept per patient; the oldest goes first.
const NOTES: usize = 50;
/// The longest note, in characters.
const NOTE: usize = 2_000;

const NEWS: [&str; 4] = [
    "Front desk: next patient is in the waiting room",
    "Lab: results are back",
    "Fax: referral received",
    "Front desk: a patient will be ten minutes late",
];

struct Emr {
    reception: Arc<Reception>,
    patients: Mutex<Vec<Patient>>,
}

#[derive(Clone)]
struct Patient {
    id: &'static str,
    name: &'static str,
    born: &'static str,
    company: &'static str,
    therapist: &'static str,
    complaint: &'static str,
    next_visit: &'static str,
    notes: VecDeque<Note>,
}

#[derive(Clone)]
struct Note {
    by: String,
    text: String,
}

#[derive(Template)]
#[template(path = "demo/emr_day.html")]
struct DayPage<'a> {
    patients: &'a [Patient],
}

#[derive(Template)]
#[template(path = "demo/emr_patients.html")]
struct PatientsPage<'a> {
    patients: &'a [Patient],
    query: &'a str,
}

#[derive(Template)]
#[template(path = "demo/emr_patient.html")]
struct PatientPage<'a> {
    patient: &'a Patient,
}

#[derive(Template)]
#[template(path = "demo/emr_headers.html")]
struct HeadersPage {
    headers: Vec<(String, String)>,
}

/// Serves the EMR on `listener` until the task is dropped or the listener fails.
pub async fn serve(listener: TcpListener, links: Links) -> io::Result<()> {
    axum::serve(listener, app(links)).await
}

/// The EMR, for whoever has a listener of another kind.
pub fn app(links: Links) -> Router {
    let house = House {
        id: "emr",
        name: "RehabChart EMR",
        motto: "Charting for physical therapy, release 4.2",
        style: include_str!("assets/emr.css"),
        menu: &[
            ("Today", "/"),
            ("Patients", "/patients"),
            ("Documents", "/files"),
            ("What I was told", "/headers"),
        ],
        links,
    };
    let door = Door::new("emr", "EMRSESSID", Trust::EachRequest);
    let reception = Arc::new(Reception {
        house,
        door,
        form_token: None,
    });
    let emr = Emr {
        reception: reception.clone(),
        patients: Mutex::new(patients()),
    };
    let rooms = Router::new()
        .route("/", get(today))
        .route("/patients", get(list))
        .route("/patients/{id}", get(show))
        .route("/patients/{id}/notes", post(add_note))
        .route("/headers", get(told))
        .route("/poll/messages", get(|| async { live::poll(&NEWS) }))
        .route(
            "/live",
            get(|upgrade: WebSocketUpgrade| live::socket(upgrade, "EMR")),
        )
        .route("/events", get(|| live::events("heart rate reading")))
        .with_state(Arc::new(emr));
    reception.guard(rooms, "Scanned document")
}

impl Emr {
    /// The patients of the visitor's clinic.
    fn patients_of(&self, visitor: &Visitor) -> Vec<Patient> {
        let patients = self.patients.lock().unwrap_or_else(PoisonError::into_inner);
        patients
            .iter()
            .filter(|patient| patient.company == visitor.company)
            .cloned()
            .collect()
    }
}

async fn today(State(emr): State<Arc<Emr>>, Extension(visitor): Extension<Visitor>) -> Response {
    let patients = emr.patients_of(&visitor);
    emr.reception.house.page(
        "Today's schedule",
        Some(&visitor),
        &DayPage {
            patients: &patients,
        },
    )
}

#[derive(Deserialize)]
struct Search {
    #[serde(default)]
    q: String,
}

async fn list(
    State(emr): State<Arc<Emr>>,
    Extension(visitor): Extension<Visitor>,
    Query(Search { q }): Query<Search>,
) -> Response {
    let mut patients = emr.patients_of(&visitor);
    patients.retain(|patient| patient.name.to_lowercase().contains(&q.to_lowercase()));
    let page = PatientsPage {
        patients: &patients,
        query: &q,
    };
    emr.reception.house.page("Patients", Some(&visitor), &page)
}

async fn show(
    State(emr): State<Arc<Emr>>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Response {
    let patients = emr.patients_of(&visitor);
    match patients.iter().find(|patient| patient.id == id) {
        Some(patient) => {
            emr.reception
                .house
                .page(patient.name, Some(&visitor), &PatientPage { patient })
        }
        None => emr.reception.house.notice(
            StatusCode::NOT_FOUND,
            Some(&visitor),
            "No such patient in this clinic.",
        ),
    }
}

#[derive(Deserialize)]
struct NewNote {
    text: String,
}

async fn add_note(
    State(emr): State<Arc<Emr>>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    Form(new): Form<NewNote>,
) -> Response {
    let text: String = new.text.trim().chars().take(NOTE).collect();
    let mut patients = emr.patients.lock().unwrap_or_else(PoisonError::into_inner);
    let found = patients
        .iter_mut()
        .find(|patient| patient.id == id && patient.company == visitor.company);
    match found {
        Some(_) if text.is_empty() => emr.reception.house.notice(
            StatusCode::BAD_REQUEST,
            Some(&visitor),
            "A note needs some text.",
        ),
        Some(patient) => {
            patient.notes.push_front(Note {
                by: visitor.name,
                text,
            });
            patient.notes.truncate(NOTES);
            Redirect::to(&format!("/patients/{}", patient.id)).into_response()
        }
        None => emr.reception.house.notice(
            StatusCode::NOT_FOUND,
            Some(&visitor),
            "No such patient in this clinic.",
        ),
    }
}

/// Shows what reached the EMR, but nothing that would let a reader act for somebody.
async fn told(
    State(emr): State<Arc<Emr>>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
) -> Response {
    let secret = ["cookie", "authorization", "x-vestibule-jwt-assertion"];
    let headers = headers
        .iter()
        .map(|(name, value)| {
            let text = if secret.contains(&name.as_str()) {
                format!("({} bytes, not shown)", value.len())
            } else {
                String::from_utf8_lossy(value.as_bytes()).into_owned()
            };
            (name.to_string(), text)
        })
        .collect();
    emr.reception
        .house
        .page("What I was told", Some(&visitor), &HeadersPage { headers })
}

fn patients() -> Vec<Patient> {
    const SEEDED: [(&str, &str, &str, &str, &str, &str, &str); 8] = [
        (
            "pt-1001",
            "Maria Alvarez",
            "1961-04-12",
            "acme-rehab",
            "Sam Rivera",
            "Total knee replacement, week 5",
            "08:30",
        ),
        (
            "pt-1002",
            "Dwayne Porter",
            "1988-11-03",
            "acme-rehab",
            "Sam Rivera",
            "Rotator cuff repair",
            "09:15",
        ),
        (
            "pt-1003",
            "Aoife O'Connell",
            "1975-07-29",
            "acme-rehab",
            "Kim Doe",
            "Low back pain with <radiating> symptoms",
            "10:00",
        ),
        (
            "pt-1004",
            "Harold Jensen",
            "1949-01-17",
            "acme-rehab",
            "Sam Rivera",
            "Gait training after stroke",
            "11:30",
        ),
        (
            "pt-1005",
            "Priya Nair",
            "1993-09-21",
            "acme-rehab",
            "Kim Doe",
            "Ankle sprain, return to sport",
            "13:45",
        ),
        (
            "pt-2001",
            "Tomasz Zielinski",
            "1982-02-08",
            "northside",
            "Lee Chen",
            "Tennis elbow",
            "08:00",
        ),
        (
            "pt-2002",
            "Grace Kim",
            "1970-12-30",
            "northside",
            "Lee Chen",
            "Frozen shoulder",
            "09:30",
        ),
        (
            "pt-2003",
            "Omar Haddad",
            "2001-05-05",
            "northside",
            "Lee Chen",
            "ACL reconstruction, week 12",
            "14:00",
        ),
    ];
    SEEDED
        .into_iter()
        .map(
            |(id, name, born, company, therapist, complaint, next_visit)| {
                let first = Note {
                    by: therapist.to_owned(),
                    text: String::from(
                        "Evaluation done, plan of care signed. Two visits a week for six weeks.",
                    ),
                };
                let notes = VecDeque::from([first]);
                Patient {
                    id,
                    name,
                    born,
                    company,
                    therapist,
                    complaint,
                    next_visit,
                    notes,
                }
            },
        )
        .collect()
}
