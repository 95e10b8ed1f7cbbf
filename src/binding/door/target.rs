//! Which of our routes an address names, as WordPress would read it.
//!
//! Owns: never to take an address for one of ours that WordPress would take for another. So nothing
//! is decoded or tidied up but what WordPress' own links contain: two slashes, a dot segment, an
//! encoded slash in the path, a second `rest_route` in the query, or a name that PHP would turn into
//! it, and the address is WordPress' business.

/// The namespace of our REST routes.
const NAMESPACE: &str = "skylearn-billing-pro/v1/";

/// What an address asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The route below the namespace: `health/detailed`.
    pub name: &'a str,
    /// The site's REST prefix that was given (`wp-json`), where the address has one.
    pub prefix: Option<&'a str>,
}

/// Whether it is worth while to look at an address: this alone is what every other request pays.
pub fn may_be_ours(uri: &str, folder: Option<&str>) -> bool {
    uri.contains("skylearn-billing-pro") || folder.is_some_and(|folder| uri.starts_with(folder))
}

/// The route that `uri` names on a site whose front controller is `script`. `folder` is an address
/// below which the routes are answered too.
pub fn parse<'a>(uri: &'a str, script: &str, folder: Option<&str>) -> Option<Target<'a>> {
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let base = script.strip_suffix("/index.php")?;
    let below = folder.and_then(|folder| path.strip_prefix(folder.trim_end_matches('/'))?.strip_prefix('/'));
    if let Some(name) = below.filter(|name| is_name(name)) {
        return Some(Target { name, prefix: None });
    }
    let rest = path.strip_prefix(base)?;
    if matches!(rest, "/" | "/index.php") {
        return route(query).map(|name| Target { name, prefix: None });
    }
    let rest = rest.strip_prefix("/index.php").unwrap_or(rest).strip_prefix('/')?;
    let (prefix, name) = rest.split_once('/')?;
    let name = name.strip_prefix(NAMESPACE)?;
    let name = name.strip_suffix('/').unwrap_or(name);
    let is_plain = parameters(query).all(|parameter| parameter.is_some_and(|(name, _)| name != "rest_route"));
    (is_plain && is_name(name)).then_some(Target { name, prefix: Some(prefix) })
}

/// The route in `?rest_route=`.
fn route(query: &str) -> Option<&str> {
    let mut found = None;
    for parameter in parameters(query) {
        let (name, value) = parameter?;
        if name == "rest_route" && found.replace(value).is_some() {
            return None;
        }
    }
    named_by(found?)
}

/// `/skylearn-billing-pro/v1/live`, with its slashes plain or encoded: the name at its end.
fn named_by(mut value: &str) -> Option<&str> {
    for segment in ["", "skylearn-billing-pro", "v1"] {
        value = after_slash(value.strip_prefix(segment)?)?;
    }
    let value = value.strip_suffix('/').unwrap_or(value);
    is_name(value).then_some(value)
}

fn after_slash(text: &str) -> Option<&str> {
    text.strip_prefix('/').or_else(|| text.strip_prefix("%2F")).or_else(|| text.strip_prefix("%2f"))
}

/// The parameters of a query; `None` for one whose name PHP would read differently from how it is written.
fn parameters(query: &str) -> impl Iterator<Item = Option<(&str, &str)>> {
    query.split('&').filter(|part| !part.is_empty()).map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        // php.ini may name other separators, of which ';' is the usual one.
        (name.bytes().all(is_plain) && !value.contains(';')).then_some((name, value))
    })
}

/// Segments of small letters, with one slash between them.
fn is_name(name: &str) -> bool {
    let is_segment =
        |segment: &str| !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_lowercase());
    name.split('/').all(is_segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<'a>(uri: &'a str, script: &str) -> Option<(&'a str, Option<&'a str>)> {
        parse(uri, script, None).map(|target| (target.name, target.prefix))
    }

    #[test]
    fn the_documented_addresses_are_ours() {
        let live = Some(("live", Some("wp-json")));
        assert_eq!(at("/wp-json/skylearn-billing-pro/v1/live", "/index.php"), live);
        assert_eq!(at("/wp-json/skylearn-billing-pro/v1/live/", "/index.php"), live);
        assert_eq!(at("/wp-json/skylearn-billing-pro/v1/live?cachebust=17", "/index.php"), live);
        assert_eq!(at("/index.php/wp-json/skylearn-billing-pro/v1/live", "/index.php"), live);
        assert_eq!(at("/shop/wp-json/skylearn-billing-pro/v1/live", "/shop/index.php"), live);
        assert_eq!(
            at("/wp-json/skylearn-billing-pro/v1/health/detailed", "/index.php"),
            Some(("health/detailed", Some("wp-json")))
        );
        assert_eq!(at("/?rest_route=/skylearn-billing-pro/v1/live", "/index.php"), Some(("live", None)));
        assert_eq!(
            at("/shop/index.php?a=b&rest_route=%2Fskylearn-billing-pro%2Fv1%2flive", "/shop/index.php"),
            Some(("live", None))
        );
    }

    #[test]
    fn what_wordpress_would_read_otherwise_is_not_ours() {
        for uri in [
            "//wp-json/skylearn-billing-pro/v1/live",
            "/wp-json//skylearn-billing-pro/v1/live",
            "/wp-json/skylearn-billing-pro/v1//live",
            "/wp-json/skylearn-billing-pro/v1/health/../live",
            "/wp-json/../wp-json/skylearn-billing-pro/v1/live",
            "/wp-json/skylearn-billing-pro%2Fv1/live",
            "/wp-json/skylearn-billing-pro/v1/live%00",
            "/wp-json/skylearn-billing-pro/v1/live//",
            "/wp-json/skylearn-billing-pro/v1/live?rest_route=/wp/v2/users",
            "/wp-json/skylearn-billing-pro/v1/live?rest%5Froute=/wp/v2/users",
            "/wp-json/skylearn-billing-pro/v1/live?rest.route=/wp/v2/users",
            "/wp-json/skylearn-billing-pro/v1/live?rest_route[]=/wp/v2/users",
            "/wp-json/skylearn-billing-pro/v1/live?a=b;rest_route=/wp/v2/users",
            "/blog/wp-json/skylearn-billing-pro/v1/live",
            "/?rest_route=/skylearn-billing-pro/v1/live&rest_route=/wp/v2/users",
            "/?rest_route=/skylearn-billing-pro/v1/live&rest.route=/wp/v2/users",
            "/?p=1&rest_route=/wp/v2/skylearn-billing-pro/v1/live",
            "/hello/?rest_route=/skylearn-billing-pro/v1/live",
            "/wp-login.php?rest_route=/skylearn-billing-pro/v1/live",
            "/wp-json/skylearn-billing-pro/v1/",
            "/",
            "",
        ] {
            assert_eq!(at(uri, "/index.php"), None, "{uri}");
        }
        assert_eq!(at("/wp-json/skylearn-billing-pro/v1/live", "/wp-login.php"), None);
        assert_eq!(at("/wp-json/skylearn-billing-pro/v1/live", "/shop/index.php"), None);
    }

    #[test]
    fn a_folder_of_the_operators_choice_has_the_routes_too() {
        let at = |uri| parse(uri, "/index.php", Some("/-/")).map(|target| target.name);
        assert_eq!(at("/-/live"), Some("live"));
        assert_eq!(at("/-/health/detailed?x"), Some("health/detailed"));
        for uri in ["/-live", "/-", "/-//live", "/-/", "/x/-/live", "/-/Live"] {
            assert_eq!(at(uri), None, "{uri}");
        }
        assert_eq!(parse("/live", "/index.php", Some("/")).map(|target| target.name), Some("live"));
    }

    #[test]
    fn other_addresses_are_not_even_looked_at() {
        assert!(!may_be_ours("/shop/cart/?item=7", None) && !may_be_ours("/live", Some("/-/")));
    }
}
