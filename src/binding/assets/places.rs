//! Where WordPress has its files, and where visitors find them.

use super::super::convert::json;
use super::super::wordpress::constants::PhpEnvironment;
use super::super::wordpress::hooks;
use crate::assets::settings::{Root, Settings};
use crate::ports::Environment;

/// The settings with what only WordPress knows; outside it, as they are.
pub fn filled(mut settings: Settings) -> Settings {
    let Some(root) = root_of("ABSPATH", "site_url") else { return settings };
    let others = [root_of("WP_CONTENT_DIR", "content_url"), root_of("WP_PLUGIN_DIR", "plugins_url")];
    if settings.plugin.is_none() {
        settings.plugin = Some(root.clone());
    }
    settings.roots.push(root);
    settings.roots.extend(others.into_iter().flatten());
    // A folder that was asked for without its URL keeps that error.
    settings.upload = settings.upload.or_else(uploads);
    settings
}

fn root_of(constant: &str, function: &str) -> Option<Root> {
    let path = PhpEnvironment.constant(constant)?;
    let url = hooks::call(function, Vec::new())?.string();
    Some(Root { path: path.into(), url: url.map(|url| url.trim_end_matches('/').to_owned()) })
}

/// `wp_upload_dir()`, which also makes the folder.
fn uploads() -> Option<Root> {
    let answer = json::from_zval(&hooks::call("wp_upload_dir", Vec::new())?).ok()?;
    let text = |key: &str| answer.get(key)?.as_str().map(str::to_owned);
    Some(Root { path: text("basedir")?.into(), url: Some(text("baseurl")?.trim_end_matches('/').to_owned()) })
}
