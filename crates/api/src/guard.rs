//! The guard of a password-free API: other sites' pages in the user's browser are kept out.
//!
//! A page of another site may send requests to loopback in two ways. Straight: then the browser adds an `Origin` that is not ours. By
//! DNS rebinding: then `Host` is that site's name. Programs send neither.

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::error::Error;

pub(crate) async fn same_site(request: Request, next: Next) -> Response {
    match check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(why) => Error::Forbidden(why).into_response(),
    }
}

fn check(headers: &HeaderMap) -> Result<(), String> {
    let text = |name| headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    let host = text(header::HOST);
    if let Some(host) = host
        && !is_local_name(host)
    {
        return Err(format!(
            "the API without passwords answers to localhost and IP addresses only, not to {host:?}: open it as http://127.0.0.1"
        ));
    }
    if let Some(origin) = text(header::ORIGIN) {
        let authority = origin.split_once("://").map_or("", |(_, rest)| rest);
        if host != Some(authority) {
            return Err(format!("a page of {origin} may not use this API"));
        }
    }
    Ok(())
}

fn is_local_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost") || name.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(pairs: &[(header::HeaderName, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(name, value.parse().unwrap());
        }
        check(&headers).is_ok()
    }

    #[test]
    fn other_sites_are_kept_out() {
        for host in ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "app.localhost:1"] {
            assert!(verdict(&[(header::HOST, host)]), "{host}");
            assert!(verdict(&[(header::HOST, host), (header::ORIGIN, &format!("http://{host}"))]), "{host}");
        }
        assert!(!verdict(&[(header::HOST, "evil.example:8080")]), "rebound");
        assert!(!verdict(&[(header::HOST, "127.0.0.1:8080"), (header::ORIGIN, "https://evil.example")]), "another site");
        assert!(!verdict(&[(header::HOST, "127.0.0.1:8080"), (header::ORIGIN, "null")]), "a sandboxed frame");
        assert!(!verdict(&[(header::HOST, "127.0.0.1:8080"), (header::ORIGIN, "http://127.0.0.1:9999")]), "another port");
    }
}
