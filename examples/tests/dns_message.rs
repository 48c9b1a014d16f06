//! dns_proxy's messages: whatever comes, nothing panics; a question is passed on as it was asked; only its answer is
//! taken for one; and what a client gets can be parsed, fits, and has times to live that count down.

#[allow(dead_code)]
#[path = "../dns_proxy/message.rs"]
mod message;

use std::time::{Duration, Instant};

use message::{Answer, NoQuery, Query, Received};
use proptest::collection::vec;
use proptest::prelude::*;
use simple_dns::rdata::{A, RData, SOA};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, Question, RCODE, ResourceRecord, TYPE};

fn ask(name: &str, id: u16) -> Packet<'_> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let (kind, class) = (QTYPE::TYPE(TYPE::A), CLASS::IN.into());
    let name = Name::new(name).unwrap();
    packet
        .questions
        .push(Question::new(name, kind, class, false));
    packet
}

fn query(name: &str, id: u16) -> Query {
    let bytes = ask(name, id).build_bytes_vec().unwrap();
    Query::parse(&bytes).ok().expect("a question")
}

/// An answer with so many addresses.
fn answer(name: &str, id: u16, ttls: &[u32]) -> Packet<'static> {
    let name = Name::new(name).unwrap().into_owned();
    let (kind, class) = (QTYPE::TYPE(TYPE::A), CLASS::IN.into());
    let mut packet = Packet::new_reply(id);
    packet
        .questions
        .push(Question::new(name.clone(), kind, class, false));
    for (address, &ttl) in (0..).zip(ttls) {
        let data = RData::A(A { address });
        packet
            .answers
            .push(ResourceRecord::new(name.clone(), CLASS::IN, ttl, data));
    }
    packet
}

fn parse(packet: &Packet<'_>, id: u16, query: &Query, now: Instant) -> Option<Received> {
    Answer::parse(
        &packet.build_bytes_vec_compressed().unwrap(),
        id,
        &query.key,
        now,
    )
}

fn parse_answer(packet: &Packet<'_>, query: &Query, now: Instant) -> Answer {
    match parse(packet, packet.id(), query, now) {
        Some(Received::Answer(answer)) => answer,
        _ => panic!("no answer"),
    }
}

/// A message with a header that may be right, and anything behind it.
fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let counts = prop_oneof![Just(0_u16), Just(1), Just(2), Just(0xffff)];
    let header = (any::<u16>(), any::<u16>(), vec(counts, 4));
    let part = prop_oneof![
        Just(b"\x01a\x04test\x00\x00\x01\x00\x01".to_vec()),
        Just(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x01\x02\x03\x04".to_vec()),
        Just(b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00".to_vec()),
        Just(b"\xc0\x0c".to_vec()),
        vec(any::<u8>(), 0..20),
    ];
    let structured = (header, vec(part, 0..6)).prop_map(|((id, flags, counts), parts)| {
        let numbers = [id, flags].into_iter().chain(counts);
        let mut bytes: Vec<u8> = numbers.flat_map(u16::to_be_bytes).collect();
        bytes.extend(parts.concat());
        bytes
    });
    prop_oneof![3 => structured, 1 => vec(any::<u8>(), 0..100)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nothing_panics(message in any_message(), room in 512..4096_usize) {
        match Query::parse(&message) {
            Ok(query) => {
                let id = query.id;
                prop_assert!(query.forward(7).is_some());
                prop_assert!(Packet::parse(&query.failure()).is_ok());
                let now = Instant::now();
                // What was asked can't be an answer; with the one bit changed it may be.
                let mut sent = message.clone();
                sent[2] |= 0x80;
                if let Some(Received::Answer(answer)) = Answer::parse(&sent, id, &query.key, now) {
                    let reply = query.reply(&answer, now + Duration::from_secs(5), room);
                    prop_assert!(reply.len() <= room);
                    prop_assert!(Packet::parse(&reply).is_ok());
                }
            }
            Err(NoQuery::Refuse(refusal)) => {
                prop_assert_eq!(&refusal[..2], &message[..2]);
                let packet = Packet::parse(&refusal).unwrap();
                prop_assert!(packet.has_flags(PacketFlag::RESPONSE));
                prop_assert!(packet.rcode() != RCODE::NoError);
            }
            Err(NoQuery::Ignore) => prop_assert!(message.len() < 12 || message[2] & 0x80 != 0),
        }
    }

    #[test]
    fn a_question_is_passed_on_as_it_was(labels in vec("[a-zA-Z0-9-]{1,20}", 1..6), id: u16, other: u16) {
        let name = labels.join(".");
        let query = query(&name, id);
        let forwarded = query.forward(other).unwrap();
        let forwarded = Packet::parse(&forwarded).unwrap();
        prop_assert_eq!(forwarded.id(), other);
        prop_assert_eq!(forwarded.questions[0].qname.to_string(), name);
        prop_assert!(forwarded.has_flags(PacketFlag::RECURSION_DESIRED));
        prop_assert!(forwarded.opt().is_some());
    }

    #[test]
    fn times_to_live_count_down(ttls in vec(1..100_000_u32, 1..20), age in 0..200_000_u32) {
        let (query, now) = (query("A.Test", 1), Instant::now());
        let kept = parse_answer(&answer("a.test", 9, &ttls), &query, now);
        let least = ttls.iter().copied().min().unwrap().min(24 * 3600);
        prop_assert_eq!(kept.ttl, Duration::from_secs(u64::from(least)));
        let later = now + Duration::from_secs(u64::from(age));
        prop_assert_eq!(kept.is_fresh(later), age < least);
        let reply = query.reply(&kept, later, 4096);
        let reply = Packet::parse(&reply).unwrap();
        prop_assert_eq!(reply.id(), 1);
        // As this client has written it.
        prop_assert_eq!(reply.questions[0].qname.to_string(), "A.Test");
        let left: Vec<_> = reply.answers.iter().map(|record| record.ttl).collect();
        let want: Vec<_> = ttls.iter().map(|ttl| ttl.saturating_sub(age)).collect();
        prop_assert_eq!(left, want);
    }
}

#[test]
fn only_the_answer_to_the_question_is_taken() {
    let (query, now) = (query("a.test", 1), Instant::now());
    let good = answer("A.tEst", 9, &[60]);
    assert!(parse(&good, 9, &query, now).is_some());
    assert!(parse(&good, 8, &query, now).is_none(), "another number");
    assert!(
        parse(&answer("b.test", 9, &[60]), 9, &query, now).is_none(),
        "another name"
    );
    assert!(
        parse(&ask("a.test", 9), 9, &query, now).is_none(),
        "a question"
    );
    let mut other = good.clone();
    other.questions[0].qtype = QTYPE::TYPE(TYPE::AAAA);
    assert!(parse(&other, 9, &query, now).is_none(), "another type");
    other.questions.clear();
    assert!(parse(&other, 9, &query, now).is_none(), "no question");
}

#[test]
fn that_there_is_none_is_kept_as_long_as_the_zone_says() {
    let (query, now) = (query("a.test", 1), Instant::now());
    let mut negative = answer("a.test", 9, &[]);
    *negative.rcode_mut() = RCODE::NameError;
    assert_eq!(parse_answer(&negative, &query, now).ttl, Duration::ZERO);
    let name = Name::new_unchecked("test");
    let soa = SOA {
        mname: name.clone(),
        rname: name.clone(),
        serial: 1,
        refresh: 1,
        retry: 1,
        expire: 1,
        minimum: 30,
    };
    let soa = ResourceRecord::new(name, CLASS::IN, 3600, RData::SOA(soa));
    negative.name_servers.push(soa);
    let kept = parse_answer(&negative, &query, now);
    assert_eq!(kept.ttl, Duration::from_secs(30));
    let reply = query.reply(&kept, now, 512);
    assert_eq!(Packet::parse(&reply).unwrap().rcode(), RCODE::NameError);
    *negative.rcode_mut() = RCODE::ServerFailure;
    let failed = parse_answer(&negative, &query, now);
    assert!(failed.ttl.is_zero() && !failed.is_good);
}

#[test]
fn what_does_not_fit_is_cut_off_and_says_so() {
    let (query, now) = (query("a.test", 1), Instant::now());
    let kept = parse_answer(&answer("a.test", 9, &[60; 100]), &query, now);
    let reply = query.reply(&kept, now, 512);
    let packet = Packet::parse(&reply).unwrap();
    assert!(reply.len() <= 512 && packet.has_flags(PacketFlag::TRUNCATION));
    assert!(packet.answers.is_empty() && packet.questions.len() == 1);
    let reply = query.reply(&kept, now, 65_535);
    let packet = Packet::parse(&reply).unwrap();
    assert!(!packet.has_flags(PacketFlag::TRUNCATION) && packet.answers.len() == 100);
}
