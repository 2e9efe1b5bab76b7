"""An ESME on PyPI smpplib.

    esme_smpplib.py PLAN.json

The plan: {"port", "system_id", "password", "bind": "trx" | "tx+rx", "source", "submits": [{"to", "case"}], "cases",
"receipts" and "mo": how many to wait for, "query": the address whose message's state is asked for, "extra": how many more
plain submits to "extra_to"}. Sends every case, waits for the answers, receipts and MO, asks for the state, sends
enquire_link, waits to be asked in turn, unbinds. Prints one JSON object with all it saw.
"""

import json
import logging
import re
import select
import sys
import time

import smpplib.client
import smpplib.command
import smpplib.consts
import smpplib.gsm

VENDOR = {"0x1400": "vendor_1400", "0x1401": "vendor_1401", "0x3fff": "vendor_3fff"}


def teach_vendor_parameters():
    """smpplib carries only parameters that it has a name for."""
    for tag, name in VENDOR.items():
        smpplib.consts.OPTIONAL_PARAMS[name] = int(tag, 16)
        for command in (smpplib.command.SubmitSM, smpplib.command.DeliverSM):
            command.params[name] = smpplib.command.Param(type=smpplib.command.ostr)
            command.params_order += (name,)


def text_of(value):
    return value.decode("ascii") if isinstance(value, bytes) else value


def octets_of(case):
    """The library's own encoder where it has one."""
    if "text" not in case:
        return bytes.fromhex(case["hex"])
    if case["coding"] == smpplib.consts.SMPP_ENCODING_ISO10646:
        return case["text"].encode("utf-16-be")
    return smpplib.gsm.gsm_encode(case["text"])


def submit_fields(plan, to, case):
    fields = {
        "service_type": case.get("service_type"),
        "source_addr_ton": case.get("source_addr_ton", 0),
        "source_addr_npi": case.get("source_addr_npi", 0),
        "source_addr": plan["source"],
        "dest_addr_ton": case.get("dest_addr_ton", 1),
        "dest_addr_npi": case.get("dest_addr_npi", 1),
        "destination_addr": to,
        "esm_class": case.get("esm_class", 0),
        "protocol_id": case.get("protocol_id"),
        "priority_flag": case.get("priority_flag"),
        "validity_period": case.get("validity_period"),
        "registered_delivery": int(case.get("receipt", True)),
        "replace_if_present_flag": case.get("replace_if_present_flag"),
        "data_coding": case["coding"],
        "sm_default_msg_id": case.get("sm_default_msg_id"),
        **case.get("tlvs", {}),
    }
    fields["message_payload" if case.get("payload") else "short_message"] = octets_of(case)
    for tag, value in case.get("vendor", {}).items():
        fields[VENDOR[tag]] = bytes.fromhex(value)
    return {name: value for name, value in fields.items() if value is not None}


class Esme:
    """One account's sessions and what they saw."""

    def __init__(self, plan):
        self.plan = plan
        self.seen = {"binds": [], "answers": {}, "receipts": [], "mo": [], "states": [], "enquired": 0, "unbinds": []}
        self.waiting = {}
        modes = {"trx": ["bind_transceiver"], "tx+rx": ["bind_transmitter", "bind_receiver"]}[plan["bind"]]
        self.clients = [self.bind(mode) for mode in modes]

    def bind(self, mode):
        client = smpplib.client.Client("127.0.0.1", self.plan["port"], timeout=5, allow_unknown_opt_params=True)
        client.set_message_sent_handler(self.on_answer)
        client.set_error_pdu_handler(self.on_answer)
        client.set_message_received_handler(self.on_deliver)
        client.set_query_resp_handler(lambda pdu: self.seen["states"].append(pdu.message_state))
        client.connect()
        answer = getattr(client, mode)(system_id=self.plan["system_id"], password=self.plan["password"])
        self.seen["binds"].append({"mode": mode, "status": answer.status})
        answer_enquire = client._enquire_link_received

        def on_enquire(pdu):
            self.seen["enquired"] += 1
            answer_enquire(pdu)

        client._enquire_link_received = on_enquire
        return client

    def on_answer(self, pdu):
        to = self.waiting.pop(pdu.sequence, None)
        if to is None:
            self.seen["states"].append({"command": pdu.command, "status": pdu.status})
            return
        identity = text_of(pdu.message_id) if pdu.status == 0 else None
        self.seen["answers"][to] = {"status": pdu.status, "id": identity}

    def on_deliver(self, pdu):
        source = text_of(pdu.source_addr)
        body = pdu.short_message or getattr(pdu, "message_payload", None) or b""
        if pdu.esm_class & 0x3C == 4:
            text = body.decode("ascii")
            self.seen["receipts"].append({
                "from": source,
                "id": re.search(r"\bid:(\S*)", text).group(1),
                "state": re.search(r"\bstat:(\S*)", text).group(1),
                "receipted_message_id": text_of(pdu.receipted_message_id),
            })
        else:
            self.seen["mo"].append({"from": source, "hex": body.hex()})
        return None

    def read(self, seconds):
        """Takes what arrives in the next moment."""
        sockets = {client._socket: client for client in self.clients}
        ready, _, _ = select.select(list(sockets), [], [], seconds)
        for socket in ready:
            sockets[socket].read_once(auto_send_enquire_link=False)

    def read_until(self, done, seconds):
        end = time.monotonic() + seconds
        while not done() and time.monotonic() < end:
            self.read(0.1)
        return done()

    def send(self, to, fields):
        pdu = self.clients[0].send_message(**fields)
        self.waiting[pdu.sequence] = to

    def run(self):
        plan, seen = self.plan, self.seen
        for submit in plan["submits"]:
            self.send(submit["to"], submit_fields(plan, submit["to"], plan["cases"][submit["case"]]))
            self.read(0)
        for number in range(plan.get("extra", 0)):
            to = f"{plan['extra_to']}{number:04d}999"
            self.send(to, submit_fields(plan, to, {"coding": 0, "text": f"extra {number}"}))
            self.read_until(lambda: len(self.waiting) < 32, 5)
        self.read_until(lambda: not self.waiting, 10)
        self.read_until(lambda: len(seen["receipts"]) >= plan["receipts"] and len(seen["mo"]) >= plan["mo"], 10)
        self.ask_state()
        for client in self.clients:
            enquire = smpplib.smpp.make_pdu("enquire_link", client=client)
            client.send_pdu(enquire)
        self.read_until(lambda: seen["enquired"] >= 2, 3)
        seen["unbinds"] = [self.unbind(client) for client in self.clients]

    def unbind(self, client):
        """Not smpplib's own unbind: that takes whatever PDU comes next for the answer."""
        client.send_pdu(smpplib.smpp.make_pdu("unbind", client=client))
        while True:
            pdu = client.read_pdu()
            if pdu.command == "enquire_link":
                client._enquire_link_received(pdu)
            if pdu.command == "unbind_resp":
                break
        client.disconnect()
        return pdu.status

    def ask_state(self):
        if self.plan["bind"] != "trx" or not self.plan.get("query"):
            return
        answer = self.seen["answers"].get(self.plan["query"])
        if answer and answer["id"]:
            self.clients[0].query_message(
                message_id=answer["id"], source_addr_ton=0, source_addr_npi=0, source_addr=self.plan["source"]
            )
            self.read_until(lambda: self.seen["states"], 3)


def main():
    logging.getLogger().setLevel(logging.ERROR)
    teach_vendor_parameters()
    with open(sys.argv[1], encoding="utf-8") as file:
        esme = Esme(json.load(file))
    try:
        esme.run()
    finally:
        print(json.dumps(esme.seen))


if __name__ == "__main__":
    main()
