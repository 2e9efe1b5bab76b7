//! How links and loops end.

use crate::harness::{Act, Echo, Running, eventually, octets, read_whole, recv};
use bindery::ids::LinkId;
use bindery::io::Driver;
use bindery::shard::port::{CloseHow, Input};
use bindery::time::Duration;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::mpsc::channel;

#[test]
fn an_answer_reaches_a_peer_whose_input_was_not_read_to_the_end() {
    for driver in Driver::available() {
        let mut answered = false;
        let running = Running::start(driver, move |act: &mut Act<'_, '_>| {
            if let Input::Bytes { link, .. } = act.input
                && !std::mem::replace(&mut answered, true)
            {
                act.out.to(link).extend(b"no");
                act.out.close(link, CloseHow::AfterFlush);
            }
        });
        let mut peer = running.connect();
        peer.write_all(&octets(1_500_000, 1)).unwrap();
        let mut answer = Vec::new();
        peer.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"no", "{driver:?}");
        peer.write_all(b"more").unwrap();
        drop(peer);
        eventually(|| running.links() == (1, 1));
        running.drain();
    }
}

#[test]
fn a_peer_that_stays_after_our_end_is_dropped_after_a_while() {
    for driver in Driver::available() {
        let (say, said) = channel();
        let running = Running::start(driver, move |act: &mut Act<'_, '_>| match act.input {
            Input::Bytes { link, .. } => act.out.close(link, CloseHow::AfterFlush),
            Input::Closed { reason, .. } => say.send(reason.to_owned()).unwrap(),
            _ => {}
        });
        let mut peer = running.connect();
        peer.write_all(b"x").unwrap();
        assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0);
        assert_eq!(recv(&said), "closed", "{driver:?}");
        running.drain();
    }
}

#[test]
fn a_peer_that_half_closes_gets_its_answer_however_long() {
    for driver in Driver::available() {
        for length in [5, 5_000_000] {
            let (say, said) = channel();
            let running = Running::start(driver, move |act: &mut Act<'_, '_>| match act.input {
                Input::Bytes { link, .. } => act.out.to(link).extend(octets(length, 2)),
                Input::Closed { reason, .. } => say.send(reason.to_owned()).unwrap(),
                _ => {}
            });
            let mut peer = running.connect();
            peer.write_all(b"?").unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            peer.read_to_end(&mut answer).unwrap();
            assert!(answer == octets(length, 2), "{driver:?} {length}: {} octets", answer.len());
            assert_eq!(recv(&said), "closed by the peer");
            running.drain();
        }
    }
}

#[test]
fn a_peer_that_resets_is_closed_once_and_its_slot_serves_another() {
    for driver in Driver::available() {
        let (say, said) = channel::<(LinkId, bool)>();
        let running = Running::start(driver, move |act: &mut Act<'_, '_>| match act.input {
            Input::Accepted { link, .. } => say.send((link, true)).unwrap(),
            // Output in flight when the reset comes.
            Input::Bytes { link, .. } => act.out.to(link).extend(octets(3_000_000, 3)),
            Input::Closed { link, reason } => {
                assert!(!reason.is_empty());
                say.send((link, false)).unwrap();
            }
            _ => {}
        });
        let mut former: Option<LinkId> = None;
        for _ in 0..5 {
            let mut peer = running.connect();
            let (link, _) = recv(&said);
            assert!(former.is_none_or(|former| former.slot == link.slot && former != link), "{driver:?}");
            peer.write_all(b"!").unwrap();
            read_whole(&mut peer, 1000);
            socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
            drop(peer);
            assert_eq!(recv(&said), (link, false));
            former = Some(link);
        }
        running.drain();
    }
}

#[test]
fn a_link_closed_at_once_drops_its_output_and_is_closed_once() {
    for driver in Driver::available() {
        let (say, said) = channel();
        let running = Running::start(driver, move |act: &mut Act<'_, '_>| match act.input {
            Input::Accepted { link, .. } => act.out.to(link).extend(octets(20_000_000, 4)),
            Input::Bytes { link, .. } => {
                act.out.close(link, CloseHow::Now);
                act.out.close(link, CloseHow::Now);
                act.out.to(link).extend(b"late");
            }
            Input::Closed { link, reason } => {
                act.out.to(link).extend(b"later");
                say.send(reason.to_owned()).unwrap();
            }
            _ => {}
        });
        let mut peer = running.connect();
        peer.write_all(b"stop").unwrap();
        assert_eq!(recv(&said), "closed", "{driver:?}");
        let mut got = Vec::new();
        // A reset is an end too.
        let _ = peer.read_to_end(&mut got);
        assert!(got.len() < 20_000_000);
        running.drain();
    }
}

#[test]
fn a_drain_lets_what_is_queued_go_out() {
    for driver in Driver::available() {
        let running = Running::start(driver, |act: &mut Act<'_, '_>| {
            if let Input::Accepted { link, .. } = act.input {
                act.out.to(link).extend(octets(6_000_000, 5));
            }
        });
        let mut peer = running.connect();
        eventually(|| running.links() == (1, 0));
        running.stop.drain();
        let mut got = Vec::new();
        peer.read_to_end(&mut got).unwrap();
        assert!(got == octets(6_000_000, 5), "{driver:?}: {} octets", got.len());
        drop(peer);
        running.end();
    }
}

#[test]
fn an_exit_ends_the_loop_with_everything_under_way() {
    for driver in Driver::available() {
        let running = Running::start(driver, Echo::default());
        let mut idle = running.connect();
        let mut stuck = running.connect();
        let mut writer = stuck.try_clone().unwrap();
        let writing = std::thread::spawn(move || {
            // Ends with the link.
            let _ = writer.write_all(&octets(60_000_000, 6));
        });
        eventually(|| running.echoed() > 8_000_000);
        running.stop.exit();
        running.end();
        assert_eq!(idle.read(&mut [0; 1]).unwrap_or(0), 0, "{driver:?}");
        writing.join().unwrap();
        let _ = stuck.read_to_end(&mut Vec::new());
    }
}

#[test]
fn what_is_written_in_the_turn_of_the_exit_still_goes_out() {
    for driver in Driver::available() {
        let running = Running::start(driver, |act: &mut Act<'_, '_>| {
            if let Input::Bytes { link, .. } = act.input {
                act.out.to(link).extend(b"bye");
                act.out.act(bindery::shard::port::Action::Exit);
            }
        });
        let mut peer = running.connect();
        peer.write_all(b"end").unwrap();
        assert_eq!(read_whole(&mut peer, 3), b"bye", "{driver:?}");
        running.end();
    }
}
