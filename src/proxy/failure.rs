//! What becomes of a request that was let through and then went wrong.

use pingora::proxy::{FailToProxy, Session};
use pingora::{Error, ErrorSource, ErrorType};

use super::gateway::{Gateway, Passage, http2};
use super::refuse::Answer;
use crate::gate::decide::Permit;
use crate::gate::facts::Malformed;

impl Gateway {
    /// Tells the client, where there is still somebody to tell, and says whether the connection may go on.
    pub(super) async fn tell_failure(
        &self,
        session: &mut Session,
        error: &Error,
        passage: &mut Passage,
    ) -> FailToProxy {
        if let Some(told) = self.sign_on_failed(session, error, passage).await {
            return told;
        }
        let status = failure_status(error);
        let begun = session
            .response_written()
            .is_some_and(|head| !head.status.is_informational());
        if status == 0 || begun {
            return FailToProxy {
                error_code: status,
                can_reuse_downstream: false,
            };
        }
        let safe = !passage.went_out && self.put_back(passage).await;
        let product = passage.permit.as_ref().map(Permit::product);
        tracing::warn!(
            request_id = passage.record.request_id.as_str(),
            product = product.map(|product| product.id.as_str()),
            status,
            error = %error.etype().as_str(),
            "a request could not be passed on"
        );
        let name = product.map(|product| product.name.as_str());
        let teller = self.teller(session.req_header(), passage, passage.manner);
        let problem = match status {
            400 => teller.malformed(Malformed::Framing),
            413 => teller.malformed(Malformed::BodyTooLarge),
            _ => teller.backend_failed(status, name),
        };
        let problem = if safe {
            teller.form_is_safe(problem)
        } else {
            problem
        };
        // The body may be half read: the connection can't be used again.
        session.set_keepalive(None);
        let answer = Answer::problem(&problem, passage.manner);
        if let Err(error) = self.answer(session, passage, answer).await {
            tracing::debug!(%error, "the refusal could not be sent");
        } else {
            passage.close_in_stages = !http2(passage);
        }
        FailToProxy {
            error_code: status,
            can_reuse_downstream: false,
        }
    }
}

/// The status that tells best whose fault it was; 0 when nobody is there to be told.
fn failure_status(error: &Error) -> u16 {
    match (error.etype(), error.esource()) {
        (ErrorType::HTTPStatus(status), _) => *status,
        (
            ErrorType::ConnectTimedout
            | ErrorType::ReadTimedout
            | ErrorType::WriteTimedout
            | ErrorType::TLSHandshakeTimedout,
            ErrorSource::Upstream,
        ) => 504,
        (
            ErrorType::ConnectRefused
            | ErrorType::ConnectNoRoute
            | ErrorType::ConnectError
            | ErrorType::SocketError
            | ErrorType::BindError,
            ErrorSource::Upstream,
        ) => 503,
        (_, ErrorSource::Upstream) => 502,
        (ErrorType::WriteError | ErrorType::ConnectionClosed, ErrorSource::Downstream) => 0,
        (ErrorType::ReadTimedout, ErrorSource::Downstream) => 408,
        (_, ErrorSource::Downstream) => 400,
        (_, ErrorSource::Internal | ErrorSource::Unset) => 500,
    }
}
