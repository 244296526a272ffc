//! The page: plain HTML, CSS and JavaScript of our own, built into the program. Served by the API; talks to nothing but the API.

/// What `/` answers.
pub const PAGE: &str = include_str!("../assets/index.html");

/// What `/docs` answers: a reader of `/openapi.json`.
pub const DOCS: &str = include_str!("../assets/docs.html");

/// The files that the pages load: path, content type, text.
pub const ASSETS: &[(&str, &str, &str)] = &[
    ("/assets/app.js", "text/javascript; charset=utf-8", include_str!("../assets/app.js")),
    ("/assets/app.css", "text/css; charset=utf-8", include_str!("../assets/app.css")),
    ("/assets/docs.js", "text/javascript; charset=utf-8", include_str!("../assets/docs.js")),
    ("/assets/docs.css", "text/css; charset=utf-8", include_str!("../assets/docs.css")),
    ("/assets/icon.svg", "image/svg+xml", include_str!("../assets/icon.svg")),
];
