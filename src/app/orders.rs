//! Keeps certificates ordered: looks at each host's once a second, orders the next one in time, takes what
//! another node ordered, and shows it. The old one stays until the new one is good.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::certificates::{ordered_hosts, shelf};
use super::house::House;
use super::upkeep::over;
use crate::acme::{AcmeError, Bundle, Desk, Noted, Notes, Proofs, Shelf};
use crate::config::settings::{CertificateFiles, Settings};
use crate::gate::host::Host;
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::proxy::certificates::Certificates;

const LOOK: Duration = Duration::from_secs(1);

/// Where the orders are kept going.
pub struct Orders {
    house: Arc<House>,
    notes: Notes,
    proofs: Proofs,
    over: watch::Receiver<bool>,
    office: Option<Office>,
    /// What was said last, so that it is not said each second.
    complaint: Option<String>,
}

/// The authority's counter, as long as the settings stay as they are.
struct Office {
    settings: Arc<Settings>,
    desk: Desk,
    shelf: Shelf,
    hosts: Vec<Host>,
    dates: HashMap<Host, Date>,
    /// What visitors should be shown; `None`: it is to be found out.
    shown: Option<Vec<CertificateFiles>>,
}

/// What is known of a host's certificate.
#[derive(Debug, Clone, Copy)]
struct Date {
    /// `None`: there is none yet.
    ends: Option<Moment>,
    due: Moment,
}

impl Orders {
    pub fn new(house: Arc<House>, over: watch::Receiver<bool>) -> Orders {
        let directory = house.ground.directory.clone();
        let store = Arc::clone(house.ground.sessions.store());
        Orders {
            notes: Notes::new(Arc::clone(&store), Arc::new(move || directory.seal())),
            proofs: Proofs::new(store),
            house,
            over,
            office: None,
            complaint: None,
        }
    }

    /// Goes on until the gateway ends.
    pub async fn run(mut self) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut shutdown = self.over.clone();
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = over(&mut shutdown) => return,
            }
            let looked = self.look().await;
            self.complain(looked.err());
        }
    }

    fn complain(&mut self, error: Option<AcmeError>) {
        let said = error.map(|error| error.to_string());
        if let Some(error) = &said
            && self.complaint != said
        {
            tracing::error!(error, "certificates can't be ordered");
        }
        self.complaint = said;
    }

    async fn look(&mut self) -> Result<(), AcmeError> {
        let Some(mut office) = self.office()? else {
            return Ok(());
        };
        let mut looked = Ok(());
        for host in office.hosts.clone() {
            let one = self.look_at(&mut office, &host).await;
            looked = looked.and(one);
            if *self.over.borrow() {
                break;
            }
        }
        let shown = self.show(&mut office);
        self.office = Some(office);
        looked.and(shown)
    }

    /// As it stands, or a new one when the settings are others.
    fn office(&mut self) -> Result<Option<Office>, AcmeError> {
        let settings = self.house.settings();
        let Some(acme) = &settings.tls.acme else {
            self.office = None;
            return Ok(None);
        };
        if let Some(office) = self.office.take()
            && Arc::ptr_eq(&office.settings, &settings)
        {
            return Ok(Some(office));
        }
        let configured = Certificates::read(settings.tls.certificates.clone()).map_err(unusable)?;
        let shelf = shelf(&settings, acme);
        let clock = Arc::clone(&self.house.ground.world.clock);
        Ok(Some(Office {
            desk: Desk::new(acme.clone(), shelf.clone(), self.proofs.clone(), clock)?,
            hosts: ordered_hosts(&settings, &configured),
            dates: HashMap::new(),
            shown: None,
            shelf,
            settings,
        }))
    }

    /// Has visitors shown what there is. Settings that change meanwhile may have put it back.
    fn show(&self, office: &mut Office) -> Result<(), AcmeError> {
        let shown = office.shown.as_ref();
        if shown.is_some_and(|files| self.house.certificates.are(files)) {
            return Ok(());
        }
        let files = self.house.show_certificates().map_err(unusable)?;
        office.shown = Some(files);
        Ok(())
    }

    async fn look_at(&self, office: &mut Office, host: &Host) -> Result<(), AcmeError> {
        let now = self.now();
        let date = match office.dates.get(host).copied() {
            Some(date) => date,
            None => {
                let kept = office.shelf.read(host);
                self.date(office, host, kept.as_ref())
            }
        };
        if now < date.due {
            return Ok(());
        }
        let authority = office.shelf.name().to_owned();
        let newer = |bundle: &Bundle| date.ends.is_none_or(|ends| bundle.term().ends > ends);
        let shared = self.notes.shared(&authority, host, now).await?;
        if let Some(bundle) = shared.filter(newer) {
            self.keep(office, host, bundle, "shared").await?;
            return Ok(());
        }
        let noted = self.notes.attempts(&authority, host, now).await?;
        let paused = self.notes.paused(&authority, now).await?;
        if paused.is_some() || now < noted.attempts.next {
            return Ok(());
        }
        let begun = noted.attempts.begun(now, self.draw());
        match self.notes.swap(&noted, begun, now).await? {
            Some(claimed) => self.order(office, host, &noted, &claimed).await,
            // Another node was quicker.
            None => Ok(()),
        }
    }

    /// Orders, and notes how it went. `before`: as it stood before this attempt.
    async fn order(
        &self,
        office: &mut Office,
        host: &Host,
        before: &Noted,
        claimed: &Noted,
    ) -> Result<(), AcmeError> {
        let authority = office.shelf.name().to_owned();
        tracing::info!(%host, authority, "a certificate is ordered");
        self.house.note(
            TrailEvent::CertificateOrdered,
            &format!("{host} from {authority}"),
        );
        let mut shutdown = self.over.clone();
        let ordered = tokio::select! {
            ordered = office.desk.order(host) => ordered,
            () = over(&mut shutdown) => {
                // Nothing has failed: whoever starts next tries at once.
                self.notes.swap(claimed, before.attempts, self.now()).await?;
                return Ok(());
            }
        };
        let now = self.now();
        match ordered {
            Ok(bundle) => {
                // First for the others: what this node's disk does not take is not lost then.
                if let Err(error) = self.notes.share(&authority, host, &bundle, now).await {
                    tracing::warn!(%error, %host, "other nodes can't be given a certificate");
                }
                self.keep(office, host, bundle, "issued").await?;
                self.notes.clear(claimed, now).await?;
                Ok(())
            }
            Err(error) => self.failed(office, host, claimed, &error).await,
        }
    }

    async fn failed(
        &self,
        office: &Office,
        host: &Host,
        claimed: &Noted,
        error: &AcmeError,
    ) -> Result<(), AcmeError> {
        let now = self.now();
        let wish = office.desk.wish();
        let failed = claimed.attempts.failed(now, wish);
        self.notes.swap(claimed, failed, now).await?;
        if matches!(error, AcmeError::Limited(_)) {
            // The limit is the account's or the address's, not this name's.
            let pause = wish.unwrap_or_else(|| failed.next.since(now));
            let authority = office.shelf.name();
            self.notes.pause(authority, pause, now).await?;
        }
        let next = failed.next.to_rfc3339();
        tracing::error!(
            %host,
            %error,
            failures = failed.failures,
            next,
            "no certificate came; what there was stays"
        );
        let detail = format!("{host}: {error}; again at {next}");
        self.house.note(TrailEvent::CertificateFailed, &detail);
        self.house.ground.metrics.certificate_order("failed");
        Ok(())
    }

    /// Keeps what came, and has it shown. `how` is the metric's word.
    async fn keep(
        &self,
        office: &mut Office,
        host: &Host,
        bundle: Bundle,
        how: &'static str,
    ) -> Result<(), AcmeError> {
        let first = office
            .dates
            .get(host)
            .is_none_or(|date| date.ends.is_none());
        let (shelf, place) = (office.shelf.clone(), host.clone());
        let bundle =
            tokio::task::spawn_blocking(move || shelf.write(&place, &bundle).map(|()| bundle));
        let bundle = bundle
            .await
            .map_err(|_| AcmeError::Unusable(String::from("it could not be written")))??;
        self.date(office, host, Some(&bundle));
        office.shown = None;
        let until = bundle.term().ends.to_rfc3339();
        let event = if first {
            TrailEvent::CertificateIssued
        } else {
            TrailEvent::CertificateRenewed
        };
        tracing::info!(%host, until, from = how, event = event.as_str(), "a certificate came");
        self.house.note(event, &format!("{host} until {until}"));
        self.house.ground.metrics.certificate_order(how);
        self.show(office)
    }

    /// Notes when this host's next certificate is due. Without one it is due now.
    fn date(&self, office: &mut Office, host: &Host, bundle: Option<&Bundle>) -> Date {
        let date = match bundle.map(Bundle::term) {
            None => Date {
                ends: None,
                due: Moment::EPOCH,
            },
            Some(term) => Date {
                ends: Some(term.ends),
                due: term.due(self.draw()),
            },
        };
        office.dates.insert(host.clone(), date);
        date
    }

    fn now(&self) -> Moment {
        (self.house.ground.world.clock)()
    }

    fn draw(&self) -> u64 {
        let mut bytes = [0; 8];
        (self.house.ground.world.random)(&mut bytes);
        u64::from_be_bytes(bytes)
    }
}

fn unusable(error: impl std::fmt::Display) -> AcmeError {
    AcmeError::Unusable(error.to_string())
}
