// A carrier on npm `smpp`. Takes submit_sm, answers, and sends the receipt and an MO with the same content back.
//
//   node carrier_node.js PORT CASES.json
//
// Prints one JSON object per event on stdout. The message id is hexadecimal in the response and decimal in the
// receipt, as some operators write it.
'use strict';

const fs = require('fs');
const smpp = require('smpp');

const [port, casesFile] = process.argv.slice(2);
const cases = JSON.parse(fs.readFileSync(casesFile, 'utf8'));
let lastId = 0x0a00b000;

// node-smpp carries only parameters that it has a name for.
for (const tag of [0x1400, 0x1401, 0x3fff]) {
  smpp.addTLV('vendor_0x' + tag.toString(16), { id: tag, type: smpp.types.tlv.buffer });
}

function tell(event) {
  process.stdout.write(JSON.stringify(event) + '\n');
}

function contentOf(pdu) {
  const body = pdu.short_message.message.length ? pdu.short_message : pdu.message_payload || pdu.short_message;
  const message = body.message;
  const udh = body.udh ? Buffer.concat(body.udh).toString('hex') : '';
  return Buffer.isBuffer(message) ? { udh, hex: message.toString('hex') } : { udh, text: message };
}

function sendReceipt(session, pdu, id) {
  const text = `id:${id} sub:001 dlvrd:001 submit date:2611212100 done date:2611212101 stat:DELIVRD err:000 text:`;
  session.deliver_sm({
    source_addr: pdu.destination_addr,
    source_addr_ton: pdu.dest_addr_ton,
    source_addr_npi: pdu.dest_addr_npi,
    destination_addr: pdu.source_addr,
    dest_addr_ton: pdu.source_addr_ton,
    dest_addr_npi: pdu.source_addr_npi,
    esm_class: 4,
    data_coding: 0,
    short_message: Buffer.from(text, 'latin1'),
    receipted_message_id: String(id),
    message_state: 2,
    network_error_code: Buffer.from([3, 0, 0]),
    vendor_0x1400: Buffer.from('carrier node'),
  }, (answer) => tell({ event: 'receipt_answered', to: pdu.destination_addr, status: answer.command_status }));
}

function sendMo(session, pdu, content) {
  const fields = {
    service_type: content.service_type || '',
    source_addr: pdu.destination_addr,
    source_addr_ton: 1,
    source_addr_npi: 1,
    destination_addr: pdu.source_addr,
    esm_class: content.esm_class || 0,
    protocol_id: content.protocol_id || 0,
    priority_flag: content.priority_flag || 0,
    data_coding: content.coding,
    short_message: Buffer.alloc(0),
    ...content.tlvs,
  };
  const body = Buffer.from(content.hex, 'hex');
  if (content.payload) {
    fields.message_payload = body;
  } else {
    fields.short_message = body;
  }
  for (const [tag, hex] of Object.entries(content.vendor || {})) {
    fields['vendor_' + tag] = Buffer.from(hex, 'hex');
  }
  const to = pdu.destination_addr;
  session.deliver_sm(fields, (answer) => tell({ event: 'mo_answered', to, status: answer.command_status }));
}

function onSubmit(receiver, session, pdu) {
  const content = cases[Number(pdu.destination_addr.slice(-3))];
  tell({ event: 'submit', to: pdu.destination_addr, ...contentOf(pdu) });
  if (content && content.status) {
    session.send(pdu.response({ command_status: content.status }));
    return;
  }
  const id = ++lastId;
  const answer = () => session.send(pdu.response({ message_id: id.toString(16).toUpperCase() }));
  const early = content && content.early;
  if (early) {
    sendReceipt(receiver(), pdu, id);
    setTimeout(answer, 60);
  } else {
    answer();
  }
  setTimeout(() => {
    if (!early && pdu.registered_delivery & 1) {
      sendReceipt(receiver(), pdu, id);
    }
    if (content) {
      sendMo(receiver(), pdu, content);
    }
  }, 20);
}

const receivers = [];
const server = smpp.createServer((session) => {
  const receiver = () => (receivers.includes(session) ? session : receivers[0]);
  for (const mode of ['transceiver', 'transmitter', 'receiver']) {
    session.on('bind_' + mode, (pdu) => {
      if (mode !== 'transmitter') {
        receivers.push(session);
      }
      session.send(pdu.response({ system_id: 'node-carrier' }));
      tell({ event: 'bound', mode, system_id: pdu.system_id, version: pdu.interface_version });
      session.enquire_link({}, (answer) => tell({ event: 'enquire_answered', status: answer.command_status }));
    });
  }
  session.on('submit_sm', (pdu) => onSubmit(receiver, session, pdu));
  session.on('enquire_link', (pdu) => session.send(pdu.response()));
  session.on('query_sm', (pdu) => {
    tell({ event: 'query', id: pdu.message_id });
    session.send(pdu.response({ message_id: pdu.message_id, message_state: 2 }));
  });
  session.on('cancel_sm', (pdu) => {
    tell({ event: 'cancel', id: pdu.message_id });
    session.send(pdu.response());
  });
  session.on('unbind', (pdu) => {
    tell({ event: 'unbind' });
    session.send(pdu.response());
    session.close();
  });
  session.on('error', (error) => tell({ event: 'error', text: String(error) }));
  session.on('close', () => {
    const at = receivers.indexOf(session);
    if (at >= 0) {
      receivers.splice(at, 1);
    }
    tell({ event: 'closed' });
  });
});
server.listen(Number(port), '127.0.0.1', () => tell({ event: 'listening', port: server.address().port }));
process.stdin.on('end', () => process.exit(0)).resume();
