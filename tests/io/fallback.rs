//! Which driver runs, and what is said about it.
#![allow(unsafe_code, reason = "a thread forbids itself io_uring as containers do")]

use crate::harness::options;
use bindery::io::{self, Driver, Options};
use bindery::shard::port::{Action, Core, Input, Outbox};
use bindery::time::{Instant, Now};
use std::io::ErrorKind;
use std::sync::mpsc::channel;

/// Ends at its first input.
struct Done;

impl Core for Done {
    fn handle(&mut self, _: Now, _: Input<'_>, out: &mut Outbox) {
        out.act(Action::Exit);
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}

/// The log of a loop that ends at once, as `name key=value ...`.
fn log_of(driver: Driver) -> std::io::Result<Vec<String>> {
    let (lines, logged) = channel();
    let (options, _stop) = options(driver);
    let log = Box::new(move |event: &bindery::shard::port::Event| {
        let fields: Vec<String> = event.fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
        lines.send(format!("{} {}", event.name, fields.join(" "))).unwrap();
    });
    io::run(Done, Options { log, ..options })?;
    Ok(logged.try_iter().collect())
}

#[test]
fn the_driver_is_named_in_one_line() {
    assert_eq!(log_of(Driver::Epoll).unwrap(), ["io driver=epoll"]);
    if Driver::available().contains(&Driver::Uring) {
        assert_eq!(log_of(Driver::Uring).unwrap(), ["io driver=io_uring"]);
        assert_eq!(log_of(Driver::Auto).unwrap(), ["io driver=io_uring"]);
    }
    if Driver::available().contains(&Driver::Glommio) {
        assert_eq!(log_of(Driver::Glommio).unwrap(), ["io driver=glommio"]);
    }
}

#[test]
fn glommio_is_tried_where_io_uring_works_if_it_was_built_and_refused_otherwise() {
    let available = Driver::available();
    let built = cfg!(feature = "glommio");
    assert_eq!(available.contains(&Driver::Glommio), built && available.contains(&Driver::Uring));
    if !built {
        for refused in [Driver::Glommio.check().unwrap_err(), log_of(Driver::Glommio).unwrap_err()] {
            assert_eq!(refused.kind(), ErrorKind::Unsupported);
            assert_eq!(refused.to_string(), "glommio: only when built with the feature glommio");
        }
    }
}

/// From now on `io_uring_setup` fails with EPERM on this thread, as under the filters of containers.
fn forbid_io_uring() {
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let end = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut steps = [
        step(load, 0, 0, 0),
        step(equal, 0, 1, libc::SYS_io_uring_setup as u32),
        step(end, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        step(end, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: the program and its steps live through the calls, which bind this thread only.
    let set = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            | libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
    };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn where_io_uring_is_forbidden_the_best_is_epoll_and_the_log_says_why() {
    let forbidden = std::thread::spawn(|| {
        forbid_io_uring();
        let lines = log_of(Driver::Auto).unwrap();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            lines[0].starts_with("io_fallback wanted=io_uring reason=Operation not permitted"),
            "{lines:?}"
        );
        assert_eq!(lines[1], "io driver=epoll");
        let refused = log_of(Driver::Uring).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
        assert!(refused.to_string().starts_with("io_uring does not work here: Operation not permitted"));
        assert_eq!(Driver::Uring.check().unwrap_err().kind(), ErrorKind::Unsupported);
        #[cfg(feature = "glommio")]
        for refused in [Driver::Glommio.check().unwrap_err(), log_of(Driver::Glommio).unwrap_err()] {
            assert_eq!(refused.kind(), ErrorKind::Unsupported);
            assert!(refused.to_string().starts_with("glommio does not work here: Operation not permitted"));
        }
        assert_eq!(Driver::available(), [Driver::Epoll]);
    });
    forbidden.join().unwrap();
}
