//! The head of a request that is kept: what is read of it, what is kept of it, and how it comes back.

use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderName, ORIGIN, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Method};
use pingora::Result;
use pingora::http::RequestHeader;

use crate::gate::headers::Managed;
use crate::gate::kept::Sender;
use crate::sessions::kept::Form;

pub fn sender(headers: &HeaderMap) -> Sender<'_> {
    // Two of one are nobody's word.
    let one = |name: HeaderName| {
        let mut values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
        match (values.next(), values.next()) {
            (Some(_), Some(_)) => Some(&b"twice"[..]),
            (value, _) => value,
        }
    };
    Sender {
        origin: one(ORIGIN),
        site: one(HeaderName::from_static("sec-fetch-site")),
    }
}

pub fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Headers of one connection or of one moment: the button's own go with its request.
const NOT_KEPT: [HeaderName; 12] = [
    ACCEPT_ENCODING,
    CONNECTION,
    CONTENT_LENGTH,
    COOKIE,
    EXPECT,
    HOST,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    USER_AGENT,
    HeaderName::from_static("keep-alive"),
];

pub fn end_to_end(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let nominated: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
        .collect();
    headers
        .iter()
        .filter(|(name, _)| {
            let name = *name;
            !NOT_KEPT.contains(name)
                && !nominated.contains(name)
                && !name.as_str().starts_with("sec-")
                && !name.as_str().starts_with("proxy-")
        })
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect()
}

/// Makes the button's request the kept one. Its target is set when it is forwarded. A name that only the gateway
/// may say by now, which it perhaps was not when the form was kept, is left out.
pub fn put_on(request: &mut RequestHeader, form: &Form, managed: &Managed) -> Result<()> {
    let button: Vec<HeaderName> = end_to_end(&request.headers)
        .into_iter()
        .filter_map(|(name, _)| HeaderName::from_bytes(name.as_bytes()).ok())
        .collect();
    for name in button {
        request.remove_header(&name);
    }
    for (name, value) in &form.headers {
        let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_bytes(value),
        ) else {
            continue;
        };
        if managed.is_managed(name.as_str()) {
            continue;
        }
        request.append_header(name, value)?;
    }
    if let Ok(method) = Method::from_bytes(form.method.as_bytes()) {
        request.set_method(method);
    }
    request.insert_header(CONTENT_LENGTH, form.length)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::kept::Owner;
    use crate::gate::samples;

    #[test]
    fn what_only_the_gateway_may_say_by_now_is_not_put_on() {
        let lines = [("X_My_User", "boss"), ("X-Form", "7")];
        let form = Form {
            owner: Owner::of(&samples::session(), &samples::product_id("emr")),
            product: samples::product_id("emr"),
            method: String::from("PUT"),
            target: String::from("/"),
            headers: lines
                .map(|(name, value)| (String::from(name), value.into()))
                .into(),
            length: 3,
            kept_at: samples::noon(),
            by_script: false,
        };
        for (custom, kept) in [("x-other", true), ("x-my-user", false)] {
            let mut request = RequestHeader::build("POST", b"/", None).unwrap();
            put_on(&mut request, &form, &Managed::new([custom])).unwrap();
            assert_eq!(request.headers.contains_key("x_my_user"), kept);
            assert_eq!(request.headers.get("x-form").unwrap(), "7");
            assert_eq!(request.method, Method::PUT);
        }
    }
}
