//! Which part of the site a file belongs to, and where in it a query was asked for.

use std::fmt::Write as _;

use super::mix::Mix;

/// Where the site keeps its parts; each without a slash at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots {
    /// `ABSPATH`.
    pub site: Option<String>,
    /// `WP_PLUGIN_DIR`.
    pub plugins: Option<String>,
    /// `WPMU_PLUGIN_DIR`.
    pub mu_plugins: Option<String>,
    /// `WP_CONTENT_DIR`.
    pub content: Option<String>,
}

/// A part of the site.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Component {
    /// A plugin, by its folder or file.
    Plugin(String),
    /// A must-use plugin.
    MuPlugin(String),
    /// A theme.
    Theme(String),
    /// WordPress itself.
    Core,
    /// None of these: a drop-in, a script beside WordPress, a site without it.
    Other,
}

impl Component {
    /// What the file at `path` belongs to.
    pub fn of(path: &str, roots: &Roots) -> Self {
        let below = |root: &Option<String>| slug_below(path, root.as_deref()?);
        if let Some(slug) = below(&roots.mu_plugins).or_else(|| slug_after(path, "/wp-content/mu-plugins/")) {
            return Self::MuPlugin(slug);
        }
        if let Some(slug) = below(&roots.plugins).or_else(|| slug_after(path, "/wp-content/plugins/")) {
            return Self::Plugin(slug);
        }
        let themes = roots.content.as_ref().map(|content| format!("{content}/themes"));
        if let Some(slug) = below(&themes).or_else(|| slug_after(path, "/wp-content/themes/")) {
            return Self::Theme(slug);
        }
        let is_core = ["/wp-includes/", "/wp-admin/"].iter().any(|folder| path.contains(folder))
            || roots.site.as_ref().is_some_and(|site| is_beside_index(path, site));
        if is_core { Self::Core } else { Self::Other }
    }

    /// Whether a developer of the site answers for it: then it is named rather than what it called.
    pub fn is_added(&self) -> bool {
        matches!(self, Self::Plugin(_) | Self::MuPlugin(_) | Self::Theme(_))
    }

    /// As it is shown: `plugin:woocommerce`, `theme:twentytwentyfive`, `core`.
    pub fn label(&self) -> String {
        match self {
            Self::Plugin(slug) => format!("plugin:{slug}"),
            Self::MuPlugin(slug) => format!("mu-plugin:{slug}"),
            Self::Theme(slug) => format!("theme:{slug}"),
            Self::Core => "core".to_owned(),
            Self::Other => "other".to_owned(),
        }
    }

    /// Reads a [`Component::label`]; what is none is [`Component::Other`].
    pub fn from_label(label: &str) -> Self {
        match label.split_once(':') {
            Some(("plugin", slug)) => Self::Plugin(slug.to_owned()),
            Some(("mu-plugin", slug)) => Self::MuPlugin(slug.to_owned()),
            Some(("theme", slug)) => Self::Theme(slug.to_owned()),
            None if label == "core" => Self::Core,
            _ => Self::Other,
        }
    }
}

/// The folder or file right below `root` that `path` is in.
fn slug_below(path: &str, root: &str) -> Option<String> {
    slug(path.strip_prefix(root)?.strip_prefix('/')?)
}

/// The same below a folder of the usual name; symbolic links lead out of the configured one.
fn slug_after(path: &str, folder: &str) -> Option<String> {
    slug(path.split_once(folder)?.1)
}

fn slug(rest: &str) -> Option<String> {
    let first = rest.split('/').next().filter(|first| !first.is_empty())?;
    Some(first.strip_suffix(".php").unwrap_or(first).to_owned())
}

/// The files of WordPress that lie beside its index.php: `wp-login.php` and its like.
fn is_beside_index(path: &str, site: &str) -> bool {
    let name = path.strip_prefix(site).and_then(|rest| rest.strip_prefix('/'));
    name.is_some_and(|name| {
        !name.contains('/') && (name.starts_with("wp-") || name == "index.php" || name == "xmlrpc.php")
    })
}

/// A function call on the stack of the script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Its file.
    pub file: String,
    /// The line that runs.
    pub line: u32,
    /// The class of its function, if it is a method.
    pub class: Option<String>,
    /// Its function; none in a file's own code.
    pub function: Option<String>,
}

/// Where a query was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CallSite {
    /// The part of the site.
    pub component: Component,
    /// `file:line function`, the file from the site's root on.
    pub place: String,
}

/// No longer is a place.
pub const LONGEST_PLACE: usize = 200;

impl CallSite {
    /// Reads the stack, innermost frame first: the first frame of a plugin or theme, else the first
    /// that is not what every query passes through.
    pub fn of(stack: &[Frame], roots: &Roots) -> Self {
        let mut parts = stack.iter().map(|frame| (frame, Component::of(&frame.file, roots)));
        let added = parts.clone().find(|(frame, part)| part.is_added() && !is_plumbing(frame));
        let found = added.or_else(|| parts.clone().find(|(frame, _)| !is_plumbing(frame)));
        match found.or_else(|| parts.next_back()) {
            Some((frame, component)) => Self { component, place: place(frame, roots) },
            None => Self::unknown(),
        }
    }

    /// The same place under a name of its own, as of a query that a script measures itself.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        let mut place = format!("{} [{name}]", self.place);
        place.truncate(place.floor_char_boundary(LONGEST_PLACE));
        Self { place, ..self }
    }

    /// A number for it, different for different places.
    pub fn number(&self) -> u64 {
        let mut mix = Mix::new();
        mix.add(self.component.label().as_bytes());
        mix.add(self.place.as_bytes());
        mix.finish()
    }

    /// Where nothing is known, as of a query from outside any PHP code.
    pub fn unknown() -> Self {
        Self { component: Component::Other, place: String::new() }
    }
}

/// What every query and every hook passes through.
fn is_plumbing(frame: &Frame) -> bool {
    let class = frame.class.as_deref().unwrap_or_default();
    let function = frame.function.as_deref().unwrap_or_default();
    class.eq_ignore_ascii_case("wpdb")
        || class.eq_ignore_ascii_case("WP_Hook")
        || (class.is_empty()
            && matches!(
                function,
                "do_action"
                    | "do_action_ref_array"
                    | "apply_filters"
                    | "apply_filters_ref_array"
                    | "call_user_func"
            ))
        || frame.file.ends_with("/wp-content/db.php")
}

fn place(frame: &Frame, roots: &Roots) -> String {
    let site = roots.site.as_deref().and_then(|site| frame.file.strip_prefix(site)?.strip_prefix('/'));
    let mut place = format!("{}:{}", site.unwrap_or(&frame.file), frame.line);
    let function = frame.function.as_deref().unwrap_or_default();
    // Writing into a String does not fail.
    let _ = match frame.class.as_deref() {
        Some(class) => write!(place, " {class}::{function}()"),
        None if !function.is_empty() => write!(place, " {function}()"),
        None => Ok(()),
    };
    let end = place.floor_char_boundary(LONGEST_PLACE);
    place.truncate(end);
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots() -> Roots {
        Roots {
            site: Some("/srv/site".into()),
            plugins: Some("/srv/site/app/extras".into()),
            mu_plugins: None,
            content: Some("/srv/site/app".into()),
        }
    }

    #[test]
    fn files_belong_to_what_holds_them() {
        for (path, label) in [
            ("/srv/site/app/extras/billing/src/a.php", "plugin:billing"),
            ("/srv/site/app/extras/hello.php", "plugin:hello"),
            ("/elsewhere/wp-content/plugins/linked/a.php", "plugin:linked"),
            ("/elsewhere/wp-content/mu-plugins/loader.php", "mu-plugin:loader"),
            ("/srv/site/app/themes/bold/functions.php", "theme:bold"),
            ("/srv/site/wp-includes/post.php", "core"),
            ("/srv/site/wp-login.php", "core"),
            ("/srv/site/tool.php", "other"),
            ("/srv/siteX/app/extras/billing/a.php", "other"),
            ("", "other"),
        ] {
            let component = Component::of(path, &roots());
            assert_eq!(component.label(), label, "{path}");
            assert_eq!(Component::from_label(label), component);
        }
    }

    fn frame(file: &str, line: u32, class: &str, function: &str) -> Frame {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Frame { file: file.to_owned(), line, class: some(class), function: some(function) }
    }

    #[test]
    fn a_query_is_a_plugins_even_when_core_asked_for_it() {
        let wpdb = frame("/srv/site/wp-includes/class-wpdb.php", 2000, "wpdb", "query");
        let core = frame("/srv/site/wp-includes/meta.php", 12, "", "get_metadata");
        let plugin = frame("/srv/site/app/extras/billing/list.php", 34, "Billing", "rows");
        let hook = frame("/srv/site/wp-includes/class-wp-hook.php", 5, "WP_Hook", "apply_filters");
        let site = CallSite::of(&[wpdb.clone(), core.clone(), plugin, hook.clone()], &roots());
        assert_eq!(site.component.label(), "plugin:billing");
        assert_eq!(site.place, "app/extras/billing/list.php:34 Billing::rows()");
        let core_only = CallSite::of(&[wpdb.clone(), core, hook], &roots());
        assert_eq!(
            (core_only.component.label().as_str(), core_only.place.as_str()),
            ("core", "wp-includes/meta.php:12 get_metadata()")
        );
        assert_eq!(CallSite::of(&[wpdb], &roots()).component, Component::Core);
        assert_eq!(CallSite::of(&[], &roots()), CallSite::unknown());
    }
}
