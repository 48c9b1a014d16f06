//! The crawler's links: whatever a page says, what comes of it is a page of the same site, or nothing.

#[path = "../crawler/url.rs"]
mod url;

use proptest::prelude::*;
use url::{Url, links};

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn join(from: &str, link: &str) -> Option<String> {
    let url = url(from).join(link)?;
    assert_eq!(url.host, "site:80");
    Some(url.path)
}

#[test]
fn addresses_have_a_port_and_a_path() {
    for (text, host, path) in [
        ("http://a", "a:80", "/"),
        ("http://a:8080/b?c#d", "a:8080", "/b?c"),
        ("http://[::1]/", "[::1]:80", "/"),
        ("http://[::1]:8080/x/../y", "[::1]:8080", "/y"),
    ] {
        let url = url(text);
        assert_eq!((&*url.host, &*url.path), (host, path));
    }
    for text in [
        "",
        "a",
        "https://a/",
        "http://",
        "http:///b",
        "http://a/b c",
        "http://a\r\nb/",
    ] {
        assert!(Url::parse(text).is_err(), "{text}");
    }
}

/// Those of RFC 3986, section 5.4, that stay on the site.
#[test]
fn links_lead_where_the_standard_says() {
    let from = "http://site/b/c/d;p?q";
    for (link, path) in [
        ("g", "/b/c/g"),
        ("./g", "/b/c/g"),
        ("g/", "/b/c/g/"),
        ("/g", "/g"),
        ("?y", "/b/c/d;p?y"),
        ("g?y", "/b/c/g?y"),
        ("g?y/../x", "/b/c/g?y/../x"),
        (";x", "/b/c/;x"),
        (".", "/b/c/"),
        ("./", "/b/c/"),
        ("..", "/b/"),
        ("../g", "/b/g"),
        ("../..", "/"),
        ("../../g", "/g"),
        ("../../../g", "/g"),
        ("g?y:z", "/b/c/g?y:z"),
        ("g#s", "/b/c/g"),
        ("http://site/x", "/x"),
    ] {
        assert_eq!(join(from, link).as_deref(), Some(path), "{link}");
    }
    for link in [
        "",
        "#s",
        "//g",
        "g:h",
        "mailto:a@b",
        "http://other/",
        "https://site/",
        "http://site:81/",
    ] {
        assert_eq!(join(from, link), None, "{link}");
    }
}

#[test]
fn links_are_found_quoted_or_not() {
    let page = "<a href=\"a\">b</a><a href='c&amp;d'><a href=e>f</a><a href=g h><a href=";
    assert_eq!(links(page).collect::<Vec<_>>(), ["a", "c&d", "e", "g", ""]);
}

proptest! {
    #[test]
    fn any_page_links_to_this_site_or_nowhere(page in "(href=|[\"' >/.:#?a]|\\PC){0,60}") {
        for link in links(&page) {
            if let Some(path) = join("http://site/a/b", &link) {
                prop_assert!(path.starts_with('/'));
                prop_assert!(path.bytes().all(|byte| byte.is_ascii_graphic()));
                let (path, _query) = path.split_at(path.find('?').unwrap_or(path.len()));
                prop_assert!(path.split('/').all(|part| part != "." && part != ".."));
            }
        }
    }
}
