//! Every bound of the program, tied together at compile time. Owns: the numbers. Takes, gives: nothing.
//! Never: a limit without an answer; what a peer hears at each stands beside it.

use core::time::Duration;

/// Octets of an SMPP header; a command_length below it is no framing (generic_nack ESME_RINVCMDLEN, close).
pub const HEADER_LEN: usize = 16;
/// Largest `pdu_max` a listener may set, octets. A message_payload of 65,535 octets needs 66 KiB in all.
pub const PDU_MAX: usize = 1024 * 1024;
/// Default `pdu_max`, octets.
pub const PDU_MAX_DEFAULT: usize = 128 * 1024;
/// Largest window of a session, requests in flight.
pub const WINDOW_MAX: usize = 16_384;
/// Largest `sessions_max` of an account and `sessions` of a carrier.
pub const SESSIONS_MAX: usize = 1024;
/// PDUs that one balance decision may hold (design decision 7).
pub const QUANTUM: u32 = 64;
/// The same where the least busy carrier is chosen.
pub const QUANTUM_LEAST: u32 = 8;
/// Largest sequence_number; the next is 1 (SMPP 3.4 §5.1.4).
pub const SEQUENCE_MAX: u32 = 0x7FFF_FFFF;
/// Characters of a message_id without its NUL (SMPP 3.4 §5.2.23).
pub const MESSAGE_ID_MAX: usize = 64;
/// Longest digits kept of an address when a receipt's destination is compared (design decision 13).
pub const ADDRESS_TAIL: usize = 7;
/// Smallest `pdu_max` a listener may set, octets: any bind and a short submit fit.
pub const PDU_MAX_MIN: usize = 1024;
/// Accounts in a configuration. Past this and every bound below the configuration is refused.
pub const ESMES_MAX: usize = 200_000;
/// Carriers.
pub const CARRIERS_MAX: usize = 1024;
/// Pools.
pub const POOLS_MAX: usize = 4096;
/// Policies.
pub const POLICIES_MAX: usize = 4096;
/// MT routes, and as many MO routes.
pub const ROUTES_MAX: usize = 100_000;
/// Patterns in the conditions of all routes.
pub const PATTERNS_MAX: usize = 1_000_000;
/// Listeners.
pub const LISTENERS_MAX: usize = 64;

/// A port that is taken may be free so soon: who had it was killed, and its sockets are being closed.
pub const PORT_FREE_WITHIN: Duration = Duration::from_secs(2);
/// How often a start looks.
pub const PORT_LOOK_EVERY: Duration = Duration::from_millis(5);
/// Addresses of one carrier.
pub const ADDRESSES_MAX: usize = 16;
/// Configuration files, included ones counted.
pub const FILES_MAX: usize = 10_000;
/// Largest `connections_max` of a listener.
pub const CONNECTIONS_MAX: usize = 1_000_000;
/// Largest `queue_max` of a carrier.
pub const QUEUE_MAX: usize = 1_000_000;
/// Largest `burst` of a throttle.
pub const BURST_MAX: u32 = 1_000_000;
/// Most units that a rate may allow in its span.
pub const RATE_MAX: u64 = 1_000_000;
/// Largest weight of a pool's member.
pub const WEIGHT_MAX: u32 = 1_000_000;
/// Highest tier of a pool's member.
pub const TIER_MAX: u32 = 64;
/// Octets of a system_id without its NUL (SMPP 3.4 §4.1.1).
pub const SYSTEM_ID_MAX: usize = 15;
/// Octets of a system_type without its NUL (SMPP 3.4 §4.1.1).
pub const SYSTEM_TYPE_MAX: usize = 12;
/// Octets of a password. SMPP 3.4 §4.1.1 says 8; many carriers hand out longer ones.
pub const PASSWORD_MAX: usize = 128;
/// Octets of an address without its NUL (SMPP 3.4 §4.4.1); a longer pattern matches nothing.
pub const ADDRESS_MAX: usize = 20;

const _: () = assert!(HEADER_LEN < PDU_MAX_MIN && PDU_MAX_MIN <= PDU_MAX_DEFAULT);
const _: () = assert!(HEADER_LEN < PDU_MAX_DEFAULT && PDU_MAX_DEFAULT <= PDU_MAX);
const _: () = assert!(WINDOW_MAX.is_power_of_two());

/// Octets of output that a link may hold before nothing new is sent to it and, for an ESME, nothing is read.
pub const OUTPUT_SOFT: usize = 256 * 1024;
/// Octets of output over which a carrier's link, which is never paused, is closed.
pub const OUTPUT_HARD: usize = 4 * OUTPUT_SOFT;
/// Output buffers that a shard keeps for reuse.
pub const OUTPUT_BUFFERS_KEPT: usize = 1024;
/// Largest output buffer worth keeping, octets. A kept buffer goes to any link: were larger ones kept, each would be large
/// in time. Making one costs nothing beside the many PDUs that fill it.
pub const OUTPUT_BUFFER_KEPT_MAX: usize = 16 * 1024;
/// Octets that the kept output buffers of a shard may have together.
pub const OUTPUT_KEPT_MAX: usize = 4 * 1024 * 1024;
/// Octets that one read takes from a link: its budget of one turn.
pub const READ_BUFFER: usize = 64 * 1024;
/// Connections that one turn accepts from one listener.
pub const ACCEPTS_PER_TURN: usize = 16;
/// How long a closing link may take to write what was queued.
pub const CLOSE_FLUSH: Duration = Duration::from_secs(5);
/// How long a half-closed link waits for the peer's end before it is dropped.
pub const CLOSE_LINGER: Duration = Duration::from_secs(1);
/// Smallest slot table of a window.
pub const WINDOW_SLOTS_MIN: usize = 8;
/// Empty slot tables that a shard keeps for reuse.
pub const WINDOW_POOL_KEPT: usize = 4096;
/// Longest wait for what is in flight when a session unbinds, then it is closed.
pub const SESSION_DRAIN: Duration = Duration::from_secs(10);
/// enquire_links go out in turns: so many turns in one interval, whatever the number of sessions. A session is asked at
/// most so much later than its interval says.
pub const ENQUIRE_TURNS: u32 = 60;
/// Timers that one turn of a shard fires; what else is due has the next turn, behind what has come meanwhile.
pub const TIMERS_PER_TURN: usize = 64;
/// enquire_links in a row without any PDU from the peer until it is taken for dead.
pub const ENQUIRES_UNANSWERED: u32 = 1;
/// Pools inside pools, the outermost counted.
pub const POOL_DEPTH: usize = 4;
/// Members of one pool.
pub const POOL_MEMBERS_MAX: usize = 64;
/// Messages of a shard that wait for a receipt; over it the oldest is given up and counted.
pub const RECEIPTS_AWAITED_MAX: usize = 4_000_000;
/// Messages of a shard that are remembered though no receipt is awaited, to answer query_sm and know duplicates.
pub const LEDGER_RECENT_MAX: usize = 65_536;
/// The same, while more than so many come in a second: 65,536 are as many as a full shard takes in a tenth of a second, and
/// 8 MB that each of its messages would have to fetch a piece of. At 700,000 messages and receipts a second that cost a
/// sixth of its time (1.00 us of CPU a message instead of 0.84).
pub const LEDGER_RECENT_FAST: usize = 4_096;
/// Of messages whose receipt nobody asked for, how many are kept unsorted while nobody looks for one (sorting them in
/// takes about 100 ns each).
pub const LEDGER_UNSORTED_MAX: usize = 16_384;
/// How long a receipt is awaited.
pub const RECEIPT_KEEP: Duration = Duration::from_secs(72 * 3600);
/// Matches that must agree before a carrier's id form is taken for known (design decision 13).
pub const ID_FORM_MATCHES: u32 = 20;
/// How long a receipt waits for its message to become known; then the carrier hears ESME_RX_T_APPN.
pub const RECEIPT_PARK: Duration = Duration::from_secs(2);
/// Deliveries of one carrier session that may be unanswered; over it the carrier hears ESME_RTHROTTLED.
pub const DELIVERIES_MAX: usize = 1000;
/// Of those, how many may be parked; over it the carrier hears ESME_RX_T_APPN.
pub const PARKED_MAX: usize = DELIVERIES_MAX / 2;
/// Least wait before binding again after ESME_RALYBND.
pub const ALREADY_BOUND_WAIT: Duration = Duration::from_secs(10);
/// A session that was bound for so long starts its back-off anew.
pub const RECONNECT_SETTLED: Duration = Duration::from_secs(30);
/// Octets that a shard holds for messages and deliveries that wait; over it an ESME hears ESME_RTHROTTLED
/// (`retained`), a carrier ESME_RX_T_APPN.
pub const RETAINED_MAX: usize = 256 * 1024 * 1024;
/// Messages of a shard whose answer did not come in time and may still come; over it the oldest is forgotten.
pub const LATE_MAX: usize = 10_000;
/// Buffers that a shard keeps for that.
pub const RETAINED_BUFFERS_KEPT: usize = 4096;
/// Largest such buffer worth keeping, octets.
pub const RETAINED_BUFFER_MAX: usize = 4096;
/// Deliveries that wait for one account whose sessions have no room; over it the carrier hears ESME_RX_T_APPN.
pub const WAITING_MAX: usize = 10_000;
/// How long a delivery waits for such an account; then the carrier hears ESME_RX_T_APPN and tries again.
pub const WAITING_TIME: Duration = Duration::from_secs(5);
/// A PDU whose first octet came must be whole by then, or the link is closed.
pub const PDU_READ: Duration = Duration::from_secs(10);
/// Default `output_timeout`: an ESME's link whose output is full and does not move for so long is closed.
pub const OUTPUT_STALL: Duration = Duration::from_secs(30);
/// Wrong binds of a shard whose answer is held back, so that guessing is slow; over it the first is answered at once.
pub const REFUSALS_HELD_MAX: usize = 1024;
/// Addresses of which a shard knows how often they connect, and those of which it knows how often they failed to bind;
/// as many accounts. Over it those not heard of for longest are forgotten, bans too.
pub const SOURCES_MAX: usize = 65_536;
/// Octets of a malformed PDU that are kept for the operator.
pub const BAD_PDU_SHOWN: usize = 48;
/// Connect to bind response, and a link of ours that has not bound.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Tail buffers that a shard keeps for reuse.
pub const TAILS_KEPT: usize = 256;
/// Largest tail buffer worth keeping, octets: most PDUs fit. What a paused link had read is larger.
pub const TAIL_KEPT_MAX: usize = 4 * 1024;
/// Steps in which a member that was ejected takes its share back, the full one not counted.
pub const RETURN_SHARES: [u32; 4] = [10, 25, 50, 75];
/// Errors that count though they are of one account only; below it another account must have had one too.
pub const EJECT_MESSAGES: u32 = 20;
/// How many times over a member is ejected when it fails again and again.
pub const EJECT_GROWTH_MAX: u32 = 8;
/// Buckets of the span over which errors are counted.
pub const EJECT_BUCKETS: usize = 10;
/// Long messages of a shard whose parts are kept together; over it the oldest is forgotten and counted.
pub const AFFINITY_MAX: usize = 100_000;
/// How long the parts of a long message are kept together, from the first.
pub const AFFINITY_TTL: Duration = Duration::from_secs(300);

const _: () = assert!(POOL_MEMBERS_MAX <= u64::BITS as usize);

/// What the home of a carrier says of its room, while its pace fills, is at most so old.
pub const HINT_AGE: Duration = Duration::from_millis(10);
/// Stored messages of another shard that the home of a carrier calls for at a time.
pub const ROOM_CALLED_MAX: u64 = 64;
/// A shard whose stored messages wait for room at a carrier of another one, and that was not called in this time, says so again.
pub const ROOM_ASKED_AGAIN: Duration = Duration::from_secs(1);
/// Questions to a shard that wait for its next turn; one more is refused.
pub const ASKS_MAX: usize = 64;
/// Accounts, and sessions, that a status lists; the others are counted.
pub const STATUS_ROWS_MAX: usize = 1000;

/// Most shards of a node.
pub const SHARDS_MAX: usize = 64;
/// Posts that a lane from one shard to another holds. What does not fit waits with its sender, who never waits for it:
/// requests are bounded by `LANE_CREDITS`, replies by the requests, links by `connections_max`.
pub const LANE_SLOTS: usize = 1024;
/// Slots of all lanes that lead to one shard: with many shards each lane holds less.
pub const LANE_SLOTS_ALL: usize = 16 * 1024;
/// Posts that one turn takes from a lane.
pub const LANE_TAKE: usize = 1024;
/// Requests of one shard that may be under way to all others together; over it a message finds no room there.
pub const LANE_CREDITS: u32 = 65_536;
/// The least of them for each other shard.
pub const LANE_CREDITS_MIN: u32 = 1024;
/// Log lines of all shards that wait to be written; one more is dropped and counted.
pub const LOG_LINES_MAX: usize = 4096;

const _: () = assert!(LANE_SLOTS_ALL / SHARDS_MAX >= 128);
const _: () = assert!(LANE_CREDITS / SHARDS_MAX as u32 >= LANE_CREDITS_MIN);

/// Octets of a journal's record beside the PDU in it.
pub const JOURNAL_RECORD_BESIDE: usize = 4 * 1024;
/// Octets of the frames of one batch, unless one frame alone is larger.
pub const JOURNAL_BATCH_MAX: usize = 1024 * 1024;
/// Octets of a shard's ring: what may be written and not durable. Over three quarters an ESME hears ESME_RTHROTTLED, when
/// it is full ESME_RMSGQFUL.
pub const JOURNAL_RING: usize = 16 * 1024 * 1024;
/// Smallest `segment_size`, octets.
pub const JOURNAL_SEGMENT_MIN: u64 = 16 * 1024 * 1024;
/// Largest `segment_size`, octets.
pub const JOURNAL_SEGMENT_MAX: u64 = 256 * 1024 * 1024;
/// Segments that a shard needs at least: one in use, two prepared, one between being given back and used again, and the
/// reserve.
pub const JOURNAL_SEGMENTS_LEAST: usize = JOURNAL_SPARES + 2 + JOURNAL_RESERVE;
/// Segments of a shard's `size_max` that are kept for what ends messages.
pub const JOURNAL_RESERVE: usize = 2;
/// Prepared segments of a shard. Without one new messages for the journal hear ESME_RMSGQFUL.
pub const JOURNAL_SPARES: usize = 2;
/// Octets that the preparation of a segment syncs at a time, unless it is urgent: a commit waits behind one piece.
/// With 64 MiB at once the longest of 50,000 commits a second took 40 ms instead of 11 (`figures paced` in a new folder).
pub const JOURNAL_PREPARE_CHUNK: usize = 1024 * 1024;
/// Octets that it writes at a time: where it has a shard's core, the shard waits behind one piece.
pub const JOURNAL_PREPARE_PIECE: usize = 64 * 1024;
/// So long it does nothing after a piece at most: 64 MiB take half a second. Less where a segment is full sooner than four times
/// that, nothing where there is no spare.
pub const JOURNAL_PREPARE_PAUSE: Duration = Duration::from_micros(500);
/// With `durability = "off"`: records are written so long after the last ones were, those that come meanwhile together. A write
/// wakes a thread, fills pages of its own and interrupts whoever has the core: at 50,000 messages a second without a wait
/// there were 15,000 of them, which cost 4.4 us of CPU a message instead of 1.8 (`[node] spin = "0us"`). Nobody waits for them.
pub const JOURNAL_OFF_WRITE: Duration = Duration::from_millis(2);
/// With so many octets in the ring nobody waits for company.
pub const JOURNAL_WRITE_SOON: u64 = 256 * 1024;
/// With `durability = "process"`: what was written is durable so much later.
pub const JOURNAL_PROCESS_SYNC: Duration = Duration::from_millis(200);
/// The same: or as soon as so many octets are written and not durable. A shard at its full rate has no more to wait for than
/// a quarter of its ring.
pub const JOURNAL_PROCESS_UNSYNCED: u64 = JOURNAL_RING as u64 / 4;
/// After two files in a row have failed, the next one is tried so much later.
pub const JOURNAL_FAILED_WAIT: Duration = Duration::from_secs(1);
/// The space on the disk is asked for this often.
pub const JOURNAL_SPACE_EVERY: Duration = Duration::from_secs(1);
/// Ranges that a report of a journal lists; the others are counted.
pub const JOURNAL_REPORT_MAX: usize = 1000;
/// Earlier runs whose end a segment's header tells, the latest ones. Each start of the process adds one, until the
/// segments before it are given back.
pub const JOURNAL_FORKS_MAX: usize = 128;
/// Records that `bindery journal pending` keeps in mind; it says so when there are more.
pub const JOURNAL_RECORDS_SHOWN_MAX: usize = 1_000_000;
/// Records whose liveness is kept in one block.
pub const JOURNAL_BLOCK: usize = 1024;
/// The front of a journal is copied to its end when less than so much of it is needed, percent.
pub const JOURNAL_MOVE_BELOW: u64 = 25;
/// The same when the disk is this full, percent: then whatever frees the most.
pub const JOURNAL_MOVE_ALWAYS_AT: u64 = 70;

/// Places that call detail records are written to.
pub const CDRS_MAX: usize = 16;
/// Classes of traffic.
pub const CLASSES_MAX: usize = 64;
/// Largest `priority` of a class.
pub const PRIORITY_MAX: u32 = 1000;
/// Largest `weight` of a class.
pub const WEIGHT_CLASS_MAX: u32 = 1000;
/// One slot of so many of a carrier's window is for the highest priority alone, where there are several.
pub const CLASS_RESERVED: u32 = 8;
/// One turn of so many goes to a lower priority that waits.
pub const LOWER_EVERY: u32 = 20;
/// Waits between the attempts of a message; the last one goes on.
pub const RETRY_WAITS_MAX: usize = 256;
/// Largest `waiting.count_max` of an account.
pub const WAITING_COUNT_MAX: u32 = 10_000_000;

/// Messages of a shard that are not over and have records; others are relayed without.
pub const JOURNAL_OPEN_MAX: usize = 1_000_000;
/// Records of a shard that are needed after a restart: of a message, and of what waits for its account.
pub const JOURNAL_NEEDED_MAX: usize = 2 * JOURNAL_OPEN_MAX;
/// Messages of a shard that were answered by us (`mode = "store"`) and that no carrier has taken; over it an ESME hears
/// ESME_RMSGQFUL.
pub const STORED_MAX: usize = JOURNAL_OPEN_MAX;
/// Octets of those of them that are in memory; over it the same.
pub const STORED_OCTETS_MAX: u64 = 512 * 1024 * 1024;
/// Over so many octets in memory those that leave last are kept on the disk only: what a shard sends in some milliseconds.
pub const STORED_OCTETS_HERE: u64 = 1024 * 1024;
/// A queue of a pool and class that is so short stays in memory.
pub const STORED_NEAR: usize = 1024;
/// Messages of a queue that are read back together.
pub const STORED_AHEAD: usize = 256;
/// A message whose receipt has not come so long after it was accepted stays in the journal alone, until a receipt or an
/// operation may be of it: then it is read back, which takes about a millisecond, and stays. Most receipts come sooner. In
/// memory it takes about 60 octets, awake about 450.
pub const SLEEP_AFTER: Duration = Duration::from_secs(60);
/// A shard looks so often for messages that may leave memory.
pub const SLEEP_LOOK: Duration = Duration::from_secs(1);
/// Messages that leave memory in one turn, and those whose owners have not answered whether they may.
pub const SLEEPS_PER_TURN: usize = 32;
/// See `SLEEPS_PER_TURN`.
pub const SLEEPS_ASKED_MAX: usize = 1024;
/// Pieces of 1,024 sleeping messages that are looked through, for those that woke, in one look.
pub const SLEEPERS_LOOKED: usize = 8;
/// Sleeping messages whose receipt did not come in `RECEIPT_KEEP` that are ended in one look.
pub const SLEEPERS_ENDED: usize = 256;
/// Messages of a shard that are read back from its journal at a time.
pub const JOURNAL_RECALLS_MAX: u64 = 1024;
/// A message that could not be read back is asked for again so much later.
pub const RECALL_AGAIN: Duration = Duration::from_secs(30);
/// cancel_sm and replace_sm of a shard that wait for their messages to be read back; others hear ESME_RTHROTTLED.
pub const RECALL_OPERATIONS_MAX: usize = 256;
/// Octets of a message as it is stored; longer ones hear ESME_RINVMSGLEN.
pub const STORED_PDU_MAX: usize = 64 * 1024;
/// How full, in percent, a shard's ring is when ESMEs hear ESME_RTHROTTLED for new messages of `mode = "store"`; they may
/// send again when it is half as full.
pub const STORE_RING_THROTTLED: u64 = 75;
/// And ESME_RMSGQFUL.
pub const STORE_RING_FULL: u64 = 90;
/// A stored message stays in the queue of a carrier that has no room at most so long; then it is decided again.
pub const STORED_QUEUED_MAX: Duration = Duration::from_secs(30);
/// Octets of stored messages that a carrier has accepted and that may be sent again when their receipt says so
/// (`reroute_on_receipt`); over it the next ones are not.
pub const REROUTE_OCTETS_MAX: usize = 64 * 1024 * 1024;
/// Stored messages that one turn looks at for an operator.
pub const QUEUE_SLICE: usize = 4096;
/// The same when their addresses are looked at: those on the disk are read back first.
pub const QUEUE_READ_SLICE: usize = 512;
/// Where the ring has no room for a record of a stored message, it is tried again so much later.
pub const STORED_AGAIN: Duration = Duration::from_millis(20);
/// Octets of receipts and MO that wait for the accounts of a shard; over it the carrier keeps them (ESME_RX_T_APPN).
pub const JOURNAL_WAITING_MAX: usize = 256 * 1024 * 1024;
/// Final records that wait for room in the ring; over it the oldest is left out and counted.
pub const JOURNAL_UNFINISHED_MAX: usize = 65_536;
/// Records that are younger are not copied to the end of a journal: most messages are over before.
pub const JOURNAL_MOVE_AFTER: Duration = Duration::from_secs(600);
/// Shares of `erase_within` are of this span at least.
pub const ERASE_LEAST: Duration = Duration::from_secs(1);
/// A journal's file that was given back waits for its next use at most so long, then it is wiped: under load it is soon
/// written over, and wiping all of them would double what the disk is to write.
pub const ERASE_REUSE_MAX: Duration = Duration::from_secs(60);
/// What is to be copied for `erase_within` and could not be is looked for again after at most so long.
pub const ERASE_AGAIN_MAX: Duration = Duration::from_secs(60);
/// Whether less is to be kept for `keep_text` is asked again after so long.
pub const JOURNAL_KEEP_LOOK: Duration = Duration::from_secs(10);
/// What is kept for `keep_text` goes when this much of a journal is used, percent: new messages need the room.
pub const JOURNAL_KEEP_BELOW: u64 = 60;
/// A shard looks so often whether the front of its journal is to be copied.
pub const JOURNAL_MOVE_LOOK: Duration = Duration::from_secs(1);
/// Records that are copied to the end of a journal in one turn.
pub const JOURNAL_MOVES_PER_TURN: usize = 64;
/// A receipt that its ESME answers so soon needs no record of its own: its carrier is answered behind the final record of its
/// message. A carrier that sends one receipt at a time waits no longer than this, and for an account that is always late once
/// in `RECEIPT_FIRST_WRITTEN_MAX`. A message then writes 216 octets to the journal; when each receipt is written before its
/// account gets it, 450.
pub const RECEIPT_AT_ONCE: Duration = Duration::from_millis(5);
/// The receipts of an account that was later than that are written down before it gets them, for so long; when it is late
/// again then, for twice as long. One pause of the machine makes all accounts late at once: with 10 s from the first time
/// on 150,000 messages a second wrote 300 to 450 octets each, with pauses of 5 ms every other second.
pub const RECEIPT_FIRST_WRITTEN: Duration = Duration::from_millis(20);
/// The longest of these spans.
pub const RECEIPT_FIRST_WRITTEN_MAX: Duration = Duration::from_secs(10);
/// A receipt or MO that the ESME refused for now is given again so much later.
pub const RECEIPT_AGAIN: Duration = Duration::from_secs(5);

const _: () = assert!(2 * (PDU_MAX + JOURNAL_RECORD_BESIDE) < JOURNAL_RING);
const _: () = assert!(JOURNAL_RING as u64 <= JOURNAL_SEGMENT_MIN && JOURNAL_RING.is_power_of_two());

/// PDUs of a carrier whose memory is asked for together (`shard::ahead`): as many as a core fetches at a time, about.
pub const AHEAD_PDUS: usize = 8;
/// It is asked for while so many messages wait for receipts: with fewer, of which each touches 1 to 2 KB, all of it is in a
/// core's own cache, 2 MB of late, and asking is 4 % of what a message costs (`bench/side_by_side 8x64`).
pub const AHEAD_FROM: usize = 1024;
