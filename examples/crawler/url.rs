//! Addresses of pages, and where links lead: whatever a page says, the same site or nowhere.

/// A page of the site; others are not followed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Url {
    /// With the port.
    pub(crate) host: String,
    /// From the first slash on, with the query; printable ASCII.
    pub(crate) path: String,
}

impl Url {
    /// Reads `http://HOST[:PORT][/PATH]`.
    pub(crate) fn parse(text: &str) -> Result<Url, String> {
        let text = text.split('#').next().unwrap_or("");
        let rest = text
            .strip_prefix("http://")
            .ok_or("expected http://HOST[:PORT][/PATH]")?;
        let (host, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, "/"),
        };
        if host.is_empty() || !printable(host) || !printable(path) {
            return Err("expected http://HOST[:PORT][/PATH]".into());
        }
        let port = if host.rsplit(']').next().is_some_and(|end| end.contains(':')) {
            ""
        } else {
            ":80"
        };
        Ok(Url {
            host: format!("{host}{port}"),
            path: without_dots(path),
        })
    }

    /// Where a link on this page leads, if to a page of the same site.
    pub(crate) fn join(&self, link: &str) -> Option<Url> {
        let link = link.split('#').next().unwrap_or("");
        let path = if link.starts_with("http://") {
            let url = Url::parse(link).ok()?;
            return (url.host == self.host).then_some(url);
        } else if link.is_empty()
            || link.starts_with("//")
            || link.split(['/', '?']).next()?.contains(':')
        {
            return None;
        } else if link.starts_with('/') {
            link.to_owned()
        } else if link.starts_with('?') {
            format!("{}{link}", self.path.split('?').next()?)
        } else {
            let directory = self.path.split('?').next()?.rfind('/')?;
            format!("{}{link}", &self.path[..=directory])
        };
        printable(&path).then(|| Url {
            host: self.host.clone(),
            path: without_dots(&path),
        })
    }
}

/// `/a/./b/../c` is `/a/c`; what follows a question mark stays as it is.
fn without_dots(path: &str) -> String {
    let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let mut parts = Vec::new();
    for part in path.split('/').skip(1) {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    let directory = path.ends_with("/.") || path.ends_with("/..");
    format!(
        "/{}{}{query}",
        parts.join("/"),
        if directory && !parts.is_empty() {
            "/"
        } else {
            ""
        }
    )
}

/// What can stand in a request's first line, between two blanks.
fn printable(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What stands in `href="..."`: no parser of HTML, but enough for pages that mean well.
pub(crate) fn links(text: &str) -> impl Iterator<Item = String> {
    text.split("href=").skip(1).filter_map(|part| {
        let link = match part.as_bytes().first() {
            Some(quote @ (b'"' | b'\'')) => part[1..].split(char::from(*quote)).next(),
            _ => part.split([' ', '>']).next(),
        };
        link.map(|link| link.replace("&amp;", "&"))
    })
}
