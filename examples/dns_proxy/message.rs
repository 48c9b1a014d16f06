//! DNS messages: what a client asks, what an upstream answers, and what the client gets of that.
//!
//! Parsing is simple-dns'. An answer is kept as the bytes that are to be sent, and the places of the times to live
//! in them: to send it again is to copy it and to write over some numbers.

use std::time::{Duration, Instant};

use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};

const HEADER: usize = 12;
/// What an answer may take if the client says nothing about it.
const UDP_CLASSIC: u16 = 512;
/// What we say that we take: it passes networks without being cut into fragments.
pub(crate) const UDP_SIZE: u16 = 1232;
/// However long an upstream says that an answer holds.
const MAX_TTL: u32 = 24 * 3600;
/// However long it says that there is no answer (RFC 2308).
const MAX_NEGATIVE_TTL: u32 = 3 * 3600;

/// What is asked: the name in wire format and lower case, type and class.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    name: Box<[u8]>,
    kind: u16,
    class: u16,
}

impl Key {
    fn of(question: &Question<'_>) -> Key {
        let mut name = Vec::new();
        for label in question.qname.as_bytes() {
            // A label has at most 63 bytes.
            name.push(label.len() as u8);
            name.extend(label.iter().map(u8::to_ascii_lowercase));
        }
        Key {
            name: name.into(),
            kind: question.qtype.into(),
            class: question.qclass.into(),
        }
    }
}

/// A question that can be answered.
pub(crate) struct Query {
    pub(crate) id: u16,
    pub(crate) key: Key,
    /// The question as it was sent: clients compare the name's case.
    question: Vec<u8>,
    recursion_desired: bool,
    /// The answer's length over UDP.
    pub(crate) room: usize,
    /// The client has said so, and gets a record about it.
    extended: bool,
}

/// Why there is no [`Query`].
pub(crate) enum NoQuery {
    /// It is none, or so broken that whom to answer what is unknown.
    Ignore,
    /// To be refused with this message.
    Refuse(Vec<u8>),
}

/// As many records and questions as the header counts fit into the message. simple-dns takes the memory that the
/// header asks for before it looks.
fn is_plausible(message: &[u8]) -> bool {
    let Some((header, rest)) = message.split_at_checked(HEADER) else {
        return false;
    };
    let count = |at: usize| usize::from(u16::from_be_bytes([header[at], header[at + 1]]));
    5 * count(4) + 11 * (count(6) + count(8) + count(10)) <= rest.len()
}

fn parse(message: &[u8]) -> Option<Packet<'_>> {
    if is_plausible(message) {
        Packet::parse(message).ok()
    } else {
        None
    }
}

impl Query {
    pub(crate) fn parse(message: &[u8]) -> Result<Query, NoQuery> {
        // Answering an answer could go on for ever.
        if message.len() < HEADER || message[2] & 0x80 != 0 {
            return Err(NoQuery::Ignore);
        }
        let packet = parse(message).ok_or_else(|| refusal(message, RCODE::FormatError))?;
        let refuse = |code| Err(refusal(message, code));
        if packet.opcode() != OPCODE::StandardQuery {
            return refuse(RCODE::NotImplemented);
        }
        let [question] = &packet.questions[..] else {
            return refuse(RCODE::FormatError);
        };
        let (QTYPE::TYPE(_), QCLASS::CLASS(CLASS::IN)) = (question.qtype, question.qclass) else {
            return refuse(RCODE::Refused);
        };
        if question.unicast_response || question.qtype == QTYPE::TYPE(TYPE::OPT) {
            return refuse(RCODE::FormatError);
        }
        let mut asked = Packet::new_query(0);
        asked.questions.push(question.clone());
        let bytes = asked.build_bytes_vec();
        let bytes = bytes.map_err(|_| refusal(message, RCODE::FormatError))?;
        let size = packet.opt().map_or(UDP_CLASSIC, |opt| opt.udp_packet_size);
        Ok(Query {
            id: packet.id(),
            key: Key::of(question),
            question: bytes[HEADER..].to_vec(),
            recursion_desired: packet.has_flags(PacketFlag::RECURSION_DESIRED),
            room: usize::from(size.clamp(UDP_CLASSIC, UDP_SIZE)),
            extended: packet.opt().is_some(),
        })
    }

    /// The same question, as it is sent to an upstream.
    pub(crate) fn forward(&self, id: u16) -> Option<Vec<u8>> {
        let mut bytes = Packet::new_query(id).build_bytes_vec().ok()?;
        bytes[2] |= 1; // recursion is desired
        bytes[5] = 1; // question
        bytes.extend_from_slice(&self.question);
        add_extension(&mut bytes);
        Some(bytes)
    }

    /// The message for this client. `room`: if it takes more, it is cut off and says so.
    pub(crate) fn reply(&self, answer: &Answer, now: Instant, room: usize) -> Vec<u8> {
        let mut bytes = answer.aged(now);
        // Equal but for the case, and so of equal length.
        bytes[HEADER..][..self.question.len()].copy_from_slice(&self.question);
        self.finish(bytes, room)
    }

    /// No upstream has answered.
    pub(crate) fn failure(&self) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[3] = RCODE::ServerFailure as u8;
        bytes[5] = 1;
        bytes.extend_from_slice(&self.question);
        self.finish(bytes, usize::from(UDP_CLASSIC))
    }

    fn finish(&self, mut bytes: Vec<u8>, room: usize) -> Vec<u8> {
        const EXTENSION: usize = 11;
        bytes[..2].copy_from_slice(&self.id.to_be_bytes());
        bytes[2] = 0x80 | u8::from(self.recursion_desired);
        bytes[3] |= 0x80; // recursion is available
        if bytes.len() + EXTENSION > room {
            bytes.truncate(HEADER + self.question.len());
            bytes[2] |= 0x02;
            bytes[6..HEADER].fill(0);
        }
        if self.extended {
            add_extension(&mut bytes);
        }
        bytes
    }
}

/// Adds the record that says what we take over UDP, as the last one.
fn add_extension(bytes: &mut Vec<u8>) {
    let count = u16::from_be_bytes([bytes[10], bytes[11]]).saturating_add(1);
    bytes[10..HEADER].copy_from_slice(&count.to_be_bytes());
    // The root's name; its type; the size; code, version and flags; no data.
    bytes.extend_from_slice(&[0, 0, 41]);
    bytes.extend_from_slice(&UDP_SIZE.to_be_bytes());
    bytes.extend_from_slice(&[0; 6]);
}

/// A message that has only a header, made of what has been sent.
fn refusal(message: &[u8], code: RCODE) -> NoQuery {
    let mut bytes = message[..HEADER].to_vec();
    bytes[2] = 0x80 | (bytes[2] & 0x79);
    bytes[3] = 0x80 | code as u8;
    bytes[4..].fill(0);
    NoQuery::Refuse(bytes)
}

/// What an upstream has answered.
pub(crate) struct Answer {
    bytes: Vec<u8>,
    /// Where the times to live lie.
    ttls: Vec<u16>,
    received: Instant,
    /// How long it may be kept.
    pub(crate) ttl: Duration,
    /// The upstream is well and has answered the question, if only by that there is no such name.
    pub(crate) is_good: bool,
}

/// What an upstream has sent.
pub(crate) enum Received {
    Answer(Answer),
    /// There is more than fits: to be asked for over TCP.
    Truncated,
}

impl Answer {
    /// `None`: this is no answer to that question, whoever has sent it.
    pub(crate) fn parse(message: &[u8], id: u16, key: &Key, now: Instant) -> Option<Received> {
        let mut packet = parse(message)?;
        let [question] = &packet.questions[..] else {
            return None;
        };
        if packet.id() != id
            || !packet.has_flags(PacketFlag::RESPONSE)
            || packet.opcode() != OPCODE::StandardQuery
            || Key::of(question) != *key
        {
            return None;
        }
        if packet.has_flags(PacketFlag::TRUNCATION) {
            return Some(Received::Truncated);
        }
        let code = packet.rcode();
        let is_good = matches!(code, RCODE::NoError | RCODE::NameError);
        let ttl = if is_good { time_to_live(&packet) } else { 0 };
        // The upstream's record about itself is of no use to the client.
        *packet.opt_mut() = None::<OPT<'_>>;
        let mut bytes = packet.build_bytes_vec_compressed().ok()?;
        // Codes beyond 15 need that record.
        bytes[3] = if code as u16 > 15 {
            RCODE::ServerFailure as u8
        } else {
            code as u8
        };
        let ttls = find_ttls(&bytes)?;
        Some(Received::Answer(Answer {
            bytes,
            ttls,
            received: now,
            ttl: Duration::from_secs(u64::from(ttl)),
            is_good,
        }))
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.received) < self.ttl
    }

    /// The message, as it is after the time that has passed.
    fn aged(&self, now: Instant) -> Vec<u8> {
        let age = now.saturating_duration_since(self.received).as_secs();
        let age = u32::try_from(age).unwrap_or(u32::MAX);
        let mut bytes = self.bytes.clone();
        for &at in &self.ttls {
            if let Some(field) = bytes[usize::from(at)..].first_chunk_mut() {
                *field = u32::from_be_bytes(*field).saturating_sub(age).to_be_bytes();
            }
        }
        bytes
    }
}

/// How many seconds an answer may be kept: no longer than any record of it; that there is none, as long as the
/// zone says, and not at all if it doesn't.
fn time_to_live(packet: &Packet<'_>) -> u32 {
    let negative = packet
        .name_servers
        .iter()
        .find_map(|record| match &record.rdata {
            RData::SOA(soa) => Some(record.ttl.min(soa.minimum).min(MAX_NEGATIVE_TTL)),
            _ => None,
        });
    let records = packet.answers.iter().map(|record| record.ttl.min(MAX_TTL));
    records.chain(negative).min().unwrap_or(0)
}

/// Where the times to live lie in a message that was built here; `None` if it is not as it should be.
fn find_ttls(bytes: &[u8]) -> Option<Vec<u16>> {
    let number = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let mut at = HEADER;
    for _ in 0..number(4)? {
        at = after_name(bytes, at)? + 4;
    }
    let mut ttls = Vec::new();
    for _ in 0..u32::from(number(6)?) + u32::from(number(8)?) + u32::from(number(10)?) {
        // The name, type and class; then the TTL, and the length of the data.
        at = after_name(bytes, at)? + 4;
        ttls.push(u16::try_from(at).ok()?);
        at += 6 + usize::from(number(at + 4)?);
    }
    (at == bytes.len()).then_some(ttls)
}

fn after_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            // A pointer to the rest of it.
            0xc0.. => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}
