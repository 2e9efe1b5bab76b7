//! The ring itself: requests in, completions out. Owns: the two queues, the buffers that the kernel receives into and
//! those that it sends from. Takes: requests by name. Gives: completions. Never: frees memory that the kernel may
//! still touch.
#![allow(unsafe_code, reason = "requests name memory that the kernel touches later")]

#[cfg(feature = "glommio")]
mod doze;

use super::pool::{GROUP, Pool};
use crate::ids::LinkId;
use crate::time::Duration;
use io_uring::squeue::Entry;
use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, opcode};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags};
use std::collections::VecDeque;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const REQUESTS: u32 = 1024;
/// Several times the requests: one receive or accept completes many times.
const COMPLETIONS: u32 = 8 * REQUESTS;
/// Largest part of an output that one request sends: how much a slow reader may take before we hear of it.
const SEND_MAX: usize = 64 * 1024;
/// Before accepting is tried again when the system had nothing to accept with.
const ACCEPT_AGAIN: Timespec = Timespec::new().nsec(100_000_000);
/// Completions of one enter with which it may have left deferred work behind: half of the twenty pieces that it runs, as
/// some pieces complete nothing.
const LEAVES_WORK: usize = 10;
/// Waits for the kernel to end what is under way when the ring goes, of `LAST_WAIT` each.
const LAST_WAITS: u32 = 50;
const LAST_WAIT: Duration = Duration::from_millis(100);

/// What a completion is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum Kind {
    /// Nobody waits for it.
    Other,
    Receive,
    Send,
    Connect,
    /// The slot is the listener's index.
    Accept,
    AcceptAgain,
    Stop,
    Resolved,
    /// The end of a sleep elsewhere. It counts as no request: it touches no memory, and may be under way for long.
    Alarm,
}

const KINDS: [Kind; 9] = [
    Kind::Other,
    Kind::Receive,
    Kind::Send,
    Kind::Connect,
    Kind::Accept,
    Kind::AcceptAgain,
    Kind::Stop,
    Kind::Resolved,
    Kind::Alarm,
];

/// Kind (4 bits), generation (28), slot (32).
const fn data_of(kind: Kind, id: LinkId) -> u64 {
    (kind as u64) << 60 | (id.generation as u64 & 0x0FFF_FFFF) << 32 | id.slot as u64
}

/// The end of a request, or one of the many things that it has to tell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Completion {
    pub(super) kind: Kind,
    pub(super) id: LinkId,
    pub(super) result: Result<u32, Errno>,
    /// The request goes on.
    pub(super) more: bool,
    /// What the kernel received into.
    pub(super) buffer: Option<u16>,
}

/// Output that the kernel owns, from `sent` on.
#[derive(Debug, Default)]
struct Flight {
    buffer: Vec<u8>,
    sent: usize,
}

pub(super) struct Ring {
    ring: IoUring,
    pool: Pool,
    /// By slot.
    flights: Vec<Flight>,
    /// Requests that the queue had no room for.
    backlog: VecDeque<Entry>,
    /// Requests whose last completion has not been seen.
    under_way: usize,
    batch: VecDeque<cqueue::Entry>,
    /// Completions that the last wait took.
    brought: usize,
    #[cfg(feature = "glommio")]
    alarm: Box<doze::Alarm>,
}

impl Ring {
    /// A ring with exactly what this driver wants, shown to work.
    pub(super) fn open() -> std::io::Result<Self> {
        let ring: IoUring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(COMPLETIONS)
            .build(REQUESTS)?;
        if !ring.params().is_feature_ext_arg() || !ring.params().is_feature_nodrop() {
            return Err(Errno::NOSYS.into());
        }
        let pool = Pool::new()?;
        pool.register(&ring.submitter())?;
        let (flights, backlog) = (Vec::new(), VecDeque::new());
        let batch = VecDeque::with_capacity(COMPLETIONS as usize);
        let mut ring = Self {
            ring,
            pool,
            flights,
            backlog,
            under_way: 0,
            batch,
            brought: 0,
            #[cfg(feature = "glommio")]
            alarm: Box::default(),
        };
        ring.push(&opcode::Nop::new().build(), Kind::Other, LinkId::default());
        ring.wait(Some(Duration::from_secs(1)))?;
        match ring.next() {
            Some(Completion { result: Ok(_), .. }) => Ok(ring),
            Some(Completion { result: Err(error), .. }) => Err(error.into()),
            None => Err(Errno::TIMEDOUT.into()),
        }
    }

    /// Every pointer of an entry points into what the ring owns: `flights`, `pool`, the alarm or a constant.
    fn push(&mut self, entry: &Entry, kind: Kind, id: LinkId) {
        let entry = entry.clone().user_data(data_of(kind, id));
        if kind != Kind::Alarm {
            self.under_way += 1;
        }
        if self.backlog.is_empty() && self.try_push(&entry) {
            return;
        }
        // What cannot be submitted now, because completions must be taken first, goes with the next wait.
        let _ = self.ring.submit();
        self.backlog.push_back(entry);
        self.push_backlog();
    }

    fn try_push(&mut self, entry: &Entry) -> bool {
        // SAFETY: descriptors in an entry may be stale without harm to memory. Its buffer, if it has one, is in
        // `flights` or `pool`: it does not move, and is not freed before the request's last completion. The time of an
        // alarm does not move either, and is read as the entry is submitted.
        unsafe { self.ring.submission().push(entry) }.is_ok()
    }

    fn push_backlog(&mut self) {
        while let Some(entry) = self.backlog.pop_front() {
            if !self.try_push(&entry) {
                return self.backlog.push_front(entry);
            }
        }
    }

    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>, id: LinkId) {
        let entry = opcode::RecvMulti::new(Fd(socket.as_raw_fd()), GROUP).build();
        self.push(&entry, Kind::Receive, id);
    }

    /// Tells when a socket may be written to.
    pub(super) fn writable(&mut self, socket: BorrowedFd<'_>, id: LinkId) {
        let events = u32::from(PollFlags::OUT.bits());
        self.push(&opcode::PollAdd::new(Fd(socket.as_raw_fd()), events).build(), Kind::Connect, id);
    }

    /// Tells each time that a descriptor becomes readable.
    pub(super) fn watch(&mut self, fd: BorrowedFd<'_>, kind: Kind) {
        let events = u32::from(PollFlags::IN.bits());
        let entry = opcode::PollAdd::new(Fd(fd.as_raw_fd()), events).multi(true).build();
        self.push(&entry, kind, LinkId::default());
    }

    pub(super) fn accept(&mut self, listener: BorrowedFd<'_>, index: u32) {
        let flags = SocketFlags::CLOEXEC.bits() as i32;
        let entry = opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).flags(flags).build();
        self.push(&entry, Kind::Accept, LinkId { slot: index, generation: 0 });
    }

    /// A completion for this listener after a while.
    pub(super) fn accept_again(&mut self, index: u32) {
        static AGAIN: Timespec = ACCEPT_AGAIN;
        let entry = opcode::Timeout::new(&raw const AGAIN).build();
        self.push(&entry, Kind::AcceptAgain, LinkId { slot: index, generation: 0 });
    }

    /// Ends a request of a link; its last completion still comes.
    pub(super) fn cancel(&mut self, kind: Kind, id: LinkId) {
        self.push(&opcode::AsyncCancel::new(data_of(kind, id)).build(), Kind::Other, id);
    }

    /// Sends a buffer, which is the kernel's until `landed`.
    pub(super) fn send(&mut self, socket: BorrowedFd<'_>, id: LinkId, buffer: Vec<u8>) {
        if self.flights.len() <= id.index() {
            self.flights.resize_with(id.index() + 1, Flight::default);
        }
        if let Some(flight) = self.flights.get_mut(id.index()) {
            assert!(flight.buffer.is_empty(), "one send is in flight per link");
            *flight = Flight { buffer, sent: 0 };
        }
        self.send_rest(socket, id);
    }

    pub(super) fn send_rest(&mut self, socket: BorrowedFd<'_>, id: LinkId) {
        let Some(flight) = self.flights.get(id.index()) else { return };
        let rest = flight.buffer.get(flight.sent..).unwrap_or_default();
        let flags = SendFlags::NOSIGNAL.bits() | RecvFlags::WAITALL.bits();
        let length = rest.len().min(SEND_MAX) as u32;
        let send = opcode::Send::new(Fd(socket.as_raw_fd()), rest.as_ptr(), length).flags(flags as i32);
        self.push(&send.build(), Kind::Send, id);
    }

    /// So many octets of a flight were sent; gives the buffer back when those were its last.
    pub(super) fn sent(&mut self, id: LinkId, octets: u32) -> Option<Vec<u8>> {
        let flight = self.flights.get_mut(id.index())?;
        flight.sent += octets as usize;
        assert!(flight.sent <= flight.buffer.len(), "the kernel sends no more than it was given");
        (flight.sent == flight.buffer.len()).then(|| self.landed(id))
    }

    /// The buffer of a flight that has ended.
    pub(super) fn landed(&mut self, id: LinkId) -> Vec<u8> {
        self.flights.get_mut(id.index()).map(std::mem::take).unwrap_or_default().buffer
    }

    /// Gives a buffer back; its octets stay until the next wait.
    pub(super) fn give(&mut self, buffer: u16) {
        self.pool.give(buffer);
    }

    /// What was received into a buffer.
    pub(super) fn octets(&self, buffer: u16, length: usize) -> &[u8] {
        self.pool.octets(buffer, length)
    }

    /// One enter: submits everything, waits for a completion or the end of `timeout`, takes what there is. True when
    /// there is something. Looking (a timeout of zero) enters only if there is a reason to.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> std::io::Result<bool> {
        self.pool.publish();
        self.push_backlog();
        let looking = timeout.is_some_and(|span| span.is_zero())
            || !self.backlog.is_empty()
            || !self.batch.is_empty()
            || !self.ring.completion().is_empty();
        let entered = if looking { self.look() } else { self.sleep(timeout) };
        self.take(entered)
    }

    /// The kernel runs some twenty pieces of deferred work an enter, and of those that are left it says nothing: where
    /// the last enter brought many completions, there may be more (Linux 6.18, `__io_run_local_work`). Should some be left
    /// all the same, because they completed nothing, they run no later than with the sleep that ends the looking.
    fn look(&mut self) -> std::io::Result<usize> {
        let submission = self.ring.submission();
        let waits = submission.len();
        let needed = waits > 0 || submission.taskrun() || submission.cq_overflow();
        drop(submission);
        if !needed && self.brought < LEAVES_WORK {
            return Ok(0);
        }
        // Without the flag an enter runs no deferred work at all.
        let flags = EnterFlags::GETEVENTS.bits();
        // SAFETY: no argument is passed, and what is submitted was pushed by `try_push`.
        unsafe { self.ring.submitter().enter::<()>(waits as u32, 0, flags, None) }
    }

    /// Waits for a completion. With a timeout of zero it runs all deferred work that there is, or until something comes.
    fn sleep(&mut self, timeout: Option<Duration>) -> std::io::Result<usize> {
        let span = timeout.map(Timespec::from);
        let args = match &span {
            Some(span) => SubmitArgs::new().timespec(span),
            None => SubmitArgs::new(),
        };
        self.ring.submitter().submit_with_args(1, &args)
    }

    /// What an enter came to.
    fn take(&mut self, entered: std::io::Result<usize>) -> std::io::Result<bool> {
        if let Err(error) = entered {
            match Errno::from_io_error(&error) {
                // Completions must be taken before more can be submitted, or nothing came in time.
                Some(Errno::TIME | Errno::INTR | Errno::BUSY | Errno::AGAIN) => {}
                Some(_) | None => return Err(error),
            }
        }
        let before = self.batch.len();
        self.batch.extend(self.ring.completion());
        self.brought = self.batch.len() - before;
        Ok(!self.batch.is_empty())
    }

    /// The next completion of those that the last wait took.
    pub(super) fn next(&mut self) -> Option<Completion> {
        let entry = self.batch.pop_front()?;
        let data = entry.user_data();
        let more = cqueue::more(entry.flags());
        let kind = KINDS.get((data >> 60) as usize).copied().unwrap_or(Kind::Other);
        if !more && kind != Kind::Alarm {
            assert!(self.under_way > 0, "every last completion has its request");
            self.under_way -= 1;
        }
        let id = LinkId { slot: data as u32, generation: (data >> 32) as u32 & 0x0FFF_FFFF };
        let result = u32::try_from(entry.result());
        let result = result.map_err(|_| Errno::from_raw_os_error(entry.result().wrapping_neg()));
        #[cfg(feature = "glommio")]
        if kind == Kind::Alarm {
            self.alarm.told(result);
        }
        Some(Completion { kind, id, result, more, buffer: cqueue::buffer_select(entry.flags()) })
    }

    /// Ends everything under way and waits for it; false when the kernel does not come to an end.
    fn quiesce(&mut self) -> bool {
        let all = CancelBuilder::any().all();
        self.push(&opcode::AsyncCancel2::new(all).build(), Kind::Other, LinkId::default());
        for _ in 0..LAST_WAITS {
            while let Some(done) = self.next() {
                if let (Kind::Accept, Ok(fd)) = (done.kind, done.result) {
                    drop(accepted(fd));
                }
            }
            if self.under_way == 0 {
                return true;
            }
            if self.wait(Some(LAST_WAIT)).is_err() {
                return false;
            }
        }
        false
    }
}

/// The socket of an accept's completion.
pub(super) fn accepted(fd: u32) -> OwnedFd {
    // SAFETY: the descriptor is what an accept has just given, and no one else has it: each completion is taken once.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if !self.quiesce() {
            // Memory that the kernel may still touch is never used for anything else.
            self.pool.leak();
            std::mem::forget(std::mem::take(&mut self.flights));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ring, or none where the system forbids them; then the test says so.
    fn ring() -> Option<Ring> {
        Ring::open().map_err(|error| eprintln!("io_uring does not work here: {error}; nothing is tried")).ok()
    }

    /// Takes completions until every request has ended.
    fn ends(ring: &mut Ring) -> Vec<Completion> {
        let mut all = Vec::new();
        while ring.under_way > 0 {
            ring.wait(Some(Duration::from_secs(10))).unwrap();
            all.extend(std::iter::from_fn(|| ring.next()));
        }
        all
    }

    #[test]
    fn no_completion_is_lost_beyond_what_the_queues_hold() {
        let Some(mut ring) = ring() else { return };
        let many = 3 * COMPLETIONS;
        for number in 0..many {
            let id = LinkId { slot: number, generation: 0x0FFF_FFFF };
            ring.push(&opcode::Nop::new().build(), Kind::Other, id);
        }
        let mut slots: Vec<u32> = ends(&mut ring).iter().map(|done| done.id.slot).collect();
        slots.sort_unstable();
        assert!(slots.into_iter().eq(0..many));
    }

    #[test]
    fn a_completion_names_its_kind_slot_and_generation() {
        let Some(mut ring) = ring() else { return };
        let id = LinkId { slot: u32::MAX, generation: 0x0FFF_FFFF };
        for kind in KINDS {
            ring.push(&opcode::Nop::new().build(), kind, id);
        }
        let told: Vec<(Kind, LinkId)> = ends(&mut ring).iter().map(|done| (done.kind, done.id)).collect();
        assert_eq!(told, KINDS.map(|kind| (kind, id)));
    }

    #[test]
    fn a_short_send_goes_on_where_it_stopped_and_a_cancelled_one_gives_its_buffer_back() {
        let Some(mut ring) = ring() else { return };
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let id = LinkId { slot: 3, generation: 1 };
        let whole: Vec<u8> = (0..SEND_MAX + 1000).map(|octet| octet as u8).collect();
        let reader = std::thread::spawn(move || {
            let mut got = vec![0; SEND_MAX + 1000];
            std::io::Read::read_exact(&mut &theirs, &mut got).unwrap();
            (theirs, got)
        });
        let ours = std::os::fd::AsFd::as_fd(&ours);
        ring.send(ours, id, whole.clone());
        let first = ends(&mut ring);
        assert_eq!((first.len(), first[0].kind, first[0].result), (1, Kind::Send, Ok(SEND_MAX as u32)));
        assert!(ring.sent(id, SEND_MAX as u32).is_none());
        ring.send_rest(ours, id);
        assert_eq!(ends(&mut ring)[0].result, Ok(1000));
        assert_eq!(ring.sent(id, 1000), Some(whole.clone()));
        let (theirs, got) = reader.join().unwrap();
        assert!(got == whole);
        // Nobody reads: some send waits, and then is told to end.
        while ring.under_way == 0 {
            ring.send(ours, id, whole.clone());
            ring.wait(Some(Duration::ZERO)).unwrap();
            if ring.next().is_some() {
                ring.landed(id);
            }
        }
        ring.cancel(Kind::Send, id);
        let ended = ends(&mut ring);
        assert!(ended.iter().any(|done| done.kind == Kind::Send && done.result != Ok(SEND_MAX as u32)));
        assert_eq!(ring.landed(id).len(), whole.len());
        drop(theirs);
    }

    #[test]
    fn a_ring_goes_with_a_receive_and_a_send_under_way() {
        let Some(mut ring) = ring() else { return };
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let id = LinkId { slot: 0, generation: 1 };
        ring.receive(std::os::fd::AsFd::as_fd(&ours), id);
        for slot in 0..20 {
            ring.send(std::os::fd::AsFd::as_fd(&ours), LinkId { slot, generation: 1 }, vec![1; SEND_MAX]);
        }
        ring.wait(Some(Duration::ZERO)).unwrap();
        assert!(ring.under_way > 2);
        assert!(ring.quiesce());
        assert_eq!(ring.under_way, 0);
    }
}
