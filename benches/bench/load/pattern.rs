//! What is sent, and what has to come back.
//!
//! A connection sends one endless stream of bytes, whatever the messages are: a table that is gone
//! through again and again. The table has noise in it, its length is a prime number, and each
//! connection begins at another place; so bytes that were lost, doubled, swapped or sent to another
//! connection differ from those that belong there. Checking is one comparison of memory, not a loop
//! over bytes, as the generator must not be slower than the servers.

/// Bytes after which the stream of an echo repeats itself; a prime number.
const NOISE: usize = 4093;

/// The longest piece that is given out.
const PIECE: usize = 64 << 10;

/// An endless stream.
#[derive(Debug)]
pub(super) struct Pattern {
    /// The period, and enough of its repetition for a piece from any place in it.
    table: Vec<u8>,
    period: usize,
}

impl Pattern {
    /// Noise.
    pub(super) fn noise() -> Pattern {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let once: Vec<u8> = (0..NOISE)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect();
        Pattern::of(&once)
    }

    /// These bytes, again and again.
    pub(super) fn of(once: &[u8]) -> Pattern {
        let table = once
            .iter()
            .copied()
            .cycle()
            .take(once.len() + PIECE)
            .collect();
        Pattern {
            table,
            period: once.len(),
        }
    }

    /// Where the noise of a connection begins.
    pub(super) fn place(&self, connection: usize) -> usize {
        connection.wrapping_mul(1009) % self.period
    }

    /// What comes at a place, no longer than wanted and never empty unless nothing is wanted.
    pub(super) fn piece(&self, place: usize, wanted: usize) -> &[u8] {
        &self.table[place..place + wanted.min(PIECE)]
    }

    /// The place that many bytes later.
    pub(super) fn after(&self, place: usize, bytes: usize) -> usize {
        (place + bytes) % self.period
    }

    /// How many of the bytes are those that come at a place: all, or as many as there are before
    /// the first that is wrong.
    pub(super) fn agree(&self, mut place: usize, bytes: &[u8]) -> usize {
        let mut agreed = 0;
        for piece in bytes.chunks(PIECE) {
            let expected = self.piece(place, piece.len());
            if piece != expected {
                let same = piece
                    .iter()
                    .zip(expected)
                    .take_while(|(is, should)| is == should);
                return agreed + same.count();
            }
            agreed += piece.len();
            place = self.after(place, piece.len());
        }
        agreed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_agrees_and_nothing_else() {
        let pattern = Pattern::noise();
        let mut stream = Vec::new();
        let mut place = pattern.place(7);
        while stream.len() < 3 * PIECE {
            let piece = pattern.piece(place, 1000);
            stream.extend_from_slice(piece);
            place = pattern.after(place, piece.len());
        }
        assert_eq!(pattern.agree(pattern.place(7), &stream), stream.len());
        assert!(pattern.agree(pattern.place(8), &stream) < 16);
        assert!(pattern.agree(pattern.place(7), &stream[64..]) < 16);
        stream[PIECE + 5] ^= 1;
        assert_eq!(pattern.agree(pattern.place(7), &stream), PIECE + 5);
    }

    #[test]
    fn connections_differ() {
        let pattern = Pattern::noise();
        let mut places: Vec<usize> = (0..NOISE).map(|c| pattern.place(c)).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), NOISE);
    }
}
