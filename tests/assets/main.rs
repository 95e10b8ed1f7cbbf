//! Assets as their callers see them: minified texts, bundles in a folder, pages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod bundles;
mod corpus;
mod pages;
mod scripts;
mod stylesheets;
