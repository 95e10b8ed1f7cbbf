//! A site that is restored under another address and another table prefix.

use mysql::prelude::Queryable;
use slbp::backup::database::TableFilter;
use slbp::backup::format::BackupType;
use slbp::backup::restore::{Plan, Request};
use slbp::backup::rewrite::Wanted;
use slbp::clock::SystemClock;

use crate::common::mariadb::Database;
use crate::fixture::{assert_same, database_request, lock, make, opts, run_sql, server, state, store};

const SITE: &str = r#"CREATE TABLE wp_options (option_id INT PRIMARY KEY, option_name VARCHAR(64) UNIQUE, option_value LONGTEXT);
INSERT INTO wp_options VALUES (1, 'siteurl', 'https://old.example'), (2, 'wp_user_roles', 'a:0:{}'), (3, 'widget', 'a:1:{s:1:"u";s:22:"https://old.example/ü";}'), (4, 'broken', 'a:1:{s:1:"u";s:5:"https://old.example";}'), (5, 'other', 'https://old.example.org');
CREATE TABLE wp_usermeta (umeta_id INT PRIMARY KEY, meta_key VARCHAR(64), meta_value LONGTEXT);
INSERT INTO wp_usermeta VALUES (1, 'wp_capabilities', 'a:1:{s:13:"administrator";b:1;}'), (2, 'nickname', 'wp_capabilities');
CREATE TABLE wp_posts (ID INT PRIMARY KEY, guid VARCHAR(255), post_content LONGTEXT, author INT, KEY a (author));
INSERT INTO wp_posts VALUES (1, 'https://old.example/?p=1', '<!-- wp:image {"u":"https:\\/\\/old.example\\/a.png"} --> it\'s https://old.example/a.png', 1);
CREATE TABLE wp_parts (id INT PRIMARY KEY, post INT, CONSTRAINT of_post FOREIGN KEY (post) REFERENCES wp_posts (ID) ON DELETE CASCADE);
INSERT INTO wp_parts VALUES (1, 1);
CREATE TABLE wp_log (id INT AUTO_INCREMENT PRIMARY KEY, post INT);
CREATE TRIGGER wp_on_delete AFTER DELETE ON wp_posts FOR EACH ROW INSERT INTO wp_log (post) VALUES (OLD.ID);
CREATE VIEW wp_titles AS SELECT ID, guid FROM wp_posts;
"#;

fn value(database: &Database, sql: &str) -> String {
    database.connect().query_first::<Option<String>, _>(sql).unwrap().flatten().unwrap_or_default()
}

fn wanted() -> Wanted {
    Wanted {
        search_replace: vec![("https://old.example".to_owned(), "http://new.example:81/shop".to_owned())],
        new_url: None,
        table_prefix: Some("new_".to_owned()),
    }
}

#[test]
fn a_site_lives_under_another_address_and_prefix_beside_the_old_one() {
    let database = server().database();
    run_sql(&database, SITE);
    let (_folder, store) = store();
    let mut request = database_request(BackupType::Full, &database);
    request.tables = TableFilter::Prefix("wp_".to_owned());
    let backup = make(&store, &request).unwrap();
    let before = state(&database);

    let mut request = Request::all(backup.id, Some(opts(&database)));
    request.rewrite = wanted();
    let mut plan = Plan::new(&store, &request).unwrap();
    plan.count_rewrites().unwrap();
    let foreseen = (plan.preview.rewritten_rows, plan.preview.malformed_values);
    assert_eq!(foreseen, (5, 1), "siteurl, roles, widget, capabilities, post; broken");
    assert!(plan.preview.removed_tables.is_empty() && plan.preview.replaced_tables.is_empty());
    assert_same(&before, &state(&database));

    let outcome = Plan::new(&store, &request).unwrap().execute(&lock(&store), &SystemClock).unwrap();
    assert_eq!((outcome.preview.rewritten_rows, outcome.preview.malformed_values), foreseen);
    for (sql, expected) in [
        ("SELECT option_value FROM new_options WHERE option_name='siteurl'", "http://new.example:81/shop"),
        ("SELECT option_value FROM new_options WHERE option_name='new_user_roles'", "a:0:{}"),
        (
            "SELECT option_value FROM new_options WHERE option_name='widget'",
            "a:1:{s:1:\"u\";s:29:\"http://new.example:81/shop/ü\";}",
        ),
        (
            "SELECT option_value FROM new_options WHERE option_name='broken'",
            "a:1:{s:1:\"u\";s:5:\"https://old.example\";}",
        ),
        ("SELECT option_value FROM new_options WHERE option_name='other'", "https://old.example.org"),
        (
            "SELECT meta_value FROM new_usermeta WHERE meta_key='new_capabilities'",
            "a:1:{s:13:\"administrator\";b:1;}",
        ),
        ("SELECT meta_value FROM new_usermeta WHERE meta_key='nickname'", "wp_capabilities"),
        (
            "SELECT post_content FROM new_posts",
            "<!-- wp:image {\"u\":\"http:\\/\\/new.example:81\\/shop\\/a.png\"} --> it's http://new.example:81/shop/a.png",
        ),
        ("SELECT guid FROM new_titles", "https://old.example/?p=1"),
    ] {
        assert_eq!(value(&database, sql), expected, "{sql}");
    }
    run_sql(&database, "DELETE FROM new_posts;");
    assert_eq!(
        value(&database, "SELECT CAST(post AS CHAR) FROM new_log"),
        "1",
        "the new trigger writes to the new table"
    );
    assert_eq!(
        value(&database, "SELECT CAST(COUNT(*) AS CHAR) FROM new_parts"),
        "0",
        "the new key refers to the new table"
    );
    let mut after = state(&database);
    after.retain(|name, _| !name.contains("new_"));
    assert_same(&before, &after);
}

#[test]
fn what_cannot_be_moved_is_refused_before_anything_changes() {
    let database = server().database();
    run_sql(&database, SITE);
    let (_folder, store) = store();
    let backup = make(&store, &database_request(BackupType::Full, &database)).unwrap();
    let mut request = Request::all(backup.id, Some(opts(&database)));
    request.rewrite = wanted();
    let error = Plan::new(&store, &request).err().unwrap().to_string();
    assert!(error.contains("table_prefix"), "{error}");
    request.rewrite = Wanted { new_url: Some("https://x.example".to_owned()), ..Wanted::default() };
    let error = Plan::new(&store, &request).err().unwrap().to_string();
    assert!(error.contains("new_url"), "{error}");
}
