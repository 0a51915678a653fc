//! Holds `docs/reference/metrics.md` against the catalogue.

use super::catalogue;
use metrics::Unit;

const DOCUMENT: &str = include_str!("../../../docs/reference/metrics.md");

#[test]
fn the_table_in_the_documentation_is_the_catalogue() {
    let documented: Vec<[&str; 4]> = DOCUMENT
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| {
            let mut cells = line.trim_end_matches(" |").split(" | ");
            let mut next = || cells.next();
            let (name, kind, unit, _labels) = (next()?, next()?, next()?, next()?);
            Some([name.trim_end_matches('`'), kind, unit, next()?])
        })
        .collect();
    let catalogue: Vec<[&str; 4]> = catalogue::all()
        .map(|metric| {
            let unit = match metric.unit {
                Unit::Seconds => "seconds",
                Unit::Bytes => "bytes",
                _ => "–",
            };
            [metric.name, metric.kind.name(), unit, metric.help]
        })
        .collect();
    assert_eq!(documented, catalogue);
}
