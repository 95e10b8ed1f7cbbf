//! The two formats as other people's parsers read them: promtool, and the strict OpenMetrics parser of
//! Prometheus' Python client.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use slbp::clock::{Clock, SystemClock};
use slbp::metrics::expose::{self, Format};
use slbp::metrics::{Definition, Kind, Registry, Snapshot, Workers, collect};

use super::{labelled, pair, segment};

const NASTY: [&str; 9] = [
    "plain",
    "",
    "quote\"",
    "back\\slash\\",
    "new\nline",
    "carriage\rreturn",
    "tab\tand nul\0",
    "ünïcödé ✓",
    "# EOF",
];

/// A snapshot with everything in it that is hard to write.
fn nasty() -> Snapshot {
    let segment = segment();
    let registry = Registry::open(&segment, b"site").unwrap();
    registry.register(&labelled("nasty_total", Kind::Counter, &["text"])).unwrap();
    let help = "Backslash \\, quote \", newline \n, and\r carriage return.";
    registry
        .register(&Definition::new("nasty_seconds", Kind::Histogram, help, &["text".into()], &[]).unwrap())
        .unwrap();
    registry.register(&Definition::counter("plain", "A counter without its suffix.").unwrap()).unwrap();
    registry.increment("plain", 1e300, &[], &SystemClock).unwrap();
    registry.register(&Definition::gauge("tiny_ratio", "Close to nothing.").unwrap()).unwrap();
    registry.set("tiny_ratio", -1e-300, &[], &SystemClock).unwrap();
    for text in NASTY {
        registry.increment("nasty_total", 1.5, &pair("text", text), &SystemClock).unwrap();
        registry.observe("nasty_seconds", 0.1, &pair("text", text), &SystemClock).unwrap();
    }
    let mut snapshot = Snapshot::default();
    snapshot.extend(collect::system::System::here().families(Path::new("/")));
    snapshot.extend(collect::workers::families(&Workers::open(&segment).unwrap().living()));
    snapshot.extend(collect::site::families(&registry, SystemClock.now()));
    snapshot.extend(collect::counters::families(&segment));
    snapshot.extend(registry.families());
    snapshot
}

fn fed(program: &str, arguments: &[&str], text: &str) -> (bool, String) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn promtool_reads_the_text_format() {
    let text = expose::render(&nasty(), Format::Text);
    let (good, said) = fed("promtool", &["check", "metrics"], &text);
    let complaints: Vec<&str> =
        said.lines().filter(|line| !line.starts_with("plain counter metrics")).collect();
    assert!(complaints.is_empty(), "{said}\n{text}");
    assert!(!good, "a counter without _total is a lint to promtool: {said}");
}

const STRICT_PARSER: &str = r#"
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
families = {f.name: f for f in text_string_to_metric_families(sys.stdin.buffer.read().decode())}
for sample in families["nasty"].samples:
    if sample.name == "nasty_total":
        print(sample.labels["text"].encode().hex(), sample.value)
"#;

#[test]
fn the_strict_parser_reads_openmetrics_and_every_label_comes_back() {
    let text = expose::render(&nasty(), Format::OpenMetrics);
    let (good, said) = fed("/usr/bin/python3", &["-c", STRICT_PARSER], &text);
    assert!(good, "{said}\n{text}");
    for nasty in NASTY {
        let hex: String = nasty.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(said.lines().any(|line| line == format!("{hex} 1.5")), "{nasty:?} is not in\n{said}");
    }
}

#[test]
fn a_truncated_exposition_is_refused_by_the_strict_parser() {
    let text = expose::render(&nasty(), Format::OpenMetrics);
    let cut = text.strip_suffix("# EOF\n").unwrap();
    assert!(!fed("/usr/bin/python3", &["-c", STRICT_PARSER], cut).0);
}
