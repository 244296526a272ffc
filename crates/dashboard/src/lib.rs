//! The page: plain HTML, CSS and JavaScript of our own, built into the program. Served by the API; talks to nothing but the API.

/// What `/` answers.
pub const PAGE: &str = include_str!("../assets/index.html");

/// The files that the page loads: path, content type, text.
pub const ASSETS: &[(&str, &str, &str)] = &[
    ("/assets/app.js", "text/javascript; charset=utf-8", include_str!("../assets/app.js")),
    ("/assets/app.css", "text/css; charset=utf-8", include_str!("../assets/app.css")),
    ("/assets/icon.svg", "image/svg+xml", include_str!("../assets/icon.svg")),
];
