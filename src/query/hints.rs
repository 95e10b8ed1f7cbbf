//! What to do about a query, in the words of WordPress.

use super::observed::Observed;

/// What is wrong with a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Asked once per row of another answer.
    NPlusOne,
    /// Asked again with the same values.
    Duplicate,
    /// Takes too long.
    Slow,
}

/// The remedy. Which table it is about says more than the trouble.
pub fn hint(trouble: Trouble, query: &Observed) -> &'static str {
    match trouble {
        Trouble::NPlusOne => n_plus_one(&query.table),
        Trouble::Duplicate => duplicate(&query.table),
        Trouble::Slow => slow(&query.shape),
    }
}

/// The tables of WordPress end so, whatever their prefix; the longer ending first.
fn n_plus_one(table: &str) -> &'static str {
    let remedies = [
        (
            "postmeta",
            "Load the meta of all posts at once before the loop: update_meta_cache( 'post', $post_ids ).",
        ),
        ("usermeta", "Load the users and their meta at once before the loop: cache_users( $user_ids )."),
        (
            "termmeta",
            "Load the meta of all terms at once before the loop: update_termmeta_cache( $term_ids ).",
        ),
        (
            "commentmeta",
            "Load the meta of all comments at once before the loop: update_meta_cache( 'comment', $comment_ids ).",
        ),
        (
            "posts",
            "Load all posts at once before the loop: _prime_post_caches( $post_ids ), or get_posts( array( 'post__in' => $post_ids ) ).",
        ),
        ("users", "Load all users at once before the loop: cache_users( $user_ids )."),
        (
            "term_relationships",
            "Load the terms of all posts at once before the loop: update_object_term_cache( $post_ids, $post_type ).",
        ),
        ("terms", "Load all terms at once before the loop: _prime_term_caches( $term_ids )."),
        ("term_taxonomy", "Load all terms at once before the loop: _prime_term_caches( $term_ids )."),
        ("comments", "Load all comments at once before the loop: _prime_comment_caches( $comment_ids )."),
        (
            "options",
            "Load the options at once before the loop: wp_prime_option_caches( $names ), or let them be autoloaded.",
        ),
    ];
    let found = remedies.iter().find(|(ending, _)| ends_with(table, ending));
    found.map_or(
        "Ask once for all rows before the loop, with WHERE ... IN ( ... ) or a JOIN.",
        |(_, remedy)| remedy,
    )
}

fn duplicate(table: &str) -> &'static str {
    if ends_with(table, "options") {
        return "Read the option with get_option(), which asks the database once, and let it be autoloaded.";
    }
    "Keep the answer for the request (a static variable, wp_cache_set()), or for longer with remember_cache()."
}

fn ends_with(table: &str, ending: &str) -> bool {
    let head = table.len().checked_sub(ending.len()).and_then(|at| table.split_at_checked(at));
    head.is_some_and(|(head, tail)| tail == ending && (head.is_empty() || head.ends_with('_')))
}

/// The first of what slows queries down most that this one does.
fn slow(shape: &str) -> &'static str {
    let does = |what: &str| shape.contains(what);
    if does("RAND()") && does("ORDER BY") {
        return "ORDER BY RAND() sorts the whole table: pick random ids in PHP and ask for those.";
    }
    if does("SQL_CALC_FOUND_ROWS") {
        return "SQL_CALC_FOUND_ROWS reads every matching row: pass 'no_found_rows' => true where no pages are counted.";
    }
    if does("meta_value") {
        return "meta_value has no index: filter by a taxonomy or a table of your own, or search meta_key first.";
    }
    if does("LIKE ?") {
        return "LIKE with a leading % reads the whole table: search from the beginning of the word, or use a FULLTEXT index.";
    }
    if does("NOT IN") {
        return "NOT IN cannot use an index: ask for more rows and leave some out in PHP.";
    }
    "See whether an index serves it: wp slbp indexes, or recommend_indexes()."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_the_remedy_whatever_its_prefix() {
        assert!(n_plus_one("wp_2_postmeta").contains("update_meta_cache( 'post'"));
        assert!(n_plus_one("postmeta").contains("update_meta_cache"));
        assert!(n_plus_one("wp_posts").contains("_prime_post_caches"));
        assert!(n_plus_one("wp_terms").contains("_prime_term_caches"));
        assert!(n_plus_one("wp_term_relationships").contains("update_object_term_cache"));
        assert!(n_plus_one("wp_blogposts").contains("IN ("), "not one of WordPress'");
        assert!(n_plus_one("").contains("IN ("));
    }

    #[test]
    fn what_slows_a_query_down_is_named() {
        assert!(slow("SELECT a FROM t ORDER BY RAND() LIMIT ?").contains("RAND"));
        assert!(slow("SELECT a FROM t WHERE meta_value = ?").contains("meta_value"));
        assert!(slow("SELECT a FROM t WHERE b = ?").contains("index"));
    }
}
