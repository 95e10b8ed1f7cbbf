//! `optimize_html()`.

use serde_json::Value;

use super::super::wordpress::hooks;
use super::HostedAssets;
use crate::assets::html::cdn::Cdn;
use crate::assets::html::media::Loading;
use crate::assets::html::{Options, rewrite};
use crate::config::fields::Fields;
use crate::error::Result;

/// The keys of `$options`.
const KEYS: &[&str] =
    &["lazy", "decoding", "fetchpriority", "first_viewport", "large_pixels", "cdn_url", "site_url"];

impl HostedAssets {
    /// The page with what `options` ask for, or `None` when it is to stay as it is.
    ///
    /// # Errors
    /// An unknown or wrong option.
    pub fn page(&self, html: &[u8], options: &Value) -> Result<Option<Vec<u8>>> {
        let options = self.options(&Fields::of("$options", options, KEYS)?)?;
        Ok(if self.settings.enabled { rewrite(html, &options) } else { None })
    }

    fn options(&self, given: &Fields) -> Result<Options> {
        let rules = Loading::default();
        let size = |key: &str| {
            Ok::<_, crate::error::Error>(given.whole(key)?.map(|n| usize::try_from(n).unwrap_or(usize::MAX)))
        };
        let loading = Loading {
            lazy: given.truth("lazy")?.unwrap_or(rules.lazy),
            decoding: given.truth("decoding")?.unwrap_or(rules.decoding),
            priority: given.truth("fetchpriority")?.unwrap_or(rules.priority),
            first: size("first_viewport")?.unwrap_or(rules.first),
            large: given.whole("large_pixels")?.unwrap_or(rules.large),
        };
        let url = |key: &str| text(given, key);
        let cdn = match url("cdn_url")?.or_else(|| self.settings.cdn_url.clone()) {
            Some(cdn) => {
                let site = url("site_url")?.or_else(|| self.site_url());
                let site =
                    site.ok_or_else(|| given.wrong("site_url", "expected the site's URL beside cdn_url"))?;
                Some(Cdn { site, url: cdn })
            }
            None => None,
        };
        Ok(Options { loading, cdn })
    }

    /// WordPress' own, or what the upload folder's URL begins with.
    fn site_url(&self) -> Option<String> {
        let home = hooks::call("site_url", Vec::new()).and_then(|url| url.string());
        let of_uploads = || {
            let url = self.settings.upload.as_ref()?.url.as_deref()?;
            Some(crate::assets::css::rebase::split_origin(url).0.to_owned())
        };
        home.map(|url| url.trim_end_matches('/').to_owned()).or_else(of_uploads)
    }
}

fn text(given: &Fields, key: &str) -> Result<Option<String>> {
    match given.get(key) {
        None => Ok(None),
        Some(Value::String(url)) if url.starts_with("http://") || url.starts_with("https://") => {
            Ok(Some(url.trim_end_matches('/').to_owned()))
        }
        Some(_) => Err(given.wrong(key, "expected an http(s) URL")),
    }
}
