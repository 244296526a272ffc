//! The dashboard, built into the program: what `make web` made of `web/`, or, where nobody did, a page that says how. Served by the API; talks
//! to nothing but the API.

include!(concat!(env!("OUT_DIR"), "/built.rs"));

/// A file that a page is made of.
#[derive(Debug, Clone, Copy)]
pub struct File {
    /// Its path below the root.
    pub name: &'static str,
    /// What it is.
    pub kind: &'static str,
    /// What is in it.
    pub bytes: &'static [u8],
    /// The same, compressed.
    pub gzip: Option<&'static [u8]>,
    /// The same, compressed better.
    pub brotli: Option<&'static [u8]>,
}

impl File {
    const fn own(name: &'static str, kind: &'static str, text: &'static str) -> Self {
        Self { name, kind, bytes: text.as_bytes(), gzip: None, brotli: None }
    }

    /// Whether its name changes whenever its content does, so that a browser may keep it for ever.
    pub fn is_named_by_content(&self) -> bool {
        self.name.starts_with("assets/app/")
    }
}

const HTML: &str = "text/html; charset=utf-8";

/// What `/docs` answers: a reader of `/openapi.json`.
pub const DOCS: File = File::own("docs", HTML, include_str!("../assets/docs.html"));

/// What the paths of the dashboard answer where it was not built.
const NOT_BUILT: File = File::own("index.html", HTML, include_str!("../assets/not-built.html"));

/// Files that are there whether it was built or not.
const OWN: &[File] = &[
    File::own("assets/docs.js", "text/javascript; charset=utf-8", include_str!("../assets/docs.js")),
    File::own("assets/docs.css", "text/css; charset=utf-8", include_str!("../assets/docs.css")),
    File::own("assets/icon.svg", "image/svg+xml", include_str!("../assets/icon.svg")),
];

/// Paths that a person may open: all answer [`page`], which looks at the path itself. The routes of `web/src/router.tsx` are below these.
pub const PLACES: &[&str] = &[
    "/",
    "/dags",
    "/dags/{*rest}",
    "/backfills",
    "/fleet",
    "/git",
    "/audit",
    "/import-errors",
    "/pools",
    "/variables",
    "/connections",
    "/users",
    "/tokens",
];

/// The page.
pub fn page() -> &'static File {
    BUILT.iter().find(|file| file.name == "index.html").unwrap_or(&NOT_BUILT)
}

/// A file below `/assets`.
pub fn asset(path: &str) -> Option<&'static File> {
    OWN.iter().chain(BUILT).find(|file| file.name.strip_prefix("assets/") == Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_page_loads_is_there() {
        let text = std::str::from_utf8(page().bytes).unwrap();
        let named = text.split('"').filter_map(|word| word.strip_prefix("/assets/"));
        let mut found = 0;
        for name in named {
            assert!(asset(name).is_some(), "/assets/{name} is not in the program");
            found += 1;
        }
        assert!(found >= 2, "a page without a style: {text}");
    }

    #[test]
    fn a_name_that_is_not_there_is_nothing() {
        assert!(asset("nothing.js").is_none());
        assert!(asset("../index.html").is_none());
        assert!(asset("").is_none());
    }

    #[test]
    fn without_a_build_the_page_says_how() {
        let text = std::str::from_utf8(NOT_BUILT.bytes).unwrap();
        assert!(text.contains("make web"));
    }
}
