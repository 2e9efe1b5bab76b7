//! Loops of one node: letters and links between them.

use crate::harness::{Act, Acts, Running, eventually, octets, read_whole, recv};
use bindery::ids::{EsmeId, LinkId, ShardId};
use bindery::io::{Driver, Options};
use bindery::shard::mail::{Mail, Tag};
use bindery::shard::port::{Action, CloseHow, Input};
use bindery::time::Duration;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

/// What has become of the links that were accepted.
#[derive(Default)]
struct Fates {
    handed: AtomicUsize,
    closed: AtomicUsize,
    lost: AtomicUsize,
}

impl Fates {
    fn all(&self) -> (usize, usize, usize) {
        let get = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        (get(&self.handed), get(&self.closed), get(&self.lost))
    }
}

fn bump(count: &AtomicUsize) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// Hands each link over with the first octets, after `first` was written to it.
fn giver(first: Vec<u8>, fates: &Arc<Fates>) -> Box<dyn Acts> {
    let fates = Arc::clone(fates);
    Box::new(move |act: &mut Act<'_, '_>| match &act.input {
        Input::Bytes { link, bytes } => {
            let (link, bytes) = (*link, bytes.to_vec());
            act.out.to(link).extend_from_slice(&first);
            act.hand_over(link, 1, &bytes);
        }
        Input::Mail { mail: Mail::LinkGone { listener, peer }, .. } => {
            assert_eq!((listener.0, peer.port()), (3, 7));
            bump(&fates.lost);
        }
        Input::Room { .. } => panic!("a link that leaves is not heard of"),
        _ => {}
    })
}

/// Greets each link that it is given with `first`, then gives back what was read and what comes.
fn taker(first: &'static [u8], fates: &Arc<Fates>) -> Box<dyn Acts> {
    let fates = Arc::clone(fates);
    Box::new(move |act: &mut Act<'_, '_>| match &act.input {
        Input::HandedOver { link, parcel } => {
            bump(&fates.handed);
            act.out.to(*link).extend_from_slice(first);
            act.out.to(*link).extend_from_slice(&parcel.unread);
        }
        Input::Bytes { link, bytes } => act.out.to(*link).extend_from_slice(bytes),
        Input::Closed { .. } => bump(&fates.closed),
        _ => {}
    })
}

fn together(driver: Driver, slots: usize, cores: Vec<Box<dyn Acts>>) -> Vec<Running> {
    Running::start_together(driver, slots, cores, |_, _| {})
}

fn end(running: Vec<Running>) {
    running.into_iter().for_each(Running::drain);
}

#[test]
fn what_is_read_around_a_hand_over_arrives_once_and_in_order() {
    const ROUNDS: usize = 12;
    for driver in Driver::available() {
        for slots in [1, 1024] {
            let fates = Arc::default();
            let running = together(driver, slots, vec![giver(Vec::new(), &fates), taker(b"", &fates)]);
            for (round, piece) in [1_000_000, 1, 3, 1000, 70_000].repeat(ROUNDS).into_iter().enumerate() {
                let mut peer = running[0].connect();
                peer.set_nodelay(true).unwrap();
                let sent = octets((piece * 700).min(400_000), round as u64);
                let (mut writer, writing) = (peer.try_clone().unwrap(), sent.clone());
                let writer = std::thread::spawn(move || {
                    writing.chunks(piece).for_each(|piece| writer.write_all(piece).unwrap());
                });
                assert!(read_whole(&mut peer, sent.len()) == sent, "{driver:?} {slots} {piece}");
                writer.join().unwrap();
            }
            let links = ROUNDS * 5;
            eventually(|| fates.all() == (links, links, 0));
            assert_eq!(running[0].links(), (links, 0));
            end(running);
        }
    }
}

#[test]
fn many_links_are_handed_over_at_once() {
    const LINKS: usize = 200;
    for driver in Driver::available() {
        let fates = Arc::default();
        let running = together(driver, 1, vec![giver(b"1".into(), &fates), taker(b"2", &fates)]);
        let mut peers: Vec<TcpStream> = (0..LINKS).map(|_| running[0].connect()).collect();
        for (number, peer) in peers.iter_mut().enumerate() {
            peer.write_all(&octets(500, number as u64)).unwrap();
        }
        for (number, peer) in peers.iter_mut().enumerate() {
            assert_eq!(read_whole(peer, 2), b"12", "{driver:?}");
            assert_eq!(read_whole(peer, 500), octets(500, number as u64));
        }
        drop(peers);
        eventually(|| fates.all() == (LINKS, LINKS, 0));
        end(running);
    }
}

#[test]
fn output_of_before_the_hand_over_arrives_before_that_of_after() {
    for driver in Driver::available() {
        for length in [16, 12_000_000] {
            let fates = Arc::default();
            let cores = vec![giver(octets(length, 1), &fates), taker(b"after", &fates)];
            let running = together(driver, 64, cores);
            let mut peer = running[0].connect();
            peer.write_all(b"unread").unwrap();
            assert!(read_whole(&mut peer, length) == octets(length, 1), "{driver:?} {length}");
            assert_eq!(read_whole(&mut peer, 11), b"afterunread");
            peer.write_all(b"!").unwrap();
            assert_eq!(read_whole(&mut peer, 1), b"!");
            drop(peer);
            end(running);
        }
    }
}

#[test]
fn a_peer_that_half_closes_before_the_hand_over_is_answered_by_the_other_core() {
    for driver in Driver::available() {
        for length in [0, 3_000_000] {
            let fates = Arc::default();
            let cores = vec![giver(octets(length, 2), &fates), taker(b"after", &fates)];
            let running = together(driver, 64, cores);
            let mut peer = running[0].connect();
            peer.write_all(b"?").unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            let mut got = Vec::new();
            peer.read_to_end(&mut got).unwrap();
            assert!(
                got == [octets(length, 2), b"after?".to_vec()].concat(),
                "{driver:?} {length}: {}",
                got.len()
            );
            eventually(|| fates.all() == (1, 1, 0));
            end(running);
        }
    }
}

#[test]
fn every_peer_that_goes_during_the_hand_over_is_heard_of_once() {
    const LINKS: usize = 300;
    for driver in Driver::available() {
        let fates = Arc::default();
        let running = together(driver, 4, vec![giver(octets(100_000, 3), &fates), taker(b"2", &fates)]);
        for number in 0..LINKS {
            let mut peer = running[0].connect();
            peer.write_all(&octets(200, 4)).unwrap();
            if number % 3 == 0 {
                socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
            }
            if number % 3 == 1 {
                read_whole(&mut peer, 1);
            }
        }
        let mut last = running[0].connect();
        last.write_all(b"!").unwrap();
        read_whole(&mut last, 100_002);
        // Who is reset in the queue of the listener may never be seen; who is reset before its octets are read has
        // closed a link of the first core.
        eventually(|| {
            let ((accepted, closed), (handed, ended, lost)) = (running[0].links(), fates.all());
            accepted > LINKS / 2 && handed == ended + 1 && closed + handed + lost == accepted
        });
        end(running);
    }
}

#[test]
fn a_link_whose_output_nobody_takes_ends_on_the_way_and_its_core_is_told() {
    for driver in Driver::available() {
        let fates: Arc<Fates> = Arc::default();
        let running = together(driver, 4, vec![giver(octets(30_000_000, 5), &fates), taker(b"", &fates)]);
        let mut peer = running[0].connect();
        peer.write_all(b"?").unwrap();
        eventually(|| fates.all() == (0, 0, 1));
        let mut got = Vec::new();
        // A reset is an end too.
        let _ = peer.read_to_end(&mut got);
        assert!(got.len() < 30_000_000, "{driver:?}");
        end(running);
    }
}

#[test]
fn a_link_that_the_other_loop_has_no_room_for_ends_and_who_sent_it_is_told() {
    for driver in Driver::available() {
        let fates: Arc<Fates> = Arc::default();
        let bounded = |index: u32, options: &mut Options| options.links_max = if index == 1 { 1 } else { 10 };
        let cores = vec![giver(Vec::new(), &fates), taker(b"", &fates)];
        let running = Running::start_together(driver, 4, cores, bounded);
        let (mut first, mut second) = (running[0].connect(), running[0].connect());
        first.write_all(b"a").unwrap();
        assert_eq!(read_whole(&mut first, 1), b"a");
        second.write_all(b"b").unwrap();
        assert_eq!(second.read(&mut [0; 1]).unwrap_or(0), 0, "{driver:?}");
        eventually(|| fates.all() == (1, 0, 1));
        end(running);
    }
}

#[test]
fn a_link_for_a_shard_that_is_not_there_ends() {
    for driver in Driver::available() {
        let fates: Arc<Fates> = Arc::default();
        let running = together(driver, 4, vec![giver(Vec::new(), &fates)]);
        let mut peer = running[0].connect();
        peer.write_all(b"a").unwrap();
        assert_eq!(peer.read(&mut [0; 1]).unwrap_or(0), 0, "{driver:?}");
        eventually(|| fates.all() == (0, 0, 1));
        end(running);
    }
}

#[test]
fn no_socket_outlives_the_loops_that_had_it() {
    for driver in Driver::available() {
        let fates: Arc<Fates> = Arc::default();
        let running = together(driver, 1, vec![giver(Vec::new(), &fates), taker(b"", &fates)]);
        // The second ends first: what is sent to it then has nowhere to go.
        let mut early: Vec<TcpStream> = (0..20).map(|_| running[0].connect()).collect();
        early.iter_mut().for_each(|peer| peer.write_all(b"a").unwrap());
        eventually(|| fates.all().0 > 0);
        running[1].stop.exit();
        let mut late: Vec<TcpStream> = (0..20).map(|_| running[0].connect()).collect();
        // Some may be reset as soon as they are handed over.
        late.iter_mut().for_each(|peer| drop(peer.write_all(b"a")));
        eventually(|| running[0].links().0 == 40);
        running[0].stop.exit();
        running.into_iter().for_each(Running::end);
        for peer in early.iter_mut().chain(&mut late) {
            // A socket that somebody still had would let this wait until it fails.
            let mut got = Vec::new();
            let ended = peer.read_to_end(&mut got);
            let waited = ended.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
            assert!(!waited && got.len() <= 1, "{driver:?}");
        }
    }
}

/// Asks the other core by mail for each octet that comes, and gives the octet back with the answer.
fn asker() -> Box<dyn Acts> {
    let mut asked: Option<LinkId> = None;
    let mut next = 0;
    Box::new(move |act: &mut Act<'_, '_>| match &act.input {
        Input::Bytes { link, bytes } => {
            asked = Some(*link);
            for octet in *bytes {
                let mail = Mail::Operation {
                    tag: Tag(u64::from(*octet)),
                    esme: EsmeId(0),
                    link: *link,
                    deadline: act.now.mono,
                    frame: Vec::new(),
                };
                act.out.mail(ShardId(1), mail);
            }
        }
        Input::Mail { from, mail: Mail::NotFound { tag } } => {
            assert_eq!(*from, ShardId(1));
            assert_eq!(tag.0, next, "answers come in order");
            next = (next + 1) % 251;
            act.out.to(asked.unwrap()).push(tag.0 as u8);
        }
        _ => {}
    })
}

/// Answers by mail.
fn answerer() -> Box<dyn Acts> {
    Box::new(|act: &mut Act<'_, '_>| {
        if let Input::Mail { from, mail: Mail::Operation { tag, deadline, .. } } = &act.input {
            assert!(*deadline <= act.now.mono, "the shards of a node have one clock");
            act.out.mail(*from, Mail::NotFound { tag: *tag });
        }
    })
}

#[test]
fn a_loop_that_sleeps_is_woken_by_mail_and_mail_is_in_order() {
    for driver in Driver::available() {
        for (slots, spin) in [(1, 0), (1, 50), (64, 0), (64, 50)] {
            let change: fn(u32, &mut Options) =
                if spin == 0 { |_, options| options.spin = Duration::ZERO } else { |_, _| {} };
            let running = Running::start_together(driver, slots, vec![asker(), answerer()], change);
            let mut peer = running[0].connect();
            peer.set_nodelay(true).unwrap();
            let sent: Vec<u8> = (0..=250).cycle().take(251 * 20).collect();
            for octet in &sent[..502] {
                peer.write_all(&[*octet]).unwrap();
                assert_eq!(read_whole(&mut peer, 1), [*octet], "{driver:?} {slots} {spin}");
            }
            let (mut writer, writing) = (peer.try_clone().unwrap(), sent[502..].to_vec());
            let writer = std::thread::spawn(move || writer.write_all(&writing).unwrap());
            assert!(read_whole(&mut peer, sent.len() - 502) == sent[502..], "{driver:?} {slots} {spin}");
            writer.join().unwrap();
            drop(peer);
            end(running);
        }
    }
}

#[test]
fn a_letter_to_oneself_is_read_in_the_same_turn() {
    for driver in Driver::available() {
        let (say, said) = channel();
        let mut sent = None;
        let core: Box<dyn Acts> = Box::new(move |act: &mut Act<'_, '_>| match &act.input {
            Input::Bytes { link, .. } => {
                sent = Some((act.now.mono, *link));
                act.out.mail(ShardId(0), Mail::CarrierUp);
            }
            Input::Mail { from: ShardId(0), mail: Mail::CarrierUp } => {
                let (at, link) = sent.unwrap();
                say.send(at == act.now.mono).unwrap();
                act.out.to(link).extend_from_slice(b"x");
                act.out.act(Action::Close(link, CloseHow::AfterFlush));
            }
            _ => {}
        });
        let running = together(driver, 4, vec![core]);
        let mut peer = running[0].connect();
        peer.write_all(b"?").unwrap();
        assert!(recv(&said), "{driver:?}");
        assert_eq!(read_whole(&mut peer, 1), b"x");
        end(running);
    }
}
