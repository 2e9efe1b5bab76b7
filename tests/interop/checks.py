"""What must hold between the two sides of Bindery, read off the wire. Takes PDUs, gives findings; does no I/O."""

from wire import DELIVER_SM, RESPONSE, SUBMIT_SM, Message, body, header, without_sequence

BINDS = {0x01: "bind_receiver", 0x02: "bind_transmitter", 0x09: "bind_transceiver"}


class Index:
    """The PDUs of a capture, found by connection, by account and by address."""

    def __init__(self, pdus, esme_port):
        self.esme_port = esme_port
        self.place = {id(pdu): place for place, pdu in enumerate(pdus)}
        self.requests, self.responses, self.account_of = {}, {}, {}
        self.submits, self.delivers = {}, {}
        for pdu in pdus:
            self.add(pdu)

    def add(self, pdu):
        _, command, _, sequence = header(pdu)
        if command & RESPONSE:
            key = (pdu.connection, not pdu.from_client, command & ~RESPONSE, sequence)
            self.responses.setdefault(key, []).append(pdu)
            return
        self.requests.setdefault((pdu.connection, pdu.from_client, command, sequence), []).append(pdu)
        if command in BINDS and pdu.port == self.esme_port:
            self.account_of[pdu.connection] = body(pdu).split(b"\0")[0].decode()
        elif command == SUBMIT_SM:
            address = Message(pdu).destination[2].decode()
            self.submits.setdefault((pdu.port, address), []).append(pdu)
        elif command == DELIVER_SM:
            message = Message(pdu)
            key = (pdu.port, message.source[2].decode(), message.is_receipt())
            self.delivers.setdefault(key, []).append(pdu)

    def response(self, request):
        """The responses to one request."""
        _, command, _, sequence = header(request)
        return self.responses.get((request.connection, request.from_client, command, sequence), [])

    def of(self, command):
        """All requests with this command_id."""
        return [pdu for key, pdus in self.requests.items() if key[2] == command for pdu in pdus]

    def unanswered_by_peers(self, carrier_ports):
        """Requests that Bindery sent and nobody answered."""
        ours = [
            pdu for pdus in self.requests.values() for pdu in pdus if pdu.from_client == (pdu.port in carrier_ports)
        ]
        return ours, [pdu for pdu in ours if not self.response(pdu)]


def one(pdus, what, findings):
    """The one PDU there must be; else None and a finding."""
    if len(pdus) == 1:
        return pdus[0]
    findings.append(f"{what}: {len(pdus)} on the wire, not 1")
    return None


def tail_after_id(octets):
    """message_id and what follows it."""
    identity, _, tail = octets.partition(b"\0")
    return identity, tail


def check_message(index, account, carrier_port, address, case, refusal):
    """Findings about one submitted message and all that belongs to it. None found: it went through unchanged."""
    findings = []
    at_esme = one(index.submits.get((index.esme_port, address), []), "submit_sm of the ESME", findings)
    at_carrier = one(index.submits.get((carrier_port, address), []), "submit_sm at the carrier", findings)
    if not at_esme or not at_carrier:
        return findings
    if without_sequence(at_esme) != without_sequence(at_carrier):
        findings.append("submit_sm differs")
    if Message(at_esme).content() != bytes.fromhex(case["hex"]):
        findings.append("the ESME's library wrote other content than the case says")
    response_esme = one(index.response(at_esme), "submit_sm_resp to the ESME", findings)
    response_carrier = one(index.response(at_carrier), "submit_sm_resp of the carrier", findings)
    if not response_esme or not response_carrier:
        return findings
    status = header(response_esme)[2]
    if status != header(response_carrier)[2]:
        findings.append(f"status {status:#x} of {header(response_carrier)[2]:#x}")
    if status != refusal:
        findings.append(f"status {status:#x}, not {refusal:#x}")
    if status:
        if body(response_esme) != body(response_carrier):
            findings.append("the refusal's body differs")
        return findings + check_delivers(index, carrier_port, address, False, 0) + check_delivers(
            index, carrier_port, address, True, 0
        )
    identity, tail = tail_after_id(body(response_esme))
    if tail != tail_after_id(body(response_carrier))[1]:
        findings.append("submit_sm_resp differs after its message_id")
    findings += check_delivers(index, carrier_port, address, False, 1)
    findings += check_delivers(index, carrier_port, address, True, int(case.get("receipt", True)))
    if case.get("receipt", True) and not findings:
        findings += check_receipt(index, account, carrier_port, address, identity, response_esme)
    if not findings:
        findings += check_mo(index, account, carrier_port, address)
    return findings


def check_delivers(index, carrier_port, address, receipt, count):
    """As many as the carrier sent, and all answered well."""
    findings = []
    for port, side in ((carrier_port, "from the carrier"), (index.esme_port, "to the ESME")):
        pdus = index.delivers.get((port, address, receipt), [])
        what = ("receipt" if receipt else "MO") + " " + side
        if len(pdus) != count:
            findings.append(f"{what}: {len(pdus)}, not {count}")
        for pdu in pdus:
            answers = index.response(pdu)
            if [header(answer)[2] for answer in answers] != [0]:
                findings.append(f"{what}: answered {[hex(header(answer)[2]) for answer in answers]}")
    return findings


def check_receipt(index, account, carrier_port, address, identity, response_esme):
    findings = []
    (at_carrier,), (at_esme,) = (index.delivers[(port, address, True)] for port in (carrier_port, index.esme_port))
    theirs = Message(at_carrier)
    written = theirs.short_message.split(b" ")[0].removeprefix(b"id:")
    if theirs.with_id(written, identity) != Message(at_esme).with_id(identity, identity):
        findings.append("receipt differs in more than its message id")
    if b"id:" + identity + b" " not in Message(at_esme).short_message:
        findings.append("receipt carries another id than the response")
    # Between two connections the order of capture is not the order of writing.
    same = at_esme.connection == response_esme.connection
    if same and index.place[id(at_esme)] < index.place[id(response_esme)]:
        findings.append("receipt before its submit_sm_resp")
    if index.account_of.get(at_esme.connection) != account:
        findings.append(f"receipt went to {index.account_of.get(at_esme.connection)}")
    return findings


def check_mo(index, account, carrier_port, address):
    (at_carrier,), (at_esme,) = (index.delivers[(port, address, False)] for port in (carrier_port, index.esme_port))
    findings = []
    if without_sequence(at_carrier) != without_sequence(at_esme):
        findings.append("MO differs")
    if index.account_of.get(at_esme.connection) != account:
        findings.append(f"MO went to {index.account_of.get(at_esme.connection)}")
    return findings


def ids_of_messages(index, carrier_ports):
    """{the id that the ESME was given: the id that the carrier gave} of all accepted messages."""
    given = {}
    for (port, address), pdus in index.submits.items():
        for answer in (answer for pdu in pdus for answer in index.response(pdu) if header(answer)[2] == 0):
            side = "esme" if port == index.esme_port else "carrier" if port in carrier_ports else None
            given.setdefault(address, {})[side] = tail_after_id(body(answer))[0]
    return {ids["esme"]: ids["carrier"] for ids in given.values() if {"esme", "carrier"} <= ids.keys()}


def with_id(octets, old, new):
    """The body of a query, a cancel or a response to one, with one message id put for another."""
    return octets.replace(old + b"\0", new + b"\0", 1)


def check_operation(index, command, carrier_ports):
    """query_sm and cancel_sm reach the message's carrier under the carrier's own id, and its answer comes back."""
    asked = [pdu for pdu in index.of(command) if pdu.port == index.esme_port]
    relayed = [pdu for pdu in index.of(command) if pdu.port in carrier_ports]
    ids, findings = ids_of_messages(index, carrier_ports), []
    for pdu in asked:
        known = [identity for identity in ids if identity + b"\0" in body(pdu)]
        if len(known) != 1:
            findings.append(f"asked for {body(pdu)}, which is no message")
            continue
        old, new = known[0], ids[known[0]]
        wanted = with_id(body(pdu), old, new)
        at_carrier = one([other for other in relayed if body(other) == wanted], "at the carrier", findings)
        answer = one(index.response(pdu), "answer to the ESME", findings)
        theirs = one(index.response(at_carrier), "answer of the carrier", findings) if at_carrier else None
        if answer and theirs and with_id(body(theirs), new, old) != body(answer):
            findings.append(f"the ESME hears {body(answer)}, the carrier said {body(theirs)}")
        if answer and theirs and (header(answer)[2], header(theirs)[2]) != (0, 0):
            findings.append(f"status {header(answer)[2]:#x}, of the carrier {header(theirs)[2]:#x}")
    if not asked or len(asked) != len(relayed):
        findings.append(f"{len(asked)} asked, {len(relayed)} at the carriers")
    return findings
