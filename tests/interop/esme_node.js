// An ESME on npm `smpp`. The plan and the report are those of esme_smpplib.py.
//
//   node esme_node.js PLAN.json
'use strict';

const fs = require('fs');
const smpp = require('smpp');

const plan = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const seen = {
  binds: [], answers: {}, receipts: [], mo: [], states: [], enquired: 0, enquire_answers: 0, unbinds: [], errors: [],
};
let outstanding = 0;

// node-smpp carries only parameters that it has a name for.
for (const tag of [0x1400, 0x1401, 0x3fff]) {
  smpp.addTLV('vendor_0x' + tag.toString(16), { id: tag, type: smpp.types.tlv.buffer });
}

function until(done, ms) {
  return new Promise((resolve) => {
    const end = Date.now() + ms;
    const look = () => (done() || Date.now() >= end ? resolve(done()) : setTimeout(look, 20));
    look();
  });
}

// What node-smpp made of a body: text by its own decoder, octets where it has none.
function contentOf(pdu) {
  const body = pdu.short_message.message.length ? pdu.short_message : pdu.message_payload || pdu.short_message;
  const message = body.message;
  const udh = body.udh ? Buffer.concat(body.udh).toString('hex') : '';
  return Buffer.isBuffer(message) ? { udh, hex: message.toString('hex') } : { udh, text: message };
}

function onDeliver(session, pdu) {
  if ((pdu.esm_class & 0x3c) === 4) {
    const text = pdu.short_message.message.toString();
    seen.receipts.push({
      from: pdu.source_addr,
      id: /\bid:(\S*)/.exec(text)[1],
      state: /\bstat:(\S*)/.exec(text)[1],
      receipted_message_id: pdu.receipted_message_id,
    });
  } else {
    seen.mo.push({ from: pdu.source_addr, ...contentOf(pdu) });
  }
  session.send(pdu.response());
}

function bind(mode) {
  return new Promise((resolve, reject) => {
    const session = smpp.connect({ host: '127.0.0.1', port: plan.port }, () => {
      session[mode]({ system_id: plan.system_id, password: plan.password }, (answer) => {
        seen.binds.push({ mode, status: answer.command_status });
        resolve(session);
      });
    });
    session.on('deliver_sm', (pdu) => onDeliver(session, pdu));
    session.on('enquire_link', (pdu) => {
      seen.enquired += 1;
      session.send(pdu.response());
    });
    session.on('error', (error) => {
      seen.errors.push(String(error));
      reject(error);
    });
  });
}

function fieldsOf(to, content) {
  const fields = { source_addr: plan.source, destination_addr: to, dest_addr_ton: 1, dest_addr_npi: 1 };
  fields.data_coding = content.coding;
  for (const name of ['service_type', 'source_addr_ton', 'source_addr_npi', 'esm_class', 'protocol_id', 'priority_flag',
    'validity_period', 'replace_if_present_flag', 'sm_default_msg_id']) {
    if (name in content) {
      fields[name] = content[name];
    }
  }
  fields.registered_delivery = content.receipt === false ? 0 : 1;
  // The library's own encoder where there is text.
  const body = 'text' in content ? content.text : Buffer.from(content.hex, 'hex');
  fields.short_message = content.payload ? Buffer.alloc(0) : body;
  if (content.payload) {
    fields.message_payload = 'text' in content ? { message: content.text } : body;
  }
  Object.assign(fields, content.tlvs);
  for (const [tag, hex] of Object.entries(content.vendor || {})) {
    fields['vendor_' + tag] = Buffer.from(hex, 'hex');
  }
  return fields;
}

function submit(session, to, content) {
  outstanding += 1;
  session.submit_sm(fieldsOf(to, content), (answer) => {
    outstanding -= 1;
    seen.answers[to] = { status: answer.command_status, id: answer.message_id || null };
  });
}

async function askState(session) {
  const answer = seen.answers[plan.query];
  if (plan.bind !== 'trx' || !answer || !answer.id) {
    return;
  }
  session.query_sm({ message_id: answer.id, source_addr: plan.source }, (pdu) => {
    seen.states.push(pdu.command_status ? { command: pdu.command, status: pdu.command_status } : pdu.message_state);
  });
  session.cancel_sm({ message_id: answer.id, source_addr: plan.source, destination_addr: plan.query }, (pdu) => {
    seen.states.push({ command: pdu.command, status: pdu.command_status });
  });
  await until(() => seen.states.length >= 2, 3000);
}

async function main() {
  const modes = plan.bind === 'trx' ? ['bind_transceiver'] : ['bind_transmitter', 'bind_receiver'];
  const sessions = [];
  for (const mode of modes) {
    sessions.push(await bind(mode));
  }
  for (const { to, case: number } of plan.submits) {
    submit(sessions[0], to, plan.cases[number]);
  }
  for (let number = 0; number < (plan.extra || 0); number += 1) {
    const to = plan.extra_to + String(number).padStart(4, '0') + '999';
    submit(sessions[0], to, { coding: 0, text: 'extra ' + number });
    await until(() => outstanding < 32, 5000);
  }
  await until(() => outstanding === 0, 10000);
  await until(() => seen.receipts.length >= plan.receipts && seen.mo.length >= plan.mo, 10000);
  await askState(sessions[0]);
  for (const session of sessions) {
    session.enquire_link({}, () => { seen.enquire_answers += 1; });
  }
  await until(() => seen.enquired >= 2 && seen.enquire_answers >= sessions.length, 3000);
  for (const session of sessions) {
    session.unbind({}, (answer) => {
      seen.unbinds.push(answer.command_status);
      session.close();
    });
  }
  await until(() => seen.unbinds.length === sessions.length, 5000);
}

main()
  .catch((error) => seen.errors.push(String(error)))
  .finally(() => process.stdout.write(JSON.stringify(seen) + '\n', () => process.exit(0)));
