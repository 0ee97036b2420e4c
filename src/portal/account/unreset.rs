//! A reset of somebody's factors, and their own change of them at the same moment. The reset raises the
//! person's number, removes the factors, ends the sessions, and removes what came in between; whoever
//! changes their own looks afterwards whether their session is still there. So of the two, one sees the
//! other: a factor that comes too late for the reset to find goes with the others.
//!
//! Other things raise the number and end sessions too, such as a new password. So only what this change
//! wrote is undone: what was good before is the reset's to remove, and stays without one.

use crate::gate::session::Session;
use crate::portal::State;
use crate::portal::trouble::Trouble;

/// What a change wrote.
pub enum Wrote<'a> {
    /// Nothing: somebody else was first.
    Nothing,
    /// The factor of this id.
    Factor(&'a str),
    RecoveryCodes,
}

/// That nobody has reset this person since the change began.
pub struct Unreset<'a> {
    state: &'a State,
    session: &'a Session,
    epoch: Option<i64>,
}

impl<'a> Unreset<'a> {
    /// Before the change; `None` when the session has been ended already.
    pub async fn of(
        state: &'a State,
        session: &'a Session,
    ) -> Result<Option<Unreset<'a>>, Trouble> {
        let epoch = state.directory.epoch(&session.person.id).await?;
        Ok(goes_on(state, session).await?.then_some(Unreset {
            state,
            session,
            epoch,
        }))
    }

    /// After the change: whether it stands. If not, it has been undone.
    pub async fn still(self, wrote: Wrote<'_>) -> Result<bool, Trouble> {
        let (directory, person) = (&self.state.directory, &self.session.person.id);
        if directory.epoch(person).await? == self.epoch && goes_on(self.state, self.session).await?
        {
            return Ok(!matches!(wrote, Wrote::Nothing));
        }
        match wrote {
            Wrote::Nothing => {}
            // The last one too: a reset leaves none.
            Wrote::Factor(id) => {
                directory.remove_factor(person, id, false).await?;
            }
            Wrote::RecoveryCodes => directory.remove_recovery_codes(person).await?,
        }
        Ok(false)
    }
}

async fn goes_on(state: &State, session: &Session) -> Result<bool, Trouble> {
    let alive = state.sessions.of_person(&session.person.id).await?;
    Ok(alive.iter().any(|one| one.id == session.id))
}
