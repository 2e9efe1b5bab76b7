//! A message that we have answered ourselves. Owns: what is known of it, its octets while no carrier has them. Takes: what its
//! submit says. Gives: that, and where it stands. Never: decides what becomes of it.

use super::{End, Given};
use crate::ids::{CarrierId, EsmeId, LinkId, PoolId};
use crate::journal::Lsn;
use crate::smpp::status::CommandStatus;
use crate::time::{Instant, Wall};
use slotmap::new_key_type;
use smallvec::SmallVec;

new_key_type! {
    /// A message.
    pub struct StoredKey;
}

/// Of a chain.
pub(super) const CHAIN: u64 = (1 << 40) - 1;
pub(super) const NEVER: Instant = Instant::from_nanos(u64::MAX);

/// Where a message stands; the diagram is in the header of `stored`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// Its record is not safe: its ESME has no answer.
    Promised,
    /// Its schedule_delivery_time has not come.
    Scheduled,
    /// An earlier one to its destination is not over.
    Behind,
    /// An operator holds it.
    Held,
    /// It may leave.
    Ready,
    /// Its next attempt waits for its time.
    Waits,
    /// It leaves when the record that says so is written.
    Told,
    /// A carrier has it, or its queue.
    Sent,
    /// It is over, and there was no room for the record that says so.
    Over,
}

/// Where the octets of a message are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Octets {
    /// In memory, or with its carrier.
    Here,
    /// On the disk.
    Away,
    /// They are being read.
    Coming,
    /// They could not be read.
    Lost,
}

impl Octets {
    /// True when they will be there, and are not yet.
    #[must_use]
    pub const fn are_to_come(self) -> bool {
        matches!(self, Self::Away | Self::Coming)
    }
}

/// A message.
#[derive(Debug, Clone)]
pub struct StoredMessage {
    /// Its key in the journal.
    pub key: u64,
    /// Who submitted it.
    pub esme: EsmeId,
    /// The session that submitted it; that of the last run: none.
    pub link: LinkId,
    /// Who may take it.
    pub pool: PoolId,
    /// Its class of traffic; 0: it has none.
    pub class: u8,
    /// The id that the ESME was given.
    pub given: Given,
    /// When its submit came.
    pub accepted: Wall,
    /// It is over then.
    pub expires: Instant,
    /// Its ACCEPT, and the one that this is a copy of.
    pub lsn: Lsn,
    /// The first of them.
    pub origin: Lsn,
    /// Its last SENDING or REFUSED; `NONE`: it has none.
    pub outcome: Lsn,
    /// Who had it last.
    pub last: CarrierId,
    /// What the last one refused it with; ESME_ROK: none did.
    pub status: CommandStatus,
    /// Attempts that were made.
    pub attempts: u16,
    /// When it was last written to a carrier; zero: never.
    pub submitted: Wall,
    /// Its registered_delivery.
    pub registered: u8,
    /// The last attempt was written and never answered.
    pub unknown: bool,
    /// An operator holds it: when it could leave it does not.
    pub(super) held: bool,
    /// An operator has sent it to its pool.
    pub(super) rerouted: bool,
    /// The journal knows what an operator has said of it.
    pub(super) steered: bool,
    /// Who is not to be asked before the next wait.
    pub tried: Option<Box<SmallVec<[CarrierId; 3]>>>,
    /// How it ended, while the record that says so has no room.
    pub end: Option<Box<End>>,
    pub(super) stand: Stand,
    /// When somebody is to look at it.
    pub(super) due: Instant,
    pub(super) frame: Box<[u8]>,
    pub(super) place: Octets,
    pub(super) chain: u64,
    /// Its neighbours in its chain.
    pub(super) former: Option<StoredKey>,
    pub(super) next: Option<StoredKey>,
}

impl StoredMessage {
    /// A message whose record is on its way. `chain` is the same for messages that must keep their order;
    /// 40 bits of it are kept.
    #[must_use]
    pub fn new(
        key: u64,
        esme: EsmeId,
        pool: PoolId,
        (accepted, expires): (Wall, Instant),
        chain: u64,
        frame: Vec<u8>,
    ) -> Self {
        Self {
            key,
            esme,
            link: LinkId::default(),
            pool,
            class: 0,
            given: Given::Own(key),
            accepted,
            expires,
            lsn: Lsn::NONE,
            origin: Lsn::NONE,
            outcome: Lsn::NONE,
            last: CarrierId(u32::MAX),
            status: CommandStatus::OK,
            attempts: 0,
            submitted: Wall(0),
            registered: 0,
            unknown: false,
            held: false,
            rerouted: false,
            steered: false,
            tried: None,
            end: None,
            stand: Stand::Promised,
            due: NEVER,
            frame: frame.into_boxed_slice(),
            place: Octets::Here,
            chain: chain & CHAIN,
            former: None,
            next: None,
        }
    }

    /// The same as if it had just been taken.
    #[must_use]
    pub fn anew(self) -> Self {
        Self {
            tried: None,
            end: None,
            unknown: false,
            held: false,
            steered: false,
            outcome: Lsn::NONE,
            stand: Stand::Promised,
            due: NEVER,
            former: None,
            next: None,
            ..self
        }
    }

    /// The same of the last run, of which its journal says what an operator has said.
    #[must_use]
    pub fn steered(self, held: bool, rerouted: bool) -> Self {
        Self { held, rerouted, steered: true, ..self }
    }

    /// An operator holds it.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.held
    }

    /// An operator has sent it to its pool.
    #[must_use]
    pub const fn is_rerouted(&self) -> bool {
        self.rerouted
    }

    /// The journal knows what an operator has said of it.
    #[must_use]
    pub const fn is_steered(&self) -> bool {
        self.steered
    }

    /// True when it can be held: it is not, nor is it over.
    #[must_use]
    pub fn may_be_held(&self) -> bool {
        !self.held && self.stand != Stand::Over
    }

    /// True when it can go to this pool: it is in another one, and has not left.
    #[must_use]
    pub fn may_go_to(&self, pool: PoolId) -> bool {
        self.pool != pool && !matches!(self.stand, Stand::Told | Stand::Sent | Stand::Over)
    }

    /// Where it stands.
    #[must_use]
    pub const fn stand(&self) -> Stand {
        self.stand
    }

    /// When it may leave by its schedule; `None`: that has come, or it has none.
    #[must_use]
    pub fn scheduled(&self) -> Option<Instant> {
        (self.stand == Stand::Scheduled).then_some(self.due)
    }

    /// When it is tried again.
    #[must_use]
    pub fn waits_until(&self) -> Option<Instant> {
        (self.stand == Stand::Waits).then_some(self.due)
    }

    /// Its octets; empty while a carrier has them, and when they are not `Octets::Here`.
    #[must_use]
    pub const fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// Where they are.
    #[must_use]
    pub const fn place(&self) -> Octets {
        self.place
    }

    /// Who has refused it since its last wait.
    #[must_use]
    pub fn tried(&self) -> &[CarrierId] {
        self.tried.as_ref().map_or(&[], |tried| tried.as_slice())
    }
}
