//! The documentation page at `/docs`: it reads `/openapi.json`, lists the endpoints and tries them.
//!
//! Everything is compiled in; nothing is loaded from elsewhere, and the policy forbids it.

/// What browsers may do on the page: only what this server itself serves.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// A file of the page.
pub(crate) struct File {
    pub(crate) path: &'static str,
    pub(crate) media_type: &'static str,
    pub(crate) text: &'static str,
}

/// The files, by path.
pub(crate) const FILES: &[File] = &[
    File {
        path: "/docs",
        media_type: "text/html; charset=utf-8",
        text: include_str!("index.html"),
    },
    File {
        path: "/docs/page.js",
        media_type: "text/javascript; charset=utf-8",
        text: include_str!("page.js"),
    },
    File {
        path: "/docs/page.css",
        media_type: "text/css; charset=utf-8",
        text: include_str!("page.css"),
    },
];
