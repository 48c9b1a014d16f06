//! The plaintext answer of TechEmpower's benchmarks, with the header fields that these demand.

use std::io::Write;

/// The body of the answer.
pub const BODY: &str = "Hello, World!";

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A whole answer, with the date in it, which is brought up to date once a second.
#[derive(Debug)]
pub struct Answer {
    server: &'static str,
    second: u64,
    bytes: Vec<u8>,
}

impl Answer {
    /// The answer of that server.
    pub fn of(server: &'static str) -> Answer {
        let mut answer = Answer {
            server,
            second: 0,
            bytes: Vec::new(),
        };
        answer.write();
        answer
    }

    /// Its bytes, as they are now.
    pub fn now(&mut self) -> &[u8] {
        // SAFETY: without a place for the result it is only returned.
        let now = unsafe { libc::time(std::ptr::null_mut()) }.unsigned_abs();
        if now != self.second {
            self.second = now;
            self.write();
        }
        &self.bytes
    }

    fn write(&mut self) {
        self.bytes.clear();
        // Writing to a Vec cannot fail.
        let _ = write!(
            self.bytes,
            "HTTP/1.1 200 OK\r\nServer: {}\r\nDate: {}\r\nContent-Type: text/plain\r\n\
             Content-Length: {}\r\n\r\n{BODY}",
            self.server,
            date(self.second),
            BODY.len(),
        );
    }
}

/// The date of a second since 1970, as HTTP wants it.
fn date(second: u64) -> String {
    let (days, second) = (second / 86_400, second % 86_400);
    let weekday = DAYS[(days % 7) as usize];
    let mut year = 1970;
    let mut day = days;
    let length = |year: u64| {
        let leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
        if leap { 366 } else { 365 }
    };
    while day >= length(year) {
        day -= length(year);
        year += 1;
    }
    let february = length(year) - 337;
    let mut months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        .into_iter()
        .zip(MONTHS);
    let month = months
        .find_map(|(length, name)| match day.checked_sub(length) {
            Some(rest) => {
                day = rest;
                None
            }
            None => Some(name),
        })
        .unwrap_or("Dec");
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let day = day + 1;
    format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right() {
        assert_eq!(date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date(951_827_696), "Tue, 29 Feb 2000 12:34:56 GMT");
        assert_eq!(date(1_735_689_599), "Tue, 31 Dec 2024 23:59:59 GMT");
    }

    #[test]
    fn the_answer_is_dated() {
        let mut answer = Answer::of("x");
        let text = String::from_utf8(answer.now().to_vec()).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\nServer: x\r\nDate: "));
        assert!(!text.contains(" 1970 ") && text.ends_with("\r\n\r\nHello, World!"));
    }
}
