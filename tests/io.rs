//! The drivers over real sockets of the loopback: what a core may rely on, the same with every driver that works here.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "io/ends.rs"]
mod ends;
#[path = "io/fallback.rs"]
mod fallback;
#[path = "io/harness.rs"]
mod harness;
#[path = "io/lanes.rs"]
mod lanes;

use bindery::ids::LinkId;
use bindery::io::Driver;
use bindery::limits::{OUTPUT_SOFT, READ_BUFFER};
use bindery::shard::port::{Action, Answer, Ask, CloseHow, Connect, Input, Ticket, Way};
use bindery::shard::status::Status;
use bindery::time::{Duration, Instant};
use harness::{Act, Echo, Running, eventually, octets, read_whole, recv};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::channel;

#[test]
fn what_comes_in_pieces_goes_back_whole_and_in_order() {
    for driver in Driver::available() {
        let running = Running::start(driver, Echo::default());
        let mut peer = running.connect();
        for octet in octets(200, 1) {
            peer.write_all(&[octet]).unwrap();
        }
        assert_eq!(read_whole(&mut peer, 200), octets(200, 1), "{driver:?}");
        let (mut reader, sent) = (peer.try_clone().unwrap(), octets(3_000_000, 2));
        let want = sent.clone();
        let reading = std::thread::spawn(move || assert!(read_whole(&mut reader, want.len()) == want));
        for piece in sent.chunks(12_345) {
            peer.write_all(piece).unwrap();
        }
        reading.join().unwrap();
        running.drain();
    }
}

#[test]
fn an_output_beyond_the_socket_s_buffer_is_written_and_room_is_said_once() {
    const LENGTH: usize = 24 * 1024 * 1024;
    for driver in Driver::available() {
        let (say, said) = channel();
        let mut marks = 0;
        let running = Running::start(driver, move |act: &mut Act<'_, '_>| match act.input {
            Input::Accepted { link, .. } => {
                act.out.to(link).extend(octets(LENGTH, 3));
                assert!(act.out.is_full(link));
            }
            Input::Room { link } => {
                assert!(!act.out.is_full(link) && act.out.backlog(link) <= OUTPUT_SOFT);
                marks += 1;
            }
            Input::Bytes { link, .. } => {
                let all = act.out.position(link);
                assert!(act.out.is_flushed(link, all) && act.out.backlog(link) == 0);
                say.send((marks, all)).unwrap();
            }
            _ => {}
        });
        let mut peer = running.connect();
        assert!(read_whole(&mut peer, LENGTH) == octets(LENGTH, 3));
        peer.write_all(b"?").unwrap();
        assert_eq!(recv(&said), (1, LENGTH as u64), "{driver:?}");
        running.drain();
    }
}

#[test]
fn outputs_of_many_turns_behind_a_slow_reader_stay_in_order() {
    for driver in Driver::available() {
        let running = Running::start(driver, Echo::default());
        let mut peer = running.connect();
        let sent = octets(40_000_000, 5);
        let (mut writer, writing) = (peer.try_clone().unwrap(), sent.clone());
        let writer = std::thread::spawn(move || writer.write_all(&writing).unwrap());
        // Nothing is read before the core and the sockets hold all that they can of it.
        eventually(|| running.echoed() > 8_000_000);
        assert!(read_whole(&mut peer, sent.len()) == sent);
        writer.join().unwrap();
        running.drain();
    }
}

#[test]
fn a_paused_link_gives_nothing_until_it_is_resumed_and_loses_nothing() {
    const LENGTH: usize = 2_000_000;
    for driver in Driver::available() {
        let (say, said) = channel();
        let (mut paused, mut got, mut times) = (None::<(LinkId, Instant)>, Vec::new(), 0);
        let running = Running::start(driver, move |act: &mut Act<'_, '_>| match act.input {
            Input::Bytes { link, bytes } => {
                // A pause holds from the end of the turn on.
                assert!(paused.is_none_or(|(_, at)| at == act.now.mono), "a paused link gave octets");
                got.extend_from_slice(bytes);
                if paused.is_none() && times < 3 {
                    times += 1;
                    paused = Some((link, act.now.mono));
                    act.out.act(Action::Pause(link));
                    *act.deadline = Some(act.now.mono.after(Duration::from_millis(30)));
                }
                if got.len() == LENGTH {
                    say.send((std::mem::take(&mut got), times)).unwrap();
                }
            }
            Input::Time => {
                *act.deadline = None;
                if let Some((link, _)) = paused.take() {
                    act.out.act(Action::Resume(link));
                }
            }
            _ => {}
        });
        let mut peer = running.connect();
        peer.write_all(&octets(LENGTH, 6)).unwrap();
        let (got, times) = recv(&said);
        assert!(got == octets(LENGTH, 6) && times == 3, "{driver:?}");
        running.drain();
    }
}

#[test]
fn one_read_gives_at_most_the_budget_and_a_flood_does_not_starve_another_link() {
    for driver in Driver::available() {
        let (say, said) = channel();
        let running = Running::start(driver, move |act: &mut Act<'_, '_>| {
            if let Input::Bytes { link, bytes } = act.input {
                assert!(bytes.len() <= READ_BUFFER && !bytes.is_empty());
                say.send((link, bytes.len())).unwrap();
                if bytes == b"ping" {
                    act.out.to(link).extend(b"pong");
                }
            }
        });
        let (mut flood, mut calm) = (running.connect(), running.connect());
        let flooding = std::thread::spawn(move || {
            flood.write_all(&octets(30_000_000, 7)).unwrap();
            flood
        });
        for _ in 0..20 {
            calm.write_all(b"ping").unwrap();
            assert_eq!(read_whole(&mut calm, 4), b"pong");
        }
        let mut total = 0;
        while total < 30_000_080 {
            total += recv(&said).1;
        }
        assert_eq!(total, 30_000_080, "{driver:?}");
        drop(flooding.join().unwrap());
        running.drain();
    }
}

#[test]
fn many_links_are_served_at_once_and_each_is_closed_once() {
    const LINKS: usize = 300;
    for driver in Driver::available() {
        let running = Running::start(driver, Echo::default());
        for round in 0..3 {
            let mut peers: Vec<_> = (0..LINKS).map(|_| running.connect()).collect();
            for (number, peer) in peers.iter_mut().enumerate() {
                peer.write_all(&octets(1000, number as u64)).unwrap();
            }
            for (number, peer) in peers.iter_mut().enumerate() {
                assert_eq!(read_whole(peer, 1000), octets(1000, number as u64), "{driver:?}");
            }
            drop(peers);
            eventually(|| running.links() == (LINKS * (round + 1), LINKS * (round + 1)));
        }
        running.drain();
    }
}

#[test]
fn more_than_all_buffers_hold_at_once_is_read_to_the_last_octet() {
    const LINKS: usize = 150;
    const LENGTH: usize = 100_000;
    for driver in Driver::available() {
        let ((go, gone), (say, said)) = (channel::<()>(), channel());
        let running = Running::start(driver, move |act: &mut Act<'_, '_>| {
            if let Input::Bytes { bytes, .. } = act.input {
                if bytes == b"wait" {
                    // The loop stands still until every peer has written.
                    recv(&gone);
                } else {
                    say.send(bytes.len()).unwrap();
                }
            }
        });
        let mut first = running.connect();
        first.write_all(b"wait").unwrap();
        let mut peers: Vec<_> = (0..LINKS).map(|_| running.connect()).collect();
        for peer in &mut peers {
            peer.write_all(&octets(LENGTH, 8)).unwrap();
        }
        go.send(()).unwrap();
        let mut total = 0;
        while total < LINKS * LENGTH {
            total += recv(&said);
        }
        assert_eq!(total, LINKS * LENGTH, "{driver:?}");
        running.drain();
    }
}

#[test]
fn a_connection_over_the_limit_is_closed_as_it_comes() {
    for driver in Driver::available() {
        let running = Running::start_with(driver, Echo::default(), |options| options.links_max = 2);
        let (mut first, mut second) = (running.connect(), running.connect());
        first.write_all(b"a").unwrap();
        second.write_all(b"b").unwrap();
        assert_eq!((read_whole(&mut first, 1), read_whole(&mut second, 1)), (b"a".into(), b"b".into()));
        let mut third = running.connect();
        assert_eq!(third.read(&mut [0; 1]).unwrap_or(0), 0, "{driver:?}");
        assert_eq!(running.links(), (2, 0));
        running.drain();
    }
}

fn connect(address: String, timeout: Duration) -> Action {
    let ticket = Ticket(7);
    Action::Connect(Connect {
        ticket,
        address,
        timeout,
        user_timeout: Duration::from_secs(5),
        way: Way::default(),
    })
}

/// What the core hears of one connect.
fn outcome(driver: Driver, address: String, timeout: Duration) -> Result<Vec<u8>, String> {
    let (say, said) = channel();
    let (mut asked, mut got) = (false, Vec::new());
    let running = Running::start(driver, move |act: &mut Act<'_, '_>| match act.input {
        Input::Time if !asked => {
            asked = true;
            act.out.act(connect(address.clone(), timeout));
        }
        Input::Connected { link, ticket } => {
            assert_eq!(ticket, Ticket(7));
            act.out.to(link).extend(b"hello");
        }
        Input::ConnectFailed { ticket, reason } => {
            assert_eq!(ticket, Ticket(7));
            say.send(Err(reason.to_owned())).unwrap();
        }
        Input::Bytes { bytes, link } => {
            got.extend_from_slice(bytes);
            act.out.close(link, CloseHow::Now);
        }
        Input::Closed { .. } => say.send(Ok(std::mem::take(&mut got))).unwrap(),
        _ => {}
    });
    let outcome = recv(&said);
    running.drain();
    outcome
}

#[test]
fn a_connect_by_name_or_number_opens_a_link() {
    for driver in Driver::available() {
        for host in ["127.0.0.1", "localhost"] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = format!("{host}:{}", listener.local_addr().unwrap().port());
            let answering = std::thread::spawn(move || {
                let (mut socket, _) = listener.accept().unwrap();
                assert_eq!(read_whole(&mut socket, 5), b"hello");
                socket.write_all(b"welcome").unwrap();
                let _ = socket.read(&mut [0; 1]);
            });
            let outcome = outcome(driver, address, Duration::from_secs(10));
            assert_eq!(outcome.unwrap(), b"welcome", "{driver:?} {host}");
            answering.join().unwrap();
        }
    }
}

#[test]
fn a_connect_that_is_refused_or_has_no_address_fails_with_the_reason() {
    for driver in Driver::available() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let reason = outcome(driver, closed.to_string(), Duration::from_secs(10)).unwrap_err();
        assert!(reason.contains("refused"), "{driver:?} {reason}");
        let reason = outcome(driver, "no.such.host.invalid:1".into(), Duration::from_secs(10)).unwrap_err();
        assert!(!reason.is_empty());
    }
}

#[test]
fn a_connect_that_nobody_answers_times_out() {
    for driver in Driver::available() {
        // A full backlog answers no further connect.
        let silent = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        silent.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        silent.listen(0).unwrap();
        let address = silent.local_addr().unwrap();
        let fillers: Vec<_> = (0..4)
            .map(|_| {
                let filler =
                    socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
                filler.set_nonblocking(true).unwrap();
                let _ = filler.connect(&address);
                filler
            })
            .collect();
        let address = address.as_socket().unwrap().to_string();
        let reason = outcome(driver, address, Duration::from_millis(150)).unwrap_err();
        assert_eq!(reason, "connect timed out", "{driver:?}");
        drop(fillers);
    }
}

#[test]
fn a_core_that_sleeps_is_asked_and_each_answer_comes_to_who_asked() {
    for driver in Driver::available() {
        let running = Running::start(driver, |act: &mut Act<'_, '_>| {
            if let Input::Ask { ticket, .. } = act.input {
                let status = Status { sessions_unlisted: ticket.0, ..Status::default() };
                act.out.act(Action::Answer { ticket, answer: Answer::Status(Box::new(status)) });
            }
        });
        for asked in 1..=100 {
            let Answer::Status(status) = recv(&running.stop.ask(Ask::Status).unwrap()) else { panic!() };
            assert_eq!(status.sessions_unlisted, asked, "{driver:?}");
        }
        let together: Vec<_> = (0..20).map(|_| running.stop.ask(Ask::Status).unwrap()).collect();
        for (asked, answer) in (101..).zip(together) {
            let Answer::Status(status) = recv(&answer) else { panic!() };
            assert_eq!(status.sessions_unlisted, asked, "{driver:?}");
        }
        let stop = running.stop.clone();
        running.drain();
        assert!(stop.ask(Ask::Status).is_err());
    }
}
