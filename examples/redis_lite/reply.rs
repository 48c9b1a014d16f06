//! RESP2's replies, appended to a buffer that is written when all requests of one read are answered.

/// A line without binary data: `+OK`.
pub(crate) fn simple(out: &mut Vec<u8>, text: &str) {
    line(out, b'+', text);
}

/// An error: its code, such as `ERR`, and words.
pub(crate) fn error(out: &mut Vec<u8>, text: &str) {
    line(out, b'-', text);
}

/// Line ends become spaces: some texts quote what a client has sent.
fn line(out: &mut Vec<u8>, marker: u8, text: &str) {
    out.push(marker);
    let printable = |byte| match byte {
        b'\r' | b'\n' => b' ',
        byte => byte,
    };
    out.extend(text.bytes().map(printable));
    out.extend_from_slice(b"\r\n");
}

pub(crate) fn integer(out: &mut Vec<u8>, number: i64) {
    header(out, b':', number);
}

/// A count of something that lies in memory, and so fits.
pub(crate) fn count(out: &mut Vec<u8>, count: usize) {
    integer(out, i64::try_from(count).unwrap_or(i64::MAX));
}

/// A string of any bytes.
pub(crate) fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    // As long as a slice can be.
    header(out, b'$', bytes.len() as i64);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// No string.
pub(crate) fn null(out: &mut Vec<u8>) {
    out.extend_from_slice(b"$-1\r\n");
}

/// No array.
pub(crate) fn null_array(out: &mut Vec<u8>) {
    out.extend_from_slice(b"*-1\r\n");
}

/// The head of an array; so many replies are to follow.
pub(crate) fn array(out: &mut Vec<u8>, length: usize) {
    header(out, b'*', length as i64);
}

#[inline]
fn header(out: &mut Vec<u8>, marker: u8, number: i64) {
    if let 0..10 = number {
        // The most frequent ones, such as `:1` and `$3`.
        out.extend_from_slice(&[marker, b'0' + number as u8, b'\r', b'\n']);
        return;
    }
    let mut digits = [0; 20];
    out.push(marker);
    out.extend_from_slice(decimal(&mut digits, number));
    out.extend_from_slice(b"\r\n");
}

/// A number's digits, which lie at the end of the buffer.
pub(crate) fn decimal(buffer: &mut [u8; 20], number: i64) -> &[u8] {
    let mut rest = number.unsigned_abs();
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        at -= 1;
        buffer[at] = b'-';
    }
    &buffer[at..]
}
