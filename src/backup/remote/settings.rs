//! `remote`: where copies go, as it is written in `$config` or the option.
//!
//! What a store needs in order to let us in may also come from constants, php.ini or the usual
//! variables of the process, in this order, so that the database and its backups need not hold it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Credentials, FolderStore, RemoteStore, S3Settings, S3Store};
use crate::config::fields::Fields;
use crate::config::lax;
use crate::error::Result;
use crate::ports::Environment;

const KEYS: [&str; 11] = [
    "type",
    "path",
    "bucket",
    "region",
    "endpoint",
    "prefix",
    "path_style",
    "access_key",
    "secret_key",
    "session_token",
    "ca",
];

/// A store of copies that is configured.
#[derive(Clone)]
pub enum Place {
    /// A folder.
    Folder(PathBuf),
    /// A bucket.
    S3(Box<S3Settings>),
}

impl Place {
    /// The store.
    ///
    /// # Errors
    /// As [`S3Store::new`]. Whether it can be reached shows when it is used.
    pub fn open(&self) -> Result<Box<dyn RemoteStore>> {
        Ok(match self {
            Self::Folder(path) => Box::new(FolderStore::new(path.clone())),
            Self::S3(settings) => Box::new(S3Store::new((**settings).clone())?),
        })
    }

    /// The store's name.
    pub fn name(&self) -> String {
        match self {
            Self::Folder(path) => path.display().to_string(),
            Self::S3(settings) => settings.name(),
        }
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

/// The places that `value` lists: one, or a list of them. `forbidden` are the web root and the folder of
/// the backups: copies go neither into them nor around them.
///
/// # Errors
/// What was expected, as a sentence.
pub fn places(value: &Value, env: &dyn Environment, forbidden: &[&Path]) -> Result<Vec<Place>, String> {
    let one = |value: &Value| place(value, env, forbidden);
    let found: Vec<Place> = match value {
        Value::Null => Vec::new(),
        Value::Array(list) => list.iter().map(one).collect::<Result<_, _>>()?,
        Value::Object(map) if map.is_empty() => Vec::new(),
        Value::Object(map) if map.contains_key("type") => vec![one(value)?],
        Value::Object(map) => map.values().map(one).collect::<Result<_, _>>()?,
        other => return Err(format!("expected a list of places, got {}", lax::describe(other))),
    };
    let names: Vec<String> = found.iter().map(Place::name).collect();
    match names.iter().enumerate().find(|(at, name)| names.iter().take(*at).any(|other| other == *name)) {
        Some((_, name)) => Err(format!("{name} is listed twice")),
        None => Ok(found),
    }
}

fn place(value: &Value, env: &dyn Environment, forbidden: &[&Path]) -> Result<Place, String> {
    let fields = Fields::of("remote", value, &KEYS).map_err(|error| error.to_string())?;
    match fields.get("type").and_then(Value::as_str) {
        Some("path") => folder(&fields, forbidden),
        Some("s3") => s3(&fields, env).map(|settings| Place::S3(Box::new(settings))),
        _ => Err("type: expected 's3' or 'path'".to_owned()),
    }
}

fn folder(fields: &Fields, forbidden: &[&Path]) -> Result<Place, String> {
    let path = text(fields, "path")?.map(PathBuf::from).filter(|path| path.is_absolute());
    let path = path.ok_or_else(|| "path: expected an absolute path".to_owned())?;
    let found = real(&path);
    let touches = |other: &&&Path| {
        let other = real(other);
        found.starts_with(&other) || other.starts_with(&found)
    };
    match forbidden.iter().find(touches) {
        Some(other) => Err(format!("path: expected a folder apart from {}", other.display())),
        None => Ok(Place::Folder(path)),
    }
}

/// `path` without symbolic links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let known = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    let Some((above, found)) = known else { return path.to_owned() };
    path.strip_prefix(above).map_or_else(|_| found.clone(), |rest| found.join(rest))
}

fn s3(fields: &Fields, env: &dyn Environment) -> Result<S3Settings, String> {
    let bucket = text(fields, "bucket")?.unwrap_or_default();
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(letter) || bucket.contains("..") {
        return Err("bucket: expected 3 to 63 letters, digits, '.', '_' and '-'".to_owned());
    }
    let region = text(fields, "region")?
        .or_else(|| env.variable("AWS_REGION"))
        .or_else(|| env.variable("AWS_DEFAULT_REGION"))
        .unwrap_or_else(|| "us-east-1".to_owned());
    if !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err("region: expected letters, digits and '-'".to_owned());
    }
    let given = text(fields, "endpoint")?;
    let amazon = format!("https://s3.{region}.amazonaws.com");
    let endpoint = given.clone().unwrap_or(amazon);
    let bare = endpoint.split_once("://").map_or("", |(_, rest)| rest).trim_end_matches('/');
    let well_formed = crate::remote::http::Url::parse("endpoint", &endpoint).is_ok();
    if !well_formed || bare.contains(['/', '?', '#']) {
        return Err("endpoint: expected https://host or https://host:port".to_owned());
    }
    let prefix = text(fields, "prefix")?.unwrap_or_default().trim_matches('/').to_owned();
    let segment = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(|c: char| c.is_control());
    if !prefix.is_empty() && !prefix.split('/').all(segment) {
        return Err("prefix: expected names separated by '/'".to_owned());
    }
    let path_style = fields.truth("path_style").map_err(|error| error.to_string())?;
    // A certificate for *.s3.amazonaws.com does not cover a bucket with a dot in its name.
    let path_style = path_style.unwrap_or(given.is_some() || bucket.contains('.'));
    let mut settings = S3Settings::new(&endpoint, &bucket, credentials(fields, env)?);
    (settings.region, settings.prefix, settings.path_style) = (region, prefix, path_style);
    settings.ca = text(fields, "ca")?.map(PathBuf::from);
    Ok(settings)
}

fn credentials(fields: &Fields, env: &dyn Environment) -> Result<Credentials, String> {
    let find = |key: &str, constant: &str, directive: &str, variable: &str| {
        let elsewhere =
            || env.constant(constant).or_else(|| env.ini(directive)).or_else(|| env.variable(variable));
        text(fields, key).map(|given| given.or_else(elsewhere).filter(|text| !text.is_empty()))
    };
    let access_key =
        find("access_key", "SLBP_BACKUP_S3_ACCESS_KEY", "slbp.backup_s3_access_key", "AWS_ACCESS_KEY_ID")?;
    let secret_key = find(
        "secret_key",
        "SLBP_BACKUP_S3_SECRET_KEY",
        "slbp.backup_s3_secret_key",
        "AWS_SECRET_ACCESS_KEY",
    )?;
    let own = text(fields, "access_key")?.is_some();
    let session_token =
        text(fields, "session_token")?.or_else(|| env.variable("AWS_SESSION_TOKEN").filter(|_| !own));
    let usable = |text: &String| text.bytes().all(|byte| byte.is_ascii_graphic());
    match (access_key.filter(usable), secret_key) {
        (Some(access_key), Some(secret_key)) => Ok(Credentials { access_key, secret_key, session_token }),
        _ => Err("access_key, secret_key: expected both, here, in constants, php.ini or the environment"
            .to_owned()),
    }
}

fn text(fields: &Fields, key: &str) -> Result<Option<String>, String> {
    match fields.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        // What it is instead is not shown: it may be a secret.
        Some(_) => Err(format!("{key}: expected a string")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Vec<Place>, String> {
        places(&value, &HashMap::new(), &[Path::new("/srv/www"), Path::new("/srv/backups")])
    }

    fn names(value: Value) -> Vec<String> {
        read(value).unwrap().iter().map(Place::name).collect()
    }

    fn s3(more: Value) -> Value {
        let mut entry =
            json!({"type": "s3", "bucket": "my-bucket", "access_key": "a", "secret_key": "hunter2"});
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        entry
    }

    #[test]
    fn one_place_or_several_and_their_names_tell_them_apart() {
        assert_eq!(names(json!({"type": "path", "path": "/mnt/nas/site"})), ["/mnt/nas/site"]);
        assert_eq!(
            names(json!([s3(json!({"prefix": "/a/b/"})), s3(json!({"endpoint": "http://127.0.0.1:9000"}))])),
            ["s3://my-bucket/a/b@s3.us-east-1.amazonaws.com", "s3://my-bucket@127.0.0.1:9000"]
        );
        assert!(read(json!([])).unwrap().is_empty());
        assert!(read(json!([s3(json!({})), s3(json!({}))])).unwrap_err().contains("twice"));
    }

    #[test]
    fn copies_go_neither_into_the_backups_nor_into_the_site_nor_around_them() {
        for path in
            ["/srv/backups", "/srv/backups/copies", "/srv/www/x", "/srv", "/", "relative", "/srv/backups/."]
        {
            let error = read(json!({"type": "path", "path": path})).unwrap_err();
            assert!(error.starts_with("path: "), "{path}: {error}");
        }
        assert!(read(json!({"type": "path", "path": "/srv/backups-2"})).is_ok());
    }

    #[test]
    fn a_link_into_the_backups_is_seen_through() {
        let folder = tempfile::TempDir::new().unwrap();
        let (backups, link) = (folder.path().join("backups"), folder.path().join("link"));
        std::fs::create_dir(&backups).unwrap();
        std::os::unix::fs::symlink(&backups, &link).unwrap();
        let value = json!({"type": "path", "path": link.join("below")});
        assert!(places(&value, &HashMap::new(), &[&backups]).is_err());
    }

    #[test]
    fn a_mistake_is_named_and_no_secret_told() {
        for (more, key) in [
            (json!({"bucket": "a/b"}), "bucket"),
            (json!({"endpoint": "ftp://x"}), "endpoint"),
            (json!({"endpoint": "https://x/path"}), "endpoint"),
            (json!({"prefix": "a/../b"}), "prefix"),
            (json!({"region": "eu west"}), "region"),
            (json!({"secret_key": {"hunter2": 1}}), "secret_key"),
            (json!({"buckett": "x"}), "bucket"),
        ] {
            let error = read(s3(more)).unwrap_err();
            assert!(error.contains(key) && !error.contains("hunter2"), "{error}");
        }
        assert!(!format!("{:?}", read(s3(json!({}))).unwrap()).contains("hunter2"));
    }

    #[test]
    fn keys_come_from_the_entry_then_a_constant_then_php_ini_then_the_environment() {
        let mut entry = s3(json!({}));
        let map = entry.as_object_mut().unwrap();
        map.remove("access_key");
        map.remove("secret_key");
        assert!(read(entry.clone()).is_err());
        let mut env = HashMap::from([("AWS_ACCESS_KEY_ID", "v"), ("AWS_SECRET_ACCESS_KEY", "v")]);
        let secret = |env: &HashMap<&str, &str>| match &places(&entry, env, &[]).unwrap()[..] {
            [Place::S3(settings)] => settings.credentials.secret_key.clone(),
            _ => unreachable!(),
        };
        assert_eq!(secret(&env), "v");
        env.insert("slbp.backup_s3_secret_key", "i");
        assert_eq!(secret(&env), "i");
        env.insert("SLBP_BACKUP_S3_SECRET_KEY", "c");
        assert_eq!(secret(&env), "c");
    }
}
