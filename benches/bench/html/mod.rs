//! The page of a run: one file, with the figures in it and nothing fetched from anywhere.
//!
//! The plots are SVG that a script in the page draws from the figures, so that they fit the width
//! of the screen, from a phone to a desk, and light and dark; a page drawn once and for all by the
//! harness would fit one of them. Without scripts there is still the table, as text.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::json;

use crate::catalog;
use crate::report::Report;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Writes the page.
pub(crate) fn write(report: &Report, path: &Path) -> io::Result<()> {
    fs::write(path, page(report)?)
}

/// The page.
fn page(report: &Report) -> serde_json::Result<String> {
    let workloads: Vec<_> = catalog::WORKLOADS
        .iter()
        .map(|w| json!({"name": w.name, "about": w.about, "verifies": w.verifies}))
        .collect();
    let metrics: Vec<_> = catalog::METRICS
        .iter()
        .map(|m| json!({"name": m.name, "label": m.label}))
        .collect();
    let ratios: Vec<_> = (0..report.results.len())
        .map(|index| report.ratio(index))
        .collect();
    let data = serde_json::to_string(&json!({
        "machine": report.machine,
        "method": report.method,
        "results": report.results,
        "ratios": ratios,
        "notes": report.notes,
        "workloads": workloads,
        "metrics": metrics,
    }))?;
    // Parts are put in one after the other, each into what is left of the page, so that nothing in
    // one part is taken for the place of another.
    let mut out = String::new();
    let mut rest = PAGE;
    for (place, part) in [
        ("{style}", STYLE.to_owned()),
        ("{text}", escape(&report.text())),
        // No text in it can end the element.
        ("{data}", data.replace('<', "\\u003c")),
        ("{script}", SCRIPT.to_owned()),
    ] {
        if let Some((before, after)) = rest.split_once(place) {
            out.push_str(before);
            out.push_str(&part);
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example;

    #[test]
    fn everything_is_in_the_page() {
        let mut report = example(1.0);
        report.notes.push("</script><b>{script}".to_owned());
        let page = page(&report).unwrap();
        for place in ["{style}", "{text}", "{data}"] {
            assert!(!page.contains(place), "{place} is still there");
        }
        assert!(page.contains("ns_per_op") && page.contains(SCRIPT) && page.contains(STYLE));
        assert!(!page.contains("</script><b>"));
        assert!(
            !page.contains("http://")
                || page.matches("http://").count() == page.matches("http://www.w3.org").count()
        );
        let data = page
            .split(r#"<script id="data" type="application/json">"#)
            .nth(1)
            .unwrap();
        let data = data.split("</script>").next().unwrap();
        let value: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(value["results"].as_array().unwrap().len(), 3);
        assert!((value["ratios"][2].as_f64().unwrap() - 2.5).abs() < 1e-9);
    }
}
