//! Messages that have to come back as they went.

use super::exchange::Check;
use super::pattern::Pattern;

/// Compares what comes back with what was sent, byte by byte.
#[derive(Debug)]
pub(super) struct Echoes<'a> {
    pattern: &'a Pattern,
    message: u64,
    /// Where each connection is in the pattern, and how many bytes it has had.
    connections: Vec<(usize, u64)>,
}

impl<'a> Echoes<'a> {
    pub(super) fn new(pattern: &'a Pattern, message: usize, connections: usize) -> Echoes<'a> {
        let connections = (0..connections)
            .map(|index| (pattern.place(index), 0))
            .collect();
        Echoes {
            pattern,
            message: message as u64,
            connections,
        }
    }
}

impl Check for Echoes<'_> {
    fn check(&mut self, connection: usize, bytes: &[u8]) -> Result<usize, String> {
        let (place, received) = &mut self.connections[connection];
        let agreed = self.pattern.agree(*place, bytes);
        if agreed < bytes.len() {
            let offset = *received + agreed as u64;
            let expected = self.pattern.piece(self.pattern.after(*place, agreed), 1)[0];
            let found = bytes[agreed];
            return Err(format!(
                "byte {offset} is {found:#04x}, expected {expected:#04x}"
            ));
        }
        let before = *received / self.message;
        *place = self.pattern.after(*place, bytes.len());
        *received += bytes.len() as u64;
        Ok((*received / self.message - before) as usize)
    }
}
