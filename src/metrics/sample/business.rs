//! What the billing tables tell: transactions, revenue, subscriptions.
//!
//! They belong to the billing plugin and have no index on their dates. So only the newest
//! [`NEWEST`] rows are looked at, by primary key; a site with more transactions a day sees the
//! newest of them.

use crate::metrics::model::{Family, Kind};
use crate::ports::{Database, DatabaseFault, Row};

/// Rows that one statement reads at most.
pub const NEWEST: u32 = 20_000;

const SUCCESSFUL: [&str; 4] = ["completed", "success", "succeeded", "paid"];
const FAILED: [&str; 4] = ["failed", "declined", "error", "cancelled"];

/// Every status of a subscription has a series at all times, so that a count can fall to 0.
const SUBSCRIPTIONS: [&str; 6] = ["active", "trialing", "past_due", "cancelled", "expired", "other"];

/// Instants as the tables write them, in the site's zone: `2026-11-25 01:53:00`.
#[derive(Clone, Debug)]
pub struct Since {
    /// An hour ago.
    pub hour: String,
    /// A day ago.
    pub day: String,
    /// Thirty days ago.
    pub month: String,
}

/// What the tables with this prefix tell; nothing where they are absent.
///
/// # Errors
/// The database's.
pub fn families(db: &dyn Database, prefix: &str, since: &Since) -> Result<Vec<Family>, DatabaseFault> {
    // What goes into a statement is checked here, whoever made it.
    let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_$-: ".contains(&b));
    if ![prefix, &since.hour, &since.day, &since.month].into_iter().all(is_plain) {
        return Ok(Vec::new());
    }
    let mut families = Vec::new();
    if has_table(db, &format!("{prefix}slbp_transactions"))? {
        families.extend(transactions(db, prefix, since)?);
    }
    if has_table(db, &format!("{prefix}slbp_subscriptions"))? {
        families.extend(subscriptions(db, prefix, since)?);
    }
    Ok(families)
}

fn has_table(db: &dyn Database, name: &str) -> Result<bool, DatabaseFault> {
    let pattern = name.replace('_', "\\_");
    Ok(!db.query(&format!("SHOW TABLES LIKE '{pattern}'"))?.is_empty())
}

fn transactions(db: &dyn Database, prefix: &str, since: &Since) -> Result<Vec<Family>, DatabaseFault> {
    let rows = db.query(&format!(
        "SELECT status, currency, COUNT(*), SUM(amount), SUM(created_at >= '{}') FROM \
         (SELECT status, currency, amount, created_at FROM `{prefix}slbp_transactions` ORDER BY id DESC LIMIT {NEWEST}) newest \
         WHERE created_at >= '{}' GROUP BY status, currency",
        since.hour, since.day
    ))?;
    let rows: Vec<Transactions> = rows.iter().map(Transactions::read).collect();
    let sum = |of: &[&str], value: fn(&Transactions) -> f64| -> f64 {
        rows.iter().filter(|row| of.contains(&row.status.as_str())).map(value).sum()
    };
    let (good, bad) = (sum(&SUCCESSFUL, |row| row.count), sum(&FAILED, |row| row.count));
    let all: f64 = rows.iter().map(|row| row.count).sum();
    let mut families = vec![
        Family::gauge("slbp_business_transactions_24h", "Transactions of the last 24 hours.", all),
        Family::gauge("slbp_business_successful_transactions_24h", "Those of them that succeeded.", good),
        Family::gauge("slbp_business_failed_transactions_24h", "Those of them that failed.", bad),
        Family::gauge(
            "slbp_business_failed_transactions_1h",
            "Failed transactions of the last hour.",
            sum(&FAILED, |row| row.last_hour),
        ),
        revenue(&rows),
    ];
    if good + bad > 0.0 {
        let help = "Successful ones per hundred transactions of the last 24 hours that succeeded or failed.";
        families.push(Family::gauge(
            "slbp_business_transaction_success_rate",
            help,
            100.0 * good / (good + bad),
        ));
    }
    Ok(families)
}

struct Transactions {
    status: String,
    currency: String,
    count: f64,
    amount: f64,
    last_hour: f64,
}

impl Transactions {
    fn read(row: &Row) -> Self {
        let text = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
        let number = |at: usize| text(at).parse().unwrap_or(0.0);
        let (status, currency) = (text(0).to_lowercase(), text(1).to_uppercase());
        Self { status, currency, count: number(2), amount: number(3), last_hour: number(4) }
    }
}

fn revenue(rows: &[Transactions]) -> Family {
    let help = "Amounts of the last 24 hours' successful transactions, by currency.";
    let mut family = Family::new("slbp_business_revenue_24h", Kind::Gauge, help);
    let mut currencies: Vec<&str> = rows.iter().map(|row| row.currency.as_str()).collect();
    currencies.sort_unstable();
    currencies.dedup();
    for currency in currencies {
        let of_it =
            rows.iter().filter(|row| row.currency == currency && SUCCESSFUL.contains(&row.status.as_str()));
        family = family.with(&[("currency", currency)], of_it.map(|row| row.amount).sum());
    }
    family
}

fn subscriptions(db: &dyn Database, prefix: &str, since: &Since) -> Result<Vec<Family>, DatabaseFault> {
    let rows = db.query(&format!(
        "SELECT status, COUNT(*), SUM(updated_at >= '{}') FROM \
         (SELECT status, updated_at FROM `{prefix}slbp_subscriptions` ORDER BY id DESC LIMIT {NEWEST}) newest GROUP BY status",
        since.month
    ))?;
    let (mut counts, mut lost) = ([0.0; SUBSCRIPTIONS.len()], 0.0);
    for row in &rows {
        let text = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
        let number = |at: usize| text(at).parse::<f64>().unwrap_or(0.0);
        let status = text(0).to_lowercase().replace('-', "_").replace("canceled", "cancelled");
        let at = SUBSCRIPTIONS.iter().position(|known| *known == status).unwrap_or(SUBSCRIPTIONS.len() - 1);
        if let Some(count) = counts.get_mut(at) {
            *count += number(1);
        }
        if matches!(status.as_str(), "cancelled" | "expired") {
            lost += number(2);
        }
    }
    let help = "Subscriptions by status, of the newest 20,000.";
    let family = Family::new("slbp_business_subscriptions", Kind::Gauge, help);
    let all = SUBSCRIPTIONS
        .iter()
        .zip(counts)
        .fold(family, |all, (status, count)| all.with(&[("status", status)], count));
    let [active, ..] = counts;
    let mut families =
        vec![all, Family::gauge("slbp_business_active_subscriptions", "Active subscriptions.", active)];
    if active + lost > 0.0 {
        let help = "Subscriptions that ended in the last 30 days per hundred of those and the active ones.";
        families.push(Family::gauge("slbp_business_churn_rate_30d", help, 100.0 * lost / (active + lost)));
    }
    Ok(families)
}
