//! Faults: which kinds a seed has, how often each happens, and how often it did.

use bindery::prng::Prng;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// All of them.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// As it is printed.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// Octets take much longer than usual.
    Delay = "delay",
    /// A read ends anywhere in a PDU.
    SplitRead = "split_read",
    /// Octets wait in the socket and are read together.
    Coalesce = "coalesce",
    /// A socket takes only a few octets for a while.
    SlowReader = "slow_reader",
    /// A link ends without warning.
    Reset = "reset",
    /// Nothing passes any more and nobody is told.
    HalfOpen = "half_open",
    /// A connect of ours fails.
    ConnectRefused = "connect_refused",
    /// A carrier refuses our bind.
    BindRefused = "bind_refused",
    /// A receipt comes before the response of its message.
    ReceiptEarly = "receipt_early",
    /// A receipt comes after minutes.
    ReceiptLate = "receipt_late",
    /// A receipt never comes.
    ReceiptLost = "receipt_lost",
    /// A receipt comes twice.
    ReceiptTwice = "receipt_twice",
    /// A receipt of a message that nobody sent.
    ReceiptForeign = "receipt_foreign",
    /// A receipt comes on another session.
    ReceiptElsewhere = "receipt_elsewhere",
    /// A carrier answers ESME_RTHROTTLED.
    Throttled = "throttled",
    /// A carrier refuses a message.
    Refused = "refused",
    /// A carrier refuses some destinations of a submit_multi.
    PartlyRefused = "partly_refused",
    /// A carrier answers another sequence_number.
    WrongSequence = "wrong_sequence",
    /// A response of another type comes first.
    WrongType = "wrong_type",
    /// A response comes twice.
    AnswerTwice = "answer_twice",
    /// A carrier answers generic_nack.
    Nack = "generic_nack",
    /// A carrier never answers a submit.
    NoAnswer = "no_answer",
    /// A carrier answers after the response timeout.
    LateAnswer = "late_answer",
    /// A carrier reacts to nothing for a while.
    Hang = "carrier_hang",
    /// An ESME does not answer a delivery.
    EsmeSilent = "esme_silent",
    /// An ESME refuses a delivery.
    EsmeRefuses = "esme_refuses",
    /// An ESME submits more than its window.
    Overrun = "window_overrun",
    /// A peer unbinds with requests in flight.
    Unbind = "unbind",
    /// A well-framed PDU with a body that is none.
    Malformed = "malformed",
    /// Octets that are no SMPP.
    Garbage = "garbage",
    /// A link that never binds.
    NeverBinds = "never_binds",
    /// A bind with a wrong password.
    WrongPassword = "wrong_password",
    /// Letters from one shard to another take long for a while.
    SlowLane = "slow_lane",
    /// Nothing reaches a shard for a while.
    Stall = "stalled_shard",
    /// The node drains in mid-flight.
    Drain = "drain",
    /// The process is killed, and starts again.
    Kill = "kill",
    /// The power fails: what was not in step with the disk is gone, too.
    PowerCut = "power_cut",
    /// After a crash accounts and carriers are at home on other shards.
    Moved = "moved_home",
    /// A disk takes long.
    SlowDisk = "slow_disk",
    /// A journal has no room for a while.
    JournalFull = "journal_full",
    /// A journal takes no new messages for a while.
    JournalRefuses = "journal_refuses",
    /// A journal promises nothing for a while.
    JournalFails = "journal_fails",
}

/// The first kind that only a node with a journal knows.
pub(crate) const FIRST_OF_JOURNAL: usize = Kind::Kill as usize;

/// The faults of one seed.
#[derive(Debug, Clone)]
pub(crate) struct Faults {
    prng: Prng,
    /// Per kind: one opportunity in so many; 0: never.
    one_in: Vec<u64>,
    /// Per kind: how often it happened.
    pub(crate) happened: Vec<u64>,
}

impl Faults {
    /// Each kind is on or off, and frequent or rare, by the seed; those whose bit is set in `off` are off, and without a
    /// journal those of one.
    pub(crate) fn swarm(seed: u64, off: u64, journal: bool) -> Self {
        let mut prng = Prng::new(seed ^ 0xFA17);
        let mut of_journal = Prng::new(seed ^ 0xD15C);
        let mut one_in = Vec::new();
        for (at, kind) in Kind::ALL.iter().enumerate() {
            if at >= FIRST_OF_JOURNAL {
                let on = of_journal.chance(1, 2) && journal;
                let rate = [2, 4, 8][of_journal.below(3) as usize];
                one_in.push(if on && off & (1 << at) == 0 { rate } else { 0 });
                continue;
            }
            let on = prng.chance(1, if *kind == Kind::Drain { 5 } else { 2 });
            let rate = [8, 25, 80][prng.below(3) as usize];
            one_in.push(if on && off & (1 << at) == 0 { rate } else { 0 });
        }
        Self { prng, one_in, happened: vec![0; Kind::ALL.len()] }
    }

    /// Nobody does anything wrong from now on.
    pub(crate) fn stop(&mut self) {
        self.one_in.fill(0);
    }

    /// Whether the seed has faults of this kind.
    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.one_in[kind as usize] > 0
    }

    /// Whether it happens now; counted when it does.
    pub(crate) fn strike(&mut self, kind: Kind) -> bool {
        let rate = self.one_in[kind as usize];
        let struck = rate > 0 && self.prng.chance(1, rate);
        self.happened[kind as usize] += u64::from(struck);
        struck
    }

    /// It happened by another's decision.
    pub(crate) fn count(&mut self, kind: Kind) {
        self.happened[kind as usize] += 1;
    }
}
