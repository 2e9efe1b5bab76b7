//! The names of the configuration. Owns: per table the keys that act and those that are refused with "not
//! supported yet". Takes: nothing. Gives: the lists. Never: a key in both lists.

/// The keys of one kind of table.
#[derive(Debug)]
pub(super) struct Keys {
    /// They act.
    pub(super) now: &'static [&'static str],
    /// They are known and refused.
    pub(super) later: &'static [&'static str],
}

pub(super) const ROOT: Keys = Keys {
    now: &[
        "include", "defaults", "node", "listener", "esme", "carrier", "pool", "policy", "class", "route",
        "mo_route", "http", "journal", "privacy", "cdr",
    ],
    later: &["customer", "server_group", "receipt_rule", "smtp"],
};

pub(super) const DEFAULTS: Keys = Keys { now: &["esme", "carrier"], later: &[] };

pub(super) const NODE: Keys =
    Keys { now: &["name", "shards", "io", "spin", "drain_deadline", "data_dir"], later: &["unbind_spread"] };

pub(super) const LISTENER: Keys = Keys {
    now: &[
        "address",
        "connections_max",
        "connections_per_address",
        "unbound_max",
        "bind_rate",
        "session_init_timeout",
        "refusal_delay",
        "ban",
        "output_timeout",
        "pdu_max",
        "proxy_protocol",
    ],
    later: &["tls"],
};

pub(super) const REFUSAL_DELAY: Keys = Keys { now: &["min", "max"], later: &[] };

pub(super) const BAN: Keys = Keys { now: &["failures", "over", "for", "never"], later: &[] };

pub(super) const ESME: Keys = Keys {
    now: &[
        "password",
        "system_id",
        "allow_from",
        "require_tls",
        "sessions_max",
        "window_max",
        "window_over",
        "mode",
        "answer_timeout",
        "attempts_max",
        "message_id",
        "unknown_status",
        "pool",
        "policy",
        "class",
        "enquire_link_interval",
        "inactivity_timeout",
        "response_timeout",
        "unanswered_max",
        "receipts",
        "system_id_reply",
        "durability",
        "waiting",
    ],
    later: &["tls_subject", "receipt", "numbers", "billing", "webhook"],
};

pub(super) const WAITING: Keys = Keys { now: &["count_max", "keep"], later: &[] };

pub(super) const CARRIER: Keys = Keys {
    now: &[
        "kind",
        "addresses",
        "address_use",
        "system_id",
        "password",
        "system_type",
        "bind",
        "interface_version",
        "sessions",
        "window_max",
        "queue_max",
        "rate",
        "burst",
        "pace",
        "on_status",
        "enquire_link_interval",
        "response_timeout",
        "tcp_user_timeout",
        "reconnect",
        "source_address",
        "interface",
        "firewall_mark",
        "message_id_form",
        "home",
    ],
    later: &["rebind_extra", "sender_rate", "quota", "tls", "maintenance", "timezone", "cost"],
};

pub(super) const RECONNECT: Keys = Keys { now: &["min", "max"], later: &[] };

pub(super) const PACE: Keys = Keys { now: &["min", "cut", "grow_over"], later: &[] };

pub(super) const POOL: Keys = Keys {
    now: &["balance", "members", "on_unknown", "resend_after", "reroute_on_receipt", "eject"],
    later: &[],
};

pub(super) const EJECT: Keys = Keys { now: &["errors", "over", "for"], later: &[] };

pub(super) const CLASS: Keys = Keys { now: &["priority", "weight"], later: &[] };

pub(super) const MEMBER: Keys = Keys { now: &["carrier", "pool", "weight", "tier"], later: &[] };

pub(super) const POLICY: Keys = Keys {
    now: &["rate", "burst"],
    later: &[
        "allow_to",
        "deny_to",
        "allow_source",
        "force_source",
        "per_recipient",
        "duplicate_window",
        "hours",
        "timezone",
        "outside_hours",
        "quota",
        "deny_text",
        "max_parts",
        "velocity",
    ],
};

pub(super) const ROUTE: Keys = Keys { now: &["name", "when", "pool"], later: &["set", "percent"] };

pub(super) const WHEN: Keys = Keys {
    now: &["to", "source", "esme"],
    later: &["text", "data_coding", "hours", "tlv", "class", "parts", "mccmnc"],
};

pub(super) const MO_ROUTE: Keys = Keys { now: &["name", "when", "deliver", "fan_out", "nobody"], later: &[] };

pub(super) const MO_WHEN: Keys = Keys { now: &["carrier", "to"], later: &["text"] };

pub(super) const DELIVER: Keys = Keys { now: &["esme"], later: &["http", "group", "email", "script"] };

pub(super) const HTTP: Keys =
    Keys { now: &["address", "admin_socket"], later: &["public", "api", "admin_token", "tokens"] };

pub(super) const JOURNAL: Keys = Keys {
    now: &["durability", "group_commit", "segment_size", "size_max", "min_free", "retry"],
    later: &[],
};

pub(super) const PRIVACY: Keys =
    Keys { now: &["encrypt", "keep_text", "erase_within", "keep_numbers"], later: &[] };

pub(super) const RETRY: Keys =
    Keys { now: &["first", "factor", "max", "jitter", "intervals", "give_up_after"], later: &[] };

pub(super) const CDR: Keys = Keys { now: &["kind", "path", "rotate", "keep"], later: &[] };

/// The candidate nearest to `name`, if one is near enough to be what was meant.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let far = name.chars().count().div_ceil(3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= 2 * far)
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Names in a row: `` `a`, `b` ``.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_a_stranger_none() {
        assert_eq!(nearest("windw_max", ESME.now.iter().copied()), Some("window_max"));
        assert_eq!(nearest("window-max", ESME.now.iter().copied()), Some("window_max"));
        assert_eq!(nearest("colour", ESME.now.iter().copied()), None);
        assert_eq!(nearest("", ESME.now.iter().copied()), None);
    }

    #[test]
    fn no_key_both_acts_and_is_refused() {
        for keys in
            [ROOT, NODE, LISTENER, ESME, CARRIER, POOL, ROUTE, WHEN, MO_WHEN, DELIVER, HTTP, JOURNAL, PRIVACY]
        {
            assert!(keys.now.iter().all(|key| !keys.later.contains(key)), "{keys:?}");
        }
    }
}
