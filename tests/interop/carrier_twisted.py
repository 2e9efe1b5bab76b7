"""A carrier on PyPI smpp.twisted3 and smpp.pdu3: the SMPP server under Jasmin.

    carrier_twisted.py PORT CASES.json

Prints one JSON object per event on stdout. Message ids are UUIDs, the same in response and receipt.
"""

import json
import sys
import uuid

from smpp.pdu import operations
from smpp.pdu.pdu_encoding import DataCodingEncoder, EsmClassEncoder
from smpp.pdu.pdu_types import (
    AddrNpi,
    AddrTon,
    CommandId,
    CommandStatus,
    EsmClass,
    EsmClassMode,
    EsmClassType,
    MessageState,
    RegisteredDeliveryReceipt,
)
from smpp.twisted.config import SMPPServerConfig
from smpp.twisted.protocol import DataHandlerResponse
from smpp.twisted.server import SMPPServerFactory
from twisted.internet import defer, reactor, stdio
from twisted.internet.protocol import Protocol

CASES = []


def tell(**event):
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def status_of(answer):
    return answer.response.status.value


class Carrier(SMPPServerFactory):
    """Lets anybody bind; tells who did."""

    def login(self, system_id, password, client_ip_address):
        self.config.systems.setdefault(system_id, {"max_bindings": 100})
        return defer.succeed((None, system_id, lambda: None))

    def addBoundConnection(self, connection):
        super().addBoundConnection(connection)
        tell(event="bound", mode=connection.bind_type.name, system_id=connection.system_id)
        # The bind response is written after this returns.
        reactor.callLater(0.05, self.enquire, connection)

    def enquire(self, connection):
        request = connection.sendRequest(operations.EnquireLink(), 5)
        request.addCallback(lambda answer: tell(event="enquire_answered", status=status_of(answer)))
        request.addErrback(lambda failure: tell(event="error", text=str(failure.value)))

    def removeConnection(self, connection):
        super().removeConnection(connection)
        tell(event="closed")

    def receiver(self, connection):
        """The session itself if it receives, else another of its account."""
        if connection.bind_type != CommandId.bind_transmitter:
            return connection
        return self.getBoundConnections(connection.system_id).getNextBindingForDelivery()


def send(connection, pdu, what, to):
    request = connection.sendDataRequest(pdu)
    request.addCallback(lambda answer: tell(event=what, to=to, status=status_of(answer)))
    request.addErrback(lambda failure: tell(event=what, to=to, status=str(failure.value)))


def send_receipt(connection, submit, message_id):
    to = submit.params["destination_addr"]
    text = f"id:{message_id} sub:001 dlvrd:001 submit date:2611212100 done date:2611212101 stat:DELIVRD err:000 text:"
    pdu = operations.DeliverSM(
        source_addr=to,
        source_addr_ton=submit.params["dest_addr_ton"],
        source_addr_npi=submit.params["dest_addr_npi"],
        destination_addr=submit.params["source_addr"],
        dest_addr_ton=submit.params["source_addr_ton"],
        dest_addr_npi=submit.params["source_addr_npi"],
        esm_class=EsmClass(EsmClassMode.DEFAULT, EsmClassType.SMSC_DELIVERY_RECEIPT),
        short_message=text.encode(),
        receipted_message_id=message_id.encode(),
        message_state=MessageState.DELIVERED,
    )
    send(connection, pdu, "receipt_answered", to.decode())


def send_mo(connection, submit, case):
    to = submit.params["destination_addr"]
    body = bytes.fromhex(case["hex"])
    pdu = operations.DeliverSM(
        service_type=case.get("service_type", "").encode(),
        source_addr=to,
        source_addr_ton=AddrTon.INTERNATIONAL,
        source_addr_npi=AddrNpi.ISDN,
        destination_addr=submit.params["source_addr"],
        esm_class=EsmClassEncoder()._decode(bytes([case.get("esm_class", 0)])),
        protocol_id=case.get("protocol_id", 0),
        data_coding=DataCodingEncoder()._decode(bytes([case["coding"]])),
        short_message=b"" if case.get("payload") else body,
        **({"message_payload": body} if case.get("payload") else {}),
        **case.get("tlvs", {}),
    )
    send(connection, pdu, "mo_answered", to.decode())


def deliver_back(factory, connection, submit, message_id, case):
    early = case is not None and case.get("early")
    wanted = RegisteredDeliveryReceipt.SMSC_DELIVERY_RECEIPT_REQUESTED
    if not early and submit.params["registered_delivery"].receipt == wanted:
        send_receipt(factory.receiver(connection), submit, message_id)
    if case is not None:
        send_mo(factory.receiver(connection), submit, case)


def on_submit(factory, connection, submit):
    to = submit.params["destination_addr"].decode()
    body = submit.params["short_message"] or submit.params.get("message_payload") or b""
    tell(event="submit", to=to, hex=body.hex())
    number = int(to[-3:])
    case = CASES[number] if number < len(CASES) else None
    if case is not None and "status" in case:
        return CommandStatus(case["status"])
    message_id = str(uuid.uuid4())
    answer = DataHandlerResponse(CommandStatus.ESME_ROK, message_id=message_id.encode())
    reactor.callLater(0.02, deliver_back, factory, connection, submit, message_id, case)
    if case is not None and case.get("early"):
        send_receipt(factory.receiver(connection), submit, message_id)
        later = defer.Deferred()
        reactor.callLater(0.06, later.callback, answer)
        return later
    return answer


def on_request(factory, connection, pdu):
    if pdu.commandId == CommandId.submit_sm:
        return on_submit(factory, connection, pdu)
    if pdu.commandId == CommandId.query_sm:
        tell(event="query", id=pdu.params["message_id"].decode())
        return DataHandlerResponse(
            CommandStatus.ESME_ROK,
            message_id=pdu.params["message_id"],
            final_date=None,
            message_state=MessageState.DELIVERED,
            error_code=0,
        )
    if pdu.commandId == CommandId.cancel_sm:
        tell(event="cancel", id=pdu.params["message_id"].decode())
        return CommandStatus.ESME_ROK
    return CommandStatus.ESME_RINVCMDID


class UntilClosed(Protocol):
    """Ends the process when its standard input is closed."""

    def connectionLost(self, reason=None):
        if reactor.running:
            reactor.stop()


def main():
    port, cases_file = sys.argv[1:]
    with open(cases_file, encoding="utf-8") as file:
        CASES.extend(json.load(file))
    # The handler gets the system_id first, then the session and the PDU.
    config = SMPPServerConfig(
        msgHandler=lambda system_id, connection, pdu: on_request(factory, connection, pdu),
        systems={},
        enquireLinkTimerSecs=2,
    )
    factory = Carrier(config, auth_portal=None)
    listener = reactor.listenTCP(int(port), factory, interface="127.0.0.1")
    tell(event="listening", port=listener.getHost().port)
    stdio.StandardIO(UntilClosed())
    reactor.run()


if __name__ == "__main__":
    main()
