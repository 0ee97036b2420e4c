//! The audit pages.

use vestibule::directory::Line;
use vestibule::gate::trail::TrailEvent;

use crate::administration::official;
use crate::clinic::*;

fn line(clinic: &Clinic, apart: u64, who: &str, reason: &str) -> Line {
    let at = clinic.now();
    Line {
        id: Line::id_at(at, apart),
        at: at.millis(),
        event: String::from("mfa_reset"),
        who: Some(String::from(who)),
        whom: Some(String::from("lee")),
        address: String::from("192.0.2.99"),
        reason: Some(String::from(reason)),
        ..Line::default()
    }
}

#[tokio::test]
async fn a_company_admin_reads_the_companys_lines_and_nobody_elses() {
    let clinic = Clinic::open().await;
    let mut lines: Vec<Line> = (0..60)
        .map(|apart| line(&clinic, apart, "kim", &format!("reason-{apart:02}")))
        .collect();
    lines.push(line(&clinic, 100, "max", "strictly secret"));
    clinic.directory.record(&lines).await.unwrap();
    let (kim, _) = official(&clinic, "kim").await;
    let url = format!("{PORTAL}/company/audit");
    let page = kim.get(&url).await;
    assert_eq!(page.body.matches("because: reason-").count(), 50, "a bound");
    assert!(page.body.contains("reason-59") && !page.body.contains("reason-09"));
    assert!(!page.body.contains("strictly secret"));
    let older = kim
        .get(&format!("{PORTAL}{}", page.link("Older lines")))
        .await;
    assert!(older.body.contains("reason-09") && older.body.contains("reason-00"));
    for (query, count) in [
        ("?person=lee", 50),
        ("?person=kim&event=mfa_reset", 50),
        ("?person=max", 0),
        ("?event=sign_out", 0),
        ("?from=2026-09-21&to=2026-09-21", 50),
        ("?from=2030-01-01", 0),
        ("?from=yesterday", 50),
    ] {
        let page = kim.get(&format!("{url}{query}")).await;
        assert_eq!(page.body.matches("because: ").count(), count, "{query}");
    }
    let lee = clinic.signed_in("lee").await;
    for path in ["", "/export"] {
        assert_eq!(lee.get(&format!("{url}{path}")).await.status, 403);
    }
    // A user manager who is no admin doesn't either.
    let max = clinic.signed_in_strict("max").await;
    assert_eq!(max.get(&url).await.status, 403);
}

#[tokio::test]
async fn whatever_can_stand_in_a_companys_trail_can_be_asked_for() {
    let clinic = Clinic::open().await;
    let (kim, _) = official(&clinic, "kim").await;
    let page = kim.get(&format!("{PORTAL}/company/audit")).await;
    for event in TrailEvent::of_companies() {
        let offered = format!("<option value=\"{event}\">");
        assert!(page.body.contains(&offered), "{event}: {}", page.body);
    }
    for word in ["device_used", "break_glass_opened", "roles_changed"] {
        assert!(page.body.contains(&format!("\"{word}\"")), "{word}");
    }
}

#[tokio::test]
async fn an_export_is_a_file_without_formulas() {
    let clinic = Clinic::open().await;
    let reasons = [
        "=HYPERLINK(\"https://evil.example\")",
        "+1",
        "a, b",
        "plain",
    ];
    let lines: Vec<Line> = (0_u64..)
        .zip(reasons)
        .map(|(apart, reason)| line(&clinic, apart, "kim", reason))
        .collect();
    clinic.directory.record(&lines).await.unwrap();
    let (kim, _) = official(&clinic, "kim").await;
    let page = kim
        .get(&format!("{PORTAL}/company/audit/export?person=lee"))
        .await;
    assert!(page.header("content-type").starts_with("text/csv"));
    assert!(page.header("content-disposition").starts_with("attachment"));
    assert_eq!(page.header("cache-control"), "no-store");
    let rows: Vec<&str> = page.body.lines().collect();
    assert_eq!(rows.len(), 5, "{}", page.body);
    assert!(rows[0].starts_with("time,event,who,whom,"));
    assert!(
        page.body
            .contains(",\"'=HYPERLINK(\"\"https://evil.example\"\")\",")
    );
    assert!(page.body.contains(",\"'+1\",") && page.body.contains(",\"a, b\","));
    let heard = clinic.heard.lines.lock().unwrap().join("\n");
    assert!(heard.contains("audit_exported"), "who took it is on record");
}

#[tokio::test]
async fn last_sign_ins_stand_on_the_persons_page() {
    let clinic = Clinic::open().await;
    let mut ok = line(&clinic, 1, "lee", "");
    ok.event = String::from("sign_in");
    ok.detail = Some(String::from("refused"));
    clinic.directory.record(&[ok]).await.unwrap();
    let (kim, _) = official(&clinic, "kim").await;
    let page = kim.get(&format!("{PORTAL}/company/users/lee")).await;
    assert!(page.body.contains("Refused: wrong password") && page.body.contains("192.0.2.99"));
}
