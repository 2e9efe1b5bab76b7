use super::*;
use crate::ids::LinkId;
use crate::io::Stop;
use rustix::event::{PollFd, PollFlags, poll};

/// Longer than any wake takes.
const PATIENCE: rustix::event::Timespec = rustix::event::Timespec { tv_sec: 20, tv_nsec: 0 };

fn pair(slots: usize) -> [(Lanes, Stop); 2] {
    let stops: Vec<(Stop, StopHandle)> = (0..2).map(|_| Stop::new().unwrap()).collect();
    let handles: Vec<StopHandle> = stops.iter().map(|(_, handle)| handle.clone()).collect();
    let both = Lanes::with_slots(&handles, slots).into_iter().zip(stops.into_iter().map(|(stop, _)| stop));
    both.collect::<Vec<_>>().try_into().unwrap_or_else(|_| panic!("two of two"))
}

fn post(number: u32) -> Post {
    Post::Mail(Mail::SessionGone(LinkId { slot: number, generation: 0 }))
}

fn number(post: &Post) -> u32 {
    match post {
        Post::Mail(Mail::SessionGone(link)) => link.slot,
        other => panic!("{other:?}"),
    }
}

/// Takes posts until this many have come, all in order from 0 on.
fn take_all(lanes: &mut Lanes, count: u32, mut idle: impl FnMut(&mut Lanes)) {
    let (mut next, mut posts) = (0, Vec::new());
    while next < count {
        lanes.take(&mut posts);
        if posts.is_empty() {
            idle(lanes);
        }
        for (from, post) in posts.drain(..) {
            assert_eq!((from, number(&post)), (ShardId(0), next));
            next += 1;
        }
    }
}

#[test]
fn posts_arrive_in_order_and_none_is_lost_whatever_fits() {
    const POSTS: u32 = 1_000_000;
    for slots in [1, 64] {
        let [(mut one, _), (mut two, _other)] = pair(slots);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut sent = 0;
                while sent < POSTS || one.sending[1].as_ref().is_some_and(|lane| !lane.waiting.is_empty()) {
                    let burst = (sent % 7 * 5).min(POSTS - sent).max(u32::from(sent < POSTS));
                    (sent..sent + burst).for_each(|at| one.send(ShardId(1), post(at)));
                    sent += burst;
                    one.flush();
                    // Bounded as by credits.
                    while one.sending[1].as_ref().is_some_and(|lane| lane.waiting.len() > 200) {
                        std::thread::yield_now();
                        one.flush();
                    }
                }
            });
            take_all(&mut two, POSTS, |_| std::thread::yield_now());
        });
        assert_eq!(one.counters().mail[1].get(), u64::from(POSTS));
        assert!(!two.has_work());
    }
}

/// Sleeps until it is woken, if it may; being forgotten is a failure.
fn sleep(lanes: &Lanes, stop: &Stop) -> bool {
    if !lanes.doze() {
        return false;
    }
    let mut wake = [PollFd::from_borrowed_fd(stop.fd(), PollFlags::IN)];
    assert_eq!(poll(&mut wake, Some(&PATIENCE)).unwrap(), 1, "a sleeper was forgotten");
    stop.clear();
    lanes.awake();
    true
}

#[test]
fn a_sleeper_is_woken_by_a_post_and_by_room() {
    const POSTS: u32 = 60_000;
    for slots in [1, 3] {
        let [(mut one, stop), (mut two, other)] = pair(slots);
        let slept = std::thread::scope(|scope| {
            let sender = scope.spawn(move || {
                let mut slept = 0;
                for at in 0..POSTS {
                    one.send(ShardId(1), post(at));
                    one.flush();
                    // Nothing is sent before everything has found room: each wait is for the other's taking.
                    while one.sending[1].as_ref().is_some_and(|lane| !lane.waiting.is_empty()) {
                        slept += u32::from(sleep(&one, &stop));
                        one.flush();
                    }
                }
                slept
            });
            let mut slept = 0;
            take_all(&mut two, POSTS, |lanes| slept += u32::from(sleep(lanes, &other)));
            (sender.join().unwrap(), slept)
        });
        assert!(slept.0 > 0 && slept.1 > 0, "both have slept: {slept:?}");
    }
}

#[test]
fn two_that_send_much_and_take_little_do_not_stop_each_other() {
    const POSTS: u32 = 50_000;
    let ends = pair(1);
    std::thread::scope(|scope| {
        for (mut lanes, stop) in ends {
            scope.spawn(move || {
                let other = ShardId(1 - lanes.shard().0);
                (0..POSTS).for_each(|at| lanes.send(other, post(at)));
                let (mut next, mut posts) = (0, Vec::new());
                loop {
                    lanes.flush();
                    lanes.take(&mut posts);
                    for (from, post) in posts.drain(..) {
                        assert_eq!((from, number(&post)), (other, next));
                        next += 1;
                    }
                    let sent =
                        lanes.sending[other.index()].as_ref().is_none_or(|lane| lane.waiting.is_empty());
                    if next == POSTS && sent {
                        break;
                    }
                    sleep(&lanes, &stop);
                }
            });
        }
    });
}

#[test]
fn one_that_is_awake_is_not_woken_and_one_that_has_work_does_not_sleep() {
    let [(mut one, _stop), (mut two, other)] = pair(4);
    one.send(ShardId(1), post(0));
    one.flush();
    let mut wake = [PollFd::from_borrowed_fd(other.fd(), PollFlags::IN)];
    let at_once = rustix::event::Timespec::default();
    assert_eq!(poll(&mut wake, Some(&at_once)).unwrap(), 0, "nobody sleeps");
    assert!(two.has_work() && !two.doze());
    two.take(&mut Vec::new());
    assert!(!two.has_work() && two.doze());
    one.send(ShardId(1), post(1));
    one.send(ShardId(1), post(2));
    one.flush();
    let mut wake = [PollFd::from_borrowed_fd(other.fd(), PollFlags::IN)];
    assert_eq!(poll(&mut wake, Some(&at_once)).unwrap(), 1);
}

#[test]
fn what_is_sent_to_a_shard_that_has_ended_is_dropped_and_keeps_nobody_awake() {
    let [(mut one, _stop), (two, _other)] = pair(1);
    (0..5).for_each(|at| one.send(ShardId(1), post(at)));
    one.flush();
    assert!(one.doze());
    drop(two);
    assert!(one.has_work());
    one.flush();
    assert!(one.doze());
}

#[test]
fn every_shard_has_a_lane_to_every_other_and_none_to_itself() {
    let stops: Vec<(Stop, StopHandle)> = (0..3).map(|_| Stop::new().unwrap()).collect();
    let handles: Vec<StopHandle> = stops.iter().map(|(_, handle)| handle.clone()).collect();
    let mut all = Lanes::between(&handles);
    for from in 0..3_u32 {
        for to in (0..3).filter(|to| *to != from) {
            all[from as usize].send(ShardId(to), post(from * 10 + to));
        }
        all[from as usize].flush();
    }
    for (at, lanes) in all.iter_mut().enumerate() {
        let mut posts = Vec::new();
        lanes.take(&mut posts);
        let got: Vec<(u32, u32)> = posts.iter().map(|(from, post)| (from.0, number(post))).collect();
        let others = (0..3).filter(|from| *from != at as u32);
        assert_eq!(got, others.map(|from| (from, from * 10 + at as u32)).collect::<Vec<_>>());
    }
}
