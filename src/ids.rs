//! Handles: small numbers that stand for names. Owns: nothing. Takes: an index. Gives: a type that cannot be
//! mistaken for another. Never: a number that is used again for something else while a handle to it lives.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u32);

        impl $name {
            /// The handle of the entry at `index`.
            #[must_use]
            pub const fn new(index: usize) -> Self {
                Self(index as u32)
            }

            /// Where it stands in its table.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

id!(
    /// An account that binds to us.
    EsmeId
);
id!(
    /// An account at an operator's SMSC.
    CarrierId
);
id!(
    /// A group of carriers that share load.
    PoolId
);
id!(
    /// A route, in the order of the configuration.
    RouteId
);
id!(
    /// A policy, in the order of the configuration.
    PolicyId
);
id!(
    /// A class of traffic, in the order of the configuration.
    ClassId
);
id!(
    /// A listening socket.
    ListenerId
);

id!(
    /// A shard of the node, from 0.
    ShardId
);

/// A link of this shard's driver: a slot and the generation that holds it now, so that a late event of the
/// former holder is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LinkId {
    /// The slot, below the shard's connection limit.
    pub slot: u32,
    /// Counts the slot's holders.
    pub generation: u32,
}

impl LinkId {
    /// Where the link stands in per-link tables.
    #[must_use]
    pub const fn index(self) -> usize {
        self.slot as usize
    }
}
