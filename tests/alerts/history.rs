//! The history table on a real server.

use slbp::alerts::Labels;
use slbp::alerts::book::Event;
use slbp::alerts::history;
use slbp::alerts::machine::Phase;
use slbp::clock::Timestamp;
use slbp::ports::Database;
use slbp::remote::database::DatabaseLink;

use super::common::mariadb;

const TABLE: &str = "wp_slbp_alerts";
const NOW: u64 = 1_700_000_000;

fn event(number: u64, at: u64) -> Event {
    Event {
        number,
        at,
        alert: "database_connection_failure".to_owned(),
        state: if number.is_multiple_of(2) { Phase::Resolved } else { Phase::Firing },
        severity: "critical".to_owned(),
        metric: "database.connections".to_owned(),
        value: (number != 3).then_some(0.5),
        threshold: 0.0,
        labels: Labels::from([("gateway".to_owned(), "it's \"quoted\"\\".to_owned())]),
        message: "Ünïcode ' \" \\ %s\u{1F525}".to_owned(),
    }
}

#[test]
fn events_are_written_once_read_back_whole_and_old_ones_go() {
    let database = mariadb::shared().database();
    let db = DatabaseLink::new(database.settings());
    let now = Timestamp::from_secs(NOW);
    assert_eq!(history::recent(&db, TABLE, 10).unwrap(), Vec::<serde_json::Value>::new(), "no table yet");
    let events = [event(1, NOW - 60), event(2, NOW), event(3, NOW)];
    history::record(&db, TABLE, "web1", &events, now).unwrap();
    history::record(&db, TABLE, "web1", &events[1..], now).unwrap();
    history::record(&db, TABLE, "web2", &events[..1], now).unwrap();
    let rows = history::recent(&db, TABLE, 10).unwrap();
    assert_eq!(rows.len(), 4, "what was written twice is there once; another host's is its own");
    let newest = rows.iter().find(|row| row["state"] == "resolved").unwrap();
    assert_eq!(newest["message"], "Ünïcode ' \" \\ %s\u{1F525}");
    assert_eq!(newest["labels"]["gateway"], "it's \"quoted\"\\");
    assert_eq!((newest["current_value"].as_f64(), newest["timestamp"].as_u64()), (Some(0.5), Some(NOW)));
    let later = Timestamp::from_secs(NOW + 91 * 24 * 3600);
    history::record(&db, TABLE, "web1", &[event(4, later.secs())], later).unwrap();
    assert_eq!(history::recent(&db, TABLE, 10).unwrap().len(), 1, "what is older than 90 days is gone");
}

#[test]
fn a_table_name_is_not_a_way_in() {
    struct Never;
    impl Database for Never {
        fn query(&self, _: &str) -> Result<Vec<slbp::ports::Row>, slbp::ports::DatabaseFault> {
            panic!("asked")
        }
        fn execute(&self, _: &str) -> Result<slbp::ports::Executed, slbp::ports::DatabaseFault> {
            panic!("asked")
        }
    }
    for name in ["", "wp_x; DROP TABLE y", "`x`", "a b"] {
        assert!(history::recent(&Never, name, 1).is_err(), "{name}");
        assert!(history::record(&Never, name, "", &[event(1, NOW)], Timestamp::from_secs(NOW)).is_err());
    }
}
