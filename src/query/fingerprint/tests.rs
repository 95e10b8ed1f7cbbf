//! Shapes of statements: what stays, what becomes a question mark, and that nothing makes it panic.

use proptest::prelude::*;

use super::*;

fn shape(sql: &str) -> String {
    text(sql.as_bytes())
}

#[test]
fn values_go_and_structure_stays() {
    for (sql, expected) in [
        ("SELECT * FROM wp_posts WHERE ID = 7", "SELECT * FROM wp_posts WHERE ID = ?"),
        ("select `post_title` from `wp_posts` where ID=-7", "SELECT post_title FROM wp_posts WHERE ID = ?"),
        ("SELECT a-1, a - -1, -1 FROM t", "SELECT a - ?, a - ?, ? FROM t"),
        ("SELECT 'it''s', \"a\\\"b\", x'4D', 0xFF, 1.5e-3", "SELECT ?, ?, ?, ?, ?"),
        ("SELECT COUNT( * ) FROM wp_2_posts", "SELECT COUNT(*) FROM wp_2_posts"),
        ("SELECT a FROM t WHERE b IN (1, 2,3)", "SELECT a FROM t WHERE b IN (?+)"),
        ("SELECT a FROM t WHERE b IN ('x', NULL, -4)", "SELECT a FROM t WHERE b IN (?+)"),
        ("SELECT a FROM t WHERE (b, c) IN ((1,2),(3,4))", "SELECT a FROM t WHERE (b, c) IN (?+)"),
        (
            "SELECT a FROM t WHERE b IN (SELECT c FROM u WHERE d IN (1,2) AND e = 3)",
            "SELECT a FROM t WHERE b IN (SELECT c FROM u WHERE d IN (?+) AND e = ?)",
        ),
        ("INSERT INTO t (a,b) VALUES (1,'x'),(2,'y')", "INSERT INTO t(a, b) VALUES (?+)"),
        (
            "INSERT INTO t VALUES (1, NOW()), (2, NOW()) ON DUPLICATE KEY UPDATE a = VALUES(a), b = 1",
            "INSERT INTO t VALUES (?, NOW()) ON DUPLICATE KEY UPDATE a = VALUES (a), b = ?",
        ),
        ("SELECT a FROM t ORDER BY b ASC, c DESC LIMIT 10, 20", "SELECT a FROM t ORDER BY b, c DESC LIMIT ?"),
        ("SELECT a FROM t LIMIT 20 OFFSET 10", "SELECT a FROM t LIMIT ?"),
        ("SELECT a FROM t LIMIT :n", "SELECT a FROM t LIMIT ?"),
        ("SELECT a /* plain */ FROM t -- end\nWHERE b = 1 # more", "SELECT a FROM t WHERE b = ?"),
        (
            "SELECT /*+ NO_ICP(t) */ a /*!40001 SQL_NO_CACHE */ FROM t",
            "SELECT /*+ NO_ICP(t) */ a /*!40001 SQL_NO_CACHE */ FROM t",
        ),
        // A secret in an executed comment is a value like any other.
        ("SELECT /*! 'secret' */ 1", "SELECT /*! ? */ ?"),
        ("SELECT a FROM t WHERE b IS NOT NULL AND c = NULL", "SELECT a FROM t WHERE b IS NOT NULL AND c = ?"),
        ("SELECT Id FROM Users", "SELECT Id FROM Users"),
        ("SELECT `order`, `a b`, `1` FROM `my``t`", "SELECT `order`, `a b`, `1` FROM `my``t`"),
        ("SELECT @a := @a + 1, @@sql_mode", "SELECT @a := @a + ?, @@sql_mode"),
        ("SELECT 1;", "SELECT ?"),
        ("SELECT a FROM t WHERE b = 'never closed", "SELECT a FROM t WHERE b = ?"),
        ("", ""),
    ] {
        assert_eq!(shape(sql), expected, "{sql}");
    }
}

#[test]
fn the_same_shape_has_the_same_hash_and_other_values_another() {
    let one = scan(b"select * from wp_postmeta where post_id = 1");
    let two = scan(b"SELECT *  FROM `wp_postmeta`\nWHERE post_id=2 ");
    assert_eq!(one.fingerprint, two.fingerprint);
    assert_ne!(one.literals, two.literals);
    let bulk =
        |rows: usize| scan(format!("INSERT INTO t VALUES {}", vec!["(1,'a')"; rows].join(",")).as_bytes());
    assert_eq!(bulk(1).fingerprint, bulk(5000).fingerprint);
    assert_ne!(scan(b"SELECT a FROM T").fingerprint, scan(b"SELECT a FROM t").fingerprint);
}

#[test]
fn a_huge_statement_is_read_in_part() {
    let list = format!("SELECT a FROM t WHERE b IN ({})", vec!["123456"; 100_000].join(","));
    assert_eq!(shape(&list), "SELECT a FROM t WHERE b IN (?+)");
    let columns = format!("SELECT {}", vec!["a_column"; 10_000].join(","));
    assert!(shape(&columns).len() <= LONGEST_TEXT + '…'.len_utf8());
    let nested = "(VALUES ".repeat(20_000);
    assert!(shape(&nested).ends_with('…'));
}

proptest! {
    #[test]
    fn any_bytes_have_a_shape(sql: Vec<u8>) {
        scan(&sql);
        text(&sql);
    }

    #[test]
    fn what_looks_like_sql_has_a_shape(
        sql in r#"(SELECT|IN|VALUES|LIMIT|NULL|OFFSET|[-'"`\\/*!+#(),.?:;@0-9a-ex \n]){0,40}"#
    ) {
        scan(sql.as_bytes());
        text(sql.as_bytes());
    }

    #[test]
    fn no_value_survives(secret in "[a-z]{12,20}", number in 100_000_000u64..) {
        let sql = format!(
            "SELECT a FROM t WHERE b = '{secret}' AND c IN ({number}, \"{secret}\") /*!50000 AND d = '{secret}' */ LIMIT {number}"
        );
        let shape = shape(&sql);
        prop_assert!(!shape.contains(&secret) && !shape.contains(&number.to_string()), "{}", shape);
    }

    /// What is written out has the hash of what it was made from, so that a stored shape can be
    /// recognised.
    #[test]
    fn a_shape_is_its_own_shape(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("SELECT"), Just("a"), Just("`order`"), Just("'x'"), Just("12"), Just("("), Just(")"), Just(","),
                Just("="), Just("IN (1,2)"), Just("LIMIT 5"), Just("NULL"), Just("IS NULL"), Just("t.a"), Just("COUNT(*)"),
            ],
            0..25,
        )
    ) {
        let sql = parts.join(" ");
        let shape = shape(&sql);
        prop_assert_eq!(scan(shape.as_bytes()).fingerprint, scan(sql.as_bytes()).fingerprint, "{} => {}", sql, shape);
    }
}
